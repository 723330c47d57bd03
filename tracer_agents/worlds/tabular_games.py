"""Tabular dialogues with known answers, shipped as examples: the games that the regret layer is measured on."""

from dataclasses import dataclass

from tracer_agents.game.values import Game
from tracer_agents.rollout.empirical import enumerated_game
from tracer_agents.speakers.tabular import TabularSpeaker
from tracer_env.dialogue import Rules, Schedule
from tracer_env.infosets import InfosetName, Infosets


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularExample:
    """A tabular dialogue (R = 5, N = 2) with a known answer; its speakers are ``assets/tabular/<speakers>.json``."""

    speakers: str
    price: float
    answer: str

    def game(self, infoset: InfosetName, schedule: Schedule = "rotate", *, n_agents: int = 2, rounds: int = 5) -> Game:
        """The exact game, chance enumerated."""
        speaker = TabularSpeaker.load(self.speakers)
        infosets = Infosets(infoset, Rules(n_agents=n_agents, rounds=rounds, schedule=schedule))
        questions, budget = speaker.representatives(), rounds * 100
        return enumerated_game(speaker, questions, infosets, token_budget=budget, weights=speaker.weights).priced(
            self.price
        )


TABULAR_EXAMPLES: tuple[TabularExample, ...] = (
    TabularExample(speakers="default", price=0.1, answer="mixed classes of questions, all mechanisms at work"),
    TabularExample(speakers="never_review", price=0.1, answer="the reviewer tosses a coin: never review"),
    TabularExample(speakers="always_review", price=0.05, answer="review in every review round"),
    TabularExample(speakers="review_early", price=0.1, answer="review in round 2, never in round 4"),
    TabularExample(speakers="review_disagreement", price=0.2, answer="review only two answers that disagree"),
    TabularExample(
        speakers="coordination_trap",
        price=0.05,
        answer="under parity, review and revision sit with two controllers who must change together",
    ),
)
