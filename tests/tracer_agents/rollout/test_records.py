"""What a finished dialogue leaves behind."""

import json
from dataclasses import replace

import pytest

from tracer_agents.rollout.records import (
    Kind,
    Outcome,
    record_dialogues,
    record_from_json,
    utterance_as_json,
    utterance_from_json,
)
from tracer_agents.types import Episode
from tracer_env.dialogue import Dialogue, FinishReason, Mode, Rules, Utterance, Verdict, initial, transition
from tracer_env.tasks.base import Grade, Question

QUESTION = Question(id="q/1", text="Was macht λ × 2?", gold="4")
EPISODE = Episode(question=QUESTION, seed=17)


class Judge:
    """Grades by equality; ``?`` cannot be graded."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def grade(self, answers, golds) -> list[Grade]:
        self.calls.append(list(answers))
        return [
            Grade.UNGRADABLE if answer == "?" else Grade.RIGHT if answer == gold else Grade.WRONG
            for answer, gold in zip(answers, golds, strict=True)
        ]


def finished(*actions: Utterance | None, rounds: int = 3) -> Dialogue:
    """The dialogue in which each round's speaker says this, or nobody speaks."""
    state = initial(Rules(rounds=rounds), QUESTION.text)
    for action in actions:
        state = transition(state, Mode.SKIP) if action is None else transition(transition(state, Mode.SPEAK), action)
    return state


def proposal(answer: str | None) -> Utterance:
    return Utterance(
        text=f"→ {answer}", answer=answer, generated_tokens=5, prompt_tokens=11, finish_reason=FinishReason.LENGTH
    )


def verdict(value: Verdict | None) -> Utterance:
    return Utterance(text="hm", verdict=value, generated_tokens=2, prompt_tokens=20)


def record(*actions: Utterance | None, rounds: int = 3):
    [made] = record_dialogues(
        [EPISODE], [finished(*actions, rounds=rounds)], Judge(), method="team", phase="after", seed=3
    )  # pyright: ignore[reportArgumentType]  # a judge is all that is asked of the task
    return made


def test_every_field_by_hand():
    made = record(proposal("3"), verdict(Verdict.WRONG), proposal("4"))
    assert (made.method, made.phase, made.seed) == ("team", "after", 3)
    assert (made.question_id, made.question, made.gold) == ("q/1", QUESTION.text, "4")
    assert (made.answer, made.correct, made.grade) == ("4", True, "right")
    assert (made.generated_tokens, made.prompt_tokens, made.first_correct) == (12, 42, False)
    first, review, last = made.turns
    assert (first.round, first.agent, first.role, first.mode, first.forced) == (1, 0, "proposer", 1, True)
    assert (first.text, first.answer, first.verdict, first.finish_reason) == ("→ 3", "3", None, "length")
    assert (review.round, review.agent, review.role, review.forced) == (2, 1, "reviewer", False)
    assert (review.answer, review.verdict) == (None, "WRONG")
    assert [turn.right for turn in made.turns] == [False, True, True]
    assert [turn.reward for turn in made.turns] == [-1.0, 1.0, 1.0]
    assert (last.agent, last.forced, last.prompt_tokens, last.generated_tokens) == (1, False, 11, 5)


def test_skipped_rounds_are_recorded_empty():
    skipped = record(proposal("4"), None, None).turns[1]
    assert (skipped.mode, skipped.text, skipped.right, skipped.reward, skipped.finish_reason) == (0, *[None] * 4)
    assert (skipped.generated_tokens, skipped.prompt_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("said", "pending", "right", "reward"),
    [
        (Verdict.RIGHT, "4", True, 1.0),
        (Verdict.RIGHT, "3", False, -1.0),
        (Verdict.WRONG, "4", False, -1.0),
        (Verdict.WRONG, None, True, 1.0),
        (None, "4", None, 0.0),
        (None, "3", None, 0.0),
    ],
)
def test_reviews_are_judged_by_the_solution_they_saw(said, pending, right, reward):
    review = record(proposal(pending), verdict(said), proposal("9")).turns[1]
    assert (review.right, review.reward) == (right, reward)


def test_a_review_after_a_kept_proposal_sees_the_old_one():
    made = record(proposal("4"), None, None, verdict(Verdict.RIGHT), None, rounds=5)
    assert made.turns[3].reward == 1.0


@pytest.mark.parametrize(
    ("answer", "correct", "grade"), [("4", True, "right"), ("5", False, "wrong"), ("?", False, "ungradable")]
)
def test_outcomes(answer, correct, grade):
    made = record(proposal("4"), None, proposal(answer))
    assert (made.answer, made.correct, made.grade, made.first_correct) == (answer, correct, grade, True)


def test_an_unreadable_proposal_replaces_a_right_one():
    made = record(proposal("4"), None, proposal(None))
    assert (made.answer, made.correct, made.grade) == (None, False, "wrong")
    assert made.turns[2].reward == -1.0


