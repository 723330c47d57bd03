"""What the browser of dialogues reads: flags, both branches, values and regrets by hand."""

import json
from dataclasses import replace

import pytest

from tracer_agents.report.dialogues import FLAGS, TREES, Collection, browser_data, flags_of
from tracer_agents.report.sources import page_of
from tracer_agents.report.values import by_infoset, valued
from tracer_agents.rollout.expanded import Decision, ExpandedRecord, Leaf, expanded_from_json
from tracer_agents.rollout.records import DialogueRecord, Kind, Outcome, TurnRecord
from tracer_agents.runs.trees import load_trees
from tracer_env.beliefs import FEATURES, Belief
from tracer_env.dialogue import FinishReason, Mode, Role, Rules, Utterance, Verdict
from tracer_env.tasks.base import Grade


def turn(round_, right, **fields):
    proposes = round_ % 2 == 1
    return TurnRecord(
        **{
            "round": round_,
            "agent": 0,
            "role": Role.PROPOSER if proposes else Role.REVIEWER,
            "mode": Mode.SPEAK,
            "forced": round_ == 1,
            "text": "hm",
            "answer": "7" if right else "8",
            "verdict": None if proposes else Verdict.RIGHT,
            "right": right,
            "reward": 1.0 if right else -1.0,
            "prompt_tokens": 3,
            "generated_tokens": 4,
            "finish_reason": FinishReason.STOP,
            **fields,
        }
    )


