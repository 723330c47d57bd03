"""Certifies a team on questions that nobody trained on: expands them and values every deviation of its controllers."""

from collections.abc import Sequence

from tracer_agents.build import Parts
from tracer_agents.config import Config
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.errors import GenerationFailed
from tracer_agents.evaluation.certificate import Certificate, certify
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.game.run_regret import RunRegret
from tracer_agents.rollout.expanded import record_trees
from tracer_agents.rollout.tree import Tree, expand, set_apart
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.files import reading, write_json
from tracer_agents.runs.trees import save_trees
from tracer_env.seeding import certificate_stream
from tracer_env.tasks.base import Split

_BOUNDED = ("RegretMatching", "RegretMatchingPlus")


def certify_run(
    run: RunDirectory, config: Config, parts: Parts, controller: TabularController, *, questions: int
) -> Certificate:
    """Writes ``certificate.json``: the deployed profile on held-out trees, and the regret of the run so far.

    The trees themselves, with what the profile does in them, go to ``trees.jsonl``.

    Args:
        run: its newest checkpoint holds the run's regret.
        config, parts, controller: the run's.
        questions: ≥ 2 held-out questions to expand, 2^(R−1) utterances each.
    """
    path = run.checkpoints.latest() / "regret.npz"
    with reading(path):
        regret = RunRegret.load(path)
    phase = "certificate"
    trees = _expanded(config, parts, controller, split="test", questions=questions, phase=phase)
    certificate = _certify(config, trees, controller, regret, phase=phase)
    save_trees(run.folder, record_trees(trees, controller.infosets, controller, config.utility))
    write_json(run.folder / "certificate.json", certificate.as_json())
    return certificate


def certify_checkpoint(config: Config, parts: Parts, controller: TabularController, regret: RunRegret) -> Certificate:
    """The team so far, on ``evaluation.checkpoint_questions`` validation questions.

    They are the same at every checkpoint, so that what changes is the team.
    """
    questions, phase = config.evaluation.checkpoint_questions, "checkpoint"
    trees = _expanded(config, parts, controller, split="validation", questions=questions, phase=phase)
    return _certify(config, trees, controller, regret, phase=phase)


def _expanded(
    config: Config, parts: Parts, controller: TabularController, *, split: Split, questions: int, phase: str
) -> list[Tree]:
    episodes = draw_episodes(parts.task, split, 0, questions, seed=config.seed, phase=phase)
    trees, _ = set_apart(expand(episodes, controller.infosets.rules, parts.speakers, parts.task.grade))
    if len(trees) < 2:
        raise GenerationFailed(
            f"only {len(trees)} of {questions} questions were expanded, stage '{phase}', and a certificate needs two; "
            "see to the server and try again"
        )
    return trees


def _certify(
    config: Config, trees: Sequence[Tree], controller: TabularController, regret: RunRegret, *, phase: str
) -> Certificate:
    return certify(
        trees,
        controller,
        utility=config.utility,
        rng=certificate_stream(config.seed, phase),
        run=regret,
        bound_applies=_bound_applies(config),
    )


def _bound_applies(config: Config) -> bool:
    settings, trainer = config.controllers, config.trainer
    return (
        config.dialogue.infoset == "recall"
        and config.weighting == "counterfactual"
        and settings.discount == 1
        and settings.minimiser in _BOUNDED
        and not 0 < trainer.controller_steps < trainer.steps  # tables that start afresh forget their regret
    )
