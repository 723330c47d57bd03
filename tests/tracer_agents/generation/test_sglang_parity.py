"""The parity gate passes an honest server and names exactly what a dishonest one does wrong."""

import pytest

from tracer_agents.errors import ParityFailed
from tracer_agents.generation.parity import require
from tracer_agents.generation.sglang_weights import AdapterWeights

PROMPTS = [(2, 3, 4), (5, 6, 7, 8)]


def _gate(backend, learner):
    return backend.gate(learner, PROMPTS, ["How many?"], max_new_tokens=24, temperatures=(1.0, 0.7), tolerance=1e-6)


def test_an_honest_server_passes_and_holds_the_true_weights_after(fleet, server, learner):
    backend = fleet({"shared": [server]})
    checks = _gate(backend, learner)
    require(checks)
    assert {check.status for check in checks if check.name != "adapter is applied"} == {"passed"}
    assert [check.status for check in checks if check.name == "adapter is applied"] == ["not applicable"]
    assert server.get("/model_info")["weight_version"] == backend._label


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("other tokenizer", "tokenizer"),
        ("keeps weights", "weights are swapped"),
        ("keeps cache", "prefix cache is flushed"),
        ("ignores temperature", "log-probs at temperature 0.7"),
        ("same seed", "samples are diverse"),
        ("keeps label", "weight label"),
    ],
)
def test_a_planted_failure_is_named(fleet, server, learner, fault, check):
    learner.weights = learner.weights / 0.9  # the server's own: only the swap tells that it keeps them
    server.plant(fault)
    with pytest.raises(ParityFailed, match=f"training is refused.*{check}"):
        require(_failing_gate(fleet({"shared": [server]}, recover=0.0), learner))


def _failing_gate(backend, learner):
    """The checks, without the sync that follows them: a lying server may fail that too."""
    backend.sync = lambda version: None
    return _gate(backend, learner)


def test_an_adapter_must_change_the_output(fleet, server, learner, tmp_path):
    server.post("/set", device="cuda")
    backend = fleet({"shared": [server]})
    [served] = backend.policies.values()
    weights = AdapterWeights(save=lambda folder: None, folder=tmp_path / "adapters")
    backend.policies["shared"] = type(served)(workers=served.workers, weights=weights)
    learner.weights = learner.weights / 0.9 * 1.5  # what the double makes of its weights under an adapter
    by_name = {check.name: check for check in _gate(backend, learner)}
    assert by_name["adapter is applied"].status == "passed"
    assert by_name["log-probs at temperature 1"].status == "passed"
    assert server.get("/calls")["adapters"] == [backend._label]  # the ones before were dropped
