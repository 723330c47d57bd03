"""What each process of a sharded training does in the tests of it, and a single process for comparison.

``RANK=… WORLD_SIZE=… python ranks_at_work.py FOLDER`` plays every case, and rank 0 keeps what came of it.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.distributed.tensor import DTensor
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tracer_agents.config import GSPOConfig
from tracer_agents.errors import RunError, TrainingDiverged
from tracer_agents.generation.adapters import LoraAdapters
from tracer_agents.generation.sharding import scatter, whole
from tracer_agents.generation.weights import Shelf, Weights, WholeModel
from tracer_agents.learners import scoring
from tracer_agents.learners.batches import Sample
from tracer_agents.learners.policies import PolicyLearners
from tracer_agents.learners.policy import GSPOLearner
from tracer_agents.learners.ranks import Ranks, joined
from tracer_agents.learners.together import SharedLearners, follow, shard_alike
from tracer_agents.learners.verdicts import VerdictLearner, VerdictSample
from tracer_env.dialogue import Role
from tracer_env.errors import ConfigError, TracerError
from tracer_env.seeding import stream

PAD, END = 0, 1
CONFIG = GSPOConfig(
    learning_rate=0.02,
    clip_low=0.004,
    clip_high=0.006,
    optimiser_steps=3,
    max_gradient_norm=0.5,
    weight_decay=0.1,
    micro_batch_tokens=30,  # 3 or 4 micro-batches per minibatch
)


def gpt2(dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    """Computes in float64 throughout; its output layer is its embedding."""
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=23, n_embd=16, n_layer=2, n_head=2, n_positions=64, pad_token_id=PAD, bos_token_id=END,
        eos_token_id=END,
    )  # fmt: skip
    return GPT2LMHeadModel(config).to(dtype).eval()


def llama(dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    torch.manual_seed(1)
    shape = LlamaConfig(
        vocab_size=23, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, pad_token_id=PAD, bos_token_id=None, eos_token_id=END,
    )  # fmt: skip
    return LlamaForCausalLM(shape).to(dtype).eval()


def samples(count: int = 21, *, by_role: bool = False) -> list[Sample]:
    """Proposals and reviews of unlike lengths and unlike numbers; of one policy, or of one per role."""
    rng = np.random.default_rng(5)
    made = []
    for row in range(count):
        role = Role.PROPOSER if row % 3 else Role.REVIEWER
        output = (*rng.integers(2, 23, rng.integers(0, 9)).tolist(), END)
        made.append(
            Sample(
                prompt_ids=tuple(rng.integers(2, 23, 3 + row % 5).tolist()),
                output_ids=output,
                logps_engine=tuple((-rng.random(len(output))).tolist()),
                role=role,
                advantage=float(rng.normal()),
                policy=str(role) if by_role else "shared",
            )
        )
    return made


def verdicts(count: int = 9) -> list[VerdictSample]:
    rng = np.random.default_rng(3)
    return [
        VerdictSample(prompt_ids=tuple(rng.integers(2, 23, 4 + row % 3).tolist()), choices=(5, 6), right=bool(row % 2))
        for row in range(count)
    ]


def rng() -> np.random.Generator:
    return stream(0, "minibatches")


def learners(weights: Weights, ranks: Ranks, config: GSPOConfig = CONFIG) -> PolicyLearners:
    """Of all policies, with verdicts where there is one; the model is sharded if there are several processes."""
    if ranks.several:
        shard_alike(weights.model, ranks)
    made = {name: GSPOLearner(weights, name, pad_id=PAD, config=config, ranks=ranks) for name in weights.names}
    reviewing = {}
    if weights.names == ("shared",):
        beside = made["shared"].optimiser
        reviewing["shared"] = VerdictLearner(
            weights, pad_id=PAD, config=config.model_copy(update={"learning_rate": 0.01}), batch_size=5, beside=beside,
            ranks=ranks,
        )  # fmt: skip
    if ranks.several:
        return SharedLearners(made, weights, reviewing, ranks=ranks)
    return PolicyLearners(made, weights, reviewing)


def learned(
    weights: Weights, ranks: Ranks, work: Callable[[PolicyLearners], Any], config: GSPOConfig = CONFIG
) -> dict[str, Any]:
    """Lets all processes work, and keeps the gradients of every step, the weights after it, and what ``work`` gives."""
    gradients: list[torch.Tensor] = []
    kinds: set[str] = set()

    def keep(optimiser, args, kwargs) -> None:
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        kinds.update(type(p).__name__ for p in parameters)
        gradients.append(torch.cat([whole(p.grad).flatten() for p in parameters if p.grad is not None]))

    team = learners(weights, ranks, config)
    before = [whole(p.detach()).clone() for name in weights.names for p in weights.parameters(name)]
    hook = register_optimizer_step_pre_hook(keep)
    try:
        result = work(team) if ranks.leads else None
        if isinstance(team, SharedLearners) and ranks.leads:
            ranks.tell(None)
        elif isinstance(team, SharedLearners):
            follow(ranks, {"": team})
    finally:
        hook.remove()
    if ranks.several:
        scatter(weights.model)
    after = [whole(p.detach()).clone() for name in weights.names for p in weights.parameters(name)]
    return {"gradients": gradients, "before": before, "after": after, "result": result, "kinds": sorted(kinds)}


def update(team: PolicyLearners, count: int = 21, *, by_role: bool = False) -> dict[str, dict[str, Any]]:
    return {name: asdict(stats) for name, stats in team.update(samples(count, by_role=by_role), rng).items()}


def whole_model(ranks: Ranks) -> dict[str, Any]:
    return learned(WholeModel(gpt2()), ranks, update)


def half_precision(ranks: Ranks) -> dict[str, Any]:
    return learned(WholeModel(llama(torch.bfloat16)), ranks, update)


def fewer_micro_batches_than_processes(ranks: Ranks) -> dict[str, Any]:
    config = CONFIG.model_copy(update={"micro_batch_tokens": 4000})
    return learned(WholeModel(gpt2()), ranks, update, config)


def fewer_samples_than_steps(ranks: Ranks) -> dict[str, Any]:
    return learned(WholeModel(gpt2()), ranks, lambda team: update(team, 2))


def no_samples(ranks: Ranks) -> dict[str, Any]:
    return learned(WholeModel(gpt2()), ranks, lambda team: update(team, 0))


def computed_again(ranks: Ranks) -> dict[str, Any]:
    config = CONFIG.model_copy(update={"gradient_checkpointing": True})
    return learned(WholeModel(gpt2()), ranks, update, config)


def logits_in_parts(ranks: Ranks) -> dict[str, Any]:
    scoring.WHOLE_LOGITS, before = 23 * 20, scoring.WHOLE_LOGITS  # so that some micro-batches are large, others not
    try:
        return learned(WholeModel(gpt2()), ranks, update)
    finally:
        scoring.WHOLE_LOGITS = before


def reference_on_disk(ranks: Ranks) -> dict[str, Any]:
    config = CONFIG.model_copy(update={"kl": 0.3})
    with tempfile.TemporaryDirectory() as folder:
        initial = Shelf(list(gpt2().parameters()), Path(folder))
    model = gpt2()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)
    return learned(WholeModel(model, initial), ranks, update, config)


def _adapters(model: PreTrainedModel) -> LoraAdapters:
    names = ("proposer", "reviewer")
    return LoraAdapters(model, names, rank=3, alpha=6, targets="all-linear", seed=0)


def adapters(ranks: Ranks) -> dict[str, Any]:
    config = CONFIG.model_copy(update={"kl": 0.3})
    return learned(_adapters(llama()), ranks, lambda team: update(team, by_role=True), config)


def adapters_on_half_precision(ranks: Ranks) -> dict[str, Any]:
    return learned(_adapters(llama(torch.bfloat16)), ranks, lambda team: update(team, by_role=True))


def reviews_of_one_token(ranks: Ranks) -> dict[str, Any]:
    def work(team: PolicyLearners) -> dict[str, Any]:
        return {name: asdict(stats) for name, stats in team.update_verdicts(verdicts(), rng, epochs=2).items()}

    return learned(WholeModel(gpt2()), ranks, work)


def what_is_not_finite(ranks: Ranks) -> dict[str, Any]:
    """One sample of one process makes every minibatch's loss infinite."""
    spoilt = [replace(sample, advantage=float("inf")) for sample in samples()[:3]]

    def work(team: PolicyLearners) -> str:
        try:
            team.update(spoilt, rng)
        except TrainingDiverged as error:
            return str(error)
        return "nothing was refused"

    config = CONFIG.model_copy(update={"micro_batch_tokens": 1})
    return learned(WholeModel(gpt2()), ranks, work, config)


