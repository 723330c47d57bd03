"""Held-out questions, baselines and votes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tracer_agents.controllers.fixed import AlwaysSpeak
from tracer_agents.evaluation.play import draw_episodes, majority, play_baselines, play_team, sample_answers
from tracer_agents.rollout.remembering import RememberingSpeakers
from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import Role, Rules, Utterance, Verdict
from tracer_env.rewards import Utility
from tracer_env.tasks.arithmetic import Arithmetic

TASK = Arithmetic(level=1)
RULES = Rules(rounds=3)


class Voters:
    """Each candidate has its own answer and its own number of tokens; reviewers always doubt."""

    def __init__(self, answers: Sequence[str | None], tokens: Sequence[int]) -> None:
        self._answers, self._tokens = answers, tokens
        self.asked: list[int] = []

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        self.asked.append(len(requests))
        return [self._say(request) for request in requests]

    def _say(self, request: SpeakRequest) -> Utterance:
        if request.state.role is Role.REVIEWER:
            return Utterance(text="Verdict: WRONG", verdict=Verdict.WRONG, generated_tokens=1)
        answer = self._answers[request.candidate % len(self._answers)]
        answer = request.episode.question.gold if answer == "gold" else answer
        tokens = self._tokens[request.candidate % len(self._tokens)]
        return Utterance(text=str(answer), answer=answer, generated_tokens=tokens)


def episodes(count: int = 4):
    return draw_episodes(TASK, "test", 0, count, seed=5, phase="test")


def test_episodes_are_a_pure_function_with_seeds_of_their_own():
    whole = episodes(6)
    assert whole == episodes(6)
    assert draw_episodes(TASK, "test", 2, 3, seed=5, phase="test") == whole[2:5]
    assert len({episode.seed for episode in whole}) == 6
    other = draw_episodes(TASK, "test", 0, 6, seed=5, phase="train")
    assert [one.question for one in other] == [one.question for one in whole]
    assert not {one.seed for one in other} & {one.seed for one in whole}


def test_play_team_records_what_the_controller_plays():
    made = play_team(
        episodes(), RULES, Voters(["gold"], [7]), AlwaysSpeak(), TASK, method="team", phase="after", seed=5
    )
    assert [record.question_id for record in made] == [episode.question.id for episode in episodes()]
    assert all(record.correct and record.generated_tokens == 15 and record.method == "team" for record in made)


def ballots(answers: Sequence[str | None], votes: int | None = None, tokens: Sequence[int] = (1,)):
    return sample_answers(
        episodes(2), RULES, Voters(answers, tokens), TASK, votes=votes or len(answers), phase="p", seed=0
    )


@pytest.mark.parametrize(
    ("answers", "k", "winner", "correct"),
    [
        (["gold", "-1", "-1"], 1, "gold", True),
        (["gold", "-1", "-1"], 2, "gold", True),  # a tie: the earliest
        (["gold", "-1", "-1"], 3, "-1", False),
        (["-1", "gold", "gold"], 2, "-1", False),
        (["-1", "gold", "gold"], 3, "gold", True),
        ([None, None, "gold"], 3, "gold", True),  # what cannot be read has no vote
        ([None, None, "gold"], 2, None, False),
    ],
)
def test_majority_by_hand(answers, k, winner, correct):
    for ballot in ballots(answers):
        counted = majority(ballot, k)
        assert counted.answer == (ballot.gold if winner == "gold" else winner)
        assert (counted.correct, counted.grade) == (correct, "right" if correct else "wrong")
        assert (counted.method, len(counted.turns)) == (f"self_consistency@{k}", k)


def test_answers_are_sampled_in_one_call_and_graded_each():
    voters = Voters(["-1", "gold"], [3, 4])
    made = sample_answers(episodes(3), RULES, voters, TASK, votes=4, phase="p", seed=0)
    assert voters.asked == [12]
    assert [[turn.reward for turn in ballot.turns] for ballot in made] == [[-1, 1, -1, 1]] * 3
    assert all(turn.round == 1 and turn.role == "proposer" for ballot in made for turn in ballot.turns)


UTILITY = Utility()


def baselines(budget: float, answers=("gold",), tokens=(10,), speakers=None, further=None, utility=UTILITY):
    return play_baselines(
        episodes(6),
        RULES,
        speakers or Voters(answers, tokens),
        TASK,
        utility=utility,
        budget=budget,
        further=further or {},
        phase="after",
        seed=5,
    )


@pytest.mark.parametrize(("budget", "k"), [(9.0, 1), (10.0, 1), (19.9, 1), (20.0, 2), (29.9, 2), (30.0, 3), (95.0, 9)])
def test_self_consistency_at_matched_tokens(budget, k):
    played = baselines(budget)
    assert {record.method for record in played["self_consistency"]} == {f"self_consistency@{k}"}
    assert {record.method for record in played["self_consistency_next"]} == {f"self_consistency@{k + 1}"}
    assert {record.generated_tokens for record in played["self_consistency"]} == {10 * k}


def test_matching_counts_what_the_votes_really_cost():
    """The first vote is cheap, the second is not: two votes cost 25 tokens, not 20."""
    assert baselines(24.0, tokens=(10, 15))["self_consistency"][0].method == "self_consistency@1"
    assert baselines(25.0, tokens=(10, 15))["self_consistency"][0].method == "self_consistency@2"


def test_matching_is_not_misled_by_a_dear_first_vote():
    """One vote costs 20, any later one 5: 36 tokens buy four votes."""
    assert baselines(36.0, tokens=(20, 5, 5, 5, 5, 5, 5, 5))["self_consistency"][0].method == "self_consistency@4"


def test_every_baseline_is_played_on_every_question():
    played = baselines(20.0, further={"best_fixed": ("always_speak", AlwaysSpeak())})
    assert set(played) == {
        "single", "always_speak", "random_speak", "best_fixed", "self_consistency", "self_consistency_next",
    }  # fmt: skip
    for records in played.values():
        assert [record.question_id for record in records] == [episode.question.id for episode in episodes(6)]
    assert all([turn.mode for turn in record.turns] == [1, 0, 0] for record in played["single"])
    assert all([turn.mode for turn in record.turns] == [1, 1, 1] for record in played["always_speak"])
    assert {record.method for record in played["best_fixed"]} == {"best_fixed:always_speak"}
    assert [replace(a, method="") for a in played["best_fixed"]] == [
        replace(b, method="") for b in played["always_speak"]
    ]
    modes = np.array([[turn.mode for turn in record.turns[1:]] for record in played["random_speak"]])
    assert 0 < modes.mean() < 1


def test_shared_beginnings_are_generated_once():
    plain, wrapped = Voters(["gold"], [10]), Voters(["gold"], [10])
    expected = baselines(30.0, speakers=plain)
    assert baselines(30.0, speakers=RememberingSpeakers(wrapped)) == expected
    assert sum(wrapped.asked) < sum(plain.asked)
