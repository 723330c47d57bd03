"""The released code's rule: controllers that learn from each round's own outcome, without a game.

The rule is the released code's, ``benchmarks.suite.immediate``; dialogue and infosets are the plan's, so that
nothing but the rule differs from the other controllers. It knows no price of speech. A refreshed proposal is compared
with the old one only when it was played, so SPEAK never earns regret in a proposal round, and whoever plays greedily,
ties to SKIP, never refreshes what can be read: the rule's reviews cost tokens and change no answer.
"""

from dataclasses import replace

from benchmarks.methods.base import Method, Prepared
from benchmarks.methods.played import played
from benchmarks.suite.bench import Bench
from benchmarks.suite.immediate import greedy, learn, play_and_score
from benchmarks.suite.point import Point
from benchmarks.suite.recordings import Recording
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_env.infosets import Infosets
from tracer_env.seeding import derive_seed

NAME = "immediate"
POINT = Point(method=NAME)
PASSES = 4  # over the training questions, each with other choices of the controllers


def fitted(recording: Recording, infosets: Infosets) -> TabularController:
    """Plays the recorded questions one after the other, learns from every visit, and is greedy in the end."""
    tables = RegretTables.empty()
    for pass_ in range(PASSES):
        for episode in recording.episodes:
            chance = replace(episode, seed=derive_seed(episode.seed, NAME, pass_))
            controller = TabularController(infosets, tables)
            _, visits = play_and_score([chance], infosets, recording, controller, recording.grade)
            tables = learn(tables, visits)
    return greedy(infosets, tables)


def _prepare(bench: Bench) -> Prepared:
    return played(bench, None, {POINT: fitted(bench.recording("train"), bench.infosets())}, fitted_on=("train",))


METHODS = (
    Method(
        name=NAME,
        title="Immediate regrets",
        reference="the rule of the paper's released code, played greedily",
        prepare=_prepare,
        recordings=(("train", None), ("test", None)),
    ),
)
