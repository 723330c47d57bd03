"""What a run's steps and its certificate say, as charts and tables: learning curves, gaps, the belief."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tracer_agents.report.blocks import Cell, Chart, Note, Point, Row, Section, Series, Span, Table
from tracer_agents.report.figures import interval, rate, signed
from tracer_agents.report.recorded import RecordedRun
from tracer_agents.runs.curves import GAPS

_CURVES = {  # field of metrics.jsonl -> (title, unit, bounds)
    "accuracy": ("Accuracy of the dialogues played", "accuracy", (0.0, 1.0)),
    "first_proposal_accuracy": ("Accuracy of first proposals", "accuracy", (0.0, 1.0)),
    "generated_tokens": ("Generated tokens per dialogue", "tokens", (0.0, None)),
    "speak_rate": ("How often controllers speak", "share of free decisions", (0.0, 1.0)),
    "proposer_reward": ("Reward of proposers", "mean reward", (-1.0, 1.0)),
    "reviewer_reward": ("Reward of reviewers", "mean reward", (-1.0, 1.0)),
}
_MOST_POINTS = 200  # of a curve: more than a screen shows
_MEANS = {"utility": "utility of the deployed profile", "accuracy": "accuracy", "generated_tokens": "generated tokens"}


def learning_curves(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Section | None:
    """Every figure of the steps, on new questions before anything was learned from them.

    Args:
        runs: rows of ``metrics.jsonl``, by the name of their curve.
    """
    charts = []
    for name, (title, unit, (bottom, top)) in _CURVES.items():
        series = [
            Series(name=run, points=_ended(points, name), tone=tone, joined=True)
            for tone, (run, rows) in enumerate(runs.items())
            if (points := _binned([(row["step"], row[name]) for row in rows if row.get(name) is not None]))
        ]
        if series and max(len(each.points) for each in series) > 1:
            marks = max(len(each.points) for each in series) <= 40
            shown = [Series(name=s.name, points=s.points, tone=s.tone, joined=True, marks=marks) for s in series]
            charts.append(
                Chart(
                    title=title, x_label="training step", y_label=unit, series=shown, bottom=bottom, top=top, steps=True
                )
            )
    if not charts:
        return None
    note = "Each step draws new questions; its figures come before anything is learned from them, exploration included."
    return Section(name="learning", title="Learning curves", lead=note, blocks=charts)


def _binned(values: Sequence[tuple[float, float]]) -> list[Point]:
    """The values, or means of neighbours where there are more than a curve can show."""
    size = -(-len(values) // _MOST_POINTS)
    if size <= 1:
        return [Point(x=x, y=y) for x, y in values]
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    return [Point(x=sum(x for x, _ in g) / len(g), y=sum(y for _, y in g) / len(g)) for g in groups]


def _ended(points: Sequence[Point], name: str) -> list[Point]:
    """The points with the last value as a label."""
    last = points[-1]
    value = f"{last.y:.0f}" if name == "generated_tokens" else f"{last.y:.2f}".replace("-", "−")
    return [*points[:-1], replace(last, label=value)]


def certificate(runs: Sequence[RecordedRun]) -> Section | None:
    """How far the deployed controllers are from equilibrium and from the best there is."""
    certified = [(run, run.certificate) for run in runs if run.certificate]
    if not certified:
        return None
    several = len(runs) > 1
    blocks: list[Table | Chart | Note] = [
        Table(
            caption="The certificate",
            first="figure",
            columns=[("value", "a mean, or a gap's plug-in value"), ("95% interval", "conservative for gaps")],
            rows=[
                row for run, measured in certified for row in _certificate_rows(measured, run.name if several else "")
            ],
        )
    ]
    blocks += [chart for name, title in GAPS.items() if (chart := _gap_chart(name, title, runs))]
    first = certified[0][1]
    return Section(
        name="certificate",
        title="Certificate",
        lead=f"The deployed profile ({first['play']} play on {first['infoset']} infosets) on {first['questions']} "
        "held-out questions with every choice expanded. Gaps are in utility, whose range is 2; they are maxima, so "
        "plug-in values are biased upwards and intervals are conservative. Equilibrium is not optimality in a team.",
        blocks=blocks,
    )


def _certificate_rows(measured: Mapping[str, Any], group: str) -> list[Row]:
    rows = []
    for name, label in _MEANS.items():
        mean = measured[name]
        digits = 1 if name == "generated_tokens" else 3
        text = signed(mean["mean"]) if name == "utility" else f"{mean['mean']:,.{digits}f}"
        rows.append(Row(heading=label, cells=[Cell(text=text), Cell(text=interval(mean["ci95"], digits))], group=group))
    for name, title in GAPS.items():
        gap, (label, _, detail) = measured[name], title.partition(": ")
        low, high = gap["ci95"]
        exact = "" if gap["exact"] else f"at least {gap['found']:.3f}, at most "
        span = Span(low=low, value=min(gap["plug_in"], high), high=high, most=1.0)
        cells = [Cell(text=f"{exact}{gap['plug_in']:.3f}"), Cell(text=interval(gap["ci95"]), span=span)]
        rows.append(Row(heading=label, detail=detail, cells=cells, group=group))
    detail = "a question has a right leaf: a maximum in hindsight"
    cells = [Cell(text=rate(measured["pass_at_k"])), Cell(text="")]
    rows.append(Row(heading="pass@k", detail=detail, cells=cells, group=group))
    if measured.get("run"):
        bound = max(player["bound"] for player in measured["run"]["players"])
        applies = "a theorem here" if measured["run"]["bound_applies"] else "no theorem here"
        rows.append(
            Row(
                heading="CCE gap of the run",
                detail=f"average external regret over {measured['run']['rounds']:,} regret rounds",
                cells=[Cell(text=f"{measured['run']['cce_gap']:.3f}"), Cell(text=f"bound {bound:.3f} ({applies})")],
                group=group,
            )
        )
    return rows


def _gap_chart(name: str, title: str, runs: Sequence[RecordedRun]) -> Chart | None:
    series = []
    for tone, run in enumerate(runs):
        measured = [row for row in run.metrics if row.get("certificate")]
        points = [
            Point(x=row["step"], y=gap["plug_in"], y_span=(gap["ci95"][0], gap["ci95"][1]))
            for row in measured
            for gap in (row["certificate"][name],)
        ]
        if len(points) > 1:
            points = _ended(points, name)
            series.append(Series(name=f"{run.name}, validation", points=points, tone=tone, joined=True, band=True))
    if not series:
        return None
    return Chart(
        title=title[0].upper() + title[1:],
        x_label="training step",
        y_label="utility",
        series=series,
        bottom=0.0,
        steps=True,
    )


def belief(runs: Sequence[RecordedRun]) -> Section | None:
    """How reliable the team's belief is, where it has one."""
    judged = [(run, run.summary["belief"]) for run in runs if run.summary.get("belief")]
    if not judged:
        return None
    rows = [
        Row(
            heading=run.name,
            cells=[
                Cell(text=rate(measured["auroc"])),
                Cell(text=rate(measured["auroc_within_questions"])),
                Cell(text=rate(measured["calibration_error"])),
                Cell(text=f"{measured['answers']:,} of {measured['questions']:,} questions"),
            ],
        )
        for run, measured in judged
    ]
    table = Table(
        caption="How well the belief tells right answers from wrong ones",
        first="run",
        columns=[
            ("AUROC", "the chance that a right answer is believed more than a wrong one"),
            ("within a question", "the same between answers of one question"),
            ("calibration error", "mean distance of belief and share of right answers"),
            ("answers judged", "on validation questions"),
        ],
        rows=rows,
    )
    lead = "A calibrated belief lies on the diagonal. Validation questions, which the belief was not fitted to."
    charts = [reliability(run.name, measured["reliability"], tone) for tone, (run, measured) in enumerate(judged)]
    return Section(name="belief", title="Belief", lead=lead, blocks=[table, *charts])


def reliability(name: str, bins: Sequence[Sequence[float]], tone: int = 0) -> Chart:
    """Share of right answers against what was believed; a mark's area is how often it was."""
    points = [Point(x=believed, y=right, weight=weight) for believed, right, weight in bins]
    return Chart(
        title=f"Reliability, {name}",
        x_label="belief",
        y_label="share of right answers",
        series=[Series(name=name, points=points, tone=tone)],
        bottom=0.0,
        top=1.0,
        left=0.0,
        right=1.0,
        diagonal=True,
        note="area: how often it was met",
    )
