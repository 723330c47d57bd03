"""The rules of the game, checked against its description and by exhaustive play."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_env.dialogue import (
    Dialogue,
    Mode,
    Role,
    Rules,
    Utterance,
    Verdict,
    active,
    initial,
    is_forced,
    is_terminal,
    legal,
    transition,
)
from tracer_env.errors import ConfigError, IllegalMove

UTTERANCES = st.builds(
    Utterance,
    text=st.text(max_size=5),
    answer=st.sampled_from([None, "1", "2"]),
    verdict=st.sampled_from([None, Verdict.RIGHT, Verdict.WRONG]),
    generated_tokens=st.integers(0, 9),
)
RULES = st.builds(
    Rules,
    n_agents=st.integers(1, 5),
    rounds=st.sampled_from([1, 3, 5, 7, 9]),
    schedule=st.sampled_from(["rotate", "parity"]),
    force_on_unparsed=st.booleans(),
)


def says(state: Dialogue, **parsed) -> Dialogue:
    """SPEAK, then an utterance."""
    return transition(transition(state, Mode.SPEAK), Utterance(text="…", **parsed))


def skips(state: Dialogue) -> Dialogue:
    return transition(state, Mode.SKIP)


def seats(**rules) -> list[str]:
    return [f"{agent}{role.value[0]}" for agent, role in Rules(**rules).seats]


@pytest.mark.parametrize(
    ("n_agents", "expected"),
    [
        (1, "0p 0r 0p 0r 0p"),
        (2, "0p 1r 1p 0r 0p 1r 1p"),  # the reviewer of a cycle proposes in the next
        (3, "0p 1r 1p 2r 2p 0r 0p"),
        (5, "0p 1r 1p 2r 2p 3r 3p 4r 4p 0r 0p"),
    ],
)
def test_rotate_seats(n_agents, expected):
    assert seats(n_agents=n_agents, rounds=len(expected.split())) == expected.split()


@pytest.mark.parametrize(
    ("n_agents", "expected"),
    [
        (1, "0p 0r 0p 0r 0p"),
        (2, "0p 1r 0p 1r 0p"),  # for even N nobody changes role
        (3, "0p 1r 2p 0r 1p 2r 0p"),
        (4, "0p 1r 2p 3r 0p"),
    ],
)
def test_parity_seats(n_agents, expected):
    assert seats(n_agents=n_agents, rounds=len(expected.split()), schedule="parity") == expected.split()


@given(st.integers(2, 6), st.integers(0, 6))
def test_rotate_gives_everybody_both_roles_and_nobody_reviews_itself(n_agents, extra_cycles):
    rules = Rules(n_agents=n_agents, rounds=2 * (n_agents + extra_cycles) + 1)
    for cycle in range(rules.rounds // 2):
        proposer, reviewer = rules.seats[2 * cycle][0], rules.seats[2 * cycle + 1][0]
        assert proposer == cycle % n_agents
        assert reviewer == (cycle + 1) % n_agents == rules.seats[2 * cycle + 2][0]
    assert {agent for agent, role in rules.seats if role is Role.PROPOSER} == set(range(n_agents))
    assert {agent for agent, role in rules.seats if role is Role.REVIEWER} == set(range(n_agents))


@pytest.mark.parametrize(("rounds", "counts"), [(1, (0, 1, 1)), (3, (3, 4, 4)), (5, (15, 16, 16)), (7, (63, 64, 64))])
@pytest.mark.parametrize("schedule", ["rotate", "parity"])
def test_expansion_of_the_binary_choices(rounds, counts, schedule):
    """(Free decisions, leaves, utterances): every decision has both modes but the first."""
    decisions = leaves = utterances = 0
    frontier = [initial(Rules(rounds=rounds, schedule=schedule), "?")]
    while frontier:
        state = frontier.pop()
        if is_terminal(state):
            leaves += 1
        elif state.speaking:
            utterances += 1
            frontier.append(transition(state, Utterance(text="…", answer="1", verdict=Verdict.RIGHT)))
        else:
            skip, speak = legal(state)
            assert speak
            assert skip == (state.round > 1)
            decisions += skip
            frontier += [transition(state, mode) for mode, allowed in zip(Mode, (skip, speak), strict=True) if allowed]
    assert (decisions, leaves, utterances) == counts


@given(RULES, st.data())
def test_any_play_ends_after_all_rounds_and_keeps_its_books(rules, data):
    state = initial(rules, "?")
    while not is_terminal(state):
        agent, part = active(state)
        assert agent == rules.seats[state.round - 1][0]
        if state.speaking:
            assert part == state.role.value
            assert legal(state) == (False, False)
            action = data.draw(UTTERANCES)
        else:
            assert part == "controller"
            modes = [mode for mode, allowed in zip(Mode, legal(state), strict=True) if allowed]
            action = data.draw(st.sampled_from(modes))
        before = state
        state = transition(state, action)
        assert before != state
        assert state.question == "?"
    assert [turn.round for turn in state.turns] == list(range(1, rules.rounds + 1))
    assert [(turn.agent, turn.role) for turn in state.turns] == list(rules.seats)
    assert all((turn.mode is Mode.SPEAK) == (turn.utterance is not None) for turn in state.turns)
    spoken = [turn.utterance for turn in state.turns if turn.utterance]
    assert state.generated_tokens == sum(said.generated_tokens for said in spoken)
    proposals = [turn for turn in state.turns if turn.role is Role.PROPOSER and turn.utterance]
    assert state.pending == proposals[-1]
    assert state.answer == proposals[-1].utterance.answer
    reviews = [turn for turn in state.turns[proposals[-1].round :] if turn.utterance]
    assert state.reviews_of_pending() == tuple(reviews)
    swing = {Verdict.RIGHT: 1, Verdict.WRONG: -1, None: 0}
    assert state.votes == sum(swing[turn.utterance.verdict] for turn in reviews)


def test_first_round_is_forced_and_says_so():
    state = initial(Rules(), "?")
    assert (state.answer, state.pending, state.reviews_of_pending()) == (None, None, ())
    assert is_forced(state)
    assert legal(state) == (False, True)
    with pytest.raises(IllegalMove, match="speaking is forced"):
        skips(state)
    assert says(state).turns[0].forced


def test_unparseable_proposal_replaces_the_pending_one_and_resets_votes():
    state = says(says(initial(Rules(), "?"), answer="4"), verdict=Verdict.RIGHT)
    assert (state.answer, state.votes) == ("4", 1)
    state = says(state, answer=None)
    assert (state.answer, state.votes, state.pending.round) == (None, 0, 3)


def test_skipping_a_proposal_keeps_solution_and_votes():
    state = skips(says(says(initial(Rules(), "?"), answer="4"), verdict=Verdict.WRONG))
    assert (state.answer, state.votes, state.round) == ("4", -1, 4)
    assert says(state, verdict=Verdict.WRONG).votes == -2
    assert says(state, verdict=None).votes == -1
    assert not state.turns[-1].forced


def test_forcing_over_the_unparseable_is_an_option_for_proposals_only():
    for force in (False, True):
        state = says(initial(Rules(force_on_unparsed=force), "?"), answer=None)
        assert legal(state) == (True, True)  # a review is never forced
        state = skips(state)
        assert legal(state) == (not force, True)
        assert says(state, answer="1").turns[-1].forced == force


def test_moves_out_of_turn_are_illegal():
    state = initial(Rules(rounds=1), "?")
    with pytest.raises(IllegalMove, match="must choose a mode first"):
        transition(state, Utterance(text="too early"))
    for not_a_mode in (2, -1, "SPEAK", None):
        with pytest.raises(IllegalMove, match="a mode is 0"):
            transition(state, not_a_mode)
    with pytest.raises(IllegalMove, match="must speak; a mode was given"):
        transition(transition(state, Mode.SPEAK), Mode.SPEAK)
    over = says(state)
    assert legal(over) == (False, False)
    for late in (lambda: active(over), lambda: skips(over), lambda: transition(over, Utterance(text="late"))):
        with pytest.raises(IllegalMove, match="dialogue is over"):
            late()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_agents", 0), ("n_agents", 1.0), ("n_agents", True), ("rounds", 2), ("rounds", 0), ("rounds", -1),
        ("rounds", 3.0), ("rounds", True), ("schedule", "roundrobin"),
    ],
)  # fmt: skip
def test_wrong_shape_is_named(field, value):
    with pytest.raises(ConfigError, match=field):
        Rules(**{field: value})
