"""Two processes that share a model learn what a single one learns, and leave the same files."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.distributed as dist
from transformers import GPT2Config, GPT2LMHeadModel

from tracer_agents.build.parts import load_trained
from tracer_agents.generation.sharding import is_part, scatter, shard
from tracer_agents.generation.weights import WholeModel
from tracer_agents.learners.policies import PolicyLearners
from tracer_agents.learners.policy import GSPOLearner
from tracer_agents.learners.ranks import ALONE, Ranks, joined
from tracer_agents.learners.together import SharedLearners, shard_alike
from tracer_env.errors import ConfigError

SCRIPT = Path(__file__).with_name("ranks_at_work.py")
PATIENCE_SECONDS = 300.0
ALIKE = (
    "whole_model", "fewer_micro_batches_than_processes", "fewer_samples_than_steps", "computed_again",
    "logits_in_parts", "reference_on_disk", "adapters", "adapters_on_half_precision", "reviews_of_one_token",
)  # fmt: skip


@pytest.fixture(scope="module")
def at_work() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ranks_at_work", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def single(at_work, folder) -> dict[str, Any]:
    """What one process does in every case."""
    return at_work.played(ALONE, folder)


@pytest.fixture(scope="module")
def ranks(single, folder) -> list[dict[str, Any]]:
    """What two processes do, by rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, folder],
            env=os.environ | together | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for rank in range(2)
    ]
    try:
        output = [process.communicate(timeout=PATIENCE_SECONDS)[0].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], output
    return [torch.load(folder / f"rank_{rank}.pt", weights_only=False) for rank in range(2)]


def difference(mine: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    """The largest, in units of the largest number of each tensor."""
    parts = [float((a - b).abs().max() / a.abs().max().clamp(min=1e-30)) for a, b in zip(mine, theirs, strict=True)]
    return max(parts, default=0.0)


def assert_same_learning(mine: dict[str, Any], theirs: dict[str, Any], *, allowed: float = 1e-5) -> None:
    assert len(mine["gradients"]) == len(theirs["gradients"])
    assert difference(mine["gradients"], theirs["gradients"]) < allowed
    moves = [
        torch.cat([(b.double() - a.double()).flatten() for a, b in zip(each["before"], each["after"], strict=True)])
        for each in (mine, theirs)
    ]
    assert moves[0].abs().max() > 0.01
    assert difference([moves[0]], [moves[1]]) < allowed


@pytest.mark.parametrize("case", ALIKE)
def test_gradients_and_weights_are_those_of_one_process(single, ranks, case):
    """Every process ends with them, and what was stepped there was sharded."""
    for theirs in ranks:
        assert_same_learning(single[case], theirs[case])
        assert theirs[case]["kinds"] == ["DTensor"]
    assert single[case]["kinds"] == ["Parameter"]


def test_in_half_precision_they_are_the_same_but_for_its_rounding(single, ranks):
    mine, theirs = single["half_precision"], ranks[0]["half_precision"]
    assert difference(mine["gradients"], theirs["gradients"]) < 0.02
    assert theirs["gradients"][0].dtype == torch.float32
    assert theirs["kinds"] == ["DTensor"]


@pytest.mark.parametrize("case", [*ALIKE, "no_samples"])
def test_figures_are_those_of_the_whole_batch(single, ranks, case):
    assert single[case]["result"].keys() == ranks[0][case]["result"].keys()
    for policy, expected in single[case]["result"].items():
        for name, figure in ranks[0][case]["result"][policy].items():
            assert figure == (expected[name] and pytest.approx(expected[name], rel=1e-5, abs=1e-9)), name


def test_every_process_holds_its_part_and_no_more(single, ranks):
    parts = [theirs["parts"] for theirs in ranks]
    assert all(part["sharded"] for part in parts)
    assert sum(part["held"] for part in parts) == single["parts"]["held"] == single["parts"]["all"]
    assert max(part["held"] for part in parts) < 0.55 * single["parts"]["all"]


def test_a_loss_that_is_not_finite_in_one_process_is_refused_by_all(single, ranks):
    case = "what_is_not_finite"
    assert ranks[0][case]["result"] == single[case]["result"]
    assert "not finite in 3 minibatches" in single[case]["result"]
    for theirs in ranks:
        assert theirs[case]["gradients"] == []
        assert all(torch.equal(a, b) for a, b in zip(theirs[case]["before"], theirs[case]["after"], strict=True))


@pytest.mark.parametrize("what", ["whole", "adapters"])
def test_the_leader_alone_computes_with_all_that_was_learned(single, ranks, what):
    expected = single["kept"][what]["result"]
    output = ranks[0]["kept"][what]["result"]
    assert difference(expected, output) < 1e-4
    assert not torch.equal(expected[1], expected[2])


@pytest.mark.parametrize(
    ("what", "below"), [("whole", ""), ("adapters", "adapters/proposer"), ("adapters", "adapters/reviewer")]
)
def test_a_checkpoint_has_the_files_of_one_process(ranks, folder, what, below):
    checkpoints = [folder / f"by_{size}" / what / below for size in (1, 2)]
    files = [sorted(path.name for path in checkpoint.iterdir()) for checkpoint in checkpoints]
    assert files[0] == files[1]
    assert "optimiser.pt" in files[0]
    mine, theirs = (torch.load(checkpoint / "optimiser.pt", weights_only=True) for checkpoint in checkpoints)
    assert mine["param_groups"] == theirs["param_groups"]
    for index, moments in mine["state"].items():
        for name, moment in moments.items():
            torch.testing.assert_close(theirs["state"][index][name], moment, rtol=1e-4, atol=1e-9)
    for name in files[0]:
        if name.endswith(".json"):
            settings = [json.loads((checkpoint / name).read_text()) for checkpoint in checkpoints]
            for each in settings:  # a set, in PEFT's order of the day
                each["target_modules"] = sorted(each.get("target_modules") or [])
            assert settings[0] == settings[1]


@pytest.mark.parametrize("what", ["whole", "adapters"])
def test_two_go_on_from_what_one_has_kept(single, ranks, what):
    assert_same_learning(single["gone_on"][what], ranks[0]["gone_on"][what])


@pytest.mark.parametrize("what", ["whole", "adapters"])
def test_one_goes_on_from_what_two_have_kept(at_work, single, ranks, folder, what):
    assert_same_learning(single["gone_on"][what], at_work.gone_on(ALONE, folder / "by_2")[what])


def test_a_process_with_other_weights_is_named_in_all(ranks):
    for theirs in ranks:
        assert theirs["other_weights"].startswith("rank 1 loaded other weights than rank 0")


def test_what_fails_in_one_process_is_said_by_all(ranks):
    assert ranks[0]["work_that_fails_elsewhere"] == "RunError: rank 1: speakers.model: no such folder here"
    assert ranks[1]["work_that_fails_elsewhere"] == "ConfigError: speakers.model: no such folder here"


@pytest.mark.parametrize(("count", "size"), [(5, 2), (1, 4), (8, 4), (0, 3)])
def test_micro_batches_are_dealt_once_and_evenly(count, size):
    hands = [Ranks(rank, size).dealt(list(range(count)), idle=-1) for rank in range(size)]
    assert len({len(hand) for hand in hands}) == 1
    assert sorted(batch for hand in hands for batch in hand if batch >= 0) == list(range(count))


def test_a_process_started_by_hand_is_alone(monkeypatch):
    for size in (None, "", "1"):
        monkeypatch.delenv("WORLD_SIZE", raising=False) if size is None else monkeypatch.setenv("WORLD_SIZE", size)
        with joined() as team:
            assert (team.size, team.leads, team.several) == (1, True, False)


def test_several_processes_that_cannot_meet_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ConfigError, match=r"MASTER_ADDR.*torchrun"), joined():
        pass


