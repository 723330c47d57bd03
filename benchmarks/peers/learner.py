"""What the learner's two savings bring: ``python -m benchmarks.peers.learner --json FILE``.

A random Llama of about 50 million parameters with 152k tokens (or the embedded model) takes the gradient of one
minibatch of groups, once with the plain pass and once with logits in parts and prompts computed once. Each takes its
turn in a process of its own, one thread, so that its peak memory is its own; figures are medians over the repeats, in
CPU time of the scoring and the backward pass. ``gradient_difference`` is the norm of the difference over the plain
gradient's.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.peers.figures import publish, spread
from tracer_agents.build import TINY
from tracer_agents.cli import status_of
from tracer_agents.config import GSPOConfig, ObjectiveName
from tracer_agents.generation.weights import WholeModel
from tracer_agents.learners import batches, scoring
from tracer_agents.learners.backward import learning
from tracer_agents.learners.batches import Sample
from tracer_agents.learners.policy import GSPOLearner
from tracer_env.dialogue import Role

SCHEMA_VERSION = 1
WAYS = ("plain", "spared")
NEVER = 10**12


def random_model(name: str) -> Any:
    """The embedded model (``tiny``) or a random Llama (``50m``), in evaluation mode, float32."""
    if name == "tiny":
        return AutoModelForCausalLM.from_pretrained(str(TINY)).eval()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=151_936,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=12,
        num_attention_heads=8,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return AutoModelForCausalLM.from_config(config).eval()


def random_samples(options: argparse.Namespace, vocabulary: int) -> list[Sample]:
    """``groups`` of ``size`` completions, lengths drawn from the two ranges."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(options.groups):
        prompt = tuple(rng.integers(2, vocabulary, rng.integers(*options.prompt)).tolist())
        for place in range(options.size):
            length = int(rng.integers(*options.completion))
            output = tuple(rng.integers(2, vocabulary, length).tolist())
            sample = Sample(
                prompt_ids=prompt,
                output_ids=output,
                logps_engine=(0.0,) * length,
                role=Role.PROPOSER,
                advantage=(-1.0) ** place,
            )
            made.append(sample)
    return made


def _measured(options: argparse.Namespace) -> None:
    """One way in this process: prints its figures, and keeps its gradient in a file."""
    torch.set_num_threads(1)
    if options.way == "plain":
        scoring.WHOLE_LOGITS, batches.LONG_PROMPT = NEVER, NEVER
    model = random_model(options.model)
    figures, gradient = gradient_of(model, random_samples(options, model.config.vocab_size), options.micro_batch_tokens)
    torch.save(gradient, options.gradient)
    print(json.dumps(figures))


def gradient_of(
    model: Any,
    samples: Sequence[Sample],
    micro_batch_tokens: int,
    loss: ObjectiveName = "gspo",
    *,
    scored: bool = True,
) -> tuple[dict[str, float], torch.Tensor]:
    """What a step of our learner costs in this process, and its gradient, parameters in the order of their names.

    With ``scored`` the samples' log-probabilities are computed before, as where a batch is several steps.
    """
    # Weights that stay as they are, and a gradient that is not scaled down: it is what is measured.
    config = GSPOConfig(
        loss=loss,
        optimiser_steps=1,
        learning_rate=1e-12,
        max_gradient_norm=1e12,
        micro_batch_tokens=micro_batch_tokens,
    )
    weights = WholeModel(model)
    learner = GSPOLearner(weights, pad_id=0, config=config)
    kept: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        parameter.register_post_accumulate_grad_hook(
            lambda tensor, name=name: kept.__setitem__(name, tensor.grad.detach())
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    if scored:
        [minibatch] = learner.minibatches(samples, np.random.default_rng(0))
        shares = any(batch.prompts is not None for batch in minibatch.batches)
        with torch.no_grad(), learning(weights, "shared", config, shares_prompts=shares):
            for batch in minibatch.batches:
                learner.logps(batch)
    stats = learner.update(samples, np.random.default_rng(0))
    seconds = time.process_time() - began
    gradient = torch.cat([kept[name].flatten() for name in sorted(kept)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "seconds": seconds,
        "tokens": stats.tokens,
        "peak_bytes": peak * 1024,
        "peak_above_model_bytes": (peak - before) * 1024,
    }
    return figures, gradient


def measure(options: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    """Medians, ratios and the gradients' difference."""
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        files = {way: Path(folder) / way for way in WAYS}
        for _ in range(options.repeats):
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.peers.learner", *arguments]
                command += ["--way", way, "--gradient", str(files[way])]
                ran = subprocess.run(command, capture_output=True, text=True, check=True)
                runs[way].append(json.loads(ran.stdout.splitlines()[-1]))
        plain, spared = (torch.load(files[way], weights_only=True) for way in WAYS)
    speeds = {way: [run["tokens"] / run["seconds"] for run in kept] for way, kept in runs.items()}
    peaks = {way: [run["peak_bytes"] for run in kept] for way, kept in runs.items()}
    return {
        "tokens_per_second": {way: spread(values) for way, values in speeds.items()},
        "peak_bytes": {way: spread(values) for way, values in peaks.items()},
        "peak_above_model_bytes": {
            way: spread([run["peak_above_model_bytes"] for run in kept]) for way, kept in runs.items()
        },
        "tokens_per_second_ratio": spread([b / a for a, b in zip(*speeds.values(), strict=True)]),
        "peak_memory_ratio": spread([b / a for a, b in zip(*peaks.values(), strict=True)]),
        "gradient_difference": float((spared - plain).norm() / plain.norm()),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.learner", description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--model", default="50m", choices=("50m", "tiny"))
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--size", type=int, default=8, help="completions in a group")
    parser.add_argument(
        "--prompt", type=int, nargs=2, default=(256, 513), help="lengths: least, and one above the most"
    )
    parser.add_argument("--completion", type=int, nargs=2, default=(64, 129), help="the same of completions")
    parser.add_argument("--micro-batch-tokens", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--gradient", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    if options.way:
        _measured(options)
        return 0
    passed = [str(part) for part in given]
    chosen = {name: value for name, value in vars(options).items() if name not in {"json", "way", "gradient"}}
    figures = {"schema_version": SCHEMA_VERSION, "torch": torch.__version__, "options": chosen}
    figures |= measure(options, passed)
    publish(figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(status_of(main))
