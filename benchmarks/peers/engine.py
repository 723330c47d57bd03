"""Our in-process engine beside transformers' ``generate`` in static batches: ``python -m benchmarks.peers.engine``.

Both complete the same prompts at temperature 1 with the same weights, one thread, and the same noise, so that the
completions should be the same and every token counts alike. ``generate`` gets its prompts sorted by length and a batch
runs to its longest row. Three workloads: *groups*, several candidates of each prompt, as training samples them;
*questions*, every prompt once, as evaluation plays them; and *shots*, the same behind a few questions with their
answers, which all prompts begin with. The limit of a row is drawn from four, the longest last.

Contenders take turns within every repeat, so that a busy machine slows both; figures are medians over the repeats, in
CPU time of this process. ``forward_share`` is the part of our decoding (all but the prompts' forward passes) that is
the model's own forward pass; ``forward_tokens_per_second`` is how fast that pass alone decodes, ended rows not counted.
``--sglang`` sets SGLang's CPU server beside our engine, too (``engine_sglang``).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessorList

from benchmarks.peers import engine_sglang
from benchmarks.peers.figures import publish, spread
from tracer_agents.build import TINY, Policy, load_policy
from tracer_agents.cli import status_of
from tracer_agents.config import load_config
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.decoding.prompts import padded
from tracer_agents.generation.decoding.sampling import RowNoise
from tracer_agents.generation.transformers import TransformersBackend
from tracer_env.seeding import token_uniforms
from tracer_env.tasks.arithmetic import Arithmetic

SCHEMA_VERSION = 1
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the longest limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One contender's pass over a workload; seconds are CPU time."""

    seconds: float
    completions: list[tuple[int, ...]]
    forward_seconds: float  # of single tokens
    prompt_seconds: float  # of prompts' forward passes
    slots: int  # rows that decoded, summed over steps

    @property
    def tokens(self) -> int:
        """Useful ones."""
        return sum(map(len, self.completions))


class _Watch:
    """Times the model's forward pass."""

    def __init__(self, model: Any) -> None:
        self._forward = model.forward
        self.prompt_seconds = self.forward_seconds = 0.0
        self.slots = 0

    def __call__(self, input_ids: torch.Tensor, **inputs: Any) -> Any:
        began = time.process_time()
        output = self._forward(input_ids=input_ids, **inputs)
        if input_ids.shape[1] == 1:
            self.forward_seconds += time.process_time() - began
            self.slots += len(input_ids)
        else:
            self.prompt_seconds += time.process_time() - began
        return output


def workload(
    policy: Policy, *, questions: int, candidates: int, longest: int, shots: int = 0
) -> list[GenerationRequest]:
    """``candidates`` requests for each of ``questions`` arithmetic questions, of mixed limits up to ``longest``.

    Each question comes after the same ``shots`` others with their answers.
    """
    examples = [
        message
        for question in Arithmetic().draw("train", questions, shots, seed=0)
        for message in (_message("user", question.text), _message("assistant", f"#### {question.gold}"))
    ]
    limits = np.random.default_rng(0).choice([max(1, round(longest * share)) for share in SHARES], questions)
    made = []
    for index, question in enumerate(Arithmetic().draw("train", 0, questions, seed=0)):
        shown = [*examples, _message("user", question.text)]
        text = str(policy.tokenizer.apply_chat_template(shown, add_generation_prompt=True, tokenize=False))
        ids = tuple(policy.tokenizer.encode(text, add_special_tokens=False))
        made += [
            GenerationRequest(prompt_ids=ids, seed=index * candidates + candidate, max_new_tokens=int(limits[index]))
            for candidate in range(candidates)
        ]
    return made


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def ours(policy: Policy, requests: Sequence[GenerationRequest], batch_size: int) -> list[tuple[int, ...]]:
    """Completions by our engine."""
    with TransformersBackend(
        policy.weights, policy.tokenizer, pad_id=policy.pad_id, stops=policy.stops, batch_size=batch_size
    ) as backend:
        return [generation.output_ids for generation in backend.generate(requests)]


def static(policy: Policy, requests: Sequence[GenerationRequest], batch_size: int) -> list[tuple[int, ...]]:
    """Completions by ``generate``, in batches of like limits and lengths."""
    order = sorted(range(len(requests)), key=lambda row: (requests[row].max_new_tokens, len(requests[row].prompt_ids)))
    made: dict[int, tuple[int, ...]] = {}
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        made |= zip(rows, _batch(policy, [requests[row] for row in rows]), strict=True)
    return [made[row] for row in range(len(requests))]


@torch.inference_mode()
def _batch(policy: Policy, batch: Sequence[GenerationRequest]) -> list[tuple[int, ...]]:
    width, steps = max(len(row.prompt_ids) for row in batch), max(row.max_new_tokens for row in batch)
    ids, mask = padded([row.prompt_ids for row in batch], width, policy.pad_id)
    uniforms = torch.from_numpy(np.stack([token_uniforms(row.seed, steps) for row in batch]))
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=steps,
        pad_token_id=policy.pad_id,
        eos_token_id=list(policy.stops),
        use_cache=True,
    )
    output = cast(Any, policy.weights.model).generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=config,
        logits_processor=LogitsProcessorList([RowNoise(uniforms, torch.ones(len(batch)))]),
    )
    return [_cut(row, request, policy) for row, request in zip(output[:, width:].tolist(), batch, strict=True)]


