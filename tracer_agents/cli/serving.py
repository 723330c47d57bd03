"""Commands about models and the machine: ``export``, ``push``, ``serve`` and ``doctor``."""

from pathlib import Path
from typing import Literal

import click

from tracer_agents.cli import shared
from tracer_agents.cli.process import Stopped, stoppable
from tracer_agents.cli.shared import PATH, tracer
from tracer_agents.config.options import SettingsCommand, given_settings
from tracer_agents.config.sources import load_config
from tracer_env.rendering import escape


@tracer.command(short_help="A trained run's speakers as plain model folders.")
@click.argument("run", type=PATH)
@shared.out
def export(*, run: Path, out: Path) -> None:
    """Write the speakers of a RUN as plain model folders, adapters merged, each with a model card."""
    from transformers.utils import logging

    from tracer_agents.training.export import export_run

    logging.disable_progress_bar()  # the folders are what is printed
    with stoppable("nothing was exported"):
        for folder in export_run(run, out):
            click.echo(folder)


@tracer.command(short_help="Upload a run's speakers to the Hugging Face hub.")
@click.argument("run", type=PATH)
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--public", is_flag=True, help="Anybody may read a repository that is made; by default it is private.")
@click.option("--dry-run", is_flag=True, help="Say what would be uploaded; no more.")
def push(*, run: Path, repo: str, public: bool, dry_run: bool) -> None:
    """Upload what export writes of RUN, model folders with their cards, to the repository OWNER/NAME of the hub."""
    import tempfile

    from transformers.utils import logging

    from tracer_agents.training.publish import planned_upload, push_run

    logging.disable_progress_bar()
    with stoppable("nothing, or not everything, was uploaded; push again"):
        address = ""
        if dry_run:
            with tempfile.TemporaryDirectory() as scratch:
                upload = planned_upload(run, repo, private=not public, folder=Path(scratch) / "model")
        else:
            upload, address = push_run(run, repo, private=not public)
    for name, size in upload.files:
        click.echo(f"{size:>14,} bytes  {escape(name)}")
    kind = "private" if upload.private else "public"
    where = f"{escape(upload.repo)} ({kind} if it is made)"
    done = "would be uploaded to" if dry_run else "uploaded to"
    click.echo(f"{len(upload.files)} files, {upload.size:,} bytes, {done} {where}")
    if address:
        click.echo(escape(address))


@tracer.command(short_help="Run a real SGLang server with the right flags.")
@click.argument("model")
@click.argument("flags", nargs=-1, metavar="[-- FLAG ...]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=31000, show_default=True, help="Port to listen on.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="By default what is there.")
@shared.python
@click.option("--adapters", is_flag=True, help="Accept LoRA adapters (GPU only).")
@click.option("--restarts", default=3, show_default=True, help="How often a dead server is started anew.")
def serve(
    *,
    model: str,
    flags: tuple[str, ...],
    host: str,
    port: int,
    device: Literal["auto", "cpu", "cuda"],
    python: Path | None,
    adapters: bool,
    restarts: int,
) -> None:
    """Run a server of MODEL: 'tiny', a run directory, a folder or a hub name.

    After -- stand further flags of SGLang's launch_server.
    """
    from tracer_agents.doctor import served_model
    from tracer_agents.generation.sglang.server import Server, ServerSpec, detect_device, find_python, watch

    spec = ServerSpec(
        model=served_model(model),
        python=find_python(python),
        device=detect_device() if device == "auto" else device,
        host=host,
        port=port,
        adapters=adapters,
        further=flags,
    )
    try:
        with stoppable("the server is down too"):
            for state in watch(Server(spec), restarts=restarts):
                click.echo(f"tracer serve: {escape(state)}", err=True)
    except Stopped:  # how a server is meant to end
        click.echo("tracer serve: stopped", err=True)


@tracer.command(
    cls=SettingsCommand, epilog=shared.EPILOG, short_help="What is installed, which backends work, what a preset needs."
)
@shared.preset
@shared.config
@shared.python
@click.pass_context
def doctor(ctx: click.Context, *, preset: str | None, file: Path | None, python: Path | None) -> None:
    """Say what is installed, which backends work, and whether the settings can run on this machine."""
    from tracer_agents.doctor import examine_setup
    from tracer_agents.errors import DoctorFailed

    failed = []
    config = load_config(preset=preset, file=file, overrides=given_settings(ctx))
    for finding in examine_setup(config, python=python):
        click.echo(f"{finding.status:>14}  {escape(finding.name)}: {escape(finding.detail)}")
        if finding.remedy:
            click.echo(f"{'do':>14}  {finding.remedy}")
        failed += [finding.name] if finding.status == "failed" else []
    if failed:
        raise DoctorFailed(f"{len(failed)} of the checks failed: {', '.join(failed)}")
