"""Independent PPO on the controllers, by a library of others, with the initial speakers."""

import warnings
from importlib.util import find_spec
from types import ModuleType

from benchmarks.methods.base import Method, Prepared
from benchmarks.methods.played import played
from benchmarks.suite.bench import Bench
from benchmarks.suite.point import Point
from tracer_agents.build import build_task
from tracer_agents.controllers.fixed import mean_utility
from tracer_env.errors import ConfigError

NAME = "ippo"
POINT = Point(method=NAME)
STEPS = 20_000  # of the environment


def learner() -> ModuleType:
    """``benchmarks.suite.independent_ppo``, imported where it is needed: its library is an extra.

    Raises:
        ConfigError: the library is not installed.
    """
    if find_spec("torchrl") is None:
        raise ConfigError("methods: ippo trains with TorchRL, which is not installed: pip install -e '.[marl]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchRL deprecates classes of its own on import
        from benchmarks.suite import independent_ppo
    return independent_ppo


def _prepare(bench: Bench) -> Prepared:
    ppo = learner()
    config = bench.plan.config(bench.train_label, bench.seed)
    infosets = bench.infosets()
    team = ppo.train(bench.recording("train"), config, infosets, build_task(config), steps=STEPS)
    check = bench.recording("validation").trees(infosets.rules)
    chosen = max((team, ppo.LikelierMode(team)), key=lambda controller: mean_utility(check, controller, config.utility))
    return played(bench, None, {POINT: chosen}, fitted_on=("train", "validation"))


METHODS = (
    Method(
        name=NAME,
        title="IPPO controllers",
        reference="de Witt et al. 2020, arXiv 2011.09533, by TorchRL, at the main price of speech",
        prepare=_prepare,
        recordings=(("train", None), ("validation", None), ("test", None)),
    ),
)
