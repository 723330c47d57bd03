"""The shipped fake."""

from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.scripted import ScriptedBackend


def ask(limit: int = 99, seed: int = 0) -> GenerationRequest:
    return GenerationRequest(prompt_ids=(1, 2), seed=seed, max_new_tokens=limit)


def test_says_what_the_script_says():
    backend = ScriptedBackend(script=lambda request: f"said {request.seed}")
    backend.sync(3)
    first, second = backend.generate([ask(seed=4), ask(seed=5)])
    assert (first.text, second.text) == ("said 4", "said 5")
    assert (first.prompt_ids, first.output_ids, first.finish_reason, first.policy_version) == (
        (1, 2),
        tuple(b"said 4"),
        "stop",
        3,
    )
    assert len(first.logps) == len(first.output_ids)
    assert backend.calls == [2]


def test_the_limit_cuts():
    [completion] = ScriptedBackend(script=lambda request: "abcdef").generate([ask(limit=4)])
    assert (completion.text, completion.output_ids, completion.finish_reason) == ("abcd", tuple(b"abcd"), "length")
