"""The report's page in Markdown and its table in LaTeX: what the figures are called and how they are shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from urllib.parse import quote

import pandas as pd

from benchmarks.report.agreement import Opinion
from benchmarks.report.formats import (
    MISSING,
    bounded,
    fenced,
    latex_table,
    markdown,
    markdown_table,
    number,
    p_value,
    percent,
    with_interval,
)
from benchmarks.report.load import Described, Results
from benchmarks.report.scores import FIGURES, Scores
from benchmarks.suite.plan import dump_plan
from benchmarks.suite.point import Point
from tracer_agents.speakers.prompts import STYLES, Prompts, prompts_for
from tracer_agents.speakers.templates import Messages
from tracer_env.dialogue import Role

MAX_DISPUTED = 50  # disagreements of graders shown for one task; all of them are in disagreements.jsonl
_PACKAGES = ("tracer-debate", "numpy", "scipy", "statsmodels", "pandas", "matplotlib")
_TERMS = {
    "Interval": "95% percentile bootstrap. Questions are resampled, within each seed where every seed has questions "
    "of its own, jointly for all seeds where they share them. All methods have the same resamples, so the interval "
    "of a difference is paired. It covers the choice of questions, not the choice of training seeds: for that see "
    "the standard deviation over seeds.",
    "Mean over tasks": "every task has the same weight; tasks are resampled independently.",
    "sd over seeds": "sample standard deviation of a method's accuracy over seeds, which differ in training, in "
    "questions (where the task has enough) and in sampling.",
    "McNemar": "exact two-sided test that two methods are right equally often on the same questions. It takes "
    "questions under different seeds as independent, which flatters it where seeds share questions.",
    "Holm": "the p-values of one table, adjusted so that the chance of any false rejection in it is at most 5%.",
    "P(improvement)": "the chance that a random run (seed) of the first method has a higher accuracy than one of the "
    "second, ties counting ½, averaged over tasks (Agarwal et al. 2021), with their stratified bootstrap over runs.",
    "Bound": "it sees the gold answer: what could be reached, not a method. It is in no family of tests and on no "
    "frontier.",
    "At most, next above, equal": "a method of several settings at the reference's tokens per question: its setting "
    "with the most tokens not above, the one with the fewest above, and the straight line between these two at "
    "exactly those tokens, which asking one setting or the other at random would reach.",
    "Frontier": "the points that no other point beats with at most their tokens and at least their accuracy. It is "
    "chosen on the same answers that it shows, so its accuracies are a little flattered.",
    **{name.replace("_", " ").capitalize(): meaning + "." for name, meaning in FIGURES.items()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What the report says of one task, or of the mean over tasks; ``pictures`` are alt text -> file name."""

    scores: Scores
    points: pd.DataFrame
    comparisons: pd.DataFrame
    budgets: pd.DataFrame
    pictures: Mapping[str, str]

    @property
    def title(self) -> str:
        """Its heading."""
        return "Mean over tasks" if self.scores.label == "mean" else self.scores.label


