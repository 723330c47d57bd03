"""Certifies a trained team on held-out questions: expands them and values every deviation of its controllers."""

import json

from tracer_agents.build import Parts
from tracer_agents.checkpoint import write_text
from tracer_agents.config import Config
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.evaluation import draw_episodes
from tracer_agents.game.certificate import Certificate, certify
from tracer_agents.game.run_regret import RunRegret
from tracer_agents.game.tree import expand, set_apart
from tracer_agents.run import RunDirectory
from tracer_env.seeding import stream

_BOUNDED = ("RegretMatching", "RegretMatchingPlus")


def certify_run(
    run: RunDirectory, config: Config, parts: Parts, controller: TabularController, *, questions: int
) -> Certificate:
    """Writes ``certificate.json``: the deployed profile on held-out trees, and the regret of the run so far.

    Args:
        run: its newest checkpoint holds the run's regret.
        config, parts, controller: the run's.
        questions: ≥ 2 held-out questions to expand, 2^(R−1) utterances each.
    """
    episodes = draw_episodes(parts.task, "test", 0, questions, seed=config.seed, phase="certificate")
    trees, _ = set_apart(expand(episodes, config.dialogue.rules, parts.speakers, parts.task.grade))
    settings = config.controllers
    certificate = certify(
        trees,
        controller,
        price=config.dialogue.price_of_speech,
        token_budget=config.token_budget,
        rng=stream(config.seed, "certificate"),
        run=RunRegret.load(run.checkpoints.latest() / "regret.npz"),
        bound_applies=(
            config.dialogue.infoset == "recall"
            and config.weighting == "counterfactual"
            and settings.discount == 1
            and settings.minimiser in _BOUNDED
        ),
    )
    text = json.dumps(certificate.as_json(), indent=2, ensure_ascii=False)
    write_text(run.folder / "certificate.json", text + "\n")
    return certificate
