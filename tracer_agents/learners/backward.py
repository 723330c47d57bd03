"""The conditions under which a policy learns: attention kernel, threads, and what is kept for the backward pass."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from tracer_agents.config import GSPOConfig
from tracer_agents.generation.attention import attention, kernel_of
from tracer_agents.generation.decoding.threads import suitable_threads
from tracer_agents.generation.weights import Weights


@contextmanager
def learning(weights: Weights, policy: str, config: GSPOConfig, *, shares_prompts: bool = False) -> Iterator[None]:
    """Puts the model into the hands of a policy's learner.

    Args:
        weights: the policies'.
        policy: the one that learns.
        config: of its learner.
        shares_prompts: whether completions attend to long prompts that were computed before. Then the kernel is the
            model's own everywhere; on CPUs eager attention is faster for short rows, and takes more memory for long.

    Raises:
        ValueError: ``config.gradient_checkpointing`` with a model that cannot do it.
    """
    model = weights.model
    kernel = "eager" if model.device.type == "cpu" and not shares_prompts else kernel_of(model)
    layers = recomputed_layers(model) if config.gradient_checkpointing else nullcontext()
    with suitable_threads(model), attention(model, kernel), layers, weights.active(policy):
        yield


@contextmanager
def recomputed_layers(model: PreTrainedModel) -> Iterator[None]:
    """Lets the model's layers keep their inputs alone and be computed again in the backward pass.

    Only the layers themselves count as in training for that; what is in them does not, so there is no dropout.

    Raises:
        ValueError: the model's class cannot do it.
    """
    model.gradient_checkpointing_enable({"use_reentrant": False})
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False
        model.gradient_checkpointing_disable()
