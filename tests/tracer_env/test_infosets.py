"""What controllers know: keys against their description, refinement, features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_env.dialogue import Mode, Role, Rules, Utterance, Verdict, initial, is_terminal, legal, transition
from tracer_env.errors import ConfigError
from tracer_env.infosets import INFOSETS, Infosets

PROPOSALS = (None, "1", "2")
REVIEWS = (None, Verdict.RIGHT, Verdict.WRONG)


def decisions(rules, answers=PROPOSALS):
    """Every history at which a controller decides, with these answers and every verdict."""
    frontier = [initial(rules, "?")]
    while frontier:
        state = frontier.pop()
        if is_terminal(state):
            continue
        if state.speaking:
            proposing = state.role is Role.PROPOSER
            said = [Utterance(text="", answer=a) for a in answers] if proposing else [
                Utterance(text="", verdict=v) for v in REVIEWS
            ]  # fmt: skip
            frontier += [transition(state, utterance) for utterance in said]
        else:
            yield state
            frontier += [transition(state, mode) for mode, allowed in zip(Mode, legal(state), strict=True) if allowed]


def played(rules, *moves):
    """The state after rounds: None skips, a str proposes that answer ("" unparsed), a Verdict or False reviews."""
    state = initial(rules, "?")
    for move in moves:
        if move is None:
            state = transition(state, Mode.SKIP)
            continue
        verdict = move if isinstance(move, Verdict) else None
        answer = move if isinstance(move, str) and verdict is None and move else None
        state = transition(transition(state, Mode.SPEAK), Utterance(text="", answer=answer, verdict=verdict))
    return state


R, W = Verdict.RIGHT, Verdict.WRONG


@pytest.mark.parametrize(
    ("moves", "paper", "consensus", "recall"),
    [
        ((), (0, 5, 0, 0), (0, 0), ()),
        (("1",), (1, 2, 0, 0), (1, 1), (2,)),
        (("",), (1, 5, 0, 0), (1, 0), (1,)),
        (("1", R), (0, 3, 0, 1), (1, 1), (2, 1)),
        (("1", W), (0, 1, 0, 1), (1, 1), (2, 2)),
        (("1", False), (0, 2, 0, 1), (1, 1), (2, 3)),
        (("1", None), (0, 2, 0, 1), (1, 1), (2, 0)),
        (("1", R, None), (1, 3, 1, 1), (1, 1), (2, 1, 0)),
        (("1", R, None, R), (0, 4, 1, 2), (1, 1), (2, 1, 0, 1)),
        (("1", W, None, W), (0, 0, 1, 2), (1, 1), (2, 2, 0, 2)),
        (("1", W, "1"), (1, 2, 1, 1), (2, 2), (2, 2, 2)),
        (("1", W, "2"), (1, 2, 1, 1), (2, 1), (2, 2, 3)),
        (("2", W, "1", None), (0, 2, 1, 2), (2, 1), (2, 2, 3, 0)),
        (("1", R, "", None), (0, 5, 1, 2), (2, 0), (2, 1, 1, 0)),
    ],
)
def test_keys_say_what_they_should(moves, paper, consensus, recall):
    rules = Rules(rounds=5)
    state = played(rules, *moves)
    assert Infosets("paper", rules).key(state) == paper
    assert Infosets("consensus", rules).key(state) == paper + consensus
    assert Infosets("recall", rules).key(state) == recall


def test_votes_and_agreement_are_clipped():
    rules = Rules(rounds=9)
    lasting = played(rules, "1", R, None, R, None, R)
    assert Infosets("paper", rules).key(lasting)[1] == 4
    assert Infosets("paper", rules).key(played(rules, "1", W, None, W, None, W))[1] == 0
    assert Infosets("consensus", rules).key(played(rules, "1", None, "1", None, "1", None, "1"))[-2:] == (4, 2)


@pytest.mark.parametrize("rounds", [1, 3, 5, 7])
@pytest.mark.parametrize("schedule", ["rotate", "parity"])
@pytest.mark.parametrize("name", INFOSETS)
def test_no_key_repeats_along_a_path_and_each_names_its_round(rounds, schedule, name):
    rules = Rules(rounds=rounds, schedule=schedule, n_agents=3)
    infosets = Infosets(name, rules)
    round_of = {}
    for state in decisions(rules, answers=("1",) if rounds == 7 else PROPOSALS):
        key = infosets.key(state)
        assert round_of.setdefault(key, state.round) == state.round
        assert len(key) <= len(infosets.sizes)
        assert all(0 <= part < size for part, size in zip(key, infosets.sizes, strict=False))


@pytest.mark.parametrize("schedule", ["rotate", "parity"])
@pytest.mark.parametrize("force", [False, True])
def test_recall_refines_consensus_and_consensus_refines_paper(schedule, force):
    rules = Rules(schedule=schedule, force_on_unparsed=force)
    paper, consensus, recall = (Infosets(name, rules).key for name in ("paper", "consensus", "recall"))
    coarser, coarsest = {}, {}
    for state in decisions(rules):
        assert coarser.setdefault(recall(state), consensus(state)) == consensus(state)
        assert coarsest.setdefault(consensus(state), paper(state)) == paper(state)
    assert len(coarser) > len(set(coarser.values())) == len(coarsest) > len(set(coarsest.values()))


def test_recall_sees_everything_public_up_to_the_names_of_answers():
    """Perfect recall: two histories share a key only if renaming answers makes them one."""
    rules, seen = Rules(rounds=5), {}

    def history(state):
        names: dict[str, int] = {}
        return tuple(
            (turn.round, turn.agent, turn.mode, turn.utterance and turn.utterance.verdict,
             None if not turn.utterance or turn.utterance.answer is None
             else names.setdefault(turn.utterance.answer, len(names)),
             turn.utterance is not None and turn.role is Role.PROPOSER and turn.utterance.answer is None)
            for turn in state.turns
        )  # fmt: skip

    key = Infosets("recall", rules).key
    for state in decisions(rules):
        assert seen.setdefault(key(state), history(state)) == history(state)
    assert len(set(seen.values())) == len(seen)


@given(st.permutations(["1", "2", "3"]), st.sampled_from(INFOSETS))
def test_keys_do_not_depend_on_what_answers_are_called(names, name):
    rules = Rules(rounds=7)
    infosets = Infosets(name, rules)
    first, second, third = names
    assert infosets.key(played(rules, "1", W, "2", R, "1", R)) == infosets.key(
        played(rules, first, W, second, R, first, R)
    )
    distinct = infosets.key(played(rules, first, W, second, R, third, R))
    assert (distinct == infosets.key(played(rules, "1", W, "2", R, "1", R))) == (name == "paper")


@pytest.mark.parametrize("name", INFOSETS)
def test_features_are_one_hot_blocks_that_tell_keys_apart(name):
    rules = Rules()
    infosets = Infosets(name, rules)
    vectors = {}
    for state in decisions(rules):
        key = infosets.key(state)
        features = infosets.features(key)
        assert (features.shape, features.dtype) == ((infosets.n_features,), np.float32)
        blocks = np.split(features, infosets.offsets[1:])
        assert [int(block.argmax()) for block in blocks[: len(key)]] == list(key)
        assert [float(block.sum()) for block in blocks] == [1.0] * len(key) + [0.0] * (len(blocks) - len(key))
        vectors[key] = features.tobytes()
    assert len(set(vectors.values())) == len(vectors)


def test_unknown_structure_is_named():
    with pytest.raises(ConfigError, match="infoset must be one of"):
        Infosets("everything", Rules())