def report_page(
    results: Results,
    sections: Sequence[Section],
    *,
    reference: str,
    curves: Mapping[str, str],
    opinions: Mapping[str, Opinion],
) -> str:
    """The whole page.

    Args:
        results: what was run.
        sections: the mean over tasks where there are several, then the tasks.
        reference: name of the method that others are compared with.
        curves: alt text -> file name of the learning curves.
        opinions: task -> what the second grader says.
    """
    parts = [
        "# Benchmark report",
        _introduction(results, reference),
        *(part for section in sections for part in _section(section, results, reference)),
        "## Learning curves",
        *(_pictures(curves) or ["No speakers were trained."]),
        "## Second grader",
        _opinions(opinions),
        "## Methods",
        markdown_table(
            ["Method", "Name", "Source"],
            [[method.title, method.name, method.reference] for method in results.methods.values()],
            words=3,
        ),
        "## Prompts",
        *_prompts(results.methods.values(), prompts_for(results.plan.base.style, results.plan.base.speakers.prompts)),
        "## Terms",
        "\n".join(f"- **{term}**: {markdown(meaning)}" for term, meaning in _TERMS.items()),
        "## Plan",
        fenced(dump_plan(results.plan), "yaml"),
        "Report made with " + ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def latex_page(sections: Iterable[Section], results: Results, *, reference: str) -> str:
    """The headlines of all sections in one booktabs table."""
    title = _title(results, reference)
    header = ["Method", "Accuracy", "Tokens", "Utility", "Correction", "Preservation", f"{title} − it", "p (Holm)"]
    return latex_table(header, [(section.title, _latex_rows(section, results)) for section in sections])


def _latex_rows(section: Section, results: Results) -> list[list[str]]:
    rows = []
    compared = {} if section.comparisons.empty else section.comparisons.set_index("point").to_dict("index")
    for row in _headlines(section):
        against = compared.get(row["point"])
        rows.append(
            [
                _name(results, row),
                _figure(row, "accuracy"),
                number(row["tokens"], 1),
                number(row["utility"], signed=True),
                number(row["correction"]),
                number(row["preservation"]),
                _figure(against, "accuracy", signed=True) if against else MISSING,
                p_value(against["p_holm"]) if against else MISSING,
            ]
        )
    return rows


def _introduction(results: Results, reference: str) -> str:
    plan = results.plan
    lines = [
        f"{len(results.cells)} cells (method, task, seed) have ended of "
        f"{len(plan.methods) * len(plan.tasks) * len(plan.seeds)}. In a (task, seed) every method was asked the same "
        "questions; an answer that could not be read is wrong. Tokens are those generated, by all speakers together. "
        "Everything here is computed from the records; the tables in full are `table.csv`, `comparisons.csv` and "
        "`budgets.csv`, those of the paper `table.tex`.",
    ]
    if reference not in plan.methods:
        lines.append(f"Nothing is compared: the plan has no method {markdown(reference)}.")
    if results.missing:
        lines.append(
            "**Not ended:** "
            + "; ".join(map(markdown, results.missing))
            + ". A task's tables hold the seeds that the reference has finished, and only methods that have them all."
        )
    return "\n\n".join(lines)


def _section(section: Section, results: Results, reference: str) -> list[str]:
    scores = section.scores
    seeds = f"seed{'s' if len(scores.seeds) > 1 else ''} {', '.join(map(str, scores.seeds))}"
    parts = [f"## {markdown(section.title)}", f"{scores.n:,} answers of each method: {seeds}.", _main(section, results)]
    for trouble in ("ungradable", "failed"):
        rows = section.points[section.points[trouble] > 0].to_dict("records")
        if rows:
            shares = "; ".join(f"{markdown(row['point'])} {number(row[trouble])}" for row in rows)
            parts.append(f"**{trouble.capitalize()}**, and counted as wrong: {shares}.")
    if not section.comparisons.empty:
        parts += [
            f"### {markdown(_title(results, reference))} against the others",
            _comparisons(section, results, reference),
        ]
    at_headline = section.budgets[section.budgets["headline"]] if not section.budgets.empty else section.budgets
    if not at_headline.empty:
        tokens = number(at_headline["reference_tokens"].iloc[0], 1)
        parts += [f"### At equal tokens: {tokens} per question", _budgets(at_headline, results)]
    frontier = section.points[section.points["frontier"]].sort_values("tokens")
    rows = [[row["point"], number(row["tokens"], 1), _figure(row, "accuracy")] for row in frontier.to_dict("records")]
    parts += ["### The frontier of all points", markdown_table(["Point", "Tokens", "Accuracy [95%]"], rows)]
    return [*parts, *_pictures(section.pictures)]


def _main(section: Section, results: Results) -> str:
    header = [
        "Method", "Accuracy [95%]", "sd over seeds", "Tokens", "Prompt tokens", "Utility", "Correction",
        "Preservation", "Speak rate", "No answer", "Training tokens",
    ]  # fmt: skip
    rows = [
        [
            _name(results, row),
            _figure(row, "accuracy"),
            number(row["accuracy_sd"]),
            number(row["tokens"], 1),
            number(row["prompt_tokens"], 1),
            number(row["utility"], signed=True),
            number(row["correction"]),
            number(row["preservation"]),
            number(row["speak_rate"]),
            number(row["no_answer"]),
            number(row["training_tokens"], 0),
        ]
        for row in _headlines(section)
    ]
    return markdown_table(header, rows)


def _comparisons(section: Section, results: Results, reference: str) -> str:
    title = _title(results, reference)
    header = [f"{title} minus …", "Accuracy [95%]", "p (McNemar)", "p (Holm)", "P(improvement) [95%]",
              "Tokens [95%]", "Utility [95%]"]  # fmt: skip
    rows = [
        [
            _name(results, row),
            _figure(row, "accuracy", signed=True),
            p_value(row["p"]),
            p_value(row["p_holm"]),
            _figure(row, "improvement", 2),
            _figure(row, "tokens", 1, signed=True),
            _figure(row, "utility", signed=True),
        ]
        for row in section.comparisons.to_dict("records")
    ]
    return markdown_table(header, rows)


def _budgets(budgets: pd.DataFrame, results: Results) -> str:
    rows = [
        [
            _title(results, row["method"]),
            row["at"],
            row["point"],
            number(row["tokens"], 1),
            number(row["accuracy"]),
            _figure(row, "difference", signed=True),
        ]
        for row in budgets.to_dict("records")
    ]
    header = ["Method", "At", "Point", "Tokens", "Accuracy", "Reference minus it [95%]"]
    return markdown_table(header, rows, words=3)


def _opinions(opinions: Mapping[str, Opinion]) -> str:
    parts = [
        "Every recorded answer graded again by an independent grader. Tables use the first; the second tells how much "
        "they depend on it. Where it cannot read an answer it has no opinion.",
        markdown_table(
            ["Task", "Answers", "Distinct", "No opinion", "Disagreement"],
            [
                [task, f"{each.answers:,}", f"{each.pairs:,}", f"{each.unread:,}", percent(each.disagreement)]
                for task, each in opinions.items()
            ],
        ),
    ]
    for task, opinion in opinions.items():
        if not opinion.disputed.empty:
            shown = opinion.disputed.head(MAX_DISPUTED)
            more = f", the {len(shown)} most frequent" if len(shown) < len(opinion.disputed) else ""
            rows = [
                [bounded(row["answer"]), bounded(row["gold"]), row["first"], row["second"], str(row["answers"])]
                for row in shown.to_dict("records")
            ]
            parts += [
                f"Disagreements on {markdown(task)}, {len(opinion.disputed)} distinct{more}:",
                markdown_table(["Answer", "Gold", "First", "Second", "Answers"], rows, words=4),
            ]
    return "\n\n".join(parts)


def _prompts(methods: Iterable[Described], prompts: Prompts) -> list[str]:
    named = {f"dialogue: {name}": prompt for name, prompt in _dialogue_prompts(prompts).items()}
    for method in methods:
        named |= {f"{method.name}: {name}": prompt for name, prompt in method.prompts(prompts).items()}
    uses: dict[str, list[str]] = {}  # a text that several methods use is listed once
    for name, prompt in named.items():
        uses.setdefault("\n\n".join(f"[{part['role']}]\n{part['content']}" for part in prompt), []).append(name)
    origin = f"in the style `{prompts.name}`" if prompts.name in STYLES else f"of the file {markdown(prompts.name)}"
    parts = [f"Chat messages {origin}; methods without prompts of their own use the dialogue's."]
    return parts + [f"{markdown('; '.join(names))}\n\n{fenced(text)}" for text, names in uses.items()]


def _dialogue_prompts(prompts: Prompts) -> dict[str, Messages]:
    prompt = partial(prompts.messages, question="{question}", answer_format="{answer format}")
    return {
        "propose": prompt(role=Role.PROPOSER, solution=None, review=None),
        "review": prompt(role=Role.REVIEWER, solution="{solution}", review=None),
        "revise": prompt(role=Role.PROPOSER, solution="{solution}", review="{review}"),
    }


def _pictures(pictures: Mapping[str, str]) -> list[str]:
    return [f"![{markdown(alt)}]({quote(name)})" for alt, name in pictures.items()]


def _headlines(section: Section) -> list[dict]:
    return section.points[section.points["headline"]].to_dict("records")


def _title(results: Results, method: str) -> str:
    return results.methods[method].title if method in results.methods else method


def _name(results: Results, row: Mapping) -> str:
    """A method's title, with the setting of its headline if it has one; a bound is called so."""
    setting = "bound" if results.methods[row["method"]].bound else Point.of(row["point"]).setting
    return _title(results, row["method"]) + (f" ({setting})" if setting else "")


def _figure(row: Mapping, name: str, digits: int = 3, *, signed: bool = False) -> str:
    return with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], digits, signed=signed)
