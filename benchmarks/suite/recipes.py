"""How the speakers of trained methods are trained."""

from benchmarks.suite.bench import Recipe
from tracer_agents.controllers.fixed import AlwaysSpeak

_ALONE = {
    "dialogue.n_agents": 1,
    "dialogue.rounds": 1,
    "controllers.train": False,
    "credit.group_size": 64,
    "trainer.answer_share": 0.0,
}
GSPO, GRPO = {"gspo.loss": "gspo"}, {"gspo.loss": "grpo"}

TRACER = Recipe(name="tracer")
SPEAKERS_ONLY = Recipe(name="speakers_only", settings={"controllers.train": False}, behaviour=AlwaysSpeak())
# One agent answers once: its groups are so large that on the same questions it is trained on more tokens than TRACER
# samples in trees and groups together.
SINGLE_GSPO = Recipe(name="single_gspo", settings={**_ALONE, **GSPO})
SINGLE_GRPO = Recipe(name="single_grpo", settings={**_ALONE, **GRPO})
