"""What is bought, what is kept, what is never paid for twice, and where spending ends."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from tracer_agents.errors import GenerationFailed, SpendingLimitReached
from tracer_agents.generation.openai.orders import ChatRequest, Limits, Prices
from tracer_agents.generation.openai.purchases import FILE, Purchases
from tracer_env.dialogue import FinishReason
from tracer_env.errors import ConfigError


def ask(text: str, seed: int = 0, temperature: float = 1.0) -> ChatRequest:
    message = {"role": "user", "content": text}
    return ChatRequest.of([message], seed=seed, max_new_tokens=16, temperature=temperature)


def test_completions_come_in_the_order_of_their_requests(connect):
    completions = connect().complete([ask(str(number)) for number in range(40)])
    assert [completion.text for completion in completions] == [f"you said {number}" for number in range(40)]
    assert {(c.prompt_tokens, c.generated_tokens, c.finish_reason) for c in completions} == {(20, 3, "stop")}
    assert completions[0].logps == (-0.25,) * 3


def test_no_more_requests_are_under_way_than_allowed(connect, server):
    barrier = threading.Barrier(3)  # three meet, so three are under way

    def say(body):
        barrier.wait()
        return "x"

    server.say = say
    connect(connections=3).complete([ask(str(number)) for number in range(12)])
    assert server.most_under_way == 3


def test_nothing_is_bought_twice(connect, server):
    client = connect()
    first = client.complete([ask("a"), ask("b"), ask("a")])
    again = connect().complete([ask("b"), ask("a")])
    assert [body["messages"][0]["content"] for body in server.bodies] in (["a", "b"], ["b", "a"])
    assert first == [again[1], again[0], again[1]]
    assert (client.spending.bought, client.spending.remembered) == (2, 0)


@pytest.mark.parametrize(
    "other",
    [
        {"wording": {"limit_field": "max_completion_tokens"}},
        {"wording": {"logprobs": False}},
        {"wording": {"body": {"top_p": 0.9}}},
    ],
)
def test_another_wording_is_another_purchase(connect, server, other):
    connect().complete([ask("a")])
    connect(**other).complete([ask("a")])
    assert len(server.bodies) == 2


def test_samples_differ_by_their_whole_seed_and_greedy_answers_by_none(connect, server):
    connect().complete([ask("a", seed=1), ask("a", seed=1 + 2**31), ask("a", 2, 0.0), ask("a", 3, 0.0)])
    assert sorted((body["temperature"], body["seed"]) for body in server.bodies)[1:] == [(1.0, 1), (1.0, 1)]
    assert len(server.bodies) == 3


def test_a_failed_request_is_recorded_as_failed_and_asked_for_again_by_the_next_run(connect, server):
    client = connect(connections=1, attempts=2)
    server.plant("none", "500", "500", "none")
    reasons = [completion.finish_reason for completion in client.complete([ask("a"), ask("b"), ask("c")])]
    assert reasons == [FinishReason.STOP, FinishReason.FAILED, FinishReason.STOP]
    assert client.spending.lost == 1
    assert connect().complete([ask("a"), ask("b")])[1].text == "you said b"
    assert len(server.bodies) == 5


def test_nothing_at_all_is_an_error_that_names_the_last_fault(connect, server):
    server.plant(*["500"] * 4)
    with pytest.raises(GenerationFailed, match=r"no completion came; the last fault: http.*model 'm'.*500: oops"):
        connect(attempts=4).complete([ask("a")])


def test_a_server_that_fails_on_and_on_ends_the_batch_and_nothing_is_lost(connect, server):
    requests = [ask(str(number)) for number in range(60)]
    server.plant(*["none"] * 5, *["500"] * 16)
    with pytest.raises(GenerationFailed, match=r"16 requests in a row failed.*--resume"):
        connect(connections=1, attempts=1).complete(requests)
    assert len(server.bodies) == 21
    connect().complete(requests)
    assert len(server.bodies) == 21 + 55


# the spending limit


def test_the_money_limit_is_never_exceeded_and_what_was_bought_stays(connect, server):
    prices = Prices(prompt=0.0, generated=1e6)  # 1 a token: a completion costs 3 and could cost 16
    client = connect(limits=Limits(money=30.0), prices=prices)
    requests = [ask(str(number)) for number in range(20)]
    with pytest.raises(SpendingLimitReached, match=r"backend.max_spend: 30 is reached: 15.0000 was spent.*--resume"):
        client.complete(requests)
    assert client.spending.money == 15.0
    assert len(server.bodies) == 5
    with pytest.raises(SpendingLimitReached):  # a new process is bound by it too
        connect(limits=Limits(money=30.0), prices=prices).complete(requests)
    assert len(server.bodies) == 5
    connect(limits=Limits(money=100.0), prices=prices).complete(requests)
    assert len(server.bodies) == 20


def test_the_token_limit_counts_prompts_too(connect, server):
    # a request can take 16 + 1 + 8 + 32 = 57 tokens, and takes 20 + 3
    with pytest.raises(SpendingLimitReached, match=r"max_spend_tokens: 100 is reached: 46 were bought.*can take 57"):
        connect(limits=Limits(tokens=100)).complete([ask(str(number)) for number in range(9)])
    assert len(server.bodies) == 2


def test_what_is_remembered_costs_nothing(connect):
    connect().complete([ask("a")])
    assert connect(limits=Limits(tokens=0)).complete([ask("a")])[0].text == "you said a"


def test_attempts_without_an_answer_count_as_the_most_that_they_can_cost(connect, server, tmp_path):
    server.plant("cut", "no choices", "none")
    connect(prices=Prices(generated=1e6)).complete([ask("a")])
    with Purchases(tmp_path / "cache") as purchases:
        assert purchases.totals() == (57 + 57 + 23, 16 + 16 + 3)


# the file


def test_a_killed_process_leaves_all_that_it_used_and_pays_for_nothing_again(server, tmp_path):
    """kill -9 while requests are under way: what the process had printed is on disk."""
    script = f"""
