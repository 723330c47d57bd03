"""The rules of one dialogue: a pure, immutable state machine.

A dialogue lasts ``R`` rounds, numbered from 1. Odd rounds are proposal rounds, even rounds are review
rounds. In each round the active agent's controller chooses a ``Mode``; if it speaks, the active speaker
emits one ``Utterance``. After round ``R`` the team answers, by default with the pending solution (DESIGN, sections 2
and 12).

The machine knows nothing of gold answers, rewards, models or PettingZoo: ``initial``, ``active``, ``legal``,
``transition`` and ``is_terminal`` are the whole game, and every loop in the project runs on them.
"""

# Arguments from outside are checked, whatever their annotations say:
# pyright: reportUnnecessaryIsInstance=false

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Literal, NamedTuple, Protocol, get_args

from tracer_env.errors import ConfigError, IllegalMove
from tracer_env.seeding import speak_seed, view_seed

Schedule = Literal["rotate", "parity"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
AnswerRule = Literal["pending", "plurality", "belief"]
Sharing = Literal["prefix", "view"]


class Mode(IntEnum):
    """A controller's action."""

    SKIP = 0
    SPEAK = 1


class Role(StrEnum):
    """What the active agent does in a round: odd rounds propose, even rounds review."""

    PROPOSER = "proposer"
    REVIEWER = "reviewer"


class Verdict(StrEnum):
    """A reviewer's judgement of the pending solution."""

    RIGHT = "RIGHT"
    WRONG = "WRONG"


class FinishReason(StrEnum):
    """Why an utterance ended."""

    STOP = "stop"  # its speaker ended it
    LENGTH = "length"  # a limit cut it
    FAILED = "failed"  # an engine outside this process never delivered it
    TOO_LONG = "too_long"  # the question does not fit into the model's context: nothing was generated


class Posterior(Protocol):
    """How sure one may be of every answer given so far (``tracer_env.beliefs``)."""

    @property
    def bins(self) -> int:
        """Into how many bins beliefs are put."""
        ...

    def posteriors(self, state: "Dialogue") -> Mapping[str, float]:
        """The probability that it is right, by answer, in the order in which they were first given."""
        ...

    def standing(self, state: "Dialogue") -> tuple[str | None, float]:
        """What the team would answer now, and the probability that it is right."""
        ...

    def bin(self, chance: float) -> int:
        """The bin of a probability."""
        ...


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The shape of a dialogue.

    Args:
        n_agents: N ≥ 1 agents, each owning a controller, a proposer and a reviewer.
        rounds: R ≥ 1, odd (a last review could not change the answer).
        schedule: ``"rotate"``: in cycle c (a proposal round and the review round after it) agent c mod N
            proposes and agent (c+1) mod N reviews. ``"parity"``: agent (round−1) mod N is active, as in the
            released code of the paper.
        force_on_unparsed: speaking is forced in a proposal round whose pending solution has no answer.
        first_agent: who is active in round 1; the others follow in their order.
        revisions: whether a proposer whose pending solution was reviewed sees both; otherwise every proposal is made
            from the question alone.
        answer_rule: what the team answers: ``"pending"``, the pending solution's answer; ``"plurality"``, the answer of
            most proposals; ``"belief"``, the answer with the largest posterior. The earliest wins ties; as long as
            there is no belief, ``"belief"`` is ``"plurality"``.
        belief: the posterior of answers; None: none is known yet.
        sharing: which noise an utterance is sampled with. ``"prefix"``: that of the modes chosen before it;
            ``"view"``: that of what its speaker sees and how often its voice has spoken to that, so that all paths on
            which they are equal share the utterance.
        voices: which agents speak alike, a number for each; empty: all do. Only sharing by view asks.

    Raises:
        ConfigError: a value outside the above.
    """

    n_agents: int = 2
    rounds: int = 5
    schedule: Schedule = "rotate"
    force_on_unparsed: bool = False
    first_agent: int = 0
    revisions: bool = True
    answer_rule: AnswerRule = "pending"
    belief: Posterior | None = None
    sharing: Sharing = "prefix"
    voices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.n_agents, bool) or not isinstance(self.n_agents, int) or self.n_agents < 1:
            raise ConfigError(f"n_agents must be an integer ≥ 1, got {self.n_agents!r}")
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or self.rounds < 1 or self.rounds % 2 == 0:
            raise ConfigError(f"rounds must be an odd integer ≥ 1, got {self.rounds!r}")
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"schedule must be one of {SCHEDULES}, got {self.schedule!r}")
        if self.first_agent not in range(self.n_agents):
            raise ConfigError(f"first_agent must be an agent from 0 to {self.n_agents - 1}, got {self.first_agent!r}")
        if self.answer_rule not in get_args(AnswerRule):
            raise ConfigError(f"answer_rule must be one of {get_args(AnswerRule)}, got {self.answer_rule!r}")
        if self.sharing not in get_args(Sharing):
            raise ConfigError(f"sharing must be one of {get_args(Sharing)}, got {self.sharing!r}")
        if len(self.voices) not in (0, self.n_agents):
            raise ConfigError(f"voices must hold a number for each of {self.n_agents} agents, got {self.voices!r}")

    @cached_property
    def seats(self) -> tuple[tuple[int, Role], ...]:
        """(active agent, role) of round 1, 2, …, R."""
        return tuple(self._seat(round_) for round_ in range(1, self.rounds + 1))

    def _seat(self, round_: int) -> tuple[int, Role]:
        role = Role.PROPOSER if round_ % 2 else Role.REVIEWER
        if self.schedule == "parity":
            return (self.first_agent + round_ - 1) % self.n_agents, role
        cycle = (round_ - 1) // 2
        return (self.first_agent + cycle + (role is Role.REVIEWER)) % self.n_agents, role

    @property
    def max_proposals(self) -> int:
        """The number of proposal rounds."""
        return (self.rounds + 1) // 2

    def voice(self, agent: int) -> int:
        """Who an agent speaks as."""
        return self.voices[agent] if self.voices else 0

    def seen(self, role: Role, solution: str | None, review: str | None) -> tuple[str, ...]:
        """What a speaker is shown beyond the question: its role, and the texts that its prompt quotes.

        Args:
            role: of the speaker.
            solution: the pending solution; None: there is none.
            review: its last review; None: there is none.
        """
        if role is Role.REVIEWER:
            return role.value, solution or ""
        if solution is None or review is None or not self.revisions:
            return (role.value,)
        return role.value, solution, review


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What a speaker emitted, already parsed.

    ``answer`` (proposals) is the canonical answer or None if none could be read; ``verdict`` (reviews) is
    None if none could be read. Equal answers are equal strings. ``generated_tokens`` counts the end token.
    ``mean_logp`` is the mean log-probability of the generated tokens (natural log), ``p_right`` the probability that a
    review says RIGHT; None where the engine gives none.
    """

    text: str
    answer: str | None = None
    verdict: Verdict | None = None
    generated_tokens: int = 0
    prompt_tokens: int = 0
    finish_reason: FinishReason = FinishReason.STOP
    omitted_characters: int = 0  # of quoted texts, which the prompt left out
    mean_logp: float | None = None
    p_right: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One finished round; ``utterance`` is None when the controller skipped."""

    round: int
    agent: int
    role: Role
    mode: Mode
    forced: bool
    utterance: Utterance | None


class RoundUsage(NamedTuple):
    """The tokens of a spoken round and the agent that spoke."""

    agent: int
    prompt_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The public state: what everybody has seen.

    ``round`` runs from 1 to R and is R+1 at the end; ``speaking`` says that the active controller chose
    SPEAK and its speaker's utterance is awaited; ``pending`` is the current solution; ``votes`` its score
    (+1 for RIGHT, −1 for WRONG) since it was proposed.
    """

    rules: Rules
    question: str
    round: int = 1
    speaking: bool = False
    turns: tuple[Turn, ...] = ()
    pending: Turn | None = None
    votes: int = 0

    @property
    def agent(self) -> int:
        """The active agent."""
        return self.rules.seats[self.round - 1][0]

    @property
    def role(self) -> Role:
        """What the active agent does in this round."""
        return self.rules.seats[self.round - 1][1]

    @property
    def answer(self) -> str | None:
        """The answer read from the pending solution."""
        return self.pending.utterance.answer if self.pending and self.pending.utterance else None

    @property
    def team_answer(self) -> str | None:
        """What the team answers if the dialogue ends here, by ``Rules.answer_rule``."""
        rule, belief = self.rules.answer_rule, self.rules.belief
        if rule == "pending":
            return self.answer
        if rule == "belief" and belief is not None:
            chances = belief.posteriors(self)
            return max(chances, key=lambda answer: chances[answer], default=None)  # max keeps the first of the largest
        given = Counter(answer for answer in self.proposed() if answer is not None)
        return given.most_common(1)[0][0] if given else None  # most_common keeps the order of equals

    def proposed(self) -> Iterator[str | None]:
        """The answer of every proposal, in order; None where none could be read."""
        for turn in self.turns:
            if turn.role is Role.PROPOSER and turn.utterance is not None:
                yield turn.utterance.answer

    def noise_seed(self, episode_seed: int, candidate: int = 0) -> int:
        """The seed of the active speaker's sampling noise, by ``Rules.sharing``; candidate 0 is what is played."""
        if self.rules.sharing == "prefix":
            return speak_seed(episode_seed, self.prefix, candidate, self.rules.first_agent)
        *spoken, now = self._spoken_to()
        return view_seed(episode_seed, *now, draw=spoken.count(now), candidate=candidate)

    def _spoken_to(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The voice of every speaker so far and what it saw; last, the active one's."""
        rules, solution, review = self.rules, None, None
        for turn in self.turns:
            if turn.utterance is None:
                continue
            yield rules.voice(turn.agent), rules.seen(turn.role, solution, review)
            if turn.role is Role.PROPOSER:
                solution, review = turn.utterance.text, None
            else:
                review = turn.utterance.text
        yield rules.voice(self.agent), rules.seen(self.role, solution, review)

    @property
    def generated_tokens(self) -> int:
        """Tokens generated so far, over all speakers."""
        return sum(turn.utterance.generated_tokens for turn in self.turns if turn.utterance)

    def usage(self) -> Iterator[RoundUsage]:
        """Who used how many tokens, for each spoken round."""
        for turn in self.turns:
            if turn.utterance:
                yield RoundUsage(turn.agent, turn.utterance.prompt_tokens, turn.utterance.generated_tokens)

    @property
    def prefix(self) -> str:
        """The modes chosen so far, a character ``0`` or ``1`` per finished round: where the dialogue is in its tree."""
        return "".join(["01"[turn.mode] for turn in self.turns])

    def reviews_of_pending(self) -> tuple[Turn, ...]:
        """The spoken reviews since the pending solution was proposed."""
        if self.pending is None:
            return ()
        return tuple(turn for turn in self.turns[self.pending.round :] if turn.utterance is not None)


def initial(rules: Rules, question: str) -> Dialogue:
    """The state before round 1."""
    return Dialogue(rules, question)


def is_terminal(state: Dialogue) -> bool:
    """Whether round R is over."""
    return state.round > state.rules.rounds


def active(state: Dialogue) -> tuple[int, str]:
    """(agent, part) that must act, with part ``"controller"``, ``"proposer"`` or ``"reviewer"``.

    Raises:
        IllegalMove: the dialogue is over.
    """
    if is_terminal(state):
        raise IllegalMove("the dialogue is over: nobody acts after the last round")
    return state.agent, (state.role.value if state.speaking else "controller")


def is_forced(state: Dialogue) -> bool:
    """Whether speaking is forced in this round."""
    if state.role is not Role.PROPOSER:
        return False
    return state.pending is None or (state.rules.force_on_unparsed and state.answer is None)


def legal(state: Dialogue) -> tuple[bool, bool]:
    """The active controller's action mask, (SKIP allowed, SPEAK allowed); all False when nobody controls."""
    if is_terminal(state) or state.speaking:
        return False, False
    return not is_forced(state), True


def transition(state: Dialogue, action: Mode | Utterance) -> Dialogue:
    """The next state, after a controller's ``Mode`` or the active speaker's ``Utterance``.

    Raises:
        IllegalMove: the dialogue is over, the mode is masked, or the action's kind is not awaited.
    """
    if is_terminal(state):
        raise IllegalMove("the dialogue is over: nobody acts after the last round")
    if isinstance(action, Utterance):
        return _after_utterance(state, action)
    if state.speaking:
        raise IllegalMove(f"round {state.round}: the {state.role} of agent {state.agent} must speak; a mode was given")
    if action == Mode.SPEAK:
        return Dialogue(state.rules, state.question, state.round, True, state.turns, state.pending, state.votes)
    if action != Mode.SKIP:
        raise IllegalMove(f"round {state.round}: a mode is 0 (SKIP) or 1 (SPEAK), got {action!r}")
    if is_forced(state):
        raise IllegalMove(f"round {state.round}: speaking is forced, SKIP is masked")
    agent, role = state.rules.seats[state.round - 1]
    turns = (*state.turns, Turn(state.round, agent, role, Mode.SKIP, False, None))
    return Dialogue(state.rules, state.question, state.round + 1, False, turns, state.pending, state.votes)


def _after_utterance(state: Dialogue, utterance: Utterance) -> Dialogue:
    if not state.speaking:
        raise IllegalMove(f"round {state.round}: the controller of agent {state.agent} must choose a mode first")
    agent, role = state.rules.seats[state.round - 1]
    turn = Turn(state.round, agent, role, Mode.SPEAK, is_forced(state), utterance)
    turns = (*state.turns, turn)
    if role is Role.PROPOSER:
        return Dialogue(state.rules, state.question, state.round + 1, False, turns, turn, 0)
    swing = 0 if utterance.verdict is None else 1 if utterance.verdict is Verdict.RIGHT else -1
    return Dialogue(state.rules, state.question, state.round + 1, False, turns, state.pending, state.votes + swing)
