"""TRL's side of ``benchmarks.peers.trl``: one gradient of its ``GRPOTrainer``, in its own environment.

A script and no module of ours: it is run by the Python that has TRL and imports nothing of this repository. What TRL
samples is replaced, by its own ``rollout_func``, with recorded completions. Timed are its scoring of the completions
before the step, its loss and its backward pass; generation, rewards and the optimiser are not.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
import trl  # pyright: ignore[reportMissingImports]
from datasets import Dataset  # pyright: ignore[reportMissingImports]
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback


class _Clock:
    """CPU seconds of calls, those within calls counted once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = False

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, timed."""

        def run(*arguments: Any, **named: Any) -> Any:
            if self._inside:
                return call(*arguments, **named)
            self._inside, began = True, time.process_time()
            try:
                return call(*arguments, **named)
            finally:
                self._inside = False
                self.seconds += time.process_time() - began

        return run


class _Gradient(TrainerCallback):
    """Keeps the gradient of the first step."""

    def __init__(self) -> None:
        self.kept: torch.Tensor | None = None

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        if self.kept is None:
            gradients = {name: parameter.grad for name, parameter in named["model"].named_parameters()}
            self.kept = torch.cat([gradients[name].detach().flatten() for name in sorted(gradients)])


def _trainer(options: argparse.Namespace, groups: list[list[dict[str, Any]]], watch: _Gradient) -> Any:
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32, attn_implementation=options.kernel)
    size, rows = len(groups[0]), sum(map(len, groups))
    parts = rows // options.batch
    settings = trl.GRPOConfig(
        output_dir=str(options.gradient.parent / "trainer"),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=options.checkpointing,
        per_device_train_batch_size=options.batch,
        gradient_accumulation_steps=parts,
        steps_per_generation=parts,
        num_generations=size,
        num_iterations=2 if options.scored else 1,  # with 1, and one step per batch, TRL need not score beforehand
        max_steps=1,
        max_completion_length=max(len(row["output_ids"]) for group in groups for row in group),
        loss_type="grpo",
        importance_sampling_level="sequence" if options.loss == "gspo" else "token",
        epsilon=options.clip[0],
        epsilon_high=options.clip[1],
        beta=0.0,
        scale_rewards="none",
        max_grad_norm=0.0,  # none
        learning_rate=1e-12,
        shuffle_dataset=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    recorded: list[dict[str, Any]] = []

    def rollout(prompts: list[str], trainer: Any) -> dict[str, list[list[int]] | None]:
        taken = [0] * len(groups)
        recorded.clear()
        for prompt in prompts:
            recorded.append(groups[int(prompt)][taken[int(prompt)]])
            taken[int(prompt)] += 1
        return {
            "prompt_ids": [row["prompt_ids"] for row in recorded],
            "completion_ids": [row["output_ids"] for row in recorded],
            "logprobs": None,
        }

    return trl.GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **columns: [row["advantage"] for row in recorded],
        args=settings,
        train_dataset=Dataset.from_dict({"prompt": [str(number) for number in range(len(groups))]}),
        processing_class=AutoTokenizer.from_pretrained(options.tokenizer),
        rollout_func=rollout,
        callbacks=[watch],
    )


def main() -> int:
    """The script; the last line that it prints is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a folder")
    parser.add_argument("--tokenizer", required=True, help="a folder")
    parser.add_argument("--samples", type=Path, required=True, help="JSON: groups of samples")
    parser.add_argument("--gradient", type=Path, required=True, help="where the gradient goes")
    parser.add_argument("--loss", choices=("grpo", "gspo"), required=True)
    parser.add_argument("--clip", type=float, nargs=2, required=True)
    parser.add_argument("--batch", type=int, required=True, help="sequences in a forward pass")
    parser.add_argument("--kernel", choices=("sdpa", "eager"), required=True)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--scored", action="store_true", help="log-probabilities are computed before the step, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    groups = json.loads(options.samples.read_text("utf-8"))
    clock, watch = _Clock(), _Gradient()
    trainer = _trainer(options, groups, watch)
    for owner, name in ((trainer, "_get_per_token_logps_and_entropies"), (trainer, "compute_loss")):
        setattr(owner, name, clock.timed(getattr(owner, name)))
    trainer.accelerator.backward = clock.timed(trainer.accelerator.backward)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch.save(watch.kept, options.gradient)
    figures = {
        "seconds": clock.seconds,
        "tokens": sum(len(row["output_ids"]) for group in groups for row in group),
        "peak_bytes": peak * 1024,
        "peak_above_model_bytes": (peak - before) * 1024,
        "packages": {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__},
    }
    sys.stdout.write("\n" + json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
