"""Fully expanded questions on disk: every utterance of a tree, so that any controller can be played without a model.

What agents are shown depends on the modes played and not on who is active, so one recording of one model serves any
number of agents, either schedule, and any smaller number of rounds. Where agents speak with different models, a
recording names each utterance's voice, and serves only rules under which the same voices speak.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.suite import per_question
from benchmarks.suite.per_question import damaged, grow, read_whole
from tracer_agents.errors import RunError
from tracer_agents.rollout.records import utterance_as_json, utterance_from_json
from tracer_agents.rollout.tree import Tree, expand
from tracer_agents.types import Episode, Speakers, SpeakRequest
from tracer_env.dialogue import Rules, Utterance
from tracer_env.tasks.base import Grade, Task

_FIELDS, _WHAT = ("question_id", "said", "grades"), "an expanded question"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Recorded questions as speakers that repeat what was said, and a grader that repeats its grades.

    Args:
        episodes: the questions, in the order of the file.
        utterances: (question id, mode prefix) -> what was said after it.
        grades: (answer, gold) -> the grade it was given.
        voices: what each agent speaks with; empty: all with the same model.
        spoken_by: mode prefix -> the voice that was recorded there.
    """

    episodes: tuple[Episode, ...]
    utterances: dict[tuple[str, str], Utterance]
    grades: dict[tuple[str, str], Grade]
    voices: tuple[str, ...] = ()
    spoken_by: dict[str, str] = field(default_factory=dict)

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        """What was said at each request's place in its tree.

        Raises:
            RunError: another agent's voice was recorded there: the rules say that others speak.
        """
        for prefix, agent in {(request.state.prefix, request.state.agent) for request in requests if self.voices}:
            if (recorded := self.spoken_by.get(prefix)) != self.voices[agent]:
                raise RunError(
                    f"after the modes {prefix!r} agent {agent} speaks with {self.voices[agent]!r}, and {recorded!r} "
                    "was recorded there; record anew under these rules"
                )
        return [self.utterances[request.episode.question.id, request.state.prefix] for request in requests]

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """The recorded grades; an answer that could not be read is wrong."""
        return [
            Grade.WRONG if answer is None else self.grades[answer, gold]
            for answer, gold in zip(answers, golds, strict=True)
        ]

    def trees(self, rules: Rules, episodes: Sequence[Episode] | None = None) -> list[Tree]:
        """The questions expanded again under rules of at most the recorded number of rounds."""
        return expand(self.episodes if episodes is None else episodes, rules, self, self.grade)

    @property
    def generated_tokens(self) -> int:
        """What recording cost, tokens."""
        return sum(utterance.generated_tokens for utterance in self.utterances.values())


def record(
    path: Path,
    episodes: Sequence[Episode],
    rules: Rules,
    speakers: Speakers,
    task: Task,
    *,
    chunk: int,
    voices: Sequence[str] = (),
) -> None:
    """Expands the questions that the file does not hold yet, a chunk at a time; a killed recording is continued.

    ``voices`` names what each agent speaks with, where agents differ.

    Raises:
        RunError: the file holds other questions, or a line is damaged.
    """

    def expanded(part: Sequence[Episode]) -> list[dict[str, Any]]:
        return [_row(tree, voices) for tree in expand(part, rules, speakers, task.grade)]

    grow(path, episodes, _FIELDS, _WHAT, expanded, chunk=chunk)


def load(path: Path, episodes: Sequence[Episode], voices: Sequence[str] = ()) -> Recording:
    """Reads a complete recording of exactly these questions; ``voices`` as in ``record``.

    Raises:
        RunError: it is missing, incomplete, damaged, or of other questions.
    """
    rows = read_whole(path, episodes, _FIELDS, _WHAT)
    utterances: dict[tuple[str, str], Utterance] = {}
    grades: dict[tuple[str, str], Grade] = {}
    spoken_by: dict[str, str] = {}
    for number, (row, episode) in enumerate(zip(rows, episodes, strict=False), start=1):
        try:
            spoken = {prefix: dict(fields) for prefix, fields in row["said"].items()}
            spoken_by |= {prefix: fields.pop("voice") for prefix, fields in spoken.items() if "voice" in fields}
            utterances |= {
                (row["question_id"], prefix): utterance_from_json(fields) for prefix, fields in spoken.items()
            }
            grades |= {(answer, episode.question.gold): Grade(grade) for answer, grade in row["grades"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise damaged(path, number, _WHAT, error) from error
    return Recording(
        episodes=tuple(episodes), utterances=utterances, grades=grades, voices=tuple(voices), spoken_by=spoken_by
    )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a recording, an expanded question each; a torn last line is left out.

    Raises:
        RunError: another line is damaged.
    """
    return per_question.read_rows(path, _FIELDS, _WHAT)


def _row(tree: Tree, voices: Sequence[str]) -> dict[str, Any]:
    def voice(prefix: str) -> dict[str, str]:
        return {"voice": voices[tree.states[prefix].agent]} if voices else {}

    return {
        "question_id": tree.episode.question.id,
        "said": {prefix: {**utterance_as_json(spoken), **voice(prefix)} for prefix, spoken in tree.spoken()},
        "grades": {answer: grade.value for answer, grade in tree.grades.items()},
    }
