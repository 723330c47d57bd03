"""How the speakers of trained methods are trained."""

from benchmarks.bench import Recipe
from tracer_agents.controllers.fixed import AlwaysSpeak

_ALONE = {"dialogue.n_agents": 1, "dialogue.rounds": 1, "controllers.train": False, "credit.group_size": 64}
_GRPO = {"gspo.loss": "grpo", "gspo.clip_low": 0.2, "gspo.clip_high": 0.2}
# As many steps and about as many tokens as TRACER, most of them spent on the bare question.
_ANSWER_FIRST = {"trainer.answer_share": 0.625, "credit.answer_group_size": 40}

TRACER = Recipe(name="tracer")
TRACER_GRPO = Recipe(name="tracer_grpo", settings=_GRPO)
ANSWER_FIRST = Recipe(name="answer_first", settings=_ANSWER_FIRST)
ANSWER_FIRST_GRPO = Recipe(name="answer_first_grpo", settings={**_ANSWER_FIRST, **_GRPO})
SPEAKERS_ONLY = Recipe(name="speakers_only", settings={"controllers.train": False}, line=AlwaysSpeak())
# One agent answers once: its groups are so large that on the same questions it is trained on more tokens than TRACER
# samples in trees and groups together.
SINGLE_GSPO = Recipe(name="single_gspo", settings=_ALONE)
SINGLE_GRPO = Recipe(name="single_grpo", settings={**_ALONE, **_GRPO})
