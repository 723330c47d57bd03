"""A process that trains with others and does not lead: it holds its part of the models, and does as it is told."""

from tracer_agents.build.parts import build_learner, load_trained
from tracer_agents.learners.policies import PolicyLearners
from tracer_agents.learners.ranks import Ranks
from tracer_agents.learners.together import SharedLearners, follow


def follow_leader(ranks: Ranks) -> None:
    """Builds the models that the leader trains, and trains them with it until it is done.

    Raises:
        ConfigError, RunError: a model cannot be built here, of which the leader is told; or the leader has ended.
    """
    message = ranks.hear()
    if message is None:
        return
    config, weights = message
    models: dict[str, SharedLearners] = {}
    for use in config.models:
        if use.trained:
            settings = config.of_model(use)
            policy = load_trained(settings, use, weights, ranks)
            learners: PolicyLearners = build_learner(
                settings, policy, use.trained_policies, ranks=ranks, label=use.label
            )
            assert isinstance(learners, SharedLearners)
            models[use.label] = learners
    follow(ranks, models)
