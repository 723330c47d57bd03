"""How far a stage has got: every call counts whole, whoever counts within it, and nobody has to watch."""

from dataclasses import replace

from tracer_agents import progress
from tracer_agents.build import build
from tracer_agents.controllers.fixed import RandomSpeech
from tracer_agents.evaluation.examiner import Examiner
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.rollout.tree import expand


class Told:
    """What a watcher was told."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.pairs.append((done, total))

    def requires(self, total: int) -> None:
        """The counts only grow, and end at all that was expected."""
        done = [pair[0] for pair in self.pairs]
        assert done == sorted(done)
        assert self.pairs[-1] == (total, total)


def test_nothing_happens_where_nobody_watches():
    progress.expect(3)
    with progress.call(3):
        progress.come()


def test_a_call_counts_whole_and_never_twice():
    watcher = Told()
    with progress.watched(watcher):
        progress.expect(5)
        with progress.call(2, of=3):
            progress.come(2)
            progress.come(2)
        with progress.call(2):
            pass
    progress.come()

    assert watcher.pairs == [(1, 5), (3, 5), (5, 5)]


def test_an_inner_watcher_leaves_the_outer_one_alone():
    outer, inner = Told(), Told()
    with progress.watched(outer):
        progress.expect(1)
        with progress.watched(inner):
            progress.expect(7)
        with progress.call(1):
            progress.come()

    assert (outer.pairs, inner.pairs) == ([(1, 1)], [])


def test_a_measurement_is_told_while_its_calls_last_and_to_its_end(small_config):
    config = small_config({"evaluation.questions": 6, "evaluation.greedy": True})
    watcher = Told()
    with build(config) as parts:
        examiner = Examiner.on_test(config, parts)
        with progress.watched(watcher):
            examiner.team(RandomSpeech(p=0.5), phase="after")

    watcher.requires(2 * 6 * config.rules.rounds)
    assert len(watcher.pairs) > 2 * config.rules.rounds  # more often than once a round


def test_trees_and_baselines_are_told_to_their_end(small_config):
    config = small_config({"evaluation.questions": 3})
    trees, baselines = Told(), Told()
    with build(config) as parts:
        episodes = draw_episodes(parts.task, "test", 0, 3, seed=0, phase="test")
        with progress.watched(trees):
            expand(episodes, replace(config.rules, rounds=3), parts.speakers, parts.task.grade)
        with progress.watched(baselines):
            Examiner.on_test(config, parts).baselines(phase="after", cost=1.0)

    trees.requires(3 * 4)
    assert baselines.pairs[-1][0] == baselines.pairs[-1][1]
