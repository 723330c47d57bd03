"""Tabular questions as a task, with their speakers for the environment: real play that needs no model."""

from collections.abc import Sequence
from typing import Any

from tracer_agents.speakers.tabular import Heard, TabularSpeaker, tabular_question
from tracer_env.dialogue import Role
from tracer_env.grading.verdict import parse_verdict
from tracer_env.spaces import SpokenText
from tracer_env.tasks.base import SPLITS, Grade, Question, Split


class TabularTask:
    """The endless stream of questions that tabular speakers answer; splits are disjoint by their index."""

    name = "tabular"
    trainable = True

    def draw(self, split: Split, start: int, count: int, *, seed: int) -> list[Question]:
        """Questions ``start … start+count−1`` of a split; ``seed`` changes nothing."""
        offset = SPLITS.index(split)
        return [tabular_question(len(SPLITS) * index + offset) for index in range(start, start + count)]

    def parse(self, completion: str) -> str | None:
        """What follows ``#### `` at the end."""
        _, mark, answer = completion.rpartition("#### ")
        return answer if mark else None

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """Equality."""
        return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


class TabularActor:
    """Tabular speakers that act in the environment: same seeds, same utterances as in the expanded trees.

    Args:
        speaker: the model of known probability.
    """

    def __init__(self, speaker: TabularSpeaker) -> None:
        self._speaker = speaker
        self._task = TabularTask()

    def act(self, observation: dict[str, Any], info: dict[str, Any]) -> SpokenText:
        """What the active speaker says; all its noise derives from ``info``'s seed and prefix."""
        question = tabular_question(int(observation["question"].removeprefix("Question ").split(":")[0]))
        solution = observation["solution"]
        heard = Heard(
            pending=bool(solution), answer=self._task.parse(solution), verdict=parse_verdict(observation["review"])
        )
        outcomes = self._speaker.outcomes_after(question, Role(info["role"]), heard)
        utterance = self._speaker.drawn(outcomes, info["noise_seed"])
        return SpokenText(utterance.text, generated_tokens=utterance.generated_tokens)
