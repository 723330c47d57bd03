"""Fully expanded questions on disk: every utterance of a tree, so that any controller can be played without a model.

What agents are shown depends on the modes played and not on who is active, so one recording serves any number of
agents, either schedule, and any smaller number of rounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tracer_agents.errors import RunError
from tracer_agents.rollout.tree import Tree, expand
from tracer_agents.runs.files import append_lines, read_lines, write_lines
from tracer_agents.types import Episode, Speakers, SpeakRequest
from tracer_env.dialogue import Rules, Utterance, Verdict
from tracer_env.tasks.base import Grade, Task

_REMEDY = "remove the file and continue the benchmark to record anew"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Recorded questions as speakers that repeat what was said, and a grader that repeats its grades.

    Args:
        episodes: the questions, in the order of the file.
        utterances: (question id, mode prefix) -> what was said after it.
        grades: (answer, gold) -> the grade it was given.
    """

    episodes: tuple[Episode, ...]
    utterances: dict[tuple[str, str], Utterance]
    grades: dict[tuple[str, str], Grade]

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        """What was said at each request's place in its tree."""
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
    path: Path, episodes: Sequence[Episode], rules: Rules, speakers: Speakers, task: Task, *, chunk: int
) -> None:
    """Expands the questions that the file does not hold yet, a chunk at a time; a killed recording is continued.

    Raises:
        RunError: the file holds other questions, or a line is damaged.
    """
    rows = read_rows(path)
    _check(path, rows, episodes)
    write_lines(path, rows)  # a torn last line goes
    for start in range(len(rows), len(episodes), chunk):
        part = episodes[start : start + chunk]
        trees = expand(part, rules, speakers, task.grade)
        append_lines(path, [_row(tree) for tree in trees])


def load(path: Path, episodes: Sequence[Episode]) -> Recording:
    """Reads a complete recording of exactly these questions.

    Raises:
        RunError: it is missing, incomplete, damaged, or of other questions.
    """
    rows = read_rows(path)
    _check(path, rows, episodes)
    if len(rows) < len(episodes):
        raise RunError(f"{path}: holds {len(rows)} of {len(episodes)} questions; continue the benchmark to record them")
    utterances: dict[tuple[str, str], Utterance] = {}
    grades: dict[tuple[str, str], Grade] = {}
    for number, (row, episode) in enumerate(zip(rows, episodes, strict=False), start=1):
        try:
            utterances |= {(row["question_id"], prefix): _utterance(fields) for prefix, fields in row["said"].items()}
            grades |= {(answer, episode.question.gold): Grade(grade) for answer, grade in row["grades"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path}, line {number}: not an expanded question ({error}); {_REMEDY}") from error
    return Recording(episodes=tuple(episodes), utterances=utterances, grades=grades)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a recording, an expanded question each; a torn last line is left out.

    Raises:
        RunError: another line is damaged.
    """
    rows: list[dict[str, Any]] = []
    try:
        for row in read_lines(path):
            rows.append({name: row[name] for name in ("question_id", "said", "grades")})  # noqa: PERF401 (counts)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        line = len(rows) + 1
        raise RunError(f"{path}, line {line}: not an expanded question ({error}); {_REMEDY}") from error
    return rows


def _check(path: Path, rows: Sequence[dict[str, Any]], episodes: Sequence[Episode]) -> None:
    for number, (row, episode) in enumerate(zip(rows, episodes, strict=False), start=1):
        if row["question_id"] != episode.question.id:
            raise RunError(
                f"{path}, line {number}: holds question {row['question_id']!r} where the plan asks for "
                f"{episode.question.id!r}; choose another --out, or remove the file to record anew"
            )


def _row(tree: Tree) -> dict[str, Any]:
    names = [field.name for field in fields(Utterance)]
    return {
        "question_id": tree.episode.question.id,
        "said": {prefix: {name: getattr(spoken, name) for name in names} for prefix, spoken in tree.spoken()},
        "grades": {answer: grade.value for answer, grade in tree.grades.items()},
    }


def _utterance(row: dict[str, Any]) -> Utterance:
    return Utterance(**{**row, "verdict": Verdict(row["verdict"]) if row["verdict"] else None})
