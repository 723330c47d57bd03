"""A real SGLang server generates from the learner's policy: before and in training, and after it was killed."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from tracer_agents.build import TINY, build_backend
from tracer_agents.errors import ParityFailed
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.gate import require
from tracer_agents.generation.probe import PolicyProbe
from tracer_agents.generation.sglang.server import Server, running, watch
from tracer_agents.generation.sglang.wire import Worker
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent

pytestmark = [pytest.mark.sglang, pytest.mark.timeout(600)]

_PROXY = Path(__file__).with_name("lying_proxy.py")


def _requests(parts, count: int, *, temperature: float = 1.0, copies: int = 1) -> list[GenerationRequest]:
    """First proposals on training questions."""
    from tracer_agents.speakers.model import View
    from tracer_env.dialogue import Role

    questions = parts.task.draw("train", 0, count, seed=0)
    return [
        GenerationRequest(
            prompt_ids=parts.speakers.prompt_ids(
                View(role=Role.PROPOSER, question=question.text, solution=None, review=None, seed=0)
            ),
            seed=row,
            max_new_tokens=96,
            temperature=temperature,
        )
        for question in questions
        for row in range(copies)
    ]


def _differences(parts, generations, policy: str = "shared") -> np.ndarray:
    """|server's − learner's log-probability| of every token."""
    probe = PolicyProbe(parts.policy.weights, policy, parts.policy.tokenizer)
    scores = probe.score([(g.prompt_ids, g.output_ids) for g in generations], 1.0)
    return np.abs(
        [a - b for g, score in zip(generations, scores, strict=True) for a, b in zip(g.logps, score.logp, strict=True)]
    )


def test_the_gate_passes_every_check_that_applies_on_a_cpu(settings, built):
    config = settings()
    checks = built(config).gate()
    require(checks)
    assert [check.name for check in checks if check.status != "passed"] == ["adapter is applied"]


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        ("weights not swapped", "weights are swapped"),
        ("cache not flushed", "prefix cache is flushed"),
        ("wrong temperature", "log-probs at temperature 0.7"),
        ("repeated seed", "samples are diverse"),
        ("another tokenizer", "tokenizer"),
    ],
)
def test_the_gate_names_a_planted_failure(settings, built, server, lie, check):
    process = subprocess.Popen([sys.executable, str(_PROXY), server.spec.url, lie], stdout=subprocess.PIPE)
    try:
        port = int(process.stdout.readline())
        config = settings({"backend.url": f"http://127.0.0.1:{port}"})
        with pytest.raises(ParityFailed, match=f"training is refused.*{check}"):
            require(built(config).gate())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_greedy_tokens_and_sampled_log_probs_are_the_learners(settings, built):
    parts = built(settings())
    local = build_backend(settings({"backend.name": "transformers"}), parts.policy)
    greedy = _requests(parts, 24, temperature=0.0)
    same = [
        a.output_ids == b.output_ids
        for a, b in zip(parts.backend.generate(greedy), local.generate(greedy), strict=True)
    ]
    assert sum(same) >= 23  # a tie in the last bit may fall either way
    assert _differences(parts, parts.backend.generate(_requests(parts, 12, copies=4))).mean() <= 1e-4


def test_hundreds_of_completions_at_once(settings, built):
    parts = built(settings())
    generations = parts.backend.generate(_requests(parts, 48, copies=8))
    assert len(generations) == 384
    assert {generation.finish_reason for generation in generations} <= {"stop", "length"}


@pytest.mark.parametrize("way", ["disk", "tensor"])
def test_new_weights_arrive(settings, built, way):
    parts = built(settings({"backend.weights": way}))
    parts.backend.sync(0)
    with torch.no_grad():
        for parameter in parts.policy.model.parameters():
            parameter.mul_(1.1)
    requests = _requests(parts, 6)
    assert _differences(parts, parts.backend.generate(requests)).mean() > 1e-2
    parts.backend.sync(1)
    after = parts.backend.generate(requests)
    assert _differences(parts, after).mean() <= 1e-4
    assert {generation.policy_version for generation in after} == {1}


def test_ten_training_steps_with_a_sync_after_each(settings, tmp_path):
    run_training(settings(), tmp_path / "run", resume=False, display=Silent())
    rows = RunDirectory(tmp_path / "run").metrics()
    assert [row["policy_version"] for row in rows] == list(range(1, 11))
    assert max(row["gspo"]["engine_logp_difference_max"] for row in rows) <= 1e-3
    assert all(row["failed_questions"] == [] and row["failed_candidates"] == 0 for row in rows)


def test_a_server_killed_in_a_batch_comes_back_and_the_run_ends(spec, settings, tmp_path, monkeypatch):
    """kill -9 while prompts are in flight; the watcher starts a new server, which holds the old weights."""
    log = (tmp_path / "log.txt").open("wb")
    victim = Server(spec(), log)
    states = watch(victim, restarts=1)
    assert next(states).startswith("ready")
    seen: list[str] = []
    watcher = threading.Thread(target=lambda: seen.extend(next(states) for _ in range(2)))
    watcher.start()
    asked = []
    complete = Worker.complete

    def kill_at_the_hundredth(worker, order):
        asked.append(order)
        if len(asked) == 100:
            os.kill(victim.pid, signal.SIGKILL)
        return complete(worker, order)

    monkeypatch.setattr(Worker, "complete", kill_at_the_hundredth)
    config = settings({"backend.url": victim.spec.url, "trainer.steps": 4})
    try:
        run_training(config, tmp_path / "run", resume=False, display=Silent())
    finally:
        if victim.pid is not None and not seen:
            victim.kill()  # the run failed before the server was killed: let the watcher end
        watcher.join()
        victim.stop()
        log.close()
    assert [state.split(";")[0] for state in seen] == ["the server ended with status -9", f"ready at {victim.spec.url}"]
    rows = RunDirectory(tmp_path / "run").metrics()
    assert [row["policy_version"] for row in rows] == [1, 2, 3, 4]
    assert max(row["gspo"]["engine_logp_difference_max"] for row in rows) <= 1e-3
    assert all(row["questions"] + len(row["failed_questions"]) == 4 for row in rows)
    assert len(RunDirectory(tmp_path / "run").records()["after", "team"]) == 12


def test_adapters_on_two_servers(spec, server, settings, built, tmp_path):
    """A CPU server holds one policy, merged; each passes the gate, and answers its own policy's requests alone."""
    with (tmp_path / "log.txt").open("wb") as log, running(spec(TINY), log=log) as other:
        addresses = {"proposer": server.spec.url, "reviewer": other.spec.url}
        config = settings(
            {
                "speakers.policy": "per_role",
                "speakers.lora_rank": 4,
                "backend.url": None,
                "backend.urls": addresses,
            }
        )
        parts = built(config)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for policy in addresses:
                for factor in parts.policy.weights.parameters(policy):
                    factor.add_(0.05 * torch.randn(factor.shape, generator=generator))
        require(parts.gate())
        mixed = [replace(request, policy=policy) for request in _requests(parts, 8) for policy in addresses]
        generations = parts.backend.generate(mixed)
    assert _differences(parts, generations[0::2], "proposer").mean() <= 1e-4
    assert _differences(parts, generations[1::2], "reviewer").mean() <= 1e-4
    assert _differences(parts, generations[1::2], "proposer").mean() > 1e-2


def test_serve_stops_its_server_when_it_is_told_to(spec):
    wanted = spec()
    command = [sys.executable, "-m", "tracer_agents", "serve", "tiny", "--port", str(wanted.port)]
    process = subprocess.Popen([*command, "--python", str(wanted.python)], stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if "tracer serve: ready" in line:
                break
        assert httpx.get(f"{wanted.url}/model_info", trust_env=False).json()["weight_version"] == "default"
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read()
        assert process.wait() == 0
        assert "tracer serve: stopped" in log
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{wanted.url}/model_info", trust_env=False)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
