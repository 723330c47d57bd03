"""The bound: a controller that sees whether the pending answer is right, and speaks while it is not."""

from dataclasses import replace

from benchmarks.methods.played import fixed
from benchmarks.suite.bench import Bench
from tracer_agents.controllers.fixed import Oracle
from tracer_env.dialogue import Dialogue
from tracer_env.tasks.base import Grade


def _oracle(bench: Bench) -> Oracle:
    recording = bench.recording("test")
    gold = {episode.question.text: episode.question.gold for episode in recording.episodes}

    def is_right(state: Dialogue) -> bool:
        return recording.grade([state.answer], [gold[state.question]]) == [Grade.RIGHT]

    return Oracle(is_right=is_right)


METHODS = (
    replace(
        fixed(
            "oracle",
            title="Oracle controllers",
            reference="sees gold: no method, a bound for controllers with these speakers",
            controller=_oracle,
        ),
        bound=True,
    ),
)