@torch.no_grad()
def _what_it_says(weights: Weights) -> torch.Tensor:
    """Logits of a row, from this process alone."""
    with weights.by_row([weights.names[-1]]):
        return weights.model(input_ids=torch.arange(2, 9).unsqueeze(0), use_cache=False).logits


def _keep(weights: Weights, ranks: Ranks, folder: Path) -> dict[str, Any]:
    def work(team: PolicyLearners) -> list[torch.Tensor]:
        update(team, by_role=len(weights.names) > 1)
        team.gather()
        texts = [_what_it_says(weights)]
        weights.save(folder)
        team.save(folder)
        texts.append(_what_it_says(weights))  # what is kept stays whole
        update(team, by_role=len(weights.names) > 1)
        team.gather()
        return [*texts, _what_it_says(weights)]

    for name in weights.names:
        weights.folder(folder, name).mkdir(parents=True, exist_ok=True)
    return learned(weights, ranks, work)


def kept(ranks: Ranks, folder: Path) -> dict[str, dict[str, Any]]:
    """Checkpoints in the midst of training, below ``folder``."""
    return {
        "whole": _keep(WholeModel(gpt2()), ranks, folder / "whole"),
        "adapters": _keep(_adapters(llama()), ranks, folder / "adapters"),
    }


def gone_on(ranks: Ranks, folder: Path) -> dict[str, dict[str, Any]]:
    """A further update of what ``kept`` wrote."""

    def work(team: PolicyLearners, checkpoint: Path) -> Any:
        team.load(checkpoint)
        return update(team, by_role=checkpoint.name == "adapters")

    whole_again = WholeModel(GPT2LMHeadModel.from_pretrained(folder / "whole", dtype=torch.float64).eval())
    adapters_again = _adapters(llama())
    adapters_again.load(folder / "adapters")
    return {
        "whole": learned(whole_again, ranks, lambda team: work(team, folder / "whole")),
        "adapters": learned(adapters_again, ranks, lambda team: work(team, folder / "adapters")),
    }


