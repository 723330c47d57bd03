import numpy as np
import pytest

from benchmarks.regret.neural import NeuralRegret, NeuralSettings, _Network, _Reservoir, believing, matched
from tracer_agents.game.gaps import team_optimum
from tracer_agents.game.values import expected_utility
from tracer_agents.rollout.empirical import enumerated_game
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_env.beliefs import FEATURES, Belief
from tracer_env.dialogue import Mode, Rules, Utterance, initial, transition
from tracer_env.errors import ConfigError
from tracer_env.infosets import Infosets


def test_matched():
    given = np.array([[3.0, 1.0], [-1.0, 2.0], [-3.0, -1.0], [0.0, 0.0]])
    assert matched(given).tolist() == [[0.75, 0.25], [0.0, 1.0], [0.0, 1.0], [0.5, 0.5]]


def test_a_step_is_adams_first_on_the_weighted_squared_error():
    """Adam's first step is the learning rate against the gradient's sign, whatever its size."""
    network = _Network(1, 4, learning_rate=1e-3, seed=0)
    features, target = np.ones((3, 1), np.float32), np.array([[5.0, -5.0], [5.0, -5.0], [-9.0, 9.0]])
    weight = np.array([1.0, 1.0, 0.0])  # the last row is not to be learned

    before = network(features)[0]
    loss = network.step(features, target, weight)
    after = network(features)[0]

    assert loss == pytest.approx(np.mean(weight * ((before - target) ** 2).sum(axis=1)), rel=1e-5)
    assert after[0] > before[0]
    assert after[1] < before[1]
    assert np.abs(after - before).max() < 0.05


def test_the_network_fits():
    network = _Network(3, 32, learning_rate=1e-2, seed=1)
    features = np.eye(3, dtype=np.float32)
    target = np.array([[1.0, -1.0], [0.0, 0.5], [-2.0, 2.0]])
    for _ in range(600):
        network.step(features, target, np.ones(3))
    assert network(features) == pytest.approx(target, abs=0.05)


def test_the_reservoir_is_a_uniform_sample():
    rng = np.random.default_rng(2)
    kept = np.zeros(100)
    for _ in range(400):
        reservoir = _Reservoir(10, 1)
        for start in range(0, 100, 25):
            stamps = np.arange(start, start + 25, dtype=float)
            reservoir.add(stamps[:, None].astype(np.float32), np.zeros((25, 2)), stamps, rng)
        kept[reservoir._rows["weight"].astype(int)] += 1
    # Each of 100 is kept with chance 1/10 in each of 400 trials: 40, standard deviation 6.
    assert kept.sum() == 4000
    assert np.all(np.abs(kept - 40) < 4.5 * 6)


@pytest.mark.parametrize("infoset", ["recall", "consensus"])
def test_it_comes_near_the_optimum(infoset):
    speaker = TabularSpeaker.load()
    infosets = Infosets(infoset, Rules(rounds=3))
    game = enumerated_game(
        speaker, speaker.representatives(), infosets, token_budget=300, weights=speaker.weights
    ).priced(0.1)
    learner = NeuralRegret(infosets, settings=NeuralSettings(hidden=32, steps=40, minibatch=64))
    start = expected_utility(game, learner.profile(game.trie.keys))
    for _ in range(25):
        learner.observe(game, players=(0, 1))
    final = expected_utility(game, learner.profile(game.trie.keys))
    best = team_optimum(game).value
    assert best - final < 0.25 * (best - start)
    assert best - final < 0.02


def test_it_is_a_controller_and_reproducible():
    infosets, question = Infosets("recall", Rules()), tabular_question(0)
    state = initial(infosets.rules, question.text)
    after = transition(transition(state, Mode.SPEAK), Utterance(text="", answer="1"))
    learner, again, other = (NeuralRegret(infosets, seed=seed) for seed in (4, 4, 5))
    assert learner.speak_probability([state, after])[0] == 1.0
    assert np.array_equal(learner.speak_probability([state, after]), again.speak_probability([state, after]))
    assert not np.array_equal(learner.speak_probability([state, after]), other.speak_probability([state, after]))
    assert learner.profile([]).shape == (0, 2)


@pytest.mark.parametrize("field", ["hidden", "steps", "minibatch", "memory", "learning_rate"])
def test_settings_out_of_range(field):
    with pytest.raises(ConfigError, match=field):
        NeuralSettings(**{field: 0})


def test_believing_sees_the_belief_as_a_number():
    belief = Belief(intercept=0.0, coefficients=(0.0,) * len(FEATURES), edges=(0.2, 0.6))
    infosets = Infosets("belief", Rules(rounds=3, belief=belief))
    seen: list[np.ndarray] = []

    class Spy:
        def __call__(self, features: np.ndarray) -> np.ndarray:
            seen.append(features)
            return np.zeros((len(features), 2))

    learner = believing(infosets, belief)
    learner._network = Spy()
    learner.profile([(1, 1, 2, 0), (0, 2, 1, 2)])
    [rows] = seen
    assert rows[:, :8].tolist() == [[0, 1, 0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 1, 0, 1, 0]]
    assert rows[:, 8] == pytest.approx([0.1, 0.8])
    assert rows[:, 9] == pytest.approx([np.log(0.1 / 0.9) / 4, np.log(4) / 4])


def test_believing_wants_the_belief_of_the_rules():
    belief = Belief(intercept=0.0, coefficients=(0.0,) * len(FEATURES))
    with pytest.raises(ConfigError, match="with that belief"):
        believing(Infosets("belief", Rules(rounds=3)), belief)
