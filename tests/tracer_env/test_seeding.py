"""Derived random streams: pure, distinct, the same everywhere."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracer_env import seeding
from tracer_env.seeding import derive_seed, stream

KEYS = st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=4)


@given(KEYS)
def test_seeds_are_pure_and_fit_63_bits(keys):
    assert derive_seed(*keys) == derive_seed(*keys)
    assert 0 <= derive_seed(*keys) < 2**63


@given(KEYS, KEYS)
def test_different_keys_give_different_seeds(keys, others):
    assert (derive_seed(*keys) == derive_seed(*others)) == (keys == others)


def test_numbers_are_not_their_names_and_order_matters():
    assert (
        len({derive_seed(1, "1"), derive_seed("1", 1), derive_seed(1, 1), derive_seed("1", "1"), derive_seed(11)}) == 5
    )


def test_known_values_hold_in_another_process_with_another_hash_seed():
    code = "from tracer_env.seeding import derive_seed; print(derive_seed(7, 'speak', '101', 0))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "5"}
    )
    assert int(done.stdout) == derive_seed(7, "speak", "101", 0) == 9153080180841484593


def test_streams_are_repeatable_and_independent():
    first, again, other = (stream(3, name).random(1000) for name in ("questions", "questions", "noise"))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.1


def test_every_stream_keeps_its_numbers():
    """Recorded runs and published figures rest on them."""
    assert seeding.control_uniform(7, "101") == float(stream(7, "control", "101").random()) == 0.5678541584717383
    assert seeding.speak_seed(7, "101") == seeding.speak_seed(7, "101", 0) == 9153080180841484593
    assert seeding.token_uniforms(7, 2).tolist() == [0.5381081382110584, 0.3671312665269191]
    assert seeding.episode_seed(7, "train", 3) == 5434021515238685455
    assert seeding.fresh_episode_seed(7, 1) == 1386842964
    assert seeding.story_seed(7, "3", "train") == 179255316941053360
    assert seeding.epoch_order(7, "gsm8k", 0, 5).tolist() == [0, 4, 1, 3, 2]
    assert seeding.choice_order("hash", 4).tolist() == [2, 1, 0, 3]
    assert seeding.difficulty_uniform("tabular/1") == 0.12330856071077206
    assert seeding.adapter_seed(7, "shared") == 5252369900984834391
    assert int(seeding.minibatch_stream(7, 2).integers(1000)) == 409
    assert int(seeding.bootstrap_stream(7).integers(1000)) == 701
    assert int(seeding.certificate_stream(7, "after").integers(1000)) == 173


def test_no_other_shipped_module_derives_a_stream_of_its_own():
    root = Path(__file__).parents[2]
    for path in [*(root / "tracer_env").rglob("*.py"), *(root / "tracer_agents").rglob("*.py")]:
        if path.name == "seeding.py":
            continue
        imported = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module == "tracer_env.seeding"
            for alias in node.names
        }
        assert not imported & {"derive_seed", "stream"}, path
