"""The page of one run or of several, side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tracer_agents.errors import RunError
from tracer_agents.report.blocks import Note, Page, Section
from tracer_agents.report.dialogues import MOST_DIALOGUES, Collection, browser_data
from tracer_agents.report.figures import correction, frontier, main_table, tiles
from tracer_agents.report.infosets import KNOWN, heat_maps, observed
from tracer_agents.report.recorded import RecordedRun, plain
from tracer_agents.report.training import belief, certificate, learning_curves
from tracer_agents.report.values import by_infoset
from tracer_env.errors import TracerError
from tracer_env.infosets import Infosets


def runs_page(folders: Sequence[Path], *, most: int = MOST_DIALOGUES) -> Page:
    """The page of some runs, from their files alone.

    Raises:
        RunError: a folder holds no run, or a file is damaged.
    """
    runs = [RecordedRun.load(folder, name) for folder, name in zip(folders, names_of(folders), strict=True)]
    try:
        return _page(runs, most)
    except TracerError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # files that are JSON, and no more
        raise RunError(
            f"{', '.join(map(str, folders))}: summary.json, metrics.jsonl or certificate.json is damaged, or of "
            f"another version: {error!r}"
        ) from error


def _page(runs: Sequence[RecordedRun], most: int) -> Page:
    sections = [
        main_table(runs) if any(run.measured for run in runs) else _unfinished(runs),
        frontier(runs),
        learning_curves({run.name: run.metrics for run in runs}),
        *(speech(run, number if len(runs) > 1 else None) for number, run in enumerate(runs, 1)),
        correction(runs),
        belief(runs),
        certificate(runs),
    ]
    first = runs[0]
    return Page(
        title=" and ".join(run.name for run in runs),
        subtitle=_subtitle(first) if len(runs) == 1 else "; ".join(f"{run.name}: {_subtitle(run)}" for run in runs),
        tiles=tiles(first) if len(runs) == 1 else (),
        sections=[section for section in sections if section is not None],
        facts=[fact for run in runs for fact in _facts(run, several=len(runs) > 1)],
        browser=browser_data([collection_of(run) for run in runs], most=most),
    )


def names_of(folders: Sequence[Path]) -> list[str]:
    """What folders are called: their own names, with their parents' where these are alike."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [f"{folder.resolve().parent.name}/{folder.resolve().name}" for folder in folders]
    twice = len(set(names)) < len(names)
    return [f"{name} ({number})" for number, name in enumerate(names, 1)] if twice else names


def _subtitle(run: RecordedRun) -> str:
    config, summary = run.config, run.summary
    n = summary.get("after", {}).get("n") or next((each.figures["n"] for each in run.measured), None)
    questions = f"{n} held-out question{'s' * (n != 1)}" if n else "not measured yet"
    if summary.get("models"):
        return f"{config.task.name}; recorded completions of {', '.join(summary['models'])}; {questions}"
    model = summary.get("model") or config.speakers.model
    agents = config.dialogue.n_agents
    return f"{config.task.name} with {model}; {agents} agents, {config.dialogue.rounds} rounds; {questions}"


def _facts(run: RecordedRun, *, several: bool) -> list[tuple[str, str]]:
    config, summary = run.config, run.summary
    before = f"{run.name}: " if several else ""
    seconds = summary.get("train_seconds")
    facts = {
        "seed": str(config.seed),
        "price of speech λ": f"{config.dialogue.price_of_speech:g}",
        "token budget of a dialogue": f"{config.token_budget:,g}",
        "infosets": config.dialogue.infoset,
        "strategy that plays": summary.get("controllers", {}).get("play"),
        "training": None if seconds is None else f"{len(run.metrics)} steps, {seconds:,.0f} s",
        "versions": ", ".join(f"{name} {version}" for name, version in summary.get("versions", {}).items()),
        "settings (SHA-256)": summary.get("config_sha256"),
        "weights (SHA-256)": summary.get("model_sha256"),
    }
    return [(f"{before}{name}", str(value)) for name, value in facts.items() if value]


def _unfinished(runs: Sequence[RecordedRun]) -> Section:
    text = f"{', '.join(run.name for run in runs)}: not ended; what is here is what was recorded so far."
    return Section(name="results", title="Results", blocks=[Note(text=text)])


def speech(run: RecordedRun, number: int | None) -> Section | None:
    """When the team's controllers speak: their strategy on expanded questions, else what dialogues show."""
    config = run.config
    if run.trees:
        kind, figures = config.dialogue.infoset, by_infoset(run.trees)
        lead = (
            f"The chance that the deployed controllers speak, by what they know: {KNOWN[kind]}. Below it the utility "
            "that speaking gains over skipping there, and the share of dialogues that come there, on "
            f"{len(run.trees)} expanded held-out questions; what none comes to is not filled."
        )
    else:
        records = run.records.get(("after", "team"), ())
        kind = "consensus" if config.dialogue.infoset == "belief" else config.dialogue.infoset
        figures = observed(records, Infosets(kind, config.rules))
        lead = "How often somebody spoke in the recorded dialogues, by what was known then."
    maps = heat_maps(kind, figures, replace(config.rules, belief=run.belief), gains=bool(run.trees))
    if not maps:
        return None
    title = "When controllers speak" if number is None else f"When controllers speak, {run.name}"
    name = "speech" if number is None else f"speech-{number}"
    return Section(name=name, title=title, lead=lead, blocks=maps)


def collection_of(run: RecordedRun) -> Collection:
    """The dialogues of a run for the browser: rows of the main table by their names, then what else is recorded."""
    labels, records, shown = {}, {}, set()
    for each in reversed(run.measured):  # the team first
        if each.records:
            labels[each.name], records[each.name] = each.label, each.records
            shown.add((each.records[0].phase, each.records[0].method))
    first = [name for name in ("after", "before") if name in labels]
    order = [*first, *(each.name for each in run.measured if each.name in labels and each.name not in first)]
    for (phase, method), rows in run.records.items():
        if (phase, method) not in shown:
            key = f"{phase}/{method}"
            labels[key], records[key] = f"{plain(method)}, {phase} training", rows
            order.append(key)
    return Collection(
        name=run.name,
        labels={name: labels[name] for name in order},
        records=records,
        trees=run.trees,
        infoset=run.config.dialogue.infoset,
        belief=run.belief,
        seats=run.config.rules.seats,
        utility=run.config.utility,
    )
