"""Rebuilds a benchmark's tables, pictures and page from its records alone."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.graders.by_value import ByValue
from benchmarks.report import plots
from benchmarks.report.agreement import second_opinion
from benchmarks.report.browse import PAGE, page_of
from benchmarks.report.load import Described, Results, load
from benchmarks.report.page import Section, latex_page, report_page
from benchmarks.report.scores import Scores, score_all
from benchmarks.report.speech import headline_dialogues, speak_rates
from benchmarks.report.tables import budgets_table, comparisons_table, points_table
from tracer_agents.evaluation.statistics import RESAMPLES
from tracer_agents.report.render import write_page
from tracer_agents.runs.files import read_lines, write_text

__all__ = ["write"]


def write(
    out: Path,
    *,
    reference: str = "tracer",
    methods: Mapping[str, Described] | None = None,
    resamples: int = RESAMPLES,
) -> list[Path]:
    """Writes the report of the benchmark in ``out`` into its folder ``report`` and returns the files, page first.

    ``report.html``, with every dialogue, stands beside that folder.

    The same records give the same bytes.

    Args:
        out: what ``python -m benchmarks run --out`` wrote.
        reference: name of the method that the others are compared with.
        methods: those that exist; by default ``benchmarks.methods.METHODS``.
        resamples: of every bootstrap interval.

    Raises:
        ConfigError: ``out`` holds no plan that can be read.
        DataError: its records are broken, incomplete or contradictory; see ``load``.
    """
    if methods is None:
        from benchmarks.methods import METHODS as methods  # loads torch
    results = load(out, methods)
    folder = out / "report"
    folder.mkdir(exist_ok=True)
    book = _Book(folder)
    scores = score_all(results, reference=reference, resamples=resamples)
    sections = [_section(results, of_tasks, book, reference=reference, resamples=resamples) for of_tasks in scores]
    answers = results.answers
    opinions = {
        str(task): second_opinion(rows, ByValue()) for task, rows in answers.groupby("task", sort=False, observed=True)
    }
    disputed = pd.concat([opinion.disputed.assign(task=task) for task, opinion in opinions.items()])
    book.text("table.csv", _csv([section.points for section in sections]))
    book.text("comparisons.csv", _csv([section.comparisons for section in sections]))
    book.text("budgets.csv", _csv([section.budgets for section in sections]))
    book.text("table.tex", latex_page(sections, results, reference=reference))
    book.text("disagreements.jsonl", disputed.to_json(orient="records", lines=True, force_ascii=False))
    page = report_page(results, sections, reference=reference, curves=_learning(out, book), opinions=opinions)
    browsed = out / PAGE
    write_page(page_of(results, [(each.scores, each.comparisons) for each in sections], reference=reference), browsed)
    return [book.text("report.md", page), browsed, *book.files[:-1]]


class _Book:
    """The files written so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: list[Path] = []

    def text(self, name: str, text: str) -> Path:
        path = self._folder / name
        write_text(path, text)
        self.files.append(path)
        return path

    def picture(self, name: str, figure: Figure) -> str:
        """Its name, as the page links it."""
        path = self._folder / name
        figure.savefig(path, dpi=130, metadata={"Software": None})
        self.files.append(path)
        return name


def _section(results: Results, scores: Scores, book: _Book, *, reference: str, resamples: int) -> Section:
    titles = {name: method.title for name, method in results.methods.items()}
    label = scores.label
    pictures = {
        f"Accuracy against tokens, {label}": book.picture(
            f"frontier-{label}.png", plots.frontier(scores, titles, reference=reference)
        ),
        f"Correction and preservation, {label}": book.picture(
            f"correction-{label}.png", plots.correction_preservation(scores, titles, reference=reference)
        ),
    }
    rates = _rates(results, scores, reference)
    if not rates.empty:
        heading = f"{titles[reference]} on {label}"
        pictures[f"When {heading} speaks"] = book.picture(f"speaks-{label}.png", plots.speak_heat_map(rates, heading))
    return Section(
        scores=scores,
        points=points_table(results, scores),
        comparisons=comparisons_table(scores, reference=reference, resamples=resamples),
        budgets=budgets_table(scores, reference=reference),
        pictures=pictures,
    )


def _rates(results: Results, scores: Scores, method: str) -> pd.DataFrame:
    """When the headline of a method speaks on a task; empty where it is not of dialogues, or not of one task."""
    records = headline_dialogues(results, scores, method)
    return speak_rates(records, results.plan.base.rules) if records else pd.DataFrame()


def _learning(out: Path, book: _Book) -> dict[str, str]:
    """The learning curves of every task that was trained on: alt text -> file name."""
    runs: dict[str, dict[str, list[pd.DataFrame]]] = {}
    for path in sorted(out.glob("speakers/*/*/seed-*/metrics.jsonl")):
        recipe, task = path.parts[-4], path.parts[-3]
        rows = list(read_lines(path))
        if rows:
            runs.setdefault(task, {}).setdefault(recipe, []).append(pd.DataFrame(rows))
    return {
        f"Learning curves, trained on {task}": book.picture(
            f"learning-{task}.png", plots.learning_curves(curves, f"trained on {task}")
        )
        for task, curves in runs.items()
    }


def _csv(frames: list[pd.DataFrame]) -> str:
    return pd.concat(frames, ignore_index=True).to_csv(index=False, float_format="%.6g", lineterminator="\n")
