"""Writes the policies of a trained run as plain model folders, each with a model card."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tracer_agents.build import Policy, load_policy
from tracer_agents.config import Config, ModelUse
from tracer_agents.config.fitting import STYLE_FILE
from tracer_agents.errors import RunError
from tracer_agents.runs.directory import RunDirectory, describe
from tracer_agents.runs.files import write_json
from tracer_agents.training.schedule import Schedule
from tracer_env.dialogue import Role

_CARDS = Path(__file__).parents[1] / "assets" / "cards"
_ROWS = {
    "before": "the team before training",
    "after": "the team",
    "single": "a single answer",
    "self_consistency": "as many votes as the team's tokens buy",
}


def export_run(run: Path, out: Path) -> list[Path]:
    """Writes the newest checkpoint's policies: one in ``out`` itself, several each in a folder of its name.

    Adapters are merged, and the style of prompts is noted beside them, so that it is taken up with the model. A folder
    that stands is complete: it is written aside and moved into place.

    Raises:
        RunError: no run or no checkpoint in ``run``, or ``out`` holds something already.
    """
    directory = RunDirectory(run)
    config, checkpoint = directory.config(), directory.checkpoints.latest()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out}: holds something already; choose another --out")
    trained = [use for use in config.models if use.trained]
    if not trained:
        raise RunError(f"{run}: its speakers were not trained (credit.train: false), so there is nothing to export")
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    step, summary = directory.checkpoints.steps()[-1], _summary(directory)
    written: list[Path] = []
    try:
        for use in trained:  # one model in memory at a time
            settings = config.of_model(use)
            policy = load_policy(settings, checkpoint / use.label, use.policies)
            for name in use.trained_policies:
                alone = len(trained) == len(use.trained_policies) == 1
                folder = draft if alone else draft / use.qualified(name)
                folder.mkdir(parents=True, exist_ok=True)
                policy.weights.export(name, folder)
                policy.tokenizer.save_pretrained(folder)
                write_json(folder / STYLE_FILE, {"style": settings.style})
                (folder / "README.md").write_text(model_card(settings, policy, use, name, step, summary), "utf-8")
                written.append(out / folder.relative_to(draft))
        if out.exists():
            out.rmdir()
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return written


def model_card(
    config: Config, policy: Policy, use: ModelUse, name: str, step: int, summary: Mapping[str, Any] | None
) -> str:
    """What a policy was trained on and how well it does, in Markdown.

    Args:
        config: the settings of the run, for a team of this model alone.
        policy: the model.
        use: who speaks with it.
        name: of the policy.
        step: how many steps it was trained for.
        summary: what ``summary.json`` holds; None if the run has not ended.
    """
    cards = Environment(
        loader=FileSystemLoader(_CARDS),
        autoescape=False,  # Markdown, not HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    schedule, speaker_steps = Schedule.of(config), min(step, Schedule.of(config).speaker_steps)
    return cards.get_template("model.md.jinja").render(
        **config.model_dump(mode="json"),
        policy=name,
        model=config.speakers.model,
        style=policy.prompts.name,
        step=step,
        version=describe(config)["versions"]["tracer-debate"],
        questions=speaker_steps * schedule.questions_per_step,
        speaks_as=", ".join(_seats(use, name, config.dialogue.n_agents)),
        summary=summary,
        rows=list(_rows(summary)) if summary else [],
    )


def _seats(use: ModelUse, name: str, n_agents: int) -> Iterator[str]:
    """Which agents in which roles speak with a policy."""
    for role in Role:
        agents = [agent for agent in use.agents if use.policy(role, agent) == name]
        if len(agents) == n_agents:
            yield f"every {role}"
        elif agents:
            yield f"{role} of agent {', '.join(map(str, agents))}"


def _rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    figures = {**summary, **summary["baselines"]}
    return ((label, figures[name]) for name, label in _ROWS.items() if figures.get(name))


def _summary(run: RunDirectory) -> Mapping[str, Any] | None:
    return run.summary() if (run.folder / "summary.json").is_file() else None
