"""The HTML page of a benchmark: the report's figures beside the dialogues that they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.report.formats import number, p_value
from benchmarks.report.load import Described, Results, load
from benchmarks.report.scores import FIGURES, Estimate, Scores, score_all
from benchmarks.report.speech import headline_dialogues
from benchmarks.report.tables import comparisons_table
from tracer_agents.evaluation.statistics import RESAMPLES
from tracer_agents.report.blocks import Cell, Chart, HeatMap, Note, Page, Point, Row, Section, Series, Span, Table
from tracer_agents.report.dialogues import MOST_DIALOGUES, Collection, browser_data
from tracer_agents.report.figures import interval
from tracer_agents.report.infosets import heat_maps, observed
from tracer_agents.report.training import learning_curves
from tracer_agents.rollout.records import DialogueRecord
from tracer_agents.runs.files import read_lines
from tracer_env.infosets import Infosets

PAGE = "report.html"  # in the benchmark's folder
_LEARNING = ("accuracy", "first_proposal_accuracy", "generated_tokens", "speak_rate")
_TONES = (1, 2, 3, 4)  # of methods; 0 is the reference's
Scored = tuple[Scores, pd.DataFrame]  # of a task or of the mean, and its comparisons with the reference


def benchmark_page(
    out: Path,
    *,
    most: int = MOST_DIALOGUES,
    reference: str = "tracer",
    methods: Mapping[str, Described] | None = None,
    resamples: int = RESAMPLES,
) -> Page:
    """The page of the benchmark in ``out``, from its records alone.

    Args:
        out: what ``python -m benchmarks run --out`` wrote.
        most: how many dialogues the page holds.
        reference: name of the method that the others are compared with.
        methods: those that exist; by default ``benchmarks.methods.METHODS``.
        resamples: of every bootstrap interval.

    Raises:
        ConfigError, DataError: as ``load``.
    """
    if methods is None:
        from benchmarks.methods import METHODS as methods  # loads torch
    results = load(out, methods)
    scored = [
        (scores, comparisons_table(scores, reference=reference, resamples=resamples))
        for scores in score_all(results, reference=reference, resamples=resamples)
    ]
    return page_of(results, scored, reference=reference, most=most)


def page_of(results: Results, scored: Sequence[Scored], *, reference: str, most: int = MOST_DIALOGUES) -> Page:
    """The page of figures that are worked out already.

    Args:
        results: what was run.
        scored: the mean over tasks where there are several, then the tasks.
        reference: name of the method that the others are compared with.
        most: how many dialogues the page holds.
    """
    plan, titles = results.plan, {name: method.title for name, method in results.methods.items()}
    out = results.cells[0].folder.parents[3]
    sections = [
        _results(results, scored, reference),
        Section(
            name="frontier",
            title="Accuracy and tokens",
            lead="A line per method through its points. Up and to the left is better. Bars are 95% intervals.",
            blocks=[_frontier(scores, titles, reference) for scores, _ in scored],
        ),
        learning_curves(_steps(out)),
        _speech(results, scored, reference),
        _correction(scored, titles, reference),
    ]
    return Page(
        title=out.resolve().name,
        subtitle=f"{len(titles)} methods on {', '.join(map(str, plan.tasks))}; "
        f"seed{'s' * (len(plan.seeds) > 1)} {', '.join(map(str, plan.seeds))}",
        sections=[section for section in sections if section is not None],
        facts=[
            ("cells that have ended", f"{len(results.cells)}"),
            ("price of speech λ", f"{plan.price:g}"),
            *((method.title, method.reference) for method in results.methods.values()),
        ],
        browser=_browser(results, reference, most),
    )


def _label(scores: Scores) -> str:
    return "mean over tasks" if scores.label == "mean" else scores.label


def _headlines(scores: Scores) -> list[int]:
    """The columns of the main table, in its order."""
    return [column for column, point in enumerate(scores.points) if point in scores.headlines]


def _name(results: Results, scores: Scores, column: int) -> str:
    point = scores.points[column]
    setting = "bound" if point in scores.bounds else point.setting
    return results.methods[point.method].title + (f" ({setting})" if setting else "")


def _results(results: Results, scored: Sequence[Scored], reference: str) -> Section:
    title = results.methods[reference].title if reference in results.methods else reference
    columns = [(name.replace("_", " "), meaning) for name, meaning in FIGURES.items() if name in _SHOWN]
    blocks: list[Table | Note] = []
    if results.missing:
        blocks.append(Note(text=f"Not ended: {'; '.join(results.missing)}."))
    for scores, comparisons in scored:
        against = {} if comparisons.empty else comparisons.set_index("point").to_dict("index")
        rows = [
            Row(
                heading=_name(results, scores, column),
                cells=[
                    *(_cell(scores.figures[name], column, name) for name in _SHOWN),
                    *([_difference(against.get(scores.points[column].label))] if against else []),
                ],
                strong=scores.points[column].method == reference,
            )
            for column in _headlines(scores)
        ]
        last = [(f"{title} minus it", "accuracy on the same questions; p by McNemar, Holm's")] if against else []
        caption = f"{_label(scores)}: {scores.n:,} answers of each method"
        blocks.append(Table(caption=caption, columns=[*columns, *last], rows=rows))
    lead = "In a (task, seed) every method was asked the same questions. Intervals: 95% percentile bootstrap over them."
    return Section(name="results", title="Results", lead=lead, blocks=blocks)


_SHOWN = ("accuracy", "tokens", "utility", "correction", "preservation", "speak_rate", "no_answer")


def _cell(estimate: Estimate, column: int, name: str) -> Cell:
    value, (low, high) = float(estimate.value[column]), map(float, estimate.interval[:, column])
    if np.isnan(value):
        return Cell(text="–")
    text = number(value, 1 if name == "tokens" else 3, signed=name == "utility")
    if name != "accuracy":
        return Cell(text=text)
    return Cell(text=text, detail=interval((low, high)), span=Span(low=low, value=value, high=high))


def _difference(row: Mapping[Any, Any] | None) -> Cell:
    if row is None:
        return Cell(text="")
    low, high = row["accuracy_low"], row["accuracy_high"]
    p = "" if row["bound"] else f" p = {p_value(row['p_holm'])}".replace("= <", "< ")
    return Cell(
        text=number(row["accuracy"], signed=True),
        detail=f"{interval((low, high), sign=True)}{p}",
        span=Span(low=low, value=row["accuracy"], high=high, least=-0.5, most=0.5),
    )


def _tones(scores: Scores, reference: str) -> dict[str, int]:
    methods = [method for method in dict.fromkeys(point.method for point in scores.points) if method != reference]
    return {reference: 0} | {method: _TONES[place % len(_TONES)] for place, method in enumerate(methods)}


def _frontier(scores: Scores, titles: Mapping[str, str], reference: str) -> Chart:
    tokens, accuracy, tones = scores.figures["tokens"], scores.figures["accuracy"], _tones(scores, reference)
    series = []
    for method in dict.fromkeys(point.method for point in scores.points):
        columns = sorted(scores.of(method), key=lambda column: tokens.value[column])
        named = scores.headline(method)
        points = [
            Point(
                x=float(tokens.value[column]),
                y=float(accuracy.value[column]),
                y_span=(float(accuracy.interval[0, column]), float(accuracy.interval[1, column])),
                label=titles[method] if column == named else "",
            )
            for column in columns
        ]
        series.append(Series(name=titles[method], points=points, tone=tones[method], joined=True, beside=True))
    return Chart(
        title=f"Accuracy against generated tokens, {_label(scores)}",
        x_label="generated tokens per question",
        y_label="accuracy",
        series=series,
        left=0,
        wide=True,
    )


def _correction(scored: Sequence[Scored], titles: Mapping[str, str], reference: str) -> Section:
    columns = [
        ("wrong at first, right in the end", FIGURES["correction"]),
        ("right at first, right in the end", FIGURES["preservation"]),
    ]
    blocks = [
        Table(
            caption=f"What became of first proposals, {_label(scores)}",
            columns=columns,
            rows=[
                Row(
                    heading=titles[scores.points[column].method],
                    cells=[_share(scores.figures[name], column) for name in ("correction", "preservation")],
                    strong=scores.points[column].method == reference,
                )
                for column in _headlines(scores)
            ],
        )
        for scores, _ in scored
    ]
    lead = "A team should mend wrong first answers and keep right ones. Intervals: 95% percentile bootstrap."
    return Section(name="correction", title="Correction and preservation", lead=lead, blocks=blocks)


def _share(estimate: Estimate, column: int) -> Cell:
    value, (low, high) = float(estimate.value[column]), map(float, estimate.interval[:, column])
    if np.isnan(value):
        return Cell(text="–")
    return Cell(text=number(value), detail=interval((low, high)), span=Span(low=low, value=value, high=high))


def _speech(results: Results, scored: Sequence[Scored], method: str) -> Section | None:
    """When the headline of a method speaks, on every task that it played dialogues of."""
    rules = results.plan.base.rules
    blocks: list[HeatMap] = []
    for scores, _ in scored:
        if scores.label == "mean" or scores.headline(method) is None:
            continue
        records = headline_dialogues(results, scores, method)
        maps = heat_maps("consensus", observed(records, Infosets("consensus", rules)), rules, gains=False)
        blocks += [replace(each, caption=f"{scores.label}, {each.caption}") for each in maps]
    if not blocks:
        return None
    lead = f"How often {results.methods[method].title} spoke in the recorded dialogues, by what was known then."
    return Section(name="speech", title="When controllers speak", lead=lead, blocks=blocks)


def _steps(out: Path) -> dict[str, list[dict[str, Any]]]:
    """The steps of every training, means over its seeds, by recipe and task."""
    seeds: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(out.glob("speakers/*/*/seed-*/metrics.jsonl")):
        recipe, task = path.parts[-4], path.parts[-3]
        rows = [{name: row.get(name) for name in ("step", *_LEARNING)} for row in read_lines(path)]
        if rows:
            seeds.setdefault(f"{recipe}, {task}", []).append(pd.DataFrame(rows))
    return {name: _mean_of(frames) for name, frames in seeds.items()}


def _mean_of(frames: Sequence[pd.DataFrame]) -> list[dict[str, Any]]:
    mean = pd.concat(frames).astype(float).groupby("step").mean().reset_index()
    return [
        {str(name): None if np.isnan(value) else value for name, value in row.items()}
        for row in mean.to_dict("records")
    ]


def _browser(results: Results, reference: str, most: int) -> dict[str, Any] | None:
    """Every method's headline on the first questions of each (task, seed), as many as the page holds."""
    headlines = {name: method.headline(results.plan) for name, method in results.methods.items()}
    per_cell = max(1, most // len(results.cells))
    records: dict[str, list[DialogueRecord]] = {}
    asked: dict[tuple[str, int], dict[str, None]] = {}  # (task, seed) -> its questions, in order
    total = 0
    for method in sorted(results.methods, key=lambda name: name != reference):
        for task in map(str, results.plan.tasks):
            for cell, points in results.records(method, task):
                rows = points.get(headlines[method], ())
                total += len(rows)
                questions = asked.setdefault((task, cell.seed), dict.fromkeys(row.question_id for row in rows))
                first = set([*questions][:per_cell])
                records.setdefault(method, []).extend(
                    replace(row, question_id=f"{task}, seed {cell.seed}: {row.question_id}")
                    for row in rows
                    if row.question_id in first
                )
    collection = Collection(
        name="benchmark",
        labels={name: results.methods[name].title for name in records},
        records=records,
        utility=results.plan.base.utility,
    )
    data = browser_data([collection], most=most)
    return None if data is None else {**data, "all_dialogues": total, "all_questions": sum(map(len, asked.values()))}
