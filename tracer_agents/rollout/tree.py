"""The controllers' choices of a question, expanded wave by wave or played along one path.

Only the binary choices branch: at a speak node one utterance is stored, sampled with a seed that is a function
of (episode, mode prefix), so a tree is a fixed finite game and every path in it can be played without new
generation (DESIGN, section 3, "Expansion"). All speak nodes of a depth, over all questions, are one call.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracer_agents import progress
from tracer_agents.errors import GenerationFailed
from tracer_agents.rollout.remembering import RememberingSpeakers
from tracer_agents.types import Controller, Episode, Speakers, SpeakRequest
from tracer_env.cost import branch_count, check_expandable, external_count
from tracer_env.dialogue import (
    Dialogue,
    FinishReason,
    Mode,
    Rules,
    Utterance,
    initial,
    is_forced,
    is_terminal,
    transition,
)
from tracer_env.seeding import control_uniform
from tracer_env.tasks.base import Grade

Grader = Callable[[list[str | None], list[str]], list[Grade]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One question's expanded choices.

    ``states`` holds, by mode prefix (a character per finished round), every state in which a round begins or the
    dialogue is over, shorter prefixes first. ``grades`` holds the grade of every answer proposed anywhere in it.
    """

    episode: Episode
    states: Mapping[str, Dialogue]
    grades: Mapping[str, Grade]

    @staticmethod
    def child(prefix: str, mode: Mode) -> str:
        """The prefix after ``mode`` was chosen at ``prefix``."""
        return f"{prefix}{mode:d}"

    def children(self, prefix: str) -> tuple[Mode, ...]:
        """The modes expanded at a prefix: both, one (forced or sampled) or none (the dialogue is over)."""
        return tuple(mode for mode in Mode if self.child(prefix, mode) in self.states)

    def request(self, prefix: str, candidate: int = 0) -> SpeakRequest:
        """The request whose candidate 0 was spoken after ``prefix``; others are further samples of its prompt."""
        return SpeakRequest(
            episode=self.episode, state=transition(self.states[prefix], Mode.SPEAK), candidate=candidate
        )

    def utterance(self, prefix: str) -> Utterance:
        """What was said after ``prefix`` when the controller chose to speak."""
        utterance = self.states[self.child(prefix, Mode.SPEAK)].turns[-1].utterance
        assert utterance is not None  # a prefix that ends in SPEAK ends in a spoken round
        return utterance

    def spoken(self) -> Iterator[tuple[str, Utterance]]:
        """(prefix, utterance) of every speak node."""
        return ((prefix[:-1], self.utterance(prefix[:-1])) for prefix in self.states if prefix.endswith("1"))

    def leaves(self) -> list[Dialogue]:
        """The finished dialogues, in prefix order."""
        return [state for state in self.states.values() if is_terminal(state)]

    def right(self, state: Dialogue) -> bool:
        """Whether what the team answers if it stops at one of the tree's states is right."""
        return is_right(self.grades, state)

    def under(self, rules: Rules) -> "Tree":
        """The same utterances under rules that read them in another way: another answer rule, another belief."""
        states = {prefix: replace(state, rules=rules) for prefix, state in self.states.items()}
        return replace(self, states=states)


def is_right(grades: Mapping[str, Grade], state: Dialogue) -> bool:
    """Whether the team's answer at a state is right, by the grades of an episode's answers; no answer is wrong."""
    answer = state.team_answer
    return answer is not None and grades[answer] is Grade.RIGHT


def expand(episodes: Sequence[Episode], rules: Rules, speakers: Speakers, grade: Grader) -> list[Tree]:
    """Expands every free choice of every episode in R batched calls; ``cost.utterance_count`` says per question.

    Raises:
        ConfigError: more than ``cost.MOST_UTTERANCES`` per question.
    """
    check_expandable(rules)
    everything = (Mode.SKIP, Mode.SPEAK)
    progress.expect(len(episodes) * branch_count(rules))
    return _grow(episodes, rules, speakers, grade, lambda nodes: [everything] * len(nodes))


def expand_external(
    episodes: Sequence[Episode], rules: Rules, speakers: Speakers, grade: Grader, behaviour: Controller, player: int
) -> list[Tree]:
    """Expands only ``player``'s choices; everybody else's are sampled from ``behaviour`` (external sampling).

    Lanctot et al. (2009), "Monte Carlo Sampling for Regret Minimization in Extensive Games". A sampled choice
    has one child in the tree, as a forced one has, and enters the empirical game as chance.

    Raises:
        ConfigError: more than ``cost.MOST_UTTERANCES`` per question.
    """
    check_expandable(rules, external_count(rules, player).most)

    def branch(nodes: list[tuple[Episode, Dialogue]]) -> list[tuple[Mode, ...]]:
        modes = choose(nodes, behaviour)
        both = (Mode.SKIP, Mode.SPEAK)
        return [both if state.agent == player else (mode,) for (_, state), mode in zip(nodes, modes, strict=True)]

    return _grow(episodes, rules, speakers, grade, branch)


def set_apart(trees: Sequence[Tree]) -> tuple[list[Tree], list[Tree]]:
    """The complete trees, and those in which an engine failed to deliver an utterance.

    Raises:
        GenerationFailed: none is complete.
    """
    whole: list[Tree] = []
    lost: list[Tree] = []
    for tree in trees:
        failed = any(utterance.finish_reason is FinishReason.FAILED for _, utterance in tree.spoken())
        (lost if failed else whole).append(tree)
    if lost and not whole:
        raise GenerationFailed(
            f"no dialogue of {len(trees)} was completed, stage 'expand'; see to the server and continue with --resume"
        )
    return whole, lost


