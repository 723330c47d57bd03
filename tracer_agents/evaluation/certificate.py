"""The certificate: how good the deployed profile is on held-out trees, and how much the run can regret.

Everything is measured on trees of questions that neither layer trained on: trees used to fit flatter their own
profile. Means of the fixed profile carry a percentile bootstrap over questions. Gaps are maxima, so their plug-in
values are biased upwards; their intervals are conservative: the lower end values, on one half of the questions, a
deviation chosen on the other half (any fixed deviation's gain bounds the gap from below); the upper end adds the
sampling error of the deviations involved to the plug-in maximum (which is above the best deviation's sampled gain).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from tracer_agents.evaluation.statistics import Z95, interval95, resampled_counts
from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.gaps import best_response, best_switch, team_optimum
from tracer_agents.game.optimum import Optimum
from tracer_agents.game.run_regret import PlayerRegret, RunRegret
from tracer_agents.game.values import Game, reach
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import Tree
from tracer_env.infosets import InfosetKey, Infosets
from tracer_env.rewards import Utility

SCHEMA_VERSION = 1


class KeyedController(Protocol):
    """A controller whose strategy is a function of the infoset key (``TabularController`` is one)."""

    infosets: Infosets
    play: str

    def profile(self, keys: Sequence[InfosetKey]) -> np.ndarray:
        """The strategy at the given infosets, float64 of shape (len(keys), 2)."""
        ...

    def knows(self, key: InfosetKey) -> bool:
        """Whether the infoset was met in training."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean over questions with its 95% percentile-bootstrap interval."""

    mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A gap ≥ 0: its (upwards biased) plug-in value and a conservative 95% interval.

    ``exact`` is False where the maximum over deviations is only bracketed; the plug-in is then the bracket's
    upper end, and ``attained`` its lower one (``found`` in the file).
    """

    plug_in: float
    attained: float
    ci95: tuple[float, float]
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPart:
    """Of the run: average external regrets on one stated sequence of profiles; their maximum is the CCE gap."""

    sequence: str = "the profiles at the start of every regret round, over all training batches, in order"
    rounds: int
    players: tuple[PlayerRegret, ...]
    bound_applies: bool  # perfect recall, counterfactual weighting, no discount, (RM or RM+)
    cce_gap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What ``certificate.json`` holds (DESIGN, section 3)."""

    questions: int
    infoset: str
    play: str
    price_of_speech: float
    infosets: int
    unseen_infosets: int  # met on these trees, never in training: played at ½
    utility: Mean
    accuracy: Mean
    generated_tokens: Mean
    nash_gap: Gap
    kkt_gap: Gap
    team_gap: Gap
    oracle_gap: Gap
    team_optimum: float  # the plug-in optimum's utility (the best found, if bracketed)
    oracle_optimum: float
    pass_at_k: float  # share of questions with a right leaf: a maximum in hindsight over sampled leaves
    run: RunPart | None
    schema_version: int = field(default=SCHEMA_VERSION)

    def as_json(self) -> dict[str, Any]:
        """Plain values, as in the file."""
        return asdict(self, dict_factory=_named_as_in_the_file)


