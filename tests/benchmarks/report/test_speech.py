"""Tests of when controllers speak, from records."""

import pytest

from benchmarks.report.speech import Decision, decisions, in_words, speak_rates
from tracer_env.dialogue import Mode, Rules, Utterance, Verdict, initial, transition
from tracer_env.infosets import Infosets
from tracer_env.seeding import stream


def test_decisions_by_hand(make_turn, make_record):
    turns = [
        make_turn(1, right=True),
        make_turn(2, right=False),
        make_turn(3, right=True),
        make_turn(4, right=None),
        make_turn(5, right=False, wrong=None),
    ]

    made = list(decisions(make_record("tracer", "q", turns), Rules()))

    assert made == [
        Decision(known=(1, 2), round=2, proposals=1, spoke=True),
        Decision(known=(1, 1), round=3, proposals=1, spoke=True),  # after a WRONG
        Decision(known=(2, 2), round=4, proposals=2, spoke=False),  # two agree, votes reset
        Decision(known=(2, 2), round=5, proposals=2, spoke=True),
    ]


def random_record(rng, make_turn, make_record):
    """A dialogue of random choices and utterances, as a record."""
    turns = []
    for round_ in range(1, 6):
        right = True if round_ == 1 else [None, True, False][rng.integers(3)]
        turns.append(make_turn(round_, right=right, wrong=["8", None][rng.integers(2)]))
    return make_record("tracer", "q", turns)


def keys_met(record, rules):
    """The consensus keys at which a choice was made."""
    state, key = initial(rules, record.question), Infosets("consensus", rules).key
    for turn in record.turns:
        if turn.round > 1:
            yield key(state)
        state = transition(state, Mode(turn.mode))
        if turn.mode:
            verdict = Verdict(turn.verdict) if turn.verdict else None
            state = transition(state, Utterance(text="", answer=turn.answer, verdict=verdict))


def test_a_place_on_the_heat_map_is_an_infoset(make_turn, make_record):
    rng, rules = stream(1), Rules()
    records = [random_record(rng, make_turn, make_record) for _ in range(300)]

    pairs = {
        (made[:3], key)
        for record in records
        for made, key in zip(decisions(record, rules), keys_met(record, rules), strict=True)
    }

    assert len(pairs) == len({place for place, _ in pairs}) == len({key for _, key in pairs}) > 20


def test_rates_count_the_choices_at_each_place(make_turn, make_record):
    skips = [make_turn(at, right=None) for at in (3, 4, 5)]
    reviewed = make_record("t", "a", [make_turn(1, right=True), make_turn(2, right=True), *skips])
    silent = make_record("t", "b", [make_turn(1, right=True), make_turn(2, right=None), *skips])
    unread = make_record("t", "c", [make_turn(1, right=False, wrong=None), make_turn(2, right=True), *skips])

    rates = speak_rates([reviewed, silent, silent, unread], Rules()).set_index(["known", "round"])

    assert rates.loc[("1 proposal, votes 0", 2), "rate"] == pytest.approx(1 / 3)
    assert rates.loc[("1 proposal, votes 0", 2), "n"] == 3
    assert rates.loc[("1 proposal, votes +1", 3), "n"] == 1
    assert rates.loc[("no answer", 2), "rate"] == 1.0
    assert rates.index[0][0] == "no answer"


def test_what_is_known_in_words():
    assert in_words((0, 5)) == "no answer"
    assert in_words((1, 0)) == "1 proposal, votes ≤ −2"
    assert in_words((2, 4)) == "2+ agree, votes ≥ +2"
