"""A server that misbehaves: what is asked for again, what is only missing, and what ends the work at once."""

from dataclasses import replace

import pytest

from tracer_agents.build.remote import read_key
from tracer_agents.errors import GenerationFailed
from tracer_agents.generation.openai.orders import ChatCompletion, ChatRequest
from tracer_env.dialogue import FinishReason
from tracer_env.errors import ConfigError

REQUEST = ChatRequest.of([{"role": "user", "content": "one two three"}], seed=1, max_new_tokens=16)
WORD = replace(REQUEST, max_new_tokens=1, likeliest=20)
SAID = "you said one two three"


def test_a_request_is_worded_as_the_settings_say(connect, server):
    connect(wording={"limit_field": "max_completion_tokens", "body": {"top_p": 0.9, "seed": None}}).complete([REQUEST])
    assert server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "one two three"}],
            "max_completion_tokens": 16,
            "temperature": 1.0,
            "logprobs": True,
            "top_p": 0.9,
            "stream": False,
        }
    ]


def test_retry_after_is_honoured(connect, server, waits):
    server.plant("429", "429")
    assert connect().complete([REQUEST])[0].text == SAID
    assert waits == [7.0, 7.0]


def test_without_retry_after_the_wait_grows(connect, server, waits):
    server.plant("500", "500", "500")
    assert connect().complete([REQUEST])[0].text == SAID
    assert 0.375 <= waits[0] <= 0.5 < 0.75 <= waits[1] <= 1 < 1.5 <= waits[2] <= 2


@pytest.mark.parametrize("fault", ["cut", "no json", "no choices", "no finish", "wrong model", "500", "429"])
def test_an_unusable_answer_is_asked_for_again(connect, server, fault):
    server.plant(fault)
    assert connect().complete([REQUEST])[0].text == SAID
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("cut", "no answer"),
        ("no json", "not JSON: <html>gateway"),
        ("no choices", "choices"),
        ("no finish", "neither 'stop' nor 'length'"),
        ("wrong model", "model 'm-mini' answered instead of 'm'; .*backend.served_name"),
        ("500", "status 500: oops"),
        ("429 for an hour", "status 429: slow down"),
    ],
)
def test_attempts_are_bounded_and_the_fault_is_named(connect, server, fault, message):
    server.plant(*[fault] * 9)
    with pytest.raises(GenerationFailed, match=message):
        connect(attempts=3).complete([REQUEST])
    assert len(server.bodies) == (1 if "hour" in fault else 3)  # nobody waits for an hour


def test_mixed_faults_share_the_attempts(connect, server):
    server.plant("500", "no choices", "no json", "500", "none")
    with pytest.raises(GenerationFailed, match=r"status 500"):
        connect(attempts=4).complete([REQUEST])
    assert len(server.bodies) == 4


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_an_attempt_has_a_deadline_as_a_whole(connect, server, fault):
    server.plant(fault, fault)
    with pytest.raises(GenerationFailed, match=r"no answer.*0.2 s"):
        connect(attempts=2, generate_seconds=0.2).complete([REQUEST])
    assert len(server.bodies) == 2


def test_a_server_that_is_not_there_is_named(connect, server):
    client = connect(attempts=2, wording={})
    server.__exit__()
    with pytest.raises(GenerationFailed, match=r"http://127.0.0.1:\d+/v1, model 'm': no answer \(ConnectError"):
        client.complete([REQUEST])


# settings that no request can succeed with


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("400", "logprobs are not supported.*backend.logprobs"),
        ("404", r"speakers.model, backend.url: .*has no chat completions of 'm' \(404: no model m\)"),
        ("redirect", "backend.url: .* redirects"),
    ],
)
def test_a_wrong_setting_ends_the_work_at_once(connect, server, fault, message):
    server.plant(*[fault] * 50)
    with pytest.raises(ConfigError, match=message):
        connect(connections=1).complete([REQUEST] + [ChatRequest.of([], seed=i, max_new_tokens=4) for i in range(40)])
    assert len(server.bodies) == 1


def test_an_empty_account_ends_the_work(connect, server):
    server.plant(*["no credit"] * 4)
    with pytest.raises(GenerationFailed, match=r"the account has no credit left.*pay first"):
        connect(connections=1).complete([REQUEST, ChatRequest.of([], seed=2, max_new_tokens=4)])
    assert len(server.bodies) == 4


def test_a_key_that_is_refused_is_not_shown(connect, server):
    server.wants_key = True
    with pytest.raises(ConfigError, match=r"backend.api_key_env: .*401: no such key; the key in MY_KEY") as caught:
        connect(api_key="sk-wrong-0123456789", api_key_env="MY_KEY").complete([REQUEST])
    assert "sk-wrong" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(ConfigError, match=r"it wants a key: name the environment variable"):
        connect().complete([REQUEST])


# the key


