"""What completions of an evaluation or a fit can cost, before the first is asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from tracer_agents.build import build_task, chat_requests, prices_of
from tracer_agents.config import Config
from tracer_agents.speakers.model import View
from tracer_agents.speakers.remote import ChatRequests
from tracer_env.cost import utterance_count
from tracer_env.dialogue import Role
from tracer_env.tasks.base import Question, Split

Work = Literal["fit", "eval RUN", "eval --model"]
_MEASURED = 64  # questions whose prompts are measured
_FURTHER_VOTES = 1  # self-consistency is also given one vote more than it can pay for


@dataclass(slots=True, kw_only=True)
class Range:
    """A number as it is likely and as it is at most."""

    likely: float = 0.0
    most: float = 0.0

    def add(self, times: float, likely: float, most: float) -> None:
        """Sums up, in place."""
        self.likely += times * likely
        self.most += times * most


@dataclass(slots=True, kw_only=True)
class Forecast:
    """What one stage asks of one model.

    Args:
        stage: what the completions are for.
        model: of a chat server.
        requests: at most, all answered at the first attempt.
        prompt, generated: tokens.
        money: in the currency of the prices.
    """

    stage: str
    model: str
    requests: int = 0
    prompt: Range = field(default_factory=Range)
    generated: Range = field(default_factory=Range)
    money: Range = field(default_factory=Range)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """So many utterances per question in a round, by its agent; ``fresh`` of them see the question alone."""

    agent: int
    role: Role
    count: float
    fresh: float


def forecast(config: Config, work: Work) -> list[Forecast]:
    """What every stage asks of every model behind a chat server, stage by stage; local models cost no money.

    Prompts are measured on the first questions of each split. Likely: four bytes per token, completions half as long
    as their limit. At most: a token per byte, completions as long as their limit. Self-consistency is assumed to get
    as many votes as a dialogue has rounds, and one more.

    Raises:
        LeakageError, DataError, ConfigError: the questions or the settings cannot be used.
    """
    task = build_task(config)
    speakers = {agent: each for agent, each in enumerate(chat_requests(config, task)) if each is not None}
    rows: dict[tuple[str, str], Forecast] = {}
    for stage, split, count, asks in _stages(config, work):
        questions = task.draw(split, 0, count, seed=config.seed) if count else ()
        for ask in asks:
            if ask.agent in speakers and questions:
                model = config.of_agent(ask.agent).speakers.model
                row = rows.setdefault((stage, model), Forecast(stage=stage, model=model))
                _add(row, config, ask, speakers[ask.agent], questions)
    return list(rows.values())


def _stages(config: Config, work: Work) -> Iterator[tuple[str, Split, int, Sequence[_Ask]]]:
    """Stage, split, how many questions, and what is asked per question."""
    rules, evaluation, controllers = config.rules, config.evaluation, config.controllers
    seats = list(enumerate(rules.seats, 1))
    nodes = [1 if round_ == 1 else 2 ** (round_ - 2) for round_, _ in seats]
    expanded = [_ask(round_, seat, count) for (round_, seat), count in zip(seats, nodes, strict=True)]

    def played(dialogues: int) -> list[_Ask]:
        """So many dialogues of one question: they share what they have in common."""
        return [_ask(round_, seat, min(dialogues, count)) for (round_, seat), count in zip(seats, nodes, strict=True)]

    fits = work == "fit"
    if fits:
        yield "record", "train", config.trainer.controller_questions_per_step, expanded
        yield "checkpoint", "validation", evaluation.checkpoint_questions, expanded
        yield "validate", "validation", controllers.validation_questions, expanded
    everybody = utterance_count(rules) if fits else (3 if work == "eval RUN" else 2)  # team, always, random speech
    yield "play", "test", evaluation.questions, played(everybody)
    if evaluation.greedy:
        yield "play greedily", "test", evaluation.questions, played(2 if fits else 1)
    if evaluation.baselines or not fits:
        first, votes = rules.seats[0][0], rules.rounds + _FURTHER_VOTES
        alone = [_Ask(agent=first, role=Role.PROPOSER, count=votes, fresh=votes)]
        if config.utility.prices.generated:
            others = [agent for agent in range(rules.n_agents) if agent != first]
            alone += [_Ask(agent=agent, role=Role.PROPOSER, count=1, fresh=1) for agent in others]
        yield "vote", "test", evaluation.questions, alone
    if fits:
        yield "certify", "test", evaluation.certificate_questions, expanded


def _ask(round_: int, seat: tuple[int, Role], count: int) -> _Ask:
    """Half of the later proposals follow a review and revise, as they do when everything is expanded."""
    agent, role = seat
    fresh = 0.0 if role is Role.REVIEWER else count if round_ == 1 else count / 2
    return _Ask(agent=agent, role=role, count=count, fresh=fresh)


def _add(row: Forecast, config: Config, ask: _Ask, speakers: ChatRequests, questions: Sequence[Question]) -> None:
    limits = config.of_agent(ask.agent).limits
    backend = next(use.backend for use in config.models if ask.agent in use.agents)
    prices = prices_of(backend)
    limit = limits.reviewer if ask.role is Role.REVIEWER else limits.proposer
    alone = _prompt(speakers, questions, View(role=Role.PROPOSER, question="", solution=None, review=None, seed=0))
    review = "" if ask.role is Role.PROPOSER else None
    quoting = _prompt(speakers, questions, View(role=ask.role, question="", solution="", review=review, seed=0))
    shown = limits.proposer + (limits.reviewer if ask.role is Role.PROPOSER else 0)  # tokens that are quoted
    times, later = len(questions), ask.count - ask.fresh
    before = (row.prompt.likely, row.prompt.most, row.generated.likely, row.generated.most)
    row.requests += round(times * ask.count)
    row.prompt.add(times * ask.fresh, *alone)
    row.prompt.add(times * later, quoting[0] + shown / 2, quoting[1] + shown)
    row.generated.add(times * ask.count, limit / 2, limit)
    row.money.likely += prices.of(row.prompt.likely - before[0], row.generated.likely - before[2])
    row.money.most += prices.of(row.prompt.most - before[1], row.generated.most - before[3])


def _prompt(speakers: ChatRequests, questions: Sequence[Question], view: View) -> tuple[float, float]:
    """Tokens of a prompt, its quotes empty: the mean of what is likely, and the most."""
    requests = [speakers.request(replace(view, question=question.text)) for question in questions[:_MEASURED]]
    likely = sum(request.likely_prompt_tokens for request in requests) / len(requests)
    return likely, max(request.most_prompt_tokens for request in requests)
