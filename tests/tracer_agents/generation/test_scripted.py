"""The shipped fake."""

from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.scripted import ScriptedBackend


def ask(limit: int = 99, seed: int = 0) -> GenerationRequest:
    return GenerationRequest(prompt_ids=(1, 2), seed=seed, max_new_tokens=limit)


def test_says_what_the_script_says():
    backend = ScriptedBackend(script=lambda request: f"said {request.seed}")
    backend.sync(3)
    one, two = backend.generate([ask(seed=4), ask(seed=5)])
    assert (one.text, two.text) == ("said 4", "said 5")
    assert (one.prompt_ids, one.output_ids, one.finish_reason, one.policy_version) == (
        (1, 2),
        tuple(b"said 4"),
        "stop",
        3,
    )
    assert len(one.logps) == len(one.output_ids)
    assert backend.calls == [2]


def test_the_limit_cuts():
    [one] = ScriptedBackend(script=lambda request: "abcdef").generate([ask(limit=4)])
    assert (one.text, one.output_ids, one.finish_reason) == ("abcd", tuple(b"abcd"), "length")
