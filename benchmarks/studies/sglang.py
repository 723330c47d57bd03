"""Where a rollout's time goes over an SGLang server: ``python -m benchmarks.studies.sglang --url URL [--json FILE]``.

Three loads of the shipped model: the server's own maximum (one call with every prompt, no log-probabilities), the same
prompts through the backend, and the expansion of dialogue trees. Tokens are generated tokens; the hit rate is the share
of prompt tokens that came from the server's prefix cache.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tracer_agents.build import build_sglang, build_speakers, build_task, load_policy
from tracer_agents.cli import status_of
from tracer_agents.config import Config, load_config
from tracer_agents.errors import EngineFault
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.sglang.backend import SGLangBackend
from tracer_agents.generation.sglang.roster import Roster
from tracer_agents.generation.sglang.wire import Completion, Order, Worker
from tracer_agents.rollout.tree import expand
from tracer_agents.speakers.model import ModelSpeakers, view_of
from tracer_env.dialogue import Mode, initial, transition


class CountingWorker(Worker):
    """A worker that adds up what it sees."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker.url, worker._client, worker.deadlines)
        self.prompt = self.cached = self.generated = self.calls = 0

    def complete(self, order: Order) -> list[Completion | EngineFault]:
        """As ever, counted."""
        answers = super().complete(order)
        self.calls += 1
        for answer in answers:
            if isinstance(answer, Completion):
                self.prompt += len(order.prompt_ids)
                self.cached += answer.cached_tokens
                self.generated += len(answer.output_ids)
        return answers

    def measure(self, load: Callable[[], object]) -> dict[str, float]:
        """Runs a load and returns its figures."""
        before = self.prompt, self.cached, self.generated, self.calls
        start = time.perf_counter()
        load()
        seconds = time.perf_counter() - start
        prompt, cached, generated, calls = (
            now - then for now, then in zip((self.prompt, self.cached, self.generated, self.calls), before, strict=True)
        )
        return {
            "seconds": round(seconds, 2),
            "generated_tokens": generated,
            "tokens_per_second": round(generated / seconds, 1),
            "calls": calls,
            "prefix_cache_hit_rate": round(cached / prompt, 3),
        }


def measure(url: str, questions: int) -> dict[str, dict[str, float]]:
    """The figures of the three loads."""
    config = load_config(preset="demo", overrides={"backend.name": "sglang", "backend.url": url})
    policy, task = load_policy(config), build_task(config)
    with build_sglang(config, policy) as backend:
        speakers = build_speakers(config, policy, backend, task, temperature=1.0)
        return _measure(config, backend, speakers, questions)


def _measure(
    config: Config, backend: SGLangBackend, speakers: ModelSpeakers, questions: int
) -> dict[str, dict[str, float]]:
    served = backend.policies["shared"]
    worker = CountingWorker(served.workers[0])
    alone = Roster([worker.url], lambda _: None, lambda _: worker)
    backend.policies["shared"] = type(served)(roster=alone, weights=served.weights)
    backend.sync(0)
    rules = config.rules
    episodes = draw_episodes(speakers.task, "train", 0, questions, seed=0, phase="benchmark")
    starts = [transition(initial(rules, episode.question.text), Mode.SPEAK) for episode in episodes]
    prompts = [speakers.prompt_ids(view_of(start, 0)) for start in starts]
    limit = config.limits.proposer
    requests = [GenerationRequest(prompt_ids=ids, seed=0, max_new_tokens=limit) for ids in prompts for _ in range(8)]
    figures = {"server_alone": _server_alone(worker, prompts, limit)}
    backend.sync(0)
    figures["backend"] = worker.measure(lambda: backend.generate(requests))
    backend.sync(0)
    figures["trees"] = worker.measure(lambda: expand(episodes, rules, speakers, speakers.task.grade))
    return figures


def _server_alone(worker: Worker, prompts: list[tuple[int, ...]], limit: int) -> dict[str, float]:
    body = {
        "input_ids": [list(ids) for ids in prompts for _ in range(8)],
        "sampling_params": {"temperature": 1.0, "max_new_tokens": limit},
    }
    start = time.perf_counter()
    rows = httpx.post(f"{worker.url}/generate", json=body, timeout=600, trust_env=False).json()
    seconds = time.perf_counter() - start
    tokens = sum(row["meta_info"]["completion_tokens"] for row in rows)
    return {
        "seconds": round(seconds, 2),
        "generated_tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        "calls": 1,
    }


def main() -> None:
    """Prints the figures, and writes them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", required=True, help="a server that holds the shipped model")
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments.url, arguments.questions), indent=2)
    sys.stdout.write(text + "\n")
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(status_of(main))
