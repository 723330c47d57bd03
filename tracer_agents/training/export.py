"""Writes the policies of a trained run as plain model folders, each with a model card."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tracer_agents.build import Policy, load_policy
from tracer_agents.config import Config, policy_of
from tracer_agents.errors import RunError
from tracer_agents.runs.directory import RunDirectory, describe
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

    Adapters are merged. A folder that stands is complete: it is written aside and moved into place.

    Raises:
        RunError: no run or no checkpoint in ``run``, or ``out`` holds something already.
    """
    directory = RunDirectory(run)
    config, checkpoint = directory.config(), directory.checkpoints.latest()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out}: holds something already; choose another --out")
    policy = load_policy(config, checkpoint)
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    names = config.policies
    try:
        for name in names:
            folder = draft / name if len(names) > 1 else draft
            folder.mkdir(parents=True, exist_ok=True)
            policy.weights.export(name, folder)
            policy.tokenizer.save_pretrained(folder)
            step = directory.checkpoints.steps()[-1]
            (folder / "README.md").write_text(model_card(config, policy, name, step, _summary(directory)), "utf-8")
        if out.exists():
            out.rmdir()
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [out / name for name in names] if len(names) > 1 else [out]


def model_card(config: Config, policy: Policy, name: str, step: int, summary: Mapping[str, Any] | None) -> str:
    """What a policy was trained on and how well it does, in Markdown.

    Args:
        config: the run's settings.
        policy: its speakers.
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
        speaks_as=", ".join(_seats(config, name)),
        summary=summary,
        rows=list(_rows(summary)) if summary else [],
    )


def _seats(config: Config, name: str) -> Iterator[str]:
    """Which agents in which roles speak with a policy."""
    for role in Role:
        agents = [
            agent for agent in range(config.dialogue.n_agents) if policy_of(config.speakers.policy, role, agent) == name
        ]
        if len(agents) == config.dialogue.n_agents:
            yield f"every {role}"
        elif agents:
            yield f"{role} of agent {', '.join(map(str, agents))}"


def _rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    figures = {**summary, **summary["baselines"]}
    return ((label, figures[name]) for name, label in _ROWS.items() if figures.get(name))


def _summary(run: RunDirectory) -> Mapping[str, Any] | None:
    return run.summary() if (run.folder / "summary.json").is_file() else None
