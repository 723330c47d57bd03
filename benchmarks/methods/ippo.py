"""Independent PPO on the controllers, by a library of others, with the initial speakers."""

import warnings
from importlib.util import find_spec
from types import ModuleType

import numpy as np

from benchmarks.bench import Bench
from benchmarks.methods.base import Cost, Method, Prepared
from benchmarks.methods.played import played
from tracer_agents.build import build_task
from tracer_agents.game.tree import play
from tracer_agents.types import Controller
from tracer_env.errors import ConfigError

NAME = "ippo"
STEPS = 20_000  # of the environment


def learner() -> ModuleType:
    """``benchmarks.independent_ppo``, imported where it is needed: its library is an extra.

    Raises:
        ConfigError: the library is not installed.
    """
    if find_spec("torchrl") is None:
        raise ConfigError("methods: ippo trains with TorchRL, which is not installed: pip install -e '.[marl]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchRL deprecates classes of its own on import
        from benchmarks import independent_ppo
    return independent_ppo


def _prepare(bench: Bench) -> Prepared:
    ppo = learner()
    config = bench.plan.config(bench.train_label, bench.seed)
    team = ppo.train(bench.recording("train"), config, build_task(config), steps=STEPS)
    chosen = max((team, ppo.LikelierMode(team)), key=lambda controller: _utility(bench, controller))
    return played(bench, None, {NAME: chosen}, fitted_on=("train", "validation"))


def _utility(bench: Bench, controller: Controller) -> float:
    """The mean utility of a controller's dialogues on the recorded validation questions."""
    config, recording = bench.config, bench.recording("validation")
    trees = recording.trees(config.dialogue.rules)
    finals = play(trees, controller)
    right = np.array([tree.right(final) for tree, final in zip(trees, finals, strict=True)])
    tokens = np.array([final.generated_tokens for final in finals])
    return float(np.mean(config.utility(right, tokens)))


METHODS = (
    Method(
        name=NAME,
        title="IPPO controllers",
        reference="de Witt et al. 2020, arXiv 2011.09533, by TorchRL, at the main price of speech",
        prepare=_prepare,
        cost=lambda plan: Cost(),
        recordings=(("train", None), ("validation", None), ("test", None)),
        headline=lambda plan: NAME,
    ),
)
