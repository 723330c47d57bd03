"""The figures of runs as tables and charts: the main table, the frontier, correction and preservation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tracer_agents.evaluation.statistics import share_interval95
from tracer_agents.report.blocks import Cell, Chart, Point, Row, Section, Series, Span, Table, Tile
from tracer_agents.report.recorded import Measured, RecordedRun
from tracer_agents.rollout.records import DialogueRecord

INTERVAL = "95% percentile bootstrap over questions"


def rate(value: float | None, digits: int = 3) -> str:
    """A share as text; – where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A number with its sign; – where it is undefined."""
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def interval(bounds: Sequence[float], digits: int = 3, *, sign: bool = False) -> str:
    """An interval as text."""
    shown = [signed(bound, digits) if sign else f"{bound:.{digits}f}".replace("-", "−") for bound in bounds]
    return f"[{shown[0]}, {shown[1]}]"


Shown = Callable[[Mapping[str, Any]], Cell]
_COLUMNS: dict[str, tuple[str, Shown]] = {
    "accuracy": (
        f"share of right final answers; {INTERVAL}",
        lambda m: Cell(
            text=rate(m["accuracy"]),
            detail=interval(m["accuracy_ci95"]),
            span=Span(low=m["accuracy_ci95"][0], value=m["accuracy"], high=m["accuracy_ci95"][1]),
        ),
    ),
    "greedy": ("accuracy at temperature 0", lambda m: Cell(text=rate(m.get("greedy_accuracy")))),
    "utility": (
        "+1 right or −1 wrong, minus the price of speech times the share of the token budget",
        lambda m: Cell(text=signed(m.get("utility"))),
    ),
    "tokens": (
        "generated tokens per question, of all speakers",
        lambda m: Cell(text=f"{m['generated_tokens_per_question']:,.1f}"),
    ),
    "cost": (
        "generated tokens at their agents' prices, per question",
        lambda m: Cell(text=f"{m.get('cost_per_question', m['generated_tokens_per_question']):,.1f}"),
    ),
    "corrects": ("P(right in the end | wrong at first)", lambda m: Cell(text=rate(m.get("correction_rate")))),
    "preserves": ("P(right in the end | right at first)", lambda m: Cell(text=rate(m.get("preservation_rate")))),
    "speaks": ("share of free decisions that were SPEAK", lambda m: Cell(text=rate(m.get("speak_rate")))),
    "cut off": ("share of utterances that the token limit ended", lambda m: Cell(text=rate(m.get("truncation_rate")))),
}


_RECORDED: dict[str, tuple[str, Shown]] = {  # of completions recorded elsewhere: nobody reviewed or revised
    "accuracy": (f"of the first samples; {INTERVAL}", _COLUMNS["accuracy"][1]),
    "self-consistency": ("accuracy of the most frequent answer", lambda m: Cell(text=rate(m.get("self_consistency")))),
    "pass@k": ("share of questions with a right sample", lambda m: Cell(text=rate(m.get("pass_at_k")))),
    "tokens": ("generated tokens of the first sample", _COLUMNS["tokens"][1]),
    "questions": ("that were answered", lambda m: Cell(text=f"{m['n']:,}")),
    "samples": ("that every question has", lambda m: Cell(text=f"{m['samples']}")),
    "unanswered": ("held-out questions without a completion", lambda m: Cell(text=f"{m['unanswered']:,}")),
    "unmatched": ("recorded questions that are none of those asked", lambda m: Cell(text=f"{m['unmatched']:,}")),
}


def main_table(runs: Sequence[RecordedRun]) -> Section:
    """Every team and baseline with its interval, and what the team gains over it on the same questions."""
    left_out = set() if any(_differs(each.figures) for run in runs for each in run.measured) else {"cost"}
    recorded = all(run.summary.get("models") for run in runs)
    columns = _RECORDED if recorded else {name: each for name, each in _COLUMNS.items() if name not in left_out}
    compared = any(run.summary.get("comparisons") for run in runs)
    headings = [(name, meaning) for name, (meaning, _) in columns.items()]
    if compared:
        headings.append(("team minus it", f"difference of accuracy on the same questions; {INTERVAL}; p by McNemar"))
    rows = [
        Row(
            heading=each.label,
            cells=[
                *(shown(each.figures) for _, shown in columns.values()),
                *([_difference(run.difference(each.name))] if compared else []),
            ],
            strong=each.strong,
            group=run.name if len(runs) > 1 else "",
        )
        for run in runs
        for each in run.measured
    ]
    caption = "Recorded completions" if recorded else "Accuracy, utility and cost of the team and its baselines"
    return Section(
        name="results",
        title="Results",
        lead=f"Held-out questions, the same for every method of a run. Intervals: {INTERVAL}.",
        blocks=[Table(caption=caption, first="model" if recorded else "method", columns=headings, rows=rows)],
    )


def _differs(figures: Mapping[str, Any]) -> bool:
    return figures.get("cost_per_question") not in (None, figures["generated_tokens_per_question"])


def _difference(row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return Cell(text="")
    low, high = row["ci95"]
    p = "p < 0.001" if row["p"] < 0.001 else f"p = {row['p']:.2g}"
    return Cell(
        text=signed(row["difference"]),
        detail=f"{interval((low, high), sign=True)} {p}",
        span=Span(low=low, value=row["difference"], high=high, least=-0.5, most=0.5),
    )


def tiles(run: RecordedRun) -> list[Tile]:
    """What a reader of one run should see first."""
    after, before = run.summary.get("after"), run.summary.get("before")
    if not after:
        return []
    shown = [
        Tile(
            label="accuracy",
            value=rate(after["accuracy"]),
            detail=f"{interval(after['accuracy_ci95'])}, n = {after['n']}"
            + (f"; {rate(before['accuracy'])} before" if before else ""),
        ),
        Tile(
            label="tokens per question",
            value=f"{after['generated_tokens_per_question']:,.0f}",
            detail=f"{before['generated_tokens_per_question']:,.0f} before" if before else "generated, all speakers",
        ),
    ]
    rivals = [(name, run.difference(name)) for name in ("self_consistency", "self_consistency_next")]
    compared = [(next(each for each in run.measured if each.name == name), row) for name, row in rivals if row]
    if compared:  # both: the team's tokens lie between theirs
        votes = [
            f"{signed(row['difference'])} {interval(row['ci95'], sign=True)} over {each.label}"
            for each, row in compared
        ]
        value = " … ".join(dict.fromkeys(signed(gain, 2) for gain in sorted(row["difference"] for _, row in compared)))
        shown.append(Tile(label="accuracy gained over votes", value=value, detail="; ".join(votes)))
    if run.certificate:
        gap = run.certificate["nash_gap"]
        detail = f"of utility, {interval(gap['ci95'])}; what one controller alone could gain"
        shown.append(Tile(label="Nash gap", value=rate(gap["plug_in"]), detail=detail))
    return shown


def frontier(runs: Sequence[RecordedRun]) -> Section | None:
    """Accuracy against tokens, a point per method."""
    series = []
    for tone, run in enumerate(runs):
        points = [(each.strong, _place(each)) for each in run.measured]
        if len(runs) > 1:
            series.append(Series(name=run.name, points=[point for _, point in points], tone=tone))
        else:  # the team alone has a colour
            series += [
                Series(name=run.name, points=[point for strong, point in points if strong], tone=0),
                Series(name=run.name, points=[point for strong, point in points if not strong], tone=3),
            ]
    if not any(each.points for each in series):
        return None
    chart = Chart(
        title="Accuracy against generated tokens",
        x_label="generated tokens per question",
        y_label="accuracy",
        series=[each for each in series if each.points],
        left=0,
        wide=True,
    )
    return Section(
        name="frontier",
        title="Accuracy and tokens",
        lead="Up and to the left is better. Bars are 95% intervals over questions.",
        blocks=[chart],
    )


def _place(measured: Measured) -> Point:
    figures = measured.figures
    return Point(
        x=figures["generated_tokens_per_question"],
        y=figures["accuracy"],
        y_span=(figures["accuracy_ci95"][0], figures["accuracy_ci95"][1]),
        label=measured.label,
    )


def correction(runs: Sequence[RecordedRun]) -> Section | None:
    """What becomes of wrong and of right first proposals."""
    rows = [
        _fate(each.label, each.records, strong=each.strong, group=run.name if len(runs) > 1 else "")
        for run in runs
        for each in run.measured
        if each.records and not run.summary.get("models")
    ]
    if not rows:
        return None
    table = Table(
        caption="What became of first proposals",
        columns=[
            ("wrong at first, right in the end", "correction: of the questions whose first proposal was wrong"),
            ("right at first, right in the end", "preservation: of the questions whose first proposal was right"),
        ],
        rows=rows,
    )
    return Section(
        name="correction",
        title="Correction and preservation",
        lead="A team should mend wrong first answers and keep right ones. Intervals: 95%, Wilson's for a share.",
        blocks=[table],
    )


def _fate(label: str, records: Sequence[DialogueRecord], *, strong: bool, group: str) -> Row:
    cells = []
    for first in (False, True):
        ends = [record.correct for record in records if record.first_correct is first]
        cells.append(share_cell(sum(ends), len(ends)))
    return Row(heading=label, cells=cells, strong=strong, group=group)


def share_cell(count: int, total: int) -> Cell:
    """A share with its counts and its interval."""
    if not total:
        return Cell(text="–", detail="none")
    low, high = share_interval95(count, total)
    return Cell(
        text=rate(count / total),
        detail=f"{count} of {total}, {interval((low, high))}",
        span=Span(low=low, value=count / total, high=high),
    )
