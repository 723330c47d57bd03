"""What the client of SGLang servers makes of servers that misbehave: a real process at the other end each time."""

from dataclasses import replace

import numpy as np
import pytest

from tracer_agents.errors import GenerationFailed
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.decoding.choices import choose_among
from tracer_agents.generation.sglang.roster import Roster
from tracer_env.dialogue import FinishReason
from tracer_env.errors import ConfigError


def _requests(count: int = 12, *, policy: str = "shared") -> list[GenerationRequest]:
    """Every prompt three times."""
    return [
        GenerationRequest(prompt_ids=(2, 3, 4 + row // 3), seed=row, max_new_tokens=8, policy=policy)
        for row in range(count)
    ]


def _assert_true_samples(generations, requests, learner) -> None:
    """Each request has its own prompt's completion, with the learner's log-probabilities."""
    assert [g.prompt_ids for g in generations] == [r.prompt_ids for r in requests]
    for generation in generations:
        assert generation.finish_reason == ("stop" if generation.output_ids[-1] == 1 else "length")
        [score] = learner.score([(generation.prompt_ids, generation.output_ids)], 1.0)
        np.testing.assert_allclose(generation.logps, score.logp, atol=1e-12)


def test_completions_come_in_order_with_the_learners_log_probs_and_version(fleet, server, learner):
    backend = fleet({"shared": [server]})
    backend.sync(3)
    generations = backend.generate(_requests())
    _assert_true_samples(generations, _requests(), learner)
    assert {generation.policy_version for generation in generations} == {3}


def test_candidates_of_one_prompt_are_one_call(fleet, server):
    fleet({"shared": [server]}).generate(_requests(12))
    assert server.get("/calls")["calls"].count("/generate") == 4


@pytest.mark.parametrize("fault", ["error", "truncated", "nan", "refuse", "hang"])
def test_a_passing_fault_costs_no_completion(fleet, server, learner, fault):
    backend = fleet({"shared": [server]}, generate=1.0)
    backend.sync(1)
    server.plant(fault, times=2)
    generations = backend.generate(_requests())
    _assert_true_samples(generations, _requests(), learner)


@pytest.mark.parametrize("fault", ["error", "truncated", "refuse"])
def test_a_lasting_fault_ends_after_bounded_attempts_and_names_server_and_stage(fleet, server, fault):
    waits: list[float] = []
    backend = fleet({"shared": [server]}, sleep=waits.append)
    backend.sync(1)
    server.plant(fault)
    with pytest.raises(GenerationFailed, match=f"4 attempts.*{server.url}, stage 'generate'"):
        backend.generate(_requests(1))
    assert waits == [0.01, 0.02, 0.04]
    assert server.get("/calls")["calls"].count("/generate") == 4


def test_a_row_that_stays_unusable_is_returned_as_failed_and_the_others_are_kept(fleet, server, learner):
    backend = fleet({"shared": [server]})
    backend.sync(1)
    server.plant("nan", times=4)
    one_prompt = _requests(3)
    generations = backend.generate(one_prompt)  # the first row of every answer is flawed: 3, 1, 1, 1 rows are asked for
    kept = [generation for generation in generations if generation.finish_reason != FinishReason.FAILED]
    assert len(kept) == 2
    _assert_true_samples(kept, one_prompt[:2], learner)
    [failed] = [generation for generation in generations if generation.finish_reason == FinishReason.FAILED]
    assert (failed.output_ids, failed.logps, failed.text) == ((), (), "")


def test_a_refused_request_is_not_repeated(fleet, server):
    backend = fleet({"shared": [server]})
    backend.sync(1)
    server.plant("malformed")
    with pytest.raises(GenerationFailed, match=r"refused the request at stage 'generate'.*too long"):
        backend.generate(_requests(1))
    assert server.get("/calls")["calls"].count("/generate") == 1


def test_a_server_killed_in_a_batch_and_restarted_with_old_weights_gets_the_present_ones(fleet, server, learner):
    backend = fleet({"shared": [server]}, sleep=lambda _: server.alive or server.restart())
    backend.sync(5)
    server.plant("die", times=1)
    generations = backend.generate(_requests())
    _assert_true_samples(generations, _requests(), learner)
    assert {generation.policy_version for generation in generations} == {5}
    assert server.get("/model_info")["weight_version"].endswith("-v5")


def test_a_server_that_quietly_restarted_is_noticed_by_its_label(fleet, server, learner):
    backend = fleet({"shared": [server]})
    backend.sync(2)
    server.restart()  # between two batches; it answers, with the weights it was started with
    _assert_true_samples(backend.generate(_requests()), _requests(), learner)


def test_a_server_that_stays_dead_ends_the_batch(fleet, server):
    backend = fleet({"shared": [server]}, recover=0.0)
    backend.sync(1)
    server.plant("die", times=1)
    with pytest.raises(GenerationFailed, match="no completion came"):
        backend.generate(_requests())


def test_another_server_takes_over(fleet, doubles, learner):
    backend = fleet({"shared": doubles}, recover=0.0)
    backend.sync(1)
    doubles[1].plant("die", times=1)
    _assert_true_samples(backend.generate(_requests(30)), _requests(30), learner)
    assert not doubles[1].alive


def test_weights_go_to_every_server(fleet, doubles):
    fleet({"shared": doubles}).sync(4)
    assert [double.get("/model_info")["weight_version"].split("-")[-1] for double in doubles] == ["v4", "v4"]


def test_a_server_that_says_another_label_after_a_sync_stops_the_run(fleet, doubles):
    backend = fleet({"shared": doubles}, recover=0.0)
    doubles[1].plant("keeps label")
    with pytest.raises(GenerationFailed, match=f"version 1 did not reach every server: {doubles[1].url}.*'default'"):
        backend.sync(1)


def test_a_load_that_fails_once_is_repeated(fleet, server, learner):
    backend = fleet({"shared": [server]})
    server.plant("fails to load", times=1)
    backend.sync(1)
    _assert_true_samples(backend.generate(_requests()), _requests(), learner)


def test_nothing_is_accepted_from_weights_that_did_not_load(fleet, server):
    backend = fleet({"shared": [server]}, recover=0.0)
    server.plant("fails to load")
    with pytest.raises(GenerationFailed, match=r"stage 'sync'.*out of memory"):
        backend.sync(1)
    with pytest.raises(GenerationFailed, match="weights 'default' answered"):
        backend.generate(_requests())


def test_each_policy_is_asked_of_its_own_server(fleet, doubles):
    backend = fleet({"proposer": [doubles[0]], "reviewer": [doubles[1]]})
    backend.generate([*_requests(3, policy="proposer"), *_requests(6, policy="reviewer")])
    assert [double.get("/calls")["calls"].count("/generate") for double in doubles] == [1, 2]


def test_a_policy_without_a_server_is_named(fleet, server):
    with pytest.raises(GenerationFailed, match="no server for policy 'critic'"):
        fleet({"proposer": [server]}).generate(_requests(1, policy="critic"))


def test_a_server_that_joins_a_router_late_is_brought_up_to_date(fleet, doubles, server, learner):
    """It speaks from the next sync on, with the weights of that sync; one that has left is not given any."""
    other = doubles[1]
    other.post("/set", workers=[other.url])  # a router's list, which is asked of one of the doubles
    server.post("/set", workers=[other.url])
    backend = fleet({"shared": [server]})
    backend.sync(1)
    backend.generate(_requests())
    assert (server.get("/model_info")["weight_version"], server.get("/calls")["calls"].count("/generate")) == (
        "default",
        0,
    )
    server.post("/set", workers=[other.url, server.url])
    backend.generate(_requests())
    assert server.get("/calls")["calls"].count("/generate") == 0  # not before it has the weights
    learner.weights = learner.weights * 1.1
    backend.sync(2)
    assert server.get("/model_info") == other.get("/model_info") == {"weight_version": backend._label}
    _assert_true_samples(backend.generate(_requests()), _requests(), learner)
    assert server.get("/calls")["calls"].count("/generate") > 0
    server.post("/set", workers=[server.url])
    backend.sync(3)
    assert other.get("/model_info") != server.get("/model_info") == {"weight_version": backend._label}


def test_a_server_that_joins_before_it_is_ready_is_left_out_until_it_is(fleet, doubles, server):
    other = doubles[1]
    server.post("/set", workers=[server.url, other.url])
    other.plant("unready", 1)
    backend = fleet({"shared": [server]})
    assert len(backend.policies["shared"].workers) == 2  # who is there from the beginning is waited for
    server.post("/set", workers=[server.url])
    backend.sync(1)
    server.post("/set", workers=[server.url, other.url])
    backend.sync(2)
    assert [worker.url for worker in backend.policies["shared"].workers] == [server.url]
    backend.sync(3)
    assert [worker.url for worker in backend.policies["shared"].workers] == [server.url, other.url]


def test_a_router_without_a_server_is_said_to_be_one():
    with pytest.raises(ConfigError, match=r"the router at http://127.*has no server yet; wait"):
        Roster(["http://127.0.0.1:9"], lambda _: [], lambda url: pytest.fail(url))


def test_a_router_that_goes_away_or_lists_nobody_changes_nothing(fleet, doubles, server):
    other = doubles[1]
    other.post("/set", workers=[server.url])
    backend = fleet({"shared": [other]})
    for silence in (lambda: other.post("/set", workers=[]), other.stop):
        silence()
        backend.sync(1)
        assert [worker.url for worker in backend.policies["shared"].workers] == [server.url]
    other.start()


def test_each_policy_speaks_with_its_own_adapter(adapters):
    backend, learners = adapters({"proposer": 0.9, "reviewer": 1.4})
    for version in (1, 2):
        backend.sync(version)
        requests = [request for policy in learners for request in _requests(6, policy=policy)]
        generations = backend.generate(requests)
        for index, learner in enumerate(learners.values()):
            rows = slice(6 * index, 6 * index + 6)
            _assert_true_samples(generations[rows], requests[rows], learner)
        assert {generation.policy_version for generation in generations} == {version}
        for learner in learners.values():
            learner.weights = learner.weights[::-1]


def test_adapters_that_were_loaded_half_way_are_loaded_again(adapters, server):
    backend, learners = adapters({"proposer": 0.9, "reviewer": 1.4})
    server.plant("fails half-way", times=1)
    backend.sync(1)
    assert server.get("/calls")["adapters"] == [f"{backend._label}-{policy}" for policy in learners]
    requests = _requests(3, policy="reviewer")
    _assert_true_samples(backend.generate(requests), requests, learners["reviewer"])


def test_one_refused_prompt_costs_its_own_rows_alone(fleet, server, learner):
    backend = fleet({"shared": [server]})
    backend.sync(1)
    server.plant("malformed", times=1)
    requests = _requests(12)
    generations = backend.generate(requests)
    kept = [row for row, generation in enumerate(generations) if generation.finish_reason is not FinishReason.FAILED]
    assert len(kept) == 9
    _assert_true_samples([generations[row] for row in kept], [requests[row] for row in kept], learner)


def test_the_shortest_context_of_the_servers_is_known(fleet, doubles):
    assert fleet({"shared": doubles}).context is None  # neither says one
    doubles[0].post("/set", context_length=4096)
    doubles[1].post("/set", context_length=None, max_req_input_len=1018)
    assert fleet({"shared": doubles}).context == 1018


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_choices_are_sampled_from_their_seeds_and_a_prompt_is_asked_once(fleet, server, learner, temperature):
    """As the engine in this process does it: the server's own sample has no say."""
    requests = [replace(each, choices=(5, 9, 2), temperature=temperature) for each in _requests(12)]
    generations = fleet({"shared": [server]}).generate(requests)
    assert server.get("/calls")["calls"].count("/generate") == 4
    for generation, request in zip(generations, requests, strict=True):
        logps = [learner.score([(request.prompt_ids, (token,))], 1.0)[0].logp[0] for token in request.choices]
        assert generation.choice_logps == pytest.approx(logps)
        place, logp = choose_among(logps, request.seed, temperature)
        assert generation.output_ids == (request.choices[place],)
        assert generation.logps == pytest.approx((logp,))
        assert generation.finish_reason == "stop"


def test_an_answer_without_the_choices_is_asked_for_again(fleet, server):
    server.plant("no token log-probabilities", times=1)
    [generation] = fleet({"shared": [server]}).generate([replace(_requests(1)[0], choices=(5, 9))])
    assert len(generation.choice_logps) == 2
