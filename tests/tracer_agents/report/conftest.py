"""Runs for reports to be made of: played by rules in a second, with hostile texts, in files as a training leaves."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from tracer_agents.config import load_config
from tracer_agents.controllers.calibration import Diagnostics
from tracer_agents.controllers.fixed import AlwaysSpeak
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.evaluation.certificate import certify
from tracer_agents.evaluation.metrics import compare, summarise
from tracer_agents.evaluation.play import draw_episodes, play_team, sample_answers
from tracer_agents.evaluation.summary import Baseline, Summary
from tracer_agents.rollout.expanded import record_trees
from tracer_agents.rollout.tree import expand
from tracer_agents.runs.directory import RunDirectory, describe
from tracer_agents.runs.trees import save_trees
from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import FinishReason, Role, Utterance, Verdict
from tracer_env.infosets import Infosets
from tracer_env.tasks.arithmetic import Arithmetic

HOSTILE = (
    "</script><script>window.planted = 1</script>",
    '<img src="https://example.com/x.png" onerror="window.planted = 1">',
    "<svg onload='window.planted = 1'><a href=\"javascript:window.planted=1\">press</a>",
    "{{ 7 * 7 }} {% raw %} ]]> <!-- \u202eright\u202c \x1b[31m \x00",
)
TASK = Arithmetic(level=1)


class Planted:
    """Speakers that are right more often than not, say hostile things, and now and then are cut off."""

    def __init__(self, *, skill: float = 0.6, padding: int = 0) -> None:
        self._skill, self._padding = skill, padding

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        return [self._say(request) for request in requests]

    def _say(self, request: SpeakRequest) -> Utterance:
        random, gold = Random(request.noise_seed), request.episode.question.gold
        text = f"{random.choice(HOSTILE)} {random.random()} {'word ' * self._padding}"
        cut = FinishReason.LENGTH if random.random() < 0.1 else FinishReason.STOP
        tokens = random.randrange(5, 15)
        if request.state.role is Role.REVIEWER:
            says_right = (request.state.answer == gold) == (random.random() < 0.8)
            verdict = Verdict.RIGHT if says_right else Verdict.WRONG
            return Utterance(
                text=text, verdict=verdict, generated_tokens=tokens, prompt_tokens=30, finish_reason=cut, p_right=0.7
            )
        answer = None if cut is FinishReason.LENGTH else gold if random.random() < self._skill else f"{int(gold) + 1}"
        return Utterance(text=text, answer=answer, generated_tokens=tokens, prompt_tokens=20, finish_reason=cut)


def write_run(
    folder: Path,
    *,
    questions: int = 12,
    seed: int = 0,
    skill: float = 0.6,
    padding: int = 0,
    infoset: str = "consensus",
) -> Path:
    """A finished run of a team whose controllers toss coins, with everything that a report can show."""
    config = load_config(
        overrides={
            "seed": seed,
            "task.options": {"level": 1},
            "dialogue.infoset": infoset,
            "speakers.proposer_max_new_tokens": 20,
            "speakers.reviewer_max_new_tokens": 20,
            "evaluation.questions": questions,
        }
    )
    speakers, rules, utility = Planted(skill=skill, padding=padding), config.rules, config.utility
    infosets = Infosets(config.dialogue.infoset, rules)
    controller = TabularController.uniform(infosets)
    episodes = draw_episodes(TASK, "test", 0, questions, seed=seed, phase="test")
    labels = {"phase": "after", "seed": seed}
    team = play_team(episodes, rules, speakers, controller, TASK, method="team", **labels)
    before = [replace(record, phase="before") for record in team[::-1]][::-1]
    always = play_team(episodes, rules, speakers, AlwaysSpeak(), TASK, method="always_speak", **labels)
    votes = [
        replace(record, method="self_consistency@3")
        for record in sample_answers(episodes, rules, speakers, TASK, votes=3, **labels)
    ]
    figures = {
        name: summarise(records, utility, temperature=1.0, resamples=100, seed=seed)
        for name, records in {"team": team, "always_speak": always, "self_consistency": votes}.items()
    }
    certified = expand(
        draw_episodes(TASK, "test", 0, questions, seed=seed, phase="certificate"), rules, speakers, TASK.grade
    )
    certificate = certify(certified, controller, utility=utility, rng=np.random.default_rng(0), resamples=50)
    belief = Diagnostics(
        questions=questions,
        answers=40,
        auroc=0.81,
        auroc_within_questions=None,
        calibration_error=0.07,
        reliability=((0.2, 0.25, 0.4), (0.8, 0.75, 0.6)),
    )
    with RunDirectory.create(folder, config) as run:
        for records in (before, team, always, votes):
            run.add_records(records)
        for step in range(1, 7):
            run.add_metrics(
                {
                    "step": step,
                    "accuracy": 0.5 + 0.05 * step,
                    "first_proposal_accuracy": 0.5,
                    "generated_tokens": 40.0 + step,
                    "speak_rate": 0.5,
                    "proposer_reward": None,
                    "reviewer_reward": 0.1 * step,
                    "certificate": certificate.as_json() if step % 2 == 0 else None,
                    "timing": {"expand": 1.0},
                }
            )
        save_trees(folder, record_trees(certified, infosets, controller, utility))
        (folder / "certificate.json").write_text(json.dumps(certificate.as_json()))
        summary = Summary(
            origin=describe(config),
            train_seconds=6.0,
            stage_seconds={"train": 6.0},
            before=figures["team"],
            after=figures["team"],
            baselines={
                "always_speak": Baseline(method="always_speak", metrics=figures["always_speak"]),
                "self_consistency": Baseline(method="self_consistency@3", metrics=figures["self_consistency"]),
            },
            comparisons=[
                compare(team, records, "accuracy", utility, names=("after", name), resamples=100, seed=seed)
                for name, records in {"always_speak": always, "self_consistency": votes}.items()
            ],
            controllers={"play": "current", "infosets": 0},
            certificate=certificate,
            belief=belief,
        )
        run.write_summary(summary.as_json())
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run, to be looked at."""
    return write_run(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """Another run on the same questions, to be looked at."""
    return write_run(tmp_path_factory.mktemp("runs") / "second", skill=0.9)


@pytest.fixture
def make_run():
    """``write_run``: a run to be changed."""
    return write_run