def play(trees: Sequence[Tree], controller: Controller) -> list[Dialogue]:
    """The finished dialogue that ``controller`` plays in each tree; nothing is generated.

    Equal to ``rollout`` with the same episodes, speakers and controller.
    """
    states = [tree.states[""] for tree in trees]
    for _ in range(trees[0].states[""].rules.rounds if trees else 0):
        nodes = [(tree.episode, state) for tree, state in zip(trees, states, strict=True)]
        modes = choose(nodes, controller)
        states = [
            tree.states[tree.child(state.prefix, mode)] for tree, state, mode in zip(trees, states, modes, strict=True)
        ]
    return states


def rollout(episodes: Sequence[Episode], rules: Rules, speakers: Speakers, controller: Controller) -> list[Dialogue]:
    """The finished dialogue of each episode, generating only what is played: at most R batched calls.

    For whoever watches (``progress``), a round of an episode counts as one utterance, also where nobody speaks.
    """
    states = [initial(rules, episode.question.text) for episode in episodes]
    for _ in range(rules.rounds):
        nodes = list(zip(episodes, states, strict=True))
        chosen = choose(nodes, controller)
        moves = [(episode, state, mode) for (episode, state), mode in zip(nodes, chosen, strict=True)]
        states = _advance(moves, speakers, expected=len(moves))
    return states


def choose(nodes: Sequence[tuple[Episode, Dialogue]], controller: Controller) -> list[Mode]:
    """The mode played at each (episode, state): SPEAK where forced or where a uniform falls below P(SPEAK).

    The uniform is ``seeding.control_uniform``'s: any loop that plays the same state of the same episode chooses alike.
    """
    free = [index for index, (_, state) in enumerate(nodes) if not is_forced(state)]
    modes = [Mode.SPEAK] * len(nodes)
    if not free:
        return modes
    chances = controller.speak_probability([nodes[index][1] for index in free])
    for index, chance in zip(free, np.asarray(chances), strict=True):
        episode, state = nodes[index]
        modes[index] = Mode(int(control_uniform(episode.seed, state.prefix) < chance))
    return modes


def grade_answers(
    episodes: Sequence[Episode], answers: Sequence[Sequence[str | None]], grade: Grader
) -> list[dict[str, Grade]]:
    """Grades each episode's answers against its gold in one call, each distinct (answer, gold) pair once."""
    pairs = list(
        dict.fromkeys(
            (answer, episode.question.gold)
            for episode, given in zip(episodes, answers, strict=True)
            for answer in given
            if answer is not None
        )
    )
    grades = grade([answer for answer, _ in pairs], [gold for _, gold in pairs]) if pairs else []
    known = dict(zip(pairs, grades, strict=True))
    return [
        {answer: known[answer, episode.question.gold] for answer in given if answer is not None}
        for episode, given in zip(episodes, answers, strict=True)
    ]


def grade_dialogues(
    episodes: Sequence[Episode], dialogues: Sequence[Dialogue], grade: Grader
) -> list[dict[str, Grade]]:
    """The grade of every answer proposed in each dialogue."""
    return grade_answers(episodes, [_proposed(dialogue) for dialogue in dialogues], grade)


def _proposed(state: Dialogue) -> list[str | None]:
    return list(state.proposed())


def _advance(
    moves: Sequence[tuple[Episode, Dialogue, Mode]], speakers: Speakers, *, expected: int | None = None
) -> list[Dialogue]:
    """The states after one round, with a single call of ``speakers`` for all who speak."""
    states = [transition(state, mode) for _, state, mode in moves]
    wanted = [index for index, state in enumerate(states) if state.speaking]
    requests = [SpeakRequest(episode=moves[index][0], state=states[index]) for index in wanted]
    with progress.call(len(wanted), of=expected):
        utterances = speakers.speak(requests) if wanted else ()
    for index, utterance in zip(wanted, utterances, strict=True):
        states[index] = transition(states[index], utterance)
    return states


def _grow(
    episodes: Sequence[Episode],
    rules: Rules,
    speakers: Speakers,
    grade: Grader,
    branch: Callable[[list[tuple[Episode, Dialogue]]], Sequence[tuple[Mode, ...]]],
) -> list[Tree]:
    speakers = RememberingSpeakers(speakers)  # paths that share a view share what was said to it
    states: list[dict[str, Dialogue]] = [{"": initial(rules, episode.question.text)} for episode in episodes]
    wave = [(index, "") for index in range(len(episodes))]
    for _ in range(rules.rounds):
        free = [(index, prefix) for index, prefix in wave if not is_forced(states[index][prefix])]
        branches = dict(
            zip(free, branch([(episodes[index], states[index][prefix]) for index, prefix in free]), strict=True)
        )
        grown = [(node, mode) for node in wave for mode in branches.get(node, (Mode.SPEAK,))]
        moves = [(episodes[index], states[index][prefix], mode) for (index, prefix), mode in grown]
        wave = []
        for ((index, prefix), mode), state in zip(grown, _advance(moves, speakers), strict=True):
            child = Tree.child(prefix, mode)
            states[index][child] = state
            wave.append((index, child))
    proposed = [
        list(dict.fromkeys(answer for state in tree.values() for answer in _proposed(state))) for tree in states
    ]
    grades = grade_answers(episodes, proposed, grade)
    return [
        Tree(episode=episode, states=tree, grades=known)
        for episode, tree, known in zip(episodes, states, grades, strict=True)
    ]
