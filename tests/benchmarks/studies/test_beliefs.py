"""The study of beliefs, from pools on disk to its tables."""

import json
import sys

import numpy as np
import pytest

from benchmarks.methods import FAMILIES
from benchmarks.studies import beliefs
from tracer_agents.rollout.pools import Draw, PooledQuestion, PoolHeader
from tracer_agents.runs.pools import record_pool
from tracer_agents.types import Episode
from tracer_env.dialogue import Utterance, Verdict
from tracer_env.errors import DataError
from tracer_env.tasks.base import Grade, Question


def pooled(name, seed, rng, skill):
    """A question whose right answers are proposed with more certainty, and seen through by a review."""
    chance, draws = rng.beta(2 * skill, 2), []
    for _ in range(4):
        right = bool(rng.random() < chance)
        logp, p_right = (
            -0.1 - 0.4 * rng.random() * (1.7 - right),
            float(np.clip(rng.normal(0.3 + 0.4 * right, 0.2), 0, 1)),
        )
        review = Utterance(text="", verdict=Verdict.RIGHT, p_right=p_right, generated_tokens=1)
        answer = "7" if right else str(rng.integers(3))
        utterance = Utterance(text="", answer=answer, mean_logp=logp, generated_tokens=int(rng.integers(20, 40)))
        draws.append(Draw(utterance=utterance, right=right, reviews=(review,)))
    episode = Episode(question=Question(id=name, text="?", gold="7"), seed=seed)
    grades = {each.utterance.answer: Grade.RIGHT if each.right else Grade.WRONG for each in draws}
    return PooledQuestion(episode=episode, members=(tuple(draws),), grades=grades)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("beliefs")
    for number, (speakers, skill) in enumerate({"initial": 1.0, "trained": 1.5}.items()):
        for seed in (0, 1):
            rng = np.random.default_rng([number, seed])
            for split, count in {"train": 60, "validation": 30, "test": 40}.items():
                questions = [pooled(f"{split}-{seed}-{each}", each, rng, skill) for each in range(count)]
                by_seed = {question.episode.seed: question for question in questions}
                record_pool(
                    out / speakers / "easy" / f"seed-{seed}" / f"{split}.jsonl",
                    PoolHeader(members=("m",), questions=count),
                    [question.episode for question in questions],
                    lambda episodes, by_seed=by_seed: [by_seed[episode.seed] for episode in episodes],
                    chunk=count,
                )
    return out


def test_the_command_compares_learned_controllers_with_every_rule(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["beliefs", str(folder), "--orders", "2", "--rounds", "3", "--json", str(out)])
    beliefs.main()
    results = json.loads(out.read_text())
    rules = {row["rule"] for row in results["accuracy"]}
    ours = {"tracer, 3 rounds, plurality", "tracer, 3 rounds, belief"}
    assert rules == {f"{who}: {name}" for who in ("initial", "trained") for name in {*FAMILIES, *ours, beliefs.BEST}}
    assert {row["rule"] for row in results["differences"]} == {
        f"{w}: {name}" for w in ("initial", "trained") for name in ours
    }
    for row in results["accuracy"]:
        assert row["ci95"][0] <= row["accuracy"] <= row["ci95"][1]
    for row in results["differences"]:
        assert row["low"] <= row["estimate"] <= row["high"]
        assert row["p"] <= row["p_holm"] <= 1
    by_rule = {(row["rule"], row["ratio"]): row["accuracy"] for row in results["accuracy"]}
    assert by_rule["initial: two_threshold", 2.0] > by_rule["initial: pool_votes", 2.0] + 0.05  # signals are worth much
    assert by_rule["trained: pool_votes", 2.0] > by_rule["initial: pool_votes", 2.0]
    for row in results["frontier"]:
        costs = [cost for cost, _ in row["points"]]
        assert costs == sorted(costs) or row["rule"] not in ("pool_votes",)
    assert "| trained: tracer, 3 rounds, belief | initial: pool_votes | 2× |" in capsys.readouterr().out


def test_a_missing_split_and_other_questions_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="holds no SPEAKERS/TASK/seed-N"):
        beliefs.load(tmp_path)
    alone = tmp_path / "initial" / "easy" / "seed-0"
    alone.mkdir(parents=True)
    (alone / "test.jsonl").write_bytes((folder / "initial/easy/seed-0/test.jsonl").read_bytes())
    with pytest.raises(DataError, match=r"train\.jsonl: is missing"):
        beliefs.load(tmp_path)
