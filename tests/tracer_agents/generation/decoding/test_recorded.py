"""The shipped model says, token by token, what it said when it was decoded in static batches by transformers.

``recorded_tokens.json`` holds a checksum per completion, made with ``generate`` on left-padded batches of 128 that ran
to their longest row, and the CDF summed in double precision. To record anew after the model has changed:
``python tests/tracer_agents/generation/decoding/test_recorded.py`` (it uses that same plain path).
"""

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from tracer_agents.build import TINY, load_policy
from tracer_agents.config import load_config
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.transformers import TransformersBackend
from tracer_env.seeding import token_uniforms
from tracer_env.tasks.arithmetic import Arithmetic

RECORDED = Path(__file__).parent / "recorded_tokens.json"
QUESTIONS, CANDIDATES = 210, 4
END = 1


def _policy() -> Any:
    return load_policy(load_config(overrides={"speakers.device": "cpu"}))


def _requests(tokenizer: Any) -> list[GenerationRequest]:
    """840 requests at temperature 1: four candidates for each of 210 questions, with limits of 8, 24, 64 and 80."""
    made = []
    for index, question in enumerate(Arithmetic().draw("train", 0, QUESTIONS, seed=16)):
        ids = tuple(tokenizer.encode(f"<|user|>{question.text}<|end|><|assistant|>", add_special_tokens=False))
        for candidate in range(CANDIDATES):
            limit = (8, 24, 64, 80)[(index + candidate) % 4]
            made.append(GenerationRequest(prompt_ids=ids, seed=7000 + 4 * index + candidate, max_new_tokens=limit))
    return made


def _checksums(completions: list[tuple[int, ...]]) -> list[str]:
    return [f"{zlib.crc32(np.array(row, dtype='<i4').tobytes()):08x}" for row in completions]


def _digest(requests: list[GenerationRequest]) -> str:
    """Of model and prompts: what the recording depends on."""
    parts = [(TINY / "model.safetensors").read_bytes(), repr([row.prompt_ids for row in requests]).encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


@pytest.mark.parametrize("batch_size", [128, 48])
def test_completions_are_those_of_static_batches(batch_size):
    recorded = json.loads(RECORDED.read_text("utf-8"))
    policy = _policy()
    requests = _requests(policy.tokenizer)
    assert recorded["of"] == _digest(requests), "the shipped model or its prompts changed: record anew (see above)"
    asked = range(len(requests)) if batch_size == 128 else range(0, len(requests), 7)
    backend = TransformersBackend(policy.weights, policy.tokenizer, pad_id=policy.pad_id, batch_size=batch_size)
    got = _checksums([row.output_ids for row in backend.generate([requests[row] for row in asked])])
    assert [row for row, checksum in zip(asked, got, strict=True) if checksum != recorded["completions"][row]] == []


class _Plainly(LogitsProcessor):
    """Inverts the CDF in double precision."""

    def __init__(self, uniforms: torch.Tensor) -> None:
        self._uniforms, self._step = uniforms, 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        cdf = torch.log_softmax(scores.float(), -1).double().exp().cumsum(-1)
        target = self._uniforms[:, self._step, None] * cdf[:, -1:]
        self._step += 1
        token = torch.searchsorted(cdf, target, right=True).clamp_(max=scores.shape[-1] - 1)
        return cast(torch.FloatTensor, torch.full_like(scores, float("-inf")).scatter_(-1, token, 0.0))


@torch.inference_mode()
def _static(policy: Any, batch: list[GenerationRequest]) -> list[tuple[int, ...]]:
    width, steps = max(len(row.prompt_ids) for row in batch), max(row.max_new_tokens for row in batch)
    ids = torch.tensor([[policy.pad_id] * (width - len(row.prompt_ids)) + list(row.prompt_ids) for row in batch])
    mask = torch.tensor([[0] * (width - len(row.prompt_ids)) + [1] * len(row.prompt_ids) for row in batch])
    uniforms = torch.from_numpy(np.stack([token_uniforms(row.seed, steps) for row in batch]))
    config = GenerationConfig(
        do_sample=False, max_new_tokens=steps, pad_token_id=policy.pad_id, eos_token_id=END, use_cache=True
    )
    outputs = policy.model.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=config,
        logits_processor=LogitsProcessorList([_Plainly(uniforms)]),
    )[:, width:]
    cut = [row[: request.max_new_tokens] for row, request in zip(outputs.tolist(), batch, strict=True)]
    return [tuple(row[: row.index(END) + 1] if END in row else row) for row in cut]


if __name__ == "__main__":
    loaded = _policy()
    all_requests = _requests(loaded.tokenizer)
    order = sorted(range(len(all_requests)), key=lambda row: len(all_requests[row].prompt_ids))
    made: dict[int, tuple[int, ...]] = {}
    for start in range(0, len(order), 128):
        rows = order[start : start + 128]
        made |= zip(rows, _static(loaded, [all_requests[row] for row in rows]), strict=True)
    checksums = _checksums([made[row] for row in range(len(all_requests))])
    RECORDED.write_text(json.dumps({"of": _digest(all_requests), "completions": checksums}) + "\n", "utf-8")
