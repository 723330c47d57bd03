"""Recorded completions of other people's evaluations, graded again: where do their verdicts and ours differ?

Such files are JSONL with a completion, a gold answer and mostly a verdict, under different names. Known layouts:
GAIR-NLP/abel (``response``, ``gold``, ``result``), microsoft/ToRA (``code``, ``gt``, ``pred``: the verdict is whether
``pred`` and ``gt`` are the same number to 0.001, as its authors compare), openai/grade-school-math (a solution with
its verdict under the name of each of four models), and files with the usual names of these fields. Reports in
Markdown are read in the layout of labrem/neus2026-labre (``Ground Truth:``, ``Is Correct:``, ``LLM Response``).
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.graders.fuzz import GRADERS
from tracer_env.errors import DataError
from tracer_env.grading.base import Grade, Grader
from tracer_env.grading.symbolic import Symbolic
from tracer_env.tasks.rows import jsonl_rows

TEXT = ("response", "completion", "code", "solution", "generation", "output", "model_output", "prediction_text")
GOLD = ("gold", "gt", "ground_truth", "answer", "target")
VERDICT = ("result", "is_correct", "correct", "score")
CLOSE = Fraction(1, 1000)

_PROBLEM = re.compile(r"^## Problem \S+\n(?= {2}\w)", re.MULTILINE)
_GOLD = re.compile(r"^ {2}Ground Truth: (.*?)\n\n## Response", re.MULTILINE | re.DOTALL)
_RIGHT = re.compile(r"^ {2}Is Correct: (True|False)$", re.MULTILINE)
_RESPONSE = re.compile(r"^--- LLM Response ---\n(.*?)^--- End LLM Response ---", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recorded completion with its authors' verdict."""

    source: str
    text: str
    gold: str
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The verdicts of one file: its rows, and the completions on which the graders disagree."""

    source: str
    rows: int
    authors_right: int
    ours_right: int
    unreadable_golds: int
    disagreements: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def recorded(path: Path) -> Iterator[Recorded]:
    """The completions of a file.

    Raises:
        DataError: the file cannot be read, or a row has no completion, gold or verdict under a known name.
    """
    if path.suffix == ".md":
        yield from _from_report(path)
        return
    for row in jsonl_rows(path):
        fields = dict(row.fields)
        models = {name: value for name, value in fields.items() if isinstance(value, dict) and "is_correct" in value}
        for name, given in models.items() or [("", fields)]:
            source = f"{path.parent.name}/{path.name}" + (f" {name}" if name else "")
            yield _recorded(source, row.where, {**fields, **given})


def _from_report(path: Path) -> Iterator[Recorded]:
    """The last response to every problem of a report."""
    for number, problem in enumerate(_PROBLEM.split(path.read_text("utf-8"))[1:], start=1):
        gold, rights, responses = _GOLD.search(problem), _RIGHT.findall(problem), _RESPONSE.findall(problem)
        if not (gold and rights and responses):
            raise DataError(f"{path}, problem {number}: no ground truth, verdict or response")
        yield Recorded(
            source=f"{path.parent.name}/{path.name}",
            text=responses[-1],
            gold=gold[1].strip(),
            right=rights[-1] == "True",
        )


def _recorded(source: str, where: str, fields: dict[str, Any]) -> Recorded:
    text, gold = (
        next((fields[name] for name in names if fields.get(name) is not None), None) for names in (TEXT, GOLD)
    )
    verdict = next((fields[name] for name in VERDICT if isinstance(fields.get(name), bool | int)), None)
    text = text[0] if isinstance(text, list) and text else text
    if not isinstance(text, str) or gold is None:
        raise DataError(f"{where}: no completion ({', '.join(TEXT)}) or no gold ({', '.join(GOLD)})")
    if verdict is None and "pred" not in fields:
        raise DataError(f"{where}: no verdict ({', '.join(VERDICT)} or pred)")
    right = bool(verdict) if verdict is not None else _close(fields["pred"], str(gold))
    return Recorded(source=source, text=text, gold=str(gold), right=right)


def _close(predicted: Any, gold: str) -> bool:
    first = predicted[0] if isinstance(predicted, list) and predicted else predicted
    try:
        return abs(Fraction(str(first).replace(",", "")) - Fraction(gold.replace(",", ""))) <= CLOSE
    except (ValueError, ZeroDivisionError):
        return str(first) == gold


def compare_all(paths: Sequence[Path], grader: str) -> list[Compared]:
    """``compare`` for files and for those of folders, in order of name, with a grader of ``fuzz.GRADERS``.

    Raises:
        DataError: a file cannot be used, or there is none.
    """
    files = [file for path in paths for file in (_inside(path) if path.is_dir() else [path])]
    if not files:
        raise DataError(
            f"{', '.join(map(str, paths))}: no JSONL or Markdown file; give files or folders of recorded completions"
        )
    made = GRADERS[grader]()
    try:
        return [compared for file in files for compared in compare(file, made)]
    finally:
        if isinstance(made, Symbolic):
            made.close()


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".jsonl", ".md"))


def compare(path: Path, grader: Grader) -> list[Compared]:
    """The authors' verdicts against those of ``grader``, for each source of a file."""
    sources: dict[str, list[Recorded]] = {}
    for completion in recorded(path):
        sources.setdefault(completion.source, []).append(completion)
    return [_compared(source, completions, grader) for source, completions in sources.items()]


def _compared(source: str, completions: Sequence[Recorded], grader: Grader) -> Compared:
    golds = [grader.gold(completion.gold) for completion in completions]
    answers = [grader.parse(completion.text) for completion in completions]
    grades = grader.grade(answers, [gold or "" for gold in golds])
    rights = [grade is Grade.RIGHT for grade in grades]
    return Compared(
        source=source,
        rows=len(completions),
        authors_right=sum(completion.right for completion in completions),
        ours_right=sum(rights),
        unreadable_golds=golds.count(None),
        disagreements=tuple(
            {
                "gold": completion.gold,
                "read": answer,
                "grade": grade.value,
                "authors": completion.right,
                "end": completion.text[-300:],
            }
            for completion, answer, grade, right in zip(completions, answers, grades, rights, strict=True)
            if right != completion.right
        ),
    )


def shown(compared: Sequence[Compared]) -> str:
    """A table of the sources, and every disagreement."""
    rows = ["| source | completions | authors: right | ours: right | disagreements |", "|---|---|---|---|---|"]
    rows += [
        f"| {each.source} | {each.rows:,} | {each.authors_right:,} | {each.ours_right:,} | {len(each.disagreements)} |"
        for each in compared
    ]
    for each in compared:
        rows += [
            f"\n{each.source}",
            *(json.dumps(disagreement, ensure_ascii=False) for disagreement in each.disagreements),
        ]
    return "\n".join(rows)