def test_the_key_is_sent_and_a_server_without_keys_gets_none_of_ours(connect, server, doubles, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-from-the-environment")
    connect().complete([REQUEST])
    server.wants_key = True
    connect(api_key=doubles.KEY, folder="other").complete([REQUEST])
    assert [headers["authorization"] for headers in server.headers] == ["Bearer none", f"Bearer {doubles.KEY}"]
    assert "from-the-environment" not in str(server.headers)


def test_a_key_that_the_server_repeats_reaches_no_error_text_or_file(connect, server, doubles, tmp_path):
    client = connect(api_key=doubles.KEY)
    server.plant("key in an error")
    with pytest.raises(ConfigError, match=r"bad key \[api key\]") as caught:
        client.complete([REQUEST])
    server.plant("key in a text")
    assert client.complete([REQUEST])[0].text == "the key is [api key]"
    assert doubles.KEY not in f"{caught.value!r} {caught.value.__cause__!r} {client.access!r}"
    assert all(doubles.KEY.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_key_comes_from_the_variable_that_is_named(monkeypatch):
    monkeypatch.setenv("MY_KEY", " sk-0123456789\n")
    assert read_key("MY_KEY") == "sk-0123456789"
    assert read_key(None) is None
    monkeypatch.setenv("MY_KEY", "sk-01234 56789")
    with pytest.raises(ConfigError, match=r"MY_KEY holds characters that no key has") as caught:
        read_key("MY_KEY")
    assert "01234" not in str(caught.value)
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(ConfigError, match=r"backend.api_key_env: the environment variable MY_KEY is not set"):
        read_key("MY_KEY")


# what is only missing, or only of one prompt


@pytest.mark.parametrize("fault", ["no usage", "odd usage"])
def test_tokens_that_were_not_counted_are_estimated_and_said_to_be(connect, server, fault):
    client = connect()
    server.plant(fault)
    completion = client.complete([REQUEST])[0]
    assert not completion.counted
    assert completion.generated_tokens == 5  # as many as there are log-probabilities
    assert completion.prompt_tokens == 4 + 8  # thirteen bytes, and what a template adds
    assert client.spending.uncounted == 1


def test_without_log_probabilities_a_cut_text_counts_as_the_limit(connect, server, doubles):
    server.say = lambda body: doubles.answer_for(
        body, "", usage=None, choices=[{"message": {"content": "abcd efgh"}, "finish_reason": "length"}]
    )
    assert connect().complete([REQUEST])[0].generated_tokens == 16


@pytest.mark.parametrize("fault", ["no logprobs", "odd logprobs"])
def test_log_probabilities_are_used_only_where_they_can_be_trusted(connect, server, fault):
    server.plant(fault)
    completion = connect().complete([REQUEST])[0]
    assert (completion.text, completion.logps, completion.counted) == (SAID, None, True)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_thought_is_no_part_of_the_text_and_its_tokens_count(connect, server, doubles, field):
    message = {"role": "assistant", "content": "#### 7", field: "perhaps #### 9"}
    logprobs = {"content": [{"token": "a", "logprob": -1.0}] * 40}
    server.say = lambda body: doubles.answer_for(
        body,
        "",
        choices=[{"message": message, "finish_reason": "stop", "logprobs": logprobs}],
        usage={"prompt_tokens": 9, "completion_tokens": 40},
    )
    completion = connect().complete([REQUEST])[0]
    assert (completion.text, completion.generated_tokens, completion.logps) == ("#### 7", 40, None)


def test_a_thought_that_never_ended_says_nothing(connect, server, doubles):
    message = {"content": None, "reasoning_content": "so #### 9"}
    server.say = lambda body: doubles.answer_for(body, "", choices=[{"message": message, "finish_reason": "length"}])
    completion = connect().complete([REQUEST])[0]
    assert (completion.text, completion.finish_reason) == ("", FinishReason.LENGTH)


def test_a_dated_version_is_the_model(connect, server):
    server.plant("dated model")
    assert connect().complete([REQUEST])[0].text == SAID


def test_a_model_may_be_served_under_another_name(connect, server):
    server.plant("wrong model")
    assert connect(served_name="m-mini").complete([REQUEST])[0].text == SAID
    assert len(server.bodies) == 1


def test_a_prompt_beyond_the_context_costs_itself_alone(connect, server):
    server.plant("too long")
    other = ChatRequest.of([{"role": "user", "content": "x"}], seed=1, max_new_tokens=16)
    completions = connect(connections=1).complete([REQUEST, other])
    assert [c.finish_reason for c in completions] == [FinishReason.TOO_LONG, FinishReason.STOP]


def test_a_prompt_that_the_provider_refuses_costs_itself_alone(connect, server):
    others = [ChatRequest.of([{"role": "user", "content": c}], seed=1, max_new_tokens=16) for c in "xy"]
    server.plant("refused", "none", "400")
    completions = connect(connections=1).complete([REQUEST, *others])
    assert [c.finish_reason for c in completions] == [FinishReason.FAILED, FinishReason.STOP, FinishReason.FAILED]


def test_a_server_is_examined_with_one_request_that_is_paid_for_once(connect, server):
    first, again = connect().examine(REQUEST), connect().examine(REQUEST)
    assert first == again
    assert first.models == ["m"]
    assert len(server.bodies) == 1


# the likeliest tokens of a review of one word


def listing(doubles, top):
    """Says Yes, and lists tokens in its place."""

    def say(body):
        first = {"token": "Yes", "logprob": -0.5, "top_logprobs": top}
        message = {"role": "assistant", "content": "Yes"}
        choice = {"message": message, "finish_reason": "length", "logprobs": {"content": [first]}}
        return doubles.answer_for(body, "Yes", choices=[choice])

    return say


TOP = [{"token": "Yes", "logprob": -0.5, "bytes": [89]}, {"token": " no", "logprob": -1.0}]


def test_the_likeliest_first_tokens_are_asked_for_and_kept(connect, server, doubles):
    server.say = listing(doubles, TOP)
    [completion] = connect().complete([WORD])
    assert completion.likeliest == (("Yes", -0.5), (" no", -1.0))
    assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 20)
    assert connect().complete([WORD]) == [completion]
    assert len(server.bodies) == 1


@pytest.mark.parametrize("wording", [{"logprobs": False}, {"body": {"logprobs": None}}])
def test_without_log_probabilities_none_are_asked_for(connect, server, doubles, wording):
    server.say = listing(doubles, None)
    [completion] = connect(wording=wording).complete([WORD])
    assert (completion.text, completion.likeliest) == ("Yes", None)
    assert not {"logprobs", "top_logprobs"} & server.bodies[0].keys()


@pytest.mark.parametrize(
    "top",
    [
        [],
        None,
        "Yes",
        [{"token": "Yes"}],
        [{"logprob": -1.0}],
        [{"token": "Yes", "logprob": float("nan")}],
        [{"token": "Yes", "logprob": float("-inf")}],
        [{"token": "Yes", "logprob": 2.0}],
        [{"token": "Yes", "logprob": "-1"}],
        [{"token": "Yes", "logprob": -0.1}, {"token": "No", "logprob": -0.1}],  # 1.81 together
        [{"token": "Yes" * 1_000, "logprob": -1.0}],
        [{"token": "Yes", "logprob": -9.0}] * 1_000,
        [["Yes", -1.0]],
    ],
)
def test_a_list_that_is_none_of_probabilities_is_left_out(connect, server, doubles, top):
    server.say = listing(doubles, top)
    [completion] = connect().complete([WORD])
    assert (completion.text, completion.likeliest) == ("Yes", None)
    assert len(server.bodies) == 1


def test_a_thought_lists_no_words(connect, server, doubles):
    first = {"token": "Yes", "logprob": -0.5, "top_logprobs": TOP}
    message = {"content": "Yes", "reasoning_content": "Yes?"}
    choice = {"message": message, "finish_reason": "stop", "logprobs": {"content": [first]}}
    server.say = lambda body: doubles.answer_for(body, "Yes", choices=[choice])
    assert connect().complete([WORD])[0].likeliest is None


@pytest.mark.parametrize(("refusals", "asked"), [(0, [20, 20]), (1, [20, 5, 5]), (2, [20, 5, None, None])])
def test_a_server_that_refuses_a_long_list_is_asked_for_a_shorter_one(connect, server, refusals, asked):
    server.plant(*["400"] * refusals)
    client = connect()
    assert [client.complete([replace(WORD, seed=seed)])[0].text for seed in (1, 2)] == [SAID] * 2
    assert [body.get("top_logprobs") for body in server.bodies] == asked
    assert all(body["logprobs"] for body in server.bodies)


def test_a_server_that_refuses_log_probabilities_is_named_as_for_any_request(connect, server):
    server.plant(*["400"] * 3)
    with pytest.raises(ConfigError, match=r"refused the request \(400: logprobs are not supported\).*backend.logprobs"):
        connect().complete([WORD])


def test_a_length_of_the_list_that_is_set_is_asked_for_once(connect, server):
    server.plant("400")
    with pytest.raises(ConfigError, match=r"backend\.body"):
        connect(wording={"body": {"top_logprobs": 3}}).complete([WORD])
    assert [body["top_logprobs"] for body in server.bodies] == [3]


@pytest.mark.parametrize("fault", ["too long", "refused"])
def test_a_refusal_of_the_prompt_is_not_one_of_the_list(connect, server, fault):
    client = connect(connections=1)
    client.complete([REQUEST])
    server.plant(fault, "none")
    client.complete([WORD, replace(WORD, seed=2)])
    assert [body.get("top_logprobs") for body in server.bodies] == [None, 20, 20]


def test_completions_that_were_kept_before_lists_were_are_read():
    before = {"text": "a", "finish_reason": "stop", "logps": [-1.0], "prompt_tokens": 3}
    assert ChatCompletion.from_json(before) == ChatCompletion(
        text="a", finish_reason=FinishReason.STOP, logps=(-1.0,), prompt_tokens=3
    )
