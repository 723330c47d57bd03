"""One seed's recorded questions, on which any setting of the controllers is fitted, chosen and measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from benchmarks.suite.bench import Bench, Recipe
from benchmarks.suite.fitting import ITERATIONS, Games, fitted
from benchmarks.suite.plan import Plan
from benchmarks.suite.recordings import Recording
from tracer_agents.controllers.solve import Turns
from tracer_agents.controllers.tabular import PLAYS, Play, TabularController
from tracer_agents.errors import RunError
from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.values import Weighting, reach
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import Tree, play
from tracer_agents.types import Controller
from tracer_env.cost import utterance_count
from tracer_env.dialogue import Rules
from tracer_env.infosets import Infosets
from tracer_env.tasks.base import Split

Plays = Literal["current", "average", "greedy", "validated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything about controllers that can be changed after questions were recorded.

    Args:
        rules: at most as many rounds as were recorded.
        infoset: what controllers know.
        minimiser: a name in ``MINIMISERS``.
        weighting: of regrets.
        turns: whether players see each other's newest strategies.
        iterations: rounds of regret minimisation.
        play: the strategy at play; validated is the best of the three on validation questions.
        price: of speech.
        questions: to fit on. Where there are more, as many disjoint sets as there are of them are fitted on, one
            after the other, and outcomes are their mean. None: all at once.
    """

    rules: Rules
    infoset: str
    minimiser: str
    weighting: Weighting
    turns: Turns = "alternating"
    iterations: int = ITERATIONS
    play: Plays = "validated"
    price: float
    questions: int | None = None

    @classmethod
    def of(cls, plan: Plan) -> "Setting":
        """The setting with which the benchmark's own methods are fitted."""
        config = plan.base
        return cls(
            rules=config.rules,
            infoset=config.dialogue.infoset,
            minimiser=config.controllers.minimiser,
            weighting=config.weighting,
            price=plan.price,
        )

    @property
    def infosets(self) -> Infosets:
        """What controllers know, under these rules."""
        return Infosets(self.infoset, self.rules)

    @property
    def plays(self) -> tuple[Play, ...]:
        """The strategies among which validation chooses."""
        return PLAYS if self.play == "validated" else (self.play,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a controller does on every test question.

    Args:
        right: the chance that the final answer is right, float64 of shape (questions,).
        tokens: the expected tokens of the dialogue, float64 of shape (questions,).
        generated: distinct utterances of training questions that fitting looked at; 0 where nothing is fitted.
    """

    right: np.ndarray
    tokens: np.ndarray
    generated: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The recordings of one seed and one set of speakers.

    Args:
        recordings: of training, validation and test questions.
        token_budget: the most tokens of a recorded dialogue. The price of a token is the same under rules of fewer
            rounds, where a setting's own budget would be smaller.
        batch: questions per step, in training.
        inner: regret iterations per batch, in training.
    """

    recordings: dict[Split, Recording]
    token_budget: float
    batch: int
    inner: int
    _trees: dict[tuple[Split, Rules], list[Tree]] = field(default_factory=dict, repr=False)
    _games: dict[tuple[Split, Infosets], EmpiricalGame] = field(default_factory=dict, repr=False)
    _outcomes: dict[Setting, Outcome] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, bench: Bench, recipe: Recipe | None) -> "Replay":
        """Reads the three recordings.

        Raises:
            RunError: one is missing or incomplete.
        """
        config = bench.config
        splits: tuple[Split, ...] = ("train", "validation", "test")
        return cls(
            recordings={split: bench.recording(split, recipe) for split in splits},
            token_budget=config.token_budget,
            batch=config.trainer.questions_per_step,
            inner=config.controllers.inner_iterations,
        )

    @property
    def question_ids(self) -> list[str]:
        """Of the test questions."""
        return [episode.question.id for episode in self.recordings["test"].episodes]

    def trees(self, split: Split, rules: Rules) -> list[Tree]:
        """The questions of a split expanded under some rules; expanded once."""
        if (split, rules) not in self._trees:
            self._trees[split, rules] = self.recordings[split].trees(rules)
        return self._trees[split, rules]

    def game(self, split: Split, infosets: Infosets) -> EmpiricalGame:
        """The game of a split's questions; built once."""
        if (split, infosets) not in self._games:
            self._games[split, infosets] = self.merged(self.trees(split, infosets.rules), infosets)
        return self._games[split, infosets]

    def merged(self, trees: Sequence[Tree], infosets: Infosets) -> EmpiricalGame:
        """The game of some questions."""
        return empirical_game(trees, infosets, token_budget=self.token_budget)

    def outcome(self, setting: Setting) -> Outcome:
        """Fits a setting on training questions, chooses its strategy on validation ones, measures it on test ones.

        Raises:
            RunError: fewer training questions were recorded than the setting asks for.
        """
        if setting not in self._outcomes:
            self._outcomes[setting] = self._outcome(setting)
        return self._outcomes[setting]

    def _outcome(self, setting: Setting) -> Outcome:
        infosets = setting.infosets
        validation, test = self.game("validation", infosets), self.game("test", infosets)
        measured = [
            expected(
                test,
                fitted(
                    Games(fit=fit, validation=validation, infosets=infosets),
                    price=setting.price,
                    minimiser=setting.minimiser,
                    weighting=setting.weighting,
                    turns=setting.turns,
                    iterations=setting.iterations,
                    plays=setting.plays,
                ),
            )
            for fit in self._fits(setting)
        ]
        return Outcome(
            right=np.mean([outcome.right for outcome in measured], axis=0),
            tokens=np.mean([outcome.tokens for outcome in measured], axis=0),
            generated=utterance_count(setting.rules) * (setting.questions or len(self.recordings["train"].episodes)),
        )

    def _fits(self, setting: Setting) -> list[EmpiricalGame]:
        """The games to fit on."""
        if setting.questions is None:
            return [self.game("train", setting.infosets)]
        trees, size = self.trees("train", setting.rules), setting.questions
        if size > len(trees):
            raise RunError(
                f"a setting is fitted on {size} questions and {len(trees)} are recorded: raise fit_questions"
            )
        whole = len(trees) - len(trees) % size
        return [self.merged(trees[first : first + size], setting.infosets) for first in range(0, whole, size)]

    def played(self, controller: Controller, rules: Rules) -> Outcome:
        """What a controller that was not fitted does on the test questions, each along the path that it plays."""
        trees = self.trees("test", rules)
        finals = play(trees, controller)
        right = [tree.right(final) for tree, final in zip(trees, finals, strict=True)]
        return Outcome(
            right=np.array(right, dtype=np.float64),
            tokens=np.array([final.generated_tokens for final in finals], dtype=np.float64),
        )


def expected(game: EmpiricalGame, controller: TabularController) -> Outcome:
    """A controller's outcome on every question of a game, exact over its own randomness."""
    reached = reach(game.trie, controller.profile(game.trie.keys))
    return Outcome(right=game.right.T @ reached, tokens=game.tokens.T @ reached)