import sys
from pathlib import Path
from tracer_agents.generation.openai.client import ChatClient
from tracer_agents.generation.openai.orders import Access, ChatRequest, Limits, Prices, Wording
from tracer_agents.generation.openai.purchases import Purchases
access = Access(wording=Wording(url={server.url!r}, model="m"), connections=1)
with ChatClient(access, Purchases(Path({str(tmp_path)!r})), prices=Prices(), limits=Limits()) as client:
    for number in range(1000):
        request = ChatRequest.of([dict(role="user", content=str(number))], seed=0, max_new_tokens=16)
        print(client.complete([request])[0].text, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    printed = [process.stdout.readline().strip() for _ in range(25)]
    os.kill(process.pid, signal.SIGKILL)
    printed += process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        [kept] = database.execute("SELECT COUNT(*) FROM completions").fetchone()
        [bought] = database.execute("SELECT COUNT(*) FROM purchases").fetchone()
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    assert printed[:25] == [f"you said {number}" for number in range(25)]
    assert len(printed) <= kept == bought <= len(server.bodies) <= kept + 1


def test_two_processes_share_a_folder(connect, server):
    first, second = connect(), connect()
    threads = [
        threading.Thread(target=client.complete, args=([ask(f"{name}{number}") for number in range(30)],))
        for name, client in (("a", first), ("b", second))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connect(limits=Limits(tokens=0)).complete([ask(f"{name}{number}") for name in "ab" for number in range(30)])
    assert len(server.bodies) == 60


def test_a_file_that_is_something_else_is_refused_before_anything_is_bought(connect, server, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / FILE).write_text("notes" * 500)
    with pytest.raises(ConfigError, match=r"backend.cache: .*completions.sqlite cannot be used"):
        connect()
    assert server.bodies == []


def test_a_file_of_another_version_is_refused(connect, tmp_path):
    with Purchases(tmp_path / "cache"):
        pass
    with sqlite3.connect(tmp_path / "cache" / FILE) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(ConfigError, match=r"version 9 of the format"):
        connect()


def test_a_client_that_is_not_open_says_so(connect):
    client = connect()
    client.__exit__()
    with pytest.raises(GenerationFailed, match=r"inside a 'with'"):
        client.complete([ask("a")])
