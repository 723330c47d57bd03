"""Settings of engines: what each needs, what never stands in them, and what may change while a run goes on."""

import pytest

from tracer_agents.config import load_config
from tracer_agents.config.engine import UNBINDING, BackendConfig
from tracer_env.errors import ConfigError

URL = "https://host/v1"


def openai(**given):
    return load_config(overrides={"backend.name": "openai", "backend.url": URL, **given})


@pytest.mark.parametrize("url", [None, "host:8000/v1", "ftp://host/v1", "http://", "http://h:port/v1"])
def test_a_chat_server_needs_an_address(url):
    with pytest.raises(ConfigError, match=r"backend.name: openai needs backend.url"):
        openai(**{"backend.url": url})


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@host/v1", "https://host/v1?api-key=hunter2", "https://hunter2@host/v1"]
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigError, match=r"backend.url: must not hold") as caught:
        openai(**{"backend.url": url})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["sk-0123456789abcdef", "0123456789ABCDEF", "hunter2hunter2"])
def test_a_key_in_the_place_of_its_variable_is_refused_and_not_repeated(key):
    with pytest.raises(ConfigError, match=r"backend.api_key_env: must be the name of an environment variable") as error:
        openai(**{"backend.api_key_env": key})
    assert key not in str(error.value)
    member = {"model": "x", "backend": {"name": "openai", "url": URL, "api_key_env": key}}
    with pytest.raises(ConfigError, match=r"speakers.members.0.backend.api_key_env") as error:
        load_config(overrides={"speakers.members": [member, {"model": "tiny"}]})
    assert key not in str(error.value)


def test_a_money_limit_needs_prices():
    with pytest.raises(ConfigError, match=r"backend.max_spend: needs the prices"):
        openai(**{"backend.max_spend": 5})
    openai(**{"backend.max_spend": 5, "backend.money_per_million_generated_tokens": 0.6})
    openai(**{"backend.max_spend_tokens": 5})


@pytest.mark.parametrize("name", ["model", "messages", "stream", "n", "temperature", "max_tokens"])
def test_fields_that_other_settings_say_are_no_further_fields(name):
    with pytest.raises(ConfigError, match=f"backend.body: '{name}'"):
        openai(**{"backend.body": {name: 1}})


def test_what_reaches_servers_and_limits_spending_may_change_while_a_run_goes_on():
    before = openai()
    changes = {"backend.max_spend_tokens": 9, "backend.url": "http://other/v1", "backend.in_flight": 3}
    assert openai(**changes).binding == before.binding
    assert openai(**{"backend.body": {"top_p": 0.9}}).binding != before.binding
    assert openai(seed=3).binding != before.binding
    members = [{"model": "tiny"}, {"model": "x", "backend": {"name": "openai", "url": URL}}]
    moved = [{"model": "tiny"}, {"model": "x", "backend": {"name": "openai", "url": "http://other/v1"}}]
    first, second = (load_config(overrides={"speakers.members": each}) for each in (members, moved))
    assert first != second
    assert first.binding == second.binding
    assert set(BackendConfig.model_fields) > UNBINDING


def test_speakers_of_chat_servers_never_learn():
    members = [{"model": "tiny"}, {"model": "x", "backend": {"name": "openai", "url": URL}}]
    config = load_config(overrides={"speakers.members": members})
    assert [use.trained for use in config.models] == [(0,), ()]
    with pytest.raises(ConfigError, match=r"speakers.members.1.train: openai servers.*set train: false here"):
        config.require_trainable()
    members[1]["train"] = False
    load_config(overrides={"speakers.members": members}).require_trainable()
    with pytest.raises(ConfigError, match=r"backend.name: openai servers"):
        openai().require_trainable()
    openai(**{"credit.train": False}).require_trainable()


def test_where_nobody_learns_no_model_is_trained():
    assert [use.trained for use in load_config(overrides={"credit.train": False}).models] == [()]