def test_one_device_for_several_processes_is_refused(small_config):
    config = small_config({"speakers.device": "cuda:0"})
    with pytest.raises(ConfigError, match=r"speakers.device: cuda:0 is one device for 2 processes"):
        load_trained(config, config.models[0], None, Ranks(0, 2))


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    Ranks(0, 2, local_rank=0).require_device(torch.device("cuda"))
    Ranks(1, 2, local_rank=1).require_device(torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"--nproc-per-node 1"):
        Ranks(1, 2, local_rank=1).require_device(torch.device("cuda"))


def test_a_model_without_layers_is_refused():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=4, n_layer=0, n_head=1, n_positions=8))
    with pytest.raises(ConfigError, match=r"gpt2 models have no layers.*start one process"):
        shard(model, None)


@pytest.fixture
def one() -> Iterator[Ranks]:
    """A process that trains together with nobody, over gloo."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield Ranks(0, 1, dist.group.WORLD)
    dist.destroy_process_group()


def test_a_model_in_one_part_learns_generates_and_is_saved_as_one_that_is_not_cut(one, at_work, tmp_path):
    plain, cut = WholeModel(at_work.gpt2()), WholeModel(at_work.gpt2())
    shard_alike(cut.model, one)
    assert all(is_part(parameter) for parameter in cut.model.parameters())
    made = []
    for weights, kind in ((plain, PolicyLearners), (cut, partial(SharedLearners, ranks=one))):
        learner = GSPOLearner(weights, pad_id=at_work.PAD, config=at_work.CONFIG)
        learner._scorer.settle()  # as several processes do before anything else
        made.append(kind({"shared": learner}, weights))
    figures = [learners.update(at_work.samples(), at_work.rng)["shared"] for learners in made]
    whole, parts = (asdict(replace(each, kl=0.0)) for each in figures)  # nobody asked for it
    assert parts == pytest.approx(whole, rel=1e-6, abs=1e-12)
    for learners in made:
        learners.gather()
    first, second = plain.model.state_dict(), cut.model.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.allclose(first[name], second[name], atol=1e-7) for name in first)
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        torch.testing.assert_close(cut.model(ids).logits, plain.model(ids).logits)
    made[1].save(tmp_path)
    made[0].load(tmp_path)  # the same file, whoever wrote it
    scatter(cut.model)
    assert all(is_part(parameter) for parameter in cut.model.parameters())
    made[1].load(tmp_path)
    made[1].update(at_work.samples(), at_work.rng)
