"""Our side of the comparison: plain regret matching on expanded questions, fresh ones in every batch."""

from benchmarks.peers.controllers_game import INFOSETS, MAX_NEW_TOKENS, PRICE, SPEAKER, TASK, Progress, truth
from tracer_agents.controllers.regret import RegretMatching
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import expand
from tracer_agents.types import Episode

NAME = "TRACER: regret matching"
CHOICES = (
    "batches of 256 questions, 10 alternating iterations each, gradient weighting, the current strategy; tried, on the "
    "same seeds: batches of 16, 64 and 256, and 1, 10 and 100 iterations"
)
PER_QUESTION = 16  # decisions of an expanded dialogue of five rounds, the forced one included; utterances too


def train(steps: int, seed: int, *, questions: int = 256, iterations: int = 10) -> Progress:
    """Trains until the goal is reached or ``steps`` decisions have been expanded, with a check after each batch."""
    progress, tables = Progress(), RegretTables.empty()
    for batch in range(max(1, steps // (PER_QUESTION * questions))):
        start = batch * questions
        drawn = TASK.draw("train", 100_000 * seed + start, questions, seed=0)
        episodes = [Episode(question=question, seed=10**9 * seed + start + i) for i, question in enumerate(drawn)]
        trees = expand(episodes, INFOSETS.rules, SPEAKER, TASK.grade)
        game = empirical_game(trees, INFOSETS, token_budget=INFOSETS.rules.rounds * MAX_NEW_TOKENS)
        tables = solve(game.priced(PRICE), tables, RegretMatching(), iterations=iterations, weighting="gradient")
        speak = TabularController(INFOSETS, tables).profile(truth().trie.keys)[:, 1]
        spent = PER_QUESTION * questions * (batch + 1)
        if progress.check(speak, steps=spent, utterances=spent):
            break
    return progress
