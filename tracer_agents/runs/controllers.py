"""The controllers of a checkpoint, ``controllers.npz`` with its belief, under one strategy."""

from dataclasses import replace
from pathlib import Path

from tracer_agents.config import Config
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import Play, TabularController
from tracer_agents.runs.beliefs import load_belief
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.files import reading
from tracer_env.infosets import Infosets


def load_controller(run: RunDirectory) -> TabularController:
    """The controllers of a run's newest checkpoint, under the strategy that was deployed.

    Raises:
        RunError: no checkpoint, or a run that chooses its strategy on validation questions and has not ended.
    """
    config = run.config()
    play = config.controllers.play
    return controller_of(run.checkpoints.latest(), config, run.deployed_play() if play == "validated" else play)


def controller_of(checkpoint: Path, config: Config, play: Play) -> TabularController:
    """The controllers of a checkpoint.

    Raises:
        RunError: its tables or its belief are damaged.
    """
    infosets = Infosets(config.dialogue.infoset, replace(config.rules, belief=load_belief(checkpoint)))
    path = checkpoint / "controllers.npz"
    with reading(path):
        tables = RegretTables.load(path)
    return TabularController(infosets, tables, play)
