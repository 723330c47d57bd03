"""How the speakers of trained methods are trained."""

from benchmarks.bench import Recipe
from tracer_agents.controllers.fixed import AlwaysSpeak

_ALONE = {"dialogue.n_agents": 1, "dialogue.rounds": 1, "controllers.train": False, "credit.group_size": 64}

TRACER = Recipe(name="tracer")
SPEAKERS_ONLY = Recipe(name="speakers_only", settings={"controllers.train": False}, line=AlwaysSpeak())
# One agent answers once: groups so large that it samples about as many tokens on the same questions as TRACER does.
SINGLE_GSPO = Recipe(name="single_gspo", settings=_ALONE)
SINGLE_GRPO = Recipe(
    name="single_grpo",
    settings={**_ALONE, "gspo.loss": "grpo", "gspo.clip_low": 0.2, "gspo.clip_high": 0.2},
)
