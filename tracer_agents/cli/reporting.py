"""The command that makes pages: ``report``."""

from pathlib import Path

import click

from tracer_agents.cli.shared import PATH, tracer
from tracer_env.errors import ConfigError


@tracer.command(short_help="One HTML page: tables, curves, dialogues with both branches.")
@click.argument("sources", type=PATH, nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=PATH, required=True, help="The file to write, NAME.html; one that is there is replaced.")
@click.option(
    "--dialogues",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="How many dialogues the page holds at most.",
)
def report(*, sources: tuple[Path, ...], out: Path, dialogues: int) -> None:
    """Write one self-contained HTML page about RUNs, a benchmark's folder, or pools, from their files alone.

    Two runs stand side by side.
    """
    from tracer_agents.report.sources import write_report  # SciPy and matplotlib load here: not for --help

    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out {out}: must be the name of an HTML file, such as {out.with_suffix('.html').name}")
    write_report(sources, out, most=dialogues)
    click.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB")