def test_json_round_trip():
    for made in (record(proposal("3"), verdict(None), None), record(proposal("4"), verdict(Verdict.RIGHT), None)):
        again = record_from_json(json.loads(json.dumps(made.as_json())))
        assert again == made
        assert isinstance(again.grade, Outcome)
        for turn, before in zip(again.turns, made.turns, strict=True):
            for field in ("role", "mode", "verdict", "finish_reason"):
                assert type(getattr(turn, field)) is type(getattr(before, field)) is not str


def test_a_transcript_that_does_not_say_what_is_right_is_read_by_its_rewards():
    for made in (
        record(proposal("3"), verdict(Verdict.WRONG), proposal("4")),
        record(proposal("4"), verdict(None), None),
        record(proposal("4"), verdict(Verdict.WRONG), proposal(None)),
    ):
        row = json.loads(json.dumps(made.as_json()))
        for turn in row["turns"]:
            del turn["right"]
        assert record_from_json(row) == made


@pytest.mark.parametrize(("field", "value"), [("role", "judge"), ("verdict", "MAYBE"), ("finish_reason", "tired")])
def test_unknown_words_in_a_transcript_are_refused(field, value):
    row = json.loads(json.dumps(record(proposal("4"), verdict(None), None).as_json()))
    row["turns"][1][field] = value
    with pytest.raises(ValueError, match=value):
        record_from_json(row)


def test_all_answers_are_graded_in_one_call_each_pair_once():
    judge = Judge()
    finals = [finished(proposal("3"), None, proposal("4")), finished(proposal("4"), None, None)]
    made = record_dialogues([EPISODE, EPISODE], finals, judge, method="m", phase="p", seed=0)  # pyright: ignore[reportArgumentType]
    assert judge.calls == [["3", "4"]]
    assert [one.correct for one in made] == [True, True]


def test_a_dialogue_with_an_utterance_that_did_not_come_has_failed():
    """It is no wrong answer, and not right either, whatever was said around the gap."""
    lost = Utterance(text="", finish_reason=FinishReason.FAILED)
    for made in (record(proposal("4"), lost, None), record(proposal("3"), None, lost)):
        assert (made.grade, made.correct) == (Outcome.FAILED, False)


@pytest.mark.parametrize(
    ("seats", "kind"),
    [
        ([(1, 0), (2, 1), (3, 1)], Kind.DIALOGUE),
        ([(1, 0)], Kind.DIALOGUE),
        ([(1, 0), (1, 0), (1, 0)], Kind.BALLOT),
        ([(1, 0), (2, 1), (1, 0), (1, 0), (2, 1)], Kind.BALLOT),  # two of three proposals were reviewed
        ([(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)], Kind.MULTI_AGENT_DEBATE),
    ],
)
def test_a_record_from_before_there_were_kinds_is_read_by_its_rounds_and_agents(seats, kind):
    row = json.loads(json.dumps(record(proposal("4"), None, None).as_json()))
    assert row.pop("kind") == "dialogue"
    row["turns"] = [{**row["turns"][0], "round": round_, "agent": agent} for round_, agent in seats]

    assert record_from_json(row).kind is kind


def test_a_kind_is_kept_and_one_that_does_not_exist_is_refused():
    row = json.loads(json.dumps(record(proposal("4"), None, None).as_json()))

    assert record_from_json({**row, "kind": "ballot"}).kind is Kind.BALLOT  # whatever its turns look like
    with pytest.raises(ValueError, match="kind: 'vote' is none of"):
        record_from_json({**row, "kind": "vote"})


@pytest.mark.parametrize("verdict", [Verdict.WRONG, None])
def test_an_utterance_comes_back_from_json_as_it_was(verdict):
    spoken = Utterance(
        text="7", answer="7", verdict=verdict, finish_reason=FinishReason.FAILED, mean_logp=-0.25, p_right=0.5
    )
    again = utterance_from_json(json.loads(json.dumps(utterance_as_json(spoken))))
    assert again == spoken
    assert again.finish_reason is FinishReason.FAILED  # not its name alone
    assert again.verdict is verdict


def test_signals_are_written_where_they_are_known_and_read_back():
    sure = replace(proposal("4"), mean_logp=-0.25)
    judged = replace(verdict(Verdict.RIGHT), mean_logp=0.0, p_right=0.0)
    made = record(sure, judged, None)
    row = json.loads(json.dumps(made.as_json()))

    assert [(turn.get("mean_logp"), turn.get("p_right")) for turn in row["turns"]] == [
        (-0.25, None),
        (0.0, 0.0),  # zero is a number, and no unknown
        (None, None),
    ]
    assert ["p_right" in turn for turn in row["turns"]] == [False, True, False]
    assert record_from_json(row) == made
    for turn in row["turns"]:  # as they were written before there were signals
        turn.pop("mean_logp", None)
        turn.pop("p_right", None)
    assert [(turn.mean_logp, turn.p_right) for turn in record_from_json(row).turns] == [(None, None)] * 3