def _cut(row: list[int], request: GenerationRequest, policy: Policy) -> tuple[int, ...]:
    limit = row[: request.max_new_tokens]
    end = next((place for place, token in enumerate(limit, 1) if token in policy.stops), len(limit))
    return tuple(limit[:end])


CONTENDERS = {"ours": ours, "generate": static}


def run(name: str, policy: Policy, requests: Sequence[GenerationRequest], batch_size: int) -> Run:
    """One pass of a contender."""
    model: Any = policy.weights.model
    watch = _Watch(model)
    model.forward = watch
    try:
        began = time.process_time()
        completions = CONTENDERS[name](policy, requests, batch_size)
        seconds = time.process_time() - began
    finally:
        del model.forward  # the class's own again
    return Run(
        seconds=seconds,
        completions=completions,
        forward_seconds=watch.forward_seconds,
        prompt_seconds=watch.prompt_seconds,
        slots=watch.slots,
    )


def measure(policy: Policy, requests: Sequence[GenerationRequest], *, batch_size: int, repeats: int) -> dict[str, Any]:
    """Medians, spreads and the ratio on one workload."""
    runs: dict[str, list[Run]] = {name: [] for name in CONTENDERS}
    for name in CONTENDERS:
        run(name, policy, requests[: 2 * batch_size], batch_size)  # warm
    for _ in range(repeats):
        for name, kept in runs.items():
            kept.append(run(name, policy, requests, batch_size))
    pairs = list(zip(runs["ours"], runs["generate"], strict=True))
    first, other = pairs[0]
    same = sum(a == b for a, b in zip(first.completions, other.completions, strict=True))
    return {
        "requests": len(requests),
        "prompts": len({row.prompt_ids for row in requests}),
        "prompt_tokens": sum(len(row.prompt_ids) for row in requests),
        "tokens": first.tokens,
        "same_completions": same,
        "ratio": spread([(a.tokens / a.seconds) / (b.tokens / b.seconds) for a, b in pairs]),
    } | {name: _figures(kept) for name, kept in runs.items()}


def _figures(runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "tokens_per_second": spread([run.tokens / run.seconds for run in runs]),
        "forward_share": spread([run.forward_seconds / (run.seconds - run.prompt_seconds) for run in runs]),
        "forward_tokens_per_second": spread([run.slots / run.forward_seconds for run in runs]),
        "prompt_share": spread([run.prompt_seconds / run.seconds for run in runs]),
        "useful_slots": statistics.median(  # a row's first token comes with its prompt
            (run.tokens - len(run.completions)) / run.slots for run in runs
        ),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.engine", description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--model", default="tiny", help="tiny, or a folder with a chat model")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--questions", type=int, default=128)
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--shots", type=int, default=4, help="answered questions that prompts of *shots* begin with")
    parser.add_argument("--longest", type=int, default=80, help="the highest limit of new tokens")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sglang", type=Path, metavar="PYTHON", help="also SGLang's CPU server (make venv-sglang)")
    options = parser.parse_args(arguments)
    if min(options.questions, options.candidates, options.longest, options.batch_size, options.repeats) < 1:
        parser.error("all counts but --shots must be ≥ 1")
    if options.shots < 0:
        parser.error("--shots must be ≥ 0")
    if options.sglang and options.dtype != "float32":
        parser.error("--sglang: its CPU server computes in float32; drop --dtype")
    torch.set_num_threads(options.threads)
    settings = {"speakers.model": options.model, "speakers.dtype": options.dtype, "speakers.device": "cpu"}
    policy = load_policy(load_config(overrides=settings))
    packages = {name: version(name) for name in ("torch", "transformers")}
    chosen = {name: value for name, value in vars(options).items() if name not in {"json", "sglang"}}
    figures: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "packages": packages, "options": chosen}
    shapes = {
        "groups": (options.questions, options.candidates, 0),
        "questions": (options.questions * options.candidates, 1, 0),
        "shots": (options.questions * options.candidates, 1, options.shots),
    }
    work = {
        name: workload(policy, questions=shape[0], candidates=shape[1], longest=options.longest, shots=shots)
        for name, (*shape, shots) in shapes.items()
    }
    for name, requests in work.items():
        figures[name] = measure(policy, requests, batch_size=options.batch_size, repeats=options.repeats)
    if options.sglang:

        def ours(requests: Sequence[GenerationRequest]) -> float:
            taken = run("ours", policy, requests, options.batch_size)
            return taken.tokens / taken.seconds

        model = TINY if options.model == "tiny" else Path(options.model)
        figures["sglang"] = engine_sglang.measure(
            ours, work, model=model, python=options.sglang, repeats=options.repeats
        )
    publish(figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(status_of(main))
