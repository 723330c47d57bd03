"""A real pretrained model behind a real server: SmolLM2-135M-Instruct generates there what the learner scores.

The server is started for this module alone, with a short context. In plain torch on a CPU a token takes a tenth of a
second and the gate asks for about a hundred completions, so they are short.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tracer_agents.build import Parts, build
from tracer_agents.config import load_config
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.gate import require
from tracer_agents.generation.probe import PolicyProbe
from tracer_agents.generation.sglang.server import running

pytestmark = [pytest.mark.sglang, pytest.mark.timeout(900)]

TOKENS = 4


@pytest.fixture(scope="module")
def parts(spec, smollm2, tmp_path_factory) -> Iterator[Parts]:
    served = replace(spec(smollm2), context_length=512, cache_tokens=1024)
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("wb") as file, running(served, log=file) as server:
        overrides = {
            "speakers.model": str(smollm2),
            "speakers.device": "cpu",
            "speakers.proposer_max_new_tokens": TOKENS,
            "speakers.reviewer_max_new_tokens": TOKENS,
            "backend.name": "sglang",
            "backend.url": server.spec.url,
        }
        with build(load_config(overrides=overrides)) as made:
            yield made


def test_the_gate_passes_every_check_that_applies_on_a_cpu(parts):
    checks = parts.gate()
    require(checks)
    assert [check.name for check in checks if check.status != "passed"] == ["adapter is applied"]


def test_the_server_says_what_the_learner_scores(parts):
    """Through the model's own chat template, tokens in and out."""
    prompt = parts.policy.chat.encode([{"role": "user", "content": "What is 2 + 2?"}])
    text = parts.policy.tokenizer.decode(prompt)
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    requests = [GenerationRequest(prompt_ids=prompt, seed=seed, max_new_tokens=TOKENS) for seed in range(2)]

    generations = parts.backend.generate(requests)

    probe = PolicyProbe(parts.policy.weights, "shared", parts.policy.tokenizer)
    scores = probe.score([(generation.prompt_ids, generation.output_ids) for generation in generations], 1.0)
    for generation, score in zip(generations, scores, strict=True):
        assert generation.prompt_ids == prompt
        assert 0 < len(generation.output_ids) <= TOKENS
        assert np.abs(np.subtract(generation.logps, score.logp)).max() < 1e-3
