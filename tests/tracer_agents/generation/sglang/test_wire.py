"""Whatever a server answers becomes a checked completion or an engine fault, never another error."""

import json
import math
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer_agents.errors import EngineFault, GenerationFailed
from tracer_agents.generation.sglang.roster import listed_servers
from tracer_agents.generation.sglang.wire import Completion, Deadlines, Order, Worker

END, VOCABULARY = 1, 50
ORDER = Order(prompt_ids=(2, 3), copies=1, max_new_tokens=4, temperature=1.0, stops=(END,))


def worker(answer: bytes, status: int = 200) -> Worker:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=answer))
    return Worker("http://server", httpx.Client(transport=transport), Deadlines(), vocabulary=VOCABULARY)


def row(**changes: Any) -> dict[str, Any]:
    meta = {
        "output_token_logprobs": [[-0.5, 7, None], [-0.1, END, None]],
        "finish_reason": {"type": "stop", "matched": END},
        "weight_version": "v1",
        "cached_tokens": 2,
    }
    top = {name: value for name, value in changes.items() if name == "output_ids"}
    meta |= {name: value for name, value in changes.items() if name != "output_ids"}
    return {"output_ids": [7, END], "meta_info": meta, "text": "x"} | top


def complete(answer: Any) -> Completion | EngineFault:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    [completion] = worker(raw).complete(ORDER)
    return completion


def test_a_right_answer_is_read():
    expected = Completion(output_ids=(7, END), logps=(-0.5, -0.1), stopped=True, version="v1", cached_tokens=2)
    assert complete(row()) == expected
    assert complete([row()]) == expected


def with_token(token: Any) -> dict[str, Any]:
    return row(output_ids=[token, END], output_token_logprobs=[[-0.5, token, None], [-0.1, END, None]])


def with_logp(logp: Any) -> dict[str, Any]:
    return row(output_token_logprobs=[[logp, 7, None], [-0.1, END, None]])


@pytest.mark.parametrize("token", [-5, 10**12, 10**30, VOCABULARY, "7", 7.0, 7.5, True, None, [7], {}, math.nan])
def test_ids_that_the_model_does_not_have_are_faults(token):
    assert isinstance(complete(with_token(token)), EngineFault)


@pytest.mark.parametrize("logp", [3.0, 0.01, math.inf, -math.inf, math.nan, "-0.5", None, [-0.5], True, {}])
def test_log_probabilities_that_cannot_be_are_faults(logp):
    fault = complete(with_logp(logp))
    assert isinstance(fault, EngineFault)
    assert str(fault).startswith("http://server, stage 'generate': a completion is unusable: meta_info.output_token")


def test_a_log_probability_of_nearly_nothing_may_be_rounded_above_zero():
    assert isinstance(complete(with_logp(1e-6)), Completion)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 5000 + b"]" * 5000,
        b"9" * 100_000,
        b"\xff\xfe",
        b"",
        b"null",
        b"NaN",
        b'"\\ud800"',
        b"<html>busy</html>",
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_no_bytes_are_another_error(raw):
    tried = worker(raw)
    for ask in (
        lambda: tried.complete(ORDER),
        tried.version,
        tried.info,
        tried.context,
        lambda: tried.tokenize("x"),
        lambda: tried.load("/update", {}),
    ):
        try:
            answers = ask()
        except EngineFault:
            continue
        assert all(isinstance(answer, EngineFault) for answer in answers)
    assert listed_servers("http://server", tried._client, Deadlines()) is None


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(10**40)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def damaged(draw) -> Any:
    """A right answer with one thing in it replaced, dropped or repeated."""
    answer = row(weight_versions=[{"version": "v1", "from": 0}])
    node: Any = answer
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = draw(st.sampled_from(keys))
        child = node[key]
        if isinstance(child, dict | list) and child and draw(st.booleans()):
            node = child
            continue
        change = draw(st.sampled_from(["replace", "drop", "wrap"]))
        if change == "replace":
            node[key] = draw(JSON)
        elif change == "wrap":
            node[key] = [child]
        else:
            del node[key]
        return answer


def assert_sound(answer: Completion | EngineFault) -> None:
    if isinstance(answer, EngineFault):
        return
    assert len(answer.output_ids) == len(answer.logps) > 0
    assert all(type(token) is int and 0 <= token < VOCABULARY for token in answer.output_ids)
    assert all(type(logp) is float and math.isfinite(logp) and logp < 0.01 for logp in answer.logps)
    assert answer.cached_tokens >= 0


@settings(deadline=None, max_examples=300)
@given(answer=st.one_of(damaged(), JSON, st.lists(damaged(), max_size=2)))
def test_a_damaged_answer_is_a_fault_or_sound(answer):
    try:
        answers = worker(json.dumps(answer).encode()).complete(ORDER)
    except EngineFault:
        return
    for each in answers:
        assert_sound(each)


@settings(deadline=None, max_examples=200)
@given(answer=JSON, status=st.sampled_from([200, 200, 200, 204, 400, 404, 500, 503]))
def test_no_answer_to_anything_else_is_another_error(answer, status):
    tried = worker(json.dumps(answer).encode(), status)
    for ask in (tried.version, tried.info, tried.context, lambda: tried.tokenize("x"), lambda: tried.load("/u", {})):
        with suppress(GenerationFailed):
            ask()
    listed_servers("http://server", tried._client, Deadlines())


def test_a_routers_servers_are_addresses():
    for answer in ({"workers": [{"url": 5}]}, {"workers": 5}, {"workers": [None]}, {"urls": [1]}, {"urls": "ab"}):
        client = worker(json.dumps(answer).encode())._client
        assert listed_servers("http://router", client, Deadlines()) is None
