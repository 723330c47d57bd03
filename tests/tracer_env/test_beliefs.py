"""Beliefs: what is known of an answer, the probability made of it, and its bins."""

from dataclasses import replace

import pytest

from tracer_env.beliefs import FEATURES, SIGNALS, Belief, evidence
from tracer_env.dialogue import Dialogue, Mode, Rules, Utterance, Verdict, initial, transition
from tracer_env.errors import ConfigError
from tracer_env.infosets import Infosets

RULES = Rules(rounds=7)


def said(*utterances: Utterance | None, rules: Rules = RULES) -> Dialogue:
    """The dialogue in which these are the rounds; None skips."""
    state = initial(rules, "?")
    for utterance in utterances:
        state = transition(state, Mode.SKIP if utterance is None else Mode.SPEAK)
        state = state if utterance is None else transition(state, utterance)
    return state


def proposal(answer: str | None, logp: float | None = None) -> Utterance:
    return Utterance(text=f"#### {answer}", answer=answer, generated_tokens=4, mean_logp=logp)


def review(p_right: float | None) -> Utterance:
    verdict = Verdict.RIGHT if p_right is None or p_right > 0.5 else Verdict.WRONG
    return Utterance(text=f"Verdict: {verdict}", verdict=verdict, generated_tokens=1, p_right=p_right)


def features(state: Dialogue, answer: str) -> dict[str, float]:
    return dict(zip(FEATURES, evidence(state)[answer], strict=True))


def belief(**coefficients: float) -> Belief:
    """By signal-like names with spaces as underscores."""
    named = {name.replace("_", " "): value for name, value in coefficients.items()}
    return Belief(intercept=0.0, coefficients=tuple(named.get(name, 0.0) for name in FEATURES))


def test_evidence_is_about_each_answer_in_the_order_in_which_they_were_given():
    state = said(proposal("7", -0.5), review(0.9), proposal("8", -0.1), None, proposal("7", -0.3))

    assert list(evidence(state)) == ["7", "8"]
    seven, eight = features(state, "7"), features(state, "8")
    assert (seven["given once"], eight["given once"]) == (0.0, 1.0)
    assert seven["share"] == pytest.approx(2 / 3)
    assert seven["mean logp"] == pytest.approx(-0.4)
    assert seven["mean logit"] == pytest.approx(2.1972, abs=1e-4)
    assert (seven["votes"], eight["votes"]) == (1.0, 0.0)


def test_what_no_engine_tells_is_unknown_and_not_zero():
    unknown, known = said(proposal("7"), review(None)), said(proposal("7", 0.0), review(0.5))

    for name in ("logp known", "chance known"):
        assert features(unknown, "7")[name] == 0.0
        assert features(known, "7")[name] == 1.0


def test_a_proposal_that_cannot_be_read_speaks_against_the_others():
    alone, doubted = said(proposal("7")), said(proposal("7"), None, proposal(None))

    assert features(doubted, "7")["share"] == features(alone, "7")["share"] / 2
    assert features(doubted, "7")["log largest rival"] == 0.0
    assert belief(share=2.0).standing(doubted) == (None, 0.0)  # nothing is pending that could be right


def test_probabilities_are_bounded_however_sure_a_verdict_is():
    state = said(proposal("7"), review(1.0))
    sure = replace(belief(mean_logit=1e6), intercept=0.0)

    assert sure.standing(state) == ("7", 1.0)
    assert replace(sure, coefficients=tuple(-value for value in sure.coefficients)).standing(state) == ("7", 0.0)


def test_a_bin_counts_the_edges_that_are_reached():
    fitted = replace(belief(), edges=(0.25, 0.5, 0.75))

    assert [fitted.bin(chance) for chance in (0.0, 0.3, 0.5, 1.0)] == [0, 1, 2, 3]
    assert belief().bin(0.9) == 0


def test_json_gives_back_the_same_belief_and_refuses_other_features():
    fitted = Belief(intercept=0.1, coefficients=tuple(0.1 * n for n in range(len(FEATURES))), edges=(0.3, 0.6))

    assert Belief.from_json(fitted.as_json()) == fitted
    with pytest.raises(ValueError, match="features"):
        Belief.from_json({**fitted.as_json(), "features": ["mood"]})


@pytest.mark.parametrize(
    "wrong",
    [{"coefficients": (1.0,)}, {"intercept": float("nan")}, {"edges": (0.6, 0.3)}],
    ids=["too few coefficients", "not a number", "edges out of order"],
)
def test_a_belief_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError):
        replace(belief(), **wrong)


def test_every_feature_belongs_to_one_signal():
    assert sorted(FEATURES) == sorted({name for names in SIGNALS.values() for name in names})


def test_controllers_that_see_beliefs_tell_states_apart_by_their_bins():
    fitted = replace(belief(mean_logp=1.0), edges=(0.3, 0.4))
    rules = replace(RULES, belief=fitted)
    infosets = Infosets("belief", rules)
    unsure, sure = (said(proposal("7", logp), rules=rules) for logp in (-2.0, -0.1))

    assert infosets.key(unsure) == (1, 1, 1, 0)
    assert infosets.key(sure) == (1, 1, 1, 2)
    assert infosets.sizes == (2, 7, 3, 3)
    assert infosets.features(infosets.key(sure)).sum() == 4
    assert Infosets("belief", RULES).key(sure) == (1, 1, 1, 0)


def test_controllers_see_how_sure_the_team_is_of_what_it_would_answer():
    """Not of the pending answer, where the rule answers with another."""
    fitted = replace(belief(log_times_given=9.0), edges=(0.9,))
    state = said(proposal("7"), None, proposal("7"), None, proposal("8"))
    seen = {}
    for rule in ("pending", "plurality", "belief"):
        rules = replace(RULES, answer_rule=rule, belief=fitted)
        seen[rule] = Infosets("belief", rules).key(replace(state, rules=rules))[2:]
    assert seen == {"pending": (1, 0), "plurality": (2, 1), "belief": (2, 1)}


class TestWhatTheTeamAnswers:
    STATE = said(proposal("7", -0.1), None, proposal("7", -0.1), None, proposal("8", -3.0))

    def answer(self, rule: str, fitted: Belief | None = None) -> str | None:
        return replace(self.STATE, rules=replace(RULES, answer_rule=rule, belief=fitted)).team_answer

    def test_by_rule(self):
        assert self.answer("pending") == "8"
        assert self.answer("plurality") == "7"
        assert self.answer("belief", belief(mean_logp=1.0)) == "7"
        assert self.answer("belief", belief(mean_logp=-1.0)) == "8"

    def test_without_a_belief_agreement_is_all_that_is_known(self):
        assert self.answer("belief") == "7"

    def test_the_earliest_wins_a_tie(self):
        tie = said(proposal(None), None, proposal("8"), None, proposal("7"))
        for rule in ("plurality", "belief"):
            rules = replace(RULES, answer_rule=rule, belief=belief())
            assert replace(tie, rules=rules).team_answer == "8"

    def test_nothing_that_can_be_read_is_no_answer(self):
        nothing = said(proposal(None))
        for rule in ("pending", "plurality", "belief"):
            rules = replace(RULES, answer_rule=rule, belief=belief())
            assert replace(nothing, rules=rules).team_answer is None