def _named_as_in_the_file(fields: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {"found" if name == "attained" else name: value for name, value in fields}


def certify(
    trees: Sequence[Tree],
    controller: KeyedController,
    *,
    utility: Utility,
    rng: np.random.Generator,
    run: RunRegret | None = None,
    bound_applies: bool = False,
    resamples: int = 2000,
) -> Certificate:
    """The certificate of a controller on fully expanded held-out trees, nothing generated.

    Args:
        trees: ≥ 2 questions that neither layer trained on.
        controller: the deployed profile.
        utility: the team's, which says what tokens cost.
        rng: draws the halves and the bootstrap.
        run: the rounds of training, if they were watched.
        bound_applies: whether the run's rounds were such that the stated bound is a theorem about them.
        resamples: bootstrap resamples.
    """
    infosets = controller.infosets
    price = utility.price_of_speech
    sample = empirical_game(trees, infosets, token_budget=utility.budget, prices=utility.prices)
    strategy = controller.profile(sample.trie.keys)
    oracle = oracle_game(trees, infosets, utility)
    right, tokens, worth = per_question(sample, strategy, price)
    halves = np.array_split(rng.permutation(sample.n_questions), 2)
    draws = resampled_counts(sample.n_questions, resamples=resamples, rng=rng) / sample.n_questions

    def against(best: Callable[[Game], Optimum], valued_in: EmpiricalGame = sample) -> Gap:
        return gap(valued_in, worth, best, price, halves)

    unseen = sum(not controller.knows(key) for key in sample.trie.keys)
    return Certificate(
        questions=sample.n_questions,
        infoset=infosets.name,
        play=controller.play,
        price_of_speech=price,
        infosets=sample.trie.n_infosets,
        unseen_infosets=unseen,
        utility=bootstrap_mean(worth, draws),
        accuracy=bootstrap_mean(right, draws),
        generated_tokens=bootstrap_mean(tokens, draws),
        nash_gap=against(lambda game: _nash(game, strategy)),
        kkt_gap=against(lambda game: best_switch(game, strategy)),
        team_gap=against(team_optimum),
        oracle_gap=against(team_optimum, oracle),
        team_optimum=team_optimum(sample.priced(price)).value,
        oracle_optimum=team_optimum(oracle.priced(price)).value,
        pass_at_k=float(np.mean([any(tree.right(leaf) for leaf in tree.leaves()) for tree in trees])),
        run=run_part(run, bound_applies=bound_applies) if run is not None and run.rounds else None,
    )


def run_part(run: RunRegret, *, bound_applies: bool) -> RunPart:
    """The run's regrets and their maximum."""
    players = tuple(run.players())
    return RunPart(
        rounds=run.rounds,
        players=players,
        bound_applies=bound_applies,
        cce_gap=max(max(player.external for player in players), 0.0),
    )


def oracle_game(trees: Sequence[Tree], infosets: Infosets, utility: Utility) -> EmpiricalGame:
    """The game of controllers that recall everything and see whether the pending answer is right, not future text."""
    return empirical_game(
        trees,
        Infosets("recall", infosets.rules),
        token_budget=utility.budget,
        prices=utility.prices,
        sight=lambda tree, state: (int(tree.right(state)),),
    )


def per_question(
    sample: EmpiricalGame, strategy: np.ndarray, price: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(chance of being right, expected tokens, expected utility) of each question under a profile, (questions,)."""
    reached = reach(sample.trie, strategy)
    right, tokens = sample.right.T @ reached, sample.tokens.T @ reached
    utility = 2 * right - sample.mass.T @ reached - (price / sample.token_budget) * tokens
    return np.asarray(right), np.asarray(tokens), np.asarray(utility)


def bootstrap_mean(values: np.ndarray, weights: np.ndarray) -> Mean:
    """The mean of per-question values with its percentile interval."""
    low, high = interval95((weights @ values)[:, None])[:, 0]
    return Mean(mean=float(values.mean()), ci95=(float(low), float(high)))


def gap(
    sample: EmpiricalGame,
    utility: np.ndarray,
    best: Callable[[Game], Optimum],
    price: float,
    halves: Sequence[np.ndarray],
) -> Gap:
    """The gap between per-question ``utility`` of the profile and the deviation that ``best`` finds in a game.

    Args:
        sample: the questions' game in which deviations are valued.
        utility: the profile's utility on each question, (questions,).
        best: game -> the best deviation there.
        halves: two disjoint sets of question indices that cover all.
    """
    whole = best(sample.priced(price))
    gains = [per_question(sample, whole.strategy, price)[2] - utility]
    crossed = np.empty(len(utility))
    for chosen_on, valued_on in (halves, halves[::-1]):
        weights = np.zeros(len(utility))
        weights[chosen_on] = 1 / len(chosen_on)
        deviation = best(sample.priced(price, weights))
        gains.append(per_question(sample, deviation.strategy, price)[2] - utility)
        crossed[valued_on] = gains[-1][valued_on]
    scale = np.sqrt(len(utility))
    error = max(float(gain.std(ddof=1)) for gain in gains) / scale
    value, plug_in = whole.value - float(utility.mean()), whole.upper - float(utility.mean())
    low = crossed.mean() - Z95 * crossed.std(ddof=1) / scale
    return Gap(
        plug_in=max(plug_in, 0.0),
        attained=max(value, 0.0),
        ci95=(max(float(low), 0.0), max(plug_in, 0.0) + Z95 * error),
        exact=whole.exact,
    )


def _nash(game: Game, strategy: np.ndarray) -> Optimum:
    answers = [best_response(game, strategy, player) for player in range(game.n_players)]
    best = max(answers, key=lambda answer: answer.value)
    return Optimum(strategy=best.strategy, value=best.value, upper=max(answer.upper for answer in answers))
