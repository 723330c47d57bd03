"""TRACER's controllers with beliefs, learned from pools: fitted on training questions, chosen on validation ones."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from benchmarks.regret.neural import NeuralSettings, believing
from benchmarks.suite.fitting import Games, fitted
from benchmarks.suite.frontier import Curve, accuracy_at, envelope, orders_of
from tracer_agents.controllers.calibration import BINS, fit_belief
from tracer_agents.evaluation.certificate import per_question
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.pools import Pool, PooledQuestion
from tracer_agents.rollout.tree import Tree, expand, is_right, rollout
from tracer_agents.speakers.pooled import PoolSpeakers, PoolTask
from tracer_agents.types import Controller
from tracer_env.beliefs import SIGNALS, Belief
from tracer_env.dialogue import AnswerRule, Rules
from tracer_env.infosets import InfosetKey, Infosets
from tracer_env.seeding import stream

FIT_ORDERS = 2  # in which training and validation questions are expanded
PRICES = tuple(float(price) for price in np.geomspace(0.1, 50.0, 14))
NUMBERS = 512  # bins so fine that a network may take the belief for a number
_NETWORK, _BATCHES = NeuralSettings(hidden=64, steps=100, minibatch=1024, memory=1_000_000), 40


class Learned(Controller, Protocol):
    """A controller that also tells its strategy at infosets."""

    def profile(self, keys: Sequence[InfosetKey]) -> np.ndarray:
        """The strategy at the given infosets, float64 of shape (len(keys), 2)."""
        ...


Learner = Callable[[Games, Belief, float], Learned]  # games, the belief of their rules, price of speech


def tabular(games: Games, belief: Belief, price: float) -> Learned:
    """RM+ on the infosets as they are."""
    return fitted(games, price=price, minimiser="RegretMatchingPlus", weighting="gradient", iterations=100)


def neural(games: Games, belief: Belief, price: float) -> Learned:
    """NeuralRegret with the belief as a number; the controllers learn in turns from all training questions."""
    learner = believing(games.infosets, belief, settings=_NETWORK)
    game = games.fit.priced(price)
    for _ in range(_BATCHES):
        for player in range(games.infosets.rules.n_agents):
            learner.observe(game, (player,))
    return learner


def learned_curve(
    pools: Mapping[str, Pool],
    *,
    rounds: int,
    answer_rule: AnswerRule,
    orders: int,
    seed: int,
    ratios: Sequence[float],
    bins: int = BINS,
    signals: Collection[str] = tuple(SIGNALS),
    learn: Learner = tabular,
) -> tuple[Curve, dict[float, float]]:
    """What controllers come to on the test questions, one setting for each price that is worth it on validation ones.

    Args:
        pools: of training, validation and test questions, by their split; of one member.
        rounds: of a dialogue.
        answer_rule: what the team answers.
        orders: in which test questions are played.
        seed: of the orders.
        ratios: of tokens to those of one answer.
        bins: of the belief.
        signals: that the belief may use.
        learn: how controllers are learned at a price.

    Returns:
        The curve, and the accuracy on the validation questions by ratio.
    """
    rules = Rules(rounds=rounds, revisions=False, answer_rule=answer_rule)
    training, validation = (
        expanded(pools[split].questions, rules, seed=seed, orders=min(orders, FIT_ORDERS))
        for split in ("train", "validation")
    )
    belief = fit_belief(training, bins=bins, signals=signals)
    rules = replace(rules, belief=belief)
    infosets = Infosets("belief", rules)
    budget = float(
        rounds
        * max(each.generated_tokens for pool in pools.values() for q in pool.questions for each in q.utterances())
    )
    fit, check = (
        empirical_game([tree.under(rules) for tree in trees], infosets, token_budget=budget)
        for trees in (training, validation)
    )
    games = Games(fit=fit, validation=check, infosets=infosets)
    controllers = {price: learn(games, belief, price) for price in PRICES}
    outcomes = {price: per_question(check, each.profile(check.trie.keys), price) for price, each in controllers.items()}
    kept = envelope({price: (tokens.mean(), right.mean()) for price, (right, tokens, _) in outcomes.items()})
    asked = pools["validation"].questions
    right, cost = (
        np.array([outcomes[price][part].reshape(-1, len(asked)).mean(axis=0) for price in kept]) for part in (0, 1)
    )
    on_validation = Curve(right=right, cost=cost)
    unit = np.array([_unit(question) for question in asked])
    tuned = {ratio: float(accuracy_at(on_validation, unit, ratio)[0]) for ratio in ratios}
    return played(
        pools["test"].questions, rules, [controllers[price] for price in kept], orders=orders, seed=seed
    ), tuned


def expanded(questions: Sequence[PooledQuestion], rules: Rules, *, seed: int = 0, orders: int = 1) -> list[Tree]:
    """The trees of pooled questions, of all questions under one order of their draws after the other.

    Raises:
        ConfigError: the pool holds too little for the rules.
    """
    trees: list[Tree] = []
    task = PoolTask(name="pool", splits={"train": questions})
    for shuffled in in_orders(questions, orders, seed):
        speakers = _speakers(shuffled, rules)
        speakers.require(rules)
        trees += expand([question.episode for question in shuffled], rules, speakers, task.grade)
    return trees


def in_orders(questions: Sequence[PooledQuestion], orders: int, seed: int) -> Iterator[list[PooledQuestion]]:
    """The questions with their draws as they were drawn, then in further random orders."""
    k = min(len(question.members[0]) for question in questions)
    for order in orders_of(len(questions), k, orders, stream(seed, "orders")):
        yield [_in_order(question, places) for question, places in zip(questions, order, strict=True)]


def played(
    questions: Sequence[PooledQuestion],
    rules: Rules,
    controllers: Sequence[Controller],
    *,
    orders: int,
    seed: int,
) -> Curve:
    """What controllers come to on questions, means over orders of their draws."""
    right, cost = (np.zeros((len(controllers), len(questions))) for _ in range(2))
    for shuffled in in_orders(questions, orders, seed):
        speakers, episodes = _speakers(shuffled, rules), [question.episode for question in shuffled]
        for place, controller in enumerate(controllers):
            finals = rollout(episodes, rules, speakers, controller)
            right[place] += [is_right(each.grades, final) for each, final in zip(shuffled, finals, strict=True)]
            cost[place] += [final.generated_tokens for final in finals]
    return Curve(right=right / orders, cost=cost / orders)


def _speakers(questions: Sequence[PooledQuestion], rules: Rules) -> PoolSpeakers:
    by_id = {question.episode.question.id: question for question in questions}
    return PoolSpeakers(questions=by_id, voices=(0,) * rules.n_agents)


def _in_order(question: PooledQuestion, places: np.ndarray) -> PooledQuestion:
    [draws] = question.members
    return replace(question, members=(tuple(draws[place] for place in places),))


def _unit(question: PooledQuestion) -> float:
    """Tokens of one answer: the mean over the draws."""
    return float(np.mean([draw.utterance.generated_tokens for draw in question.members[0]]))
