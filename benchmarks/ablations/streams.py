"""Ways of expanding a stream of training questions: all choices, one player's (external sampling), or single rounds.

Recorded questions come in batches, as in training. Who learns from a part of a tree asks the recording for that part
alone, and what was asked for is counted: it is what would have been generated.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.ablations.replay import Outcome, Replay, Setting, expected
from benchmarks.suite import immediate
from benchmarks.suite.fitting import best_play
from benchmarks.suite.recordings import Recording
from tracer_agents.controllers.regret import MINIMISERS
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.rollout.tree import Tree, expand, expand_external
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import Utterance


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Speakers that repeat a recording and note what was asked of them.

    Args:
        recording: what is repeated.
        heard: (question id, mode prefix) of every utterance that was asked for.
    """

    recording: Recording
    heard: set[tuple[str, str]] = field(default_factory=set)

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        """What was said at each request's place in its tree."""
        self.heard.update((request.episode.question.id, request.state.prefix) for request in requests)
        return self.recording.speak(requests)


def in_full(replay: Replay, setting: Setting) -> Outcome:
    """Every choice of every question of a batch."""

    def expansions(batch: Sequence[Episode], tables: RegretTables, speakers: Listener) -> Iterator[list[Tree]]:
        yield expand(batch, setting.rules, speakers, speakers.recording.grade)

    return _streamed(replay, setting, expansions)


def by_external_sampling(replay: Replay, setting: Setting) -> Outcome:
    """One player's choices, then the next one's; the others' are sampled from what they play at the time."""

    def expansions(batch: Sequence[Episode], tables: RegretTables, speakers: Listener) -> Iterator[list[Tree]]:
        controller = TabularController(setting.infosets, tables)
        for player in range(setting.rules.n_agents):
            yield expand_external(batch, setting.rules, speakers, speakers.recording.grade, controller, player)

    return _streamed(replay, setting, expansions)


Expansions = Callable[[Sequence[Episode], RegretTables, Listener], Iterator[list[Tree]]]


def _streamed(replay: Replay, setting: Setting, expansions: Expansions) -> Outcome:
    speakers = Listener(recording=replay.recordings["train"])
    minimiser, tables = MINIMISERS[setting.minimiser](), RegretTables.empty()
    for batch in _batches(replay):
        for trees in expansions(batch, tables, speakers):
            game = replay.merged(trees, setting.infosets).priced(setting.price)
            tables = solve(game, tables, minimiser, iterations=replay.inner, weighting=setting.weighting)
    validation = replay.game("validation", setting.infosets).priced(setting.price)
    return _measured(replay, setting, best_play(tables, setting.infosets, validation, setting.plays), speakers)


def by_single_rounds(replay: Replay, setting: Setting) -> Outcome:
    """The released code's rule, played greedily: one dialogue per question, rounds scored by what is seen at once."""
    speakers, infosets = Listener(recording=replay.recordings["train"]), setting.infosets
    tables = RegretTables.empty()
    for batch in _batches(replay):
        controller = TabularController(infosets, tables)
        _, visits = immediate.play_and_score(batch, infosets, speakers, controller, speakers.recording.grade)
        tables = immediate.learn(tables, visits)
    return _measured(replay, setting, immediate.greedy(infosets, tables), speakers)


def _measured(replay: Replay, setting: Setting, controller: TabularController, speakers: Listener) -> Outcome:
    return replace(expected(replay.game("test", setting.infosets), controller), generated=len(speakers.heard))


def _batches(replay: Replay) -> Iterator[Sequence[Episode]]:
    """The training questions, as many at a time as training takes."""
    episodes = replay.recordings["train"].episodes
    return (episodes[start : start + replay.batch] for start in range(0, len(episodes), replay.batch))