def other_weights(ranks: Ranks) -> str:
    """A process has loaded another model."""
    model = gpt2()
    if ranks.rank == 1:
        with torch.no_grad():
            model.transformer.ln_f.weight[3] += 1e-12
    try:
        shard_alike(model, ranks)
    except RunError as error:
        return str(error)
    return "nothing was refused"


def work_that_fails_elsewhere(ranks: Ranks) -> str:
    def work() -> None:
        if ranks.rank == 1:
            raise ConfigError("speakers.model: no such folder here")

    try:
        ranks.alike(work)
    except TracerError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was refused"


CASES = {
    case.__name__: case
    for case in (
        whole_model, half_precision, fewer_micro_batches_than_processes, fewer_samples_than_steps, no_samples,
        computed_again, logits_in_parts, reference_on_disk, adapters, adapters_on_half_precision, reviews_of_one_token,
        what_is_not_finite,
    )
}  # fmt: skip


def played(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Every case, by name; with the parts that this process holds of a sharded model."""
    results: dict[str, Any] = {name: case(ranks) for name, case in CASES.items()}
    results["kept"] = kept(ranks, folder / f"by_{ranks.size}")
    results["gone_on"] = gone_on(ranks, folder / "by_1")
    if ranks.several:
        results["other_weights"] = other_weights(ranks)
        results["work_that_fails_elsewhere"] = work_that_fails_elsewhere(ranks)
    model = gpt2()
    weights = WholeModel(model)
    learners(weights, ranks)
    parameters = list(model.parameters())
    results["parts"] = {
        "sharded": all(isinstance(parameter, DTensor) for parameter in parameters),
        "held": sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in parameters),
        "all": sum(parameter.numel() for parameter in parameters),
    }
    return results


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined() as ranks:
        torch.save(played(ranks, folder), folder / f"rank_{ranks.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