def dialogue(*turns, **fields):
    right = [each for each in turns if each.role is Role.PROPOSER][-1].right
    return DialogueRecord(
        **{
            "method": "team",
            "phase": "after",
            "seed": 0,
            "question_id": "q",
            "question": "3 + 4?",
            "gold": "7",
            "answer": "7" if right else "8",
            "correct": right,
            "grade": Outcome.RIGHT if right else Outcome.WRONG,
            "turns": turns,
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("record", "flags"),
    [
        (dialogue(turn(1, False), turn(2, True), turn(3, True)), ["wrong_right", "right"]),
        (dialogue(turn(1, True), turn(2, False), turn(3, False)), ["right_wrong", "wrong", "reviewer_wrong"]),
        (dialogue(turn(1, True, finish_reason=FinishReason.LENGTH)), ["right", "truncated"]),
        (dialogue(turn(1, False), answer=None), ["wrong", "no_answer"]),
        (dialogue(turn(1, False), grade=Outcome.UNGRADABLE), ["wrong", "not_graded"]),
        (dialogue(turn(1, False), turn(1, True), kind=Kind.BALLOT), ["right"]),  # votes were not revised
    ],
)
def test_flags_of_a_dialogue(record, flags):
    assert flags_of(record) == flags


def three_rounds() -> ExpandedRecord:
    """A wrong proposal; a review that is right; a new proposal that is right after the review, wrong without it."""
    wrong, better = (Utterance(text=text, answer=text, generated_tokens=10) for text in ("8", "7"))
    review = Utterance(text="no", verdict=Verdict.WRONG, generated_tokens=5)
    worth = {"100": -1.0, "101": -1.1, "110": -1.05, "111": 0.8}
    return ExpandedRecord(
        question_id="q",
        question="3 + 4?",
        gold="7",
        seed=1,
        grades={"8": Grade.WRONG, "7": Grade.RIGHT},
        spoken={"": wrong, "1": review, "10": wrong, "11": better},
        decisions={
            "1": Decision(infoset=(1,), speak=0.25),
            "10": Decision(infoset=(2,), speak=0.5),
            "11": Decision(infoset=(3,), speak=1.0),
        },
        leaves={
            prefix: Leaf(answer="7" if u > 0 else "8", right=u > 0, tokens=10, utility=u) for prefix, u in worth.items()
        },
        played="101",
    )


def test_values_and_regrets_are_those_worked_out_by_hand():
    choices = valued(three_rounds())
    assert choices["11"].speak_value == 0.8
    assert choices["11"].regret("1") == 0
    assert choices["11"].regret("0") == pytest.approx(1.85)
    assert choices["1"].skip_value == pytest.approx(-1.05)  # ½ · −1 + ½ · −1.1
    assert choices["1"].speak_value == pytest.approx(0.8)
    assert choices["1"].regret("0") == pytest.approx(1.85)
    assert choices["10"].regret("1") == pytest.approx(0.1)
    assert [choices[prefix].reach for prefix in ("1", "10", "11")] == [1.0, 0.75, 0.25]


def test_infosets_are_weighted_by_how_often_they_are_met():
    record = three_rounds()
    merged = replace(record, decisions={**record.decisions, "11": Decision(infoset=(2,), speak=0.5)})
    figures = by_infoset([merged])
    assert figures[2,].met == pytest.approx(1.0)
    assert figures[2,].gain == pytest.approx(0.75 * -0.1 + 0.25 * 1.85)


def test_a_belief_is_named_by_the_limits_of_its_bin():
    record = three_rounds()
    keys = {"1": (0, 1, 1, 0), "10": (1, 2, 1, 1), "11": (1, 2, 1, 2)}
    tree = replace(
        record, decisions={p: replace(d, infoset=keys.get(p, (0, 0, 0, 0))) for p, d in record.decisions.items()}
    )
    belief = Belief(intercept=0.0, coefficients=(1.0,) * len(FEATURES), edges=(0.25, 0.5))
    collection = Collection(
        name="run", labels={}, records={}, trees=[tree], infoset="belief", belief=belief, seats=Rules(rounds=3).seats
    )
    data = browser_data([collection], most=5)
    assert data is not None
    labels = {each["label"] for each in data["runs"][0]["infosets"].values()}
    assert labels == {"1 agree, belief < 0.25", "1 agree, belief 0.25–0.50", "1 agree, belief ≥ 0.50"}


def test_a_record_is_read_back_as_it_was_written_and_shared_utterances_are_written_once():
    record = three_rounds()
    row = json.loads(json.dumps(record.as_json()))
    assert len(row["utterances"]) == 3
    assert expanded_from_json(row) == record


def test_the_browser_has_both_branches_of_every_choice(run):
    browser = page_of([run]).browser
    trees = {record.question_id: record for record in load_trees(run)}
    assert browser["methods"][0]["key"] == TREES
    shown = [(q["id"], e["tree"]) for q in browser["questions"] for e in q["entries"] if "tree" in e]
    assert len(shown) == len(trees) == 12
    for question_id, tree in shown:
        record = trees[question_id]
        assert tree["played"] == record.played
        assert set(tree["choices"]) == set(record.decisions)
        assert len(tree["choices"]) == 15
        assert len(tree["leaves"]) == 16
        for prefix, (_, speak, skip_value, speak_value) in tree["choices"].items():
            assert speak == 0.5
            assert valued(record)[prefix].skip_value == pytest.approx(skip_value, abs=1e-4)
            assert valued(record)[prefix].speak_value == pytest.approx(speak_value, abs=1e-4)
        for prefix, uttered in tree["said"].items():
            pending = [record.spoken[prefix[:cut]] for cut in (0, 2, 4) if f"{prefix}1"[cut : cut + 1] == "1"]
            truth = pending[-1].answer == record.gold
            review = len(prefix) % 2 == 1
            assert uttered[3] is ((uttered[2] == "RIGHT") == truth if review else truth)
            assert uttered[4] == (1.0 if uttered[3] else -1.0)


def test_flags_of_trees_are_those_of_what_was_played(run):
    for question in page_of([run]).browser["questions"]:
        [entry] = [each for each in question["entries"] if "tree" in each]
        tree, flags = entry["tree"], set(entry["flags"])
        first, end = tree["said"][""][3], bool(tree["leaves"][tree["played"]][1])
        assert ("wrong_right" in flags) is (end and not first)
        assert ("right_wrong" in flags) is (first and not end)
        reachable = any(leaf[1] for leaf in tree["leaves"].values())
        assert ("missed" in flags) is (not end and reachable)
        assert flags <= set(FLAGS)


def test_methods_that_disagree_are_flagged(run):
    for question in page_of([run]).browser["questions"]:
        disagree = len({entry["right"] for entry in question["entries"]}) == 2
        assert all(("methods_differ" in entry["flags"]) is disagree for entry in question["entries"])
