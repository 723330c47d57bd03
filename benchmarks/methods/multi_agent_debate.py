"""Multi-agent debate (Du et al. 2023): agents answer, see each other's answers, answer again, and vote at the end.

All agents have the initial speakers' weights, and answer the first time as self-consistency's samples do. Where the
paper's agents keep the whole conversation, ours see their own last solution and the others'. The embedded model knows
no such protocol: it is shown the others' solutions where it expects a review.
"""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.methods.base import PHASE, Cost, Method, Prepared
from benchmarks.suite.bench import Bench
from benchmarks.suite.point import Point
from tracer_agents.evaluation.play import first_proposals, majority
from tracer_agents.rollout.records import DialogueRecord, Kind, record_dialogues
from tracer_agents.speakers.model import View, ViewSpeakers
from tracer_agents.speakers.prompts import Prompts
from tracer_agents.speakers.templates import Messages
from tracer_agents.types import Episode
from tracer_env.dialogue import Dialogue, Mode, Role, Rules, Turn, Utterance, initial
from tracer_env.seeding import derive_seed

NAME = "multi_agent_debate"
_NOISE = "debate"  # names the streams of sampling noise, whatever the method is called
AGENTS, ROUNDS = 3, 2  # rounds after the first answers; the paper's setting for arithmetic and GSM8K
Answers = list[list[Utterance]]  # (questions, agents)


def _prepare(bench: Bench) -> Prepared:
    parts, rules = bench.parts(), bench.config.rules

    def answer(episodes: Sequence[Episode]) -> dict[Point, list[DialogueRecord]]:
        finals = hold(episodes, rules, parts.speakers)
        records = record_dialogues(episodes, finals, parts.task, method=NAME, phase=PHASE, seed=bench.seed)
        return {after(ROUNDS): [voted(record, ROUNDS) for record in records]}

    return Prepared(points=(after(ROUNDS),), answer=answer, resources=parts)


def hold(episodes: Sequence[Episode], rules: Rules, speakers: ViewSpeakers) -> list[Dialogue]:
    """The debates as dialogues whose turns are ``AGENTS`` proposals per round, each round generated in one call."""
    firsts = first_proposals(episodes, rules, speakers, samples=AGENTS)
    rounds: list[Answers] = [[[_utterance(sample) for sample in of_question] for of_question in firsts]]
    for round_ in range(1, ROUNDS + 1):
        views = [
            _view(episode, last, round_, agent)
            for episode, last in zip(episodes, rounds[-1], strict=True)
            for agent in range(AGENTS)
        ]
        answers = speakers.complete(views)
        rounds.append([list(answers[first : first + AGENTS]) for first in range(0, len(answers), AGENTS)])
    return [_dialogue(rules, episode, [round_[index] for round_ in rounds]) for index, episode in enumerate(episodes)]


def _utterance(sample: Dialogue) -> Utterance:
    utterance = sample.turns[0].utterance
    assert utterance is not None  # the first round is always spoken
    return utterance


def _view(episode: Episode, last: Sequence[Utterance], round_: int, agent: int) -> View:
    return View(
        role=Role.PROPOSER,
        question=episode.question.text,
        solution=last[agent].text,
        review=None,
        others=tuple(answer.text for other, answer in enumerate(last) if other != agent),
        seed=derive_seed(episode.seed, _NOISE, round_, agent),
    )


def _dialogue(rules: Rules, episode: Episode, rounds: Sequence[Sequence[Utterance]]) -> Dialogue:
    turns = tuple(
        Turn(number, agent, Role.PROPOSER, Mode.SPEAK, True, answer)
        for number, answers in enumerate(rounds, start=1)
        for agent, answer in enumerate(answers)
    )
    return replace(initial(rules, episode.question.text), turns=turns, pending=turns[-1])


def voted(record: DialogueRecord, rounds: int) -> DialogueRecord:
    """The majority after ``rounds`` rounds beyond the first answers; the record then holds the turns up to there."""
    turns = record.turns[: AGENTS * (rounds + 1)]
    vote = majority(replace(record, turns=turns[-AGENTS:]), AGENTS)
    return replace(vote, method=after(rounds).label, kind=Kind.MULTI_AGENT_DEBATE, turns=turns)


def after(rounds: int) -> Point:
    """The point after so many rounds beyond the first answers."""
    return Point(method=NAME, setting=f"rounds={rounds}")


def _points(records: Sequence[DialogueRecord]) -> dict[Point, list[DialogueRecord]]:
    return {after(rounds): [voted(record, rounds) for record in records] for rounds in range(ROUNDS + 1)}


def _prompts(prompts: Prompts) -> dict[str, Messages]:
    update = prompts.messages(
        question="{question}",
        role=Role.PROPOSER,
        solution="{own solution}",
        review=None,
        others=[f"{{solution of another agent, {number}}}" for number in range(1, AGENTS)],
        answer_format="{answer format}",
    )
    return {"update": update}


METHODS = (
    Method(
        name=NAME,
        title="Multi-agent debate",
        reference=f"Du et al. 2023, arXiv 2305.14325: {AGENTS} agents, {ROUNDS} rounds",
        prepare=_prepare,
        cost=lambda plan: Cost(proposals=AGENTS, revisions=AGENTS * ROUNDS),
        setting=lambda plan: after(ROUNDS).setting,
        points=_points,
        prompts=_prompts,
    ),
)
