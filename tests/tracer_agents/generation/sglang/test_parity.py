"""The parity gate passes an honest server and names exactly what a dishonest one does wrong."""

import pytest

from tracer_agents.errors import ParityFailed
from tracer_agents.generation.gate import Probes, require

PROMPTS = [(2, 3, 4), (5, 6, 7, 8)]


def _gate(backend, learner):
    learners = learner if isinstance(learner, dict) else dict.fromkeys(backend.policies, learner)
    probes = Probes(prompts=PROMPTS, texts=["How many?"], max_new_tokens=24, temperatures=(1.0, 0.7), tolerance=1e-6)
    return backend.gate(learners, probes)


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


def test_adapters_on_one_server_pass_one_by_one(adapters, server):
    backend, learners = adapters({"proposer": 0.9, "reviewer": 1.2})
    checks = _gate(backend, learners)
    require(checks)
    assert [check.status for check in checks if check.name == "adapter is applied"] == ["passed", "passed"]
    assert {check.status for check in checks} == {"passed"}
    names = [f"{backend._label}-{policy}" for policy in learners]
    assert server.get("/calls")["adapters"] == names  # the ones before were dropped


def test_an_untrained_adapter_is_told_from_one_that_is_ignored(adapters, server):
    """At first adapters change nothing; the gate looks at them under other weights."""
    backend, learners = adapters({"proposer": 1.0})
    require(_gate(backend, learners))
    server.plant("ignores adapters")
    with pytest.raises(ParityFailed, match=r"adapter is applied: log-probabilities move by 0, needed more"):
        require(_gate(backend, learners))
