"""A team of agents answers one question by proposing and reviewing solutions, turn by turn.

This page is the environment's documentation.

| | |
|---|---|
| Import | ``from tracer_env import debate_v0`` |
| Make | ``debate_v0.env()``, ``debate_v0.parallel_env()``, ``pettingzoo.make("aec", "tracer/debate_v0")`` |
| Agents | ``controller_i``, ``proposer_i``, ``reviewer_i`` for ``i < n_agents``; 3 · ``n_agents`` in all |
| Actions | controllers: ``Discrete(2)``; proposers and reviewers: text |
| Observations | controllers: infoset features and an action mask, signals if wanted; proposers and reviewers: text |
| Turn-based | one agent acts at a time, through either API |

### The game
A dialogue of ``rounds`` rounds (odd) answers one question. Odd rounds are proposal rounds, even rounds are review
rounds. In each round the active agent's controller chooses 0 (SKIP) or 1 (SPEAK); if it speaks, the active agent's
proposer or reviewer says one text. A proposal replaces the pending solution, also when no answer can be read from
it; a review judges the pending solution RIGHT or WRONG. After the last round the team answers by ``answer_rule``, by
default with the answer read from the pending solution. In round 1 nothing is pending, so speaking is forced: the action
mask says so. The rules alone, without this API, are ``tracer_env.dialogue``.

``schedule="rotate"``: in cycle c (a proposal round and the review round after it) agent c mod N proposes and agent
(c + 1) mod N reviews. ``schedule="parity"``: agent (round − 1) mod N is active.

### Arguments
| name | default | meaning |
|---|---|---|
| ``n_agents`` | 2 | N ≥ 1 |
| ``rounds`` | 5 | R ≥ 1, odd |
| ``schedule`` | ``"rotate"`` | who is active: ``"rotate"`` or ``"parity"`` |
| ``infoset`` | ``"consensus"`` | ``"paper"``, ``"consensus"``, ``"recall"``, ``"belief"``: what controllers know |
| ``answer_rule`` | ``"pending"`` | what the team answers: ``"pending"``, ``"plurality"``, ``"belief"`` |
| ``belief`` | None | a ``tracer_env.beliefs.Belief``: what ``"belief"`` means for ``infoset`` and ``answer_rule`` |
| ``signals`` | False | controllers also observe what is known of the team's answer, unbinned |
| ``revisions`` | True | a proposer sees the pending solution and its review; False: proposals are independent |
| ``sharing`` | ``"prefix"`` | what ``info["noise_seed"]`` depends on: modes, or ``"view"``: what is seen |
| ``voices`` | all alike | which agents speak alike, a number for each; only sharing by view asks |
| ``task`` | ``"arithmetic"`` | a name for ``tracer_env.tasks.make_task``, ``"package.module:name"``, or a ``Task`` |
| ``price_of_speech`` | 0.1 | λ ≥ 0 |
| ``max_new_tokens`` | 256 | the most tokens of an utterance, for all agents or for each: the unit of the cost |
| ``prices`` | 1 each | what a token costs that an agent generates, > 0, one for each agent |
| ``prompt_prices`` | 0 each | what a token costs that an agent is shown, ≥ 0, one for each agent |
| ``force_on_unparsed`` | False | speaking is also forced in a proposal round whose pending solution has no answer |
| ``split`` | ``"train"`` | where questions come from: ``"train"``, ``"validation"``, ``"test"`` |
| ``count_tokens`` | words | counts the tokens of a text that does not say it itself |
| ``max_chars`` | 65536 | the bound of a question and of an utterance, in code points |
| ``render_mode`` | None | ``"ansi"``: ``render()`` returns a string; ``"human"``: the dialogue is printed |

### Actions
A controller's action is an integer, 0 or 1; the masked one raises ``IllegalMove``. A speaker's action is a ``str``.
A ``SpokenText``, a ``str`` that carries ``generated_tokens``, ``prompt_tokens``, ``finish_reason`` and the signals
``mean_logp`` and, of a review, ``p_right``, is believed; of any other text the tokens are counted by ``count_tokens``,
and signals are not known (None). Text longer than ``max_chars`` loses its middle and its
finish reason is ``"length"``; NUL and lone surrogates become U+FFFD. Any other action raises ``InvalidAction``.
A step that raises leaves the environment as it was.

### Observations
Controllers: ``{"observation": float32 (n_features,), "action_mask": int8 (2,)}``. The features are one-hot features of
the infoset key of the current round (zero at the end), the same for every controller, since everything is public;
the mask is zero for whoever is not to act. With ``signals``, ``"signals"`` holds float32
``tracer_env.beliefs.FEATURES`` of what the team would answer now: agreement, log-probabilities, what verdicts said,
with a feature that tells what is unknown. Speakers: ``{"question": text, "solution": the pending solution or "",
"review": the last review of it or "", "round": 1 … R + 1}``.

Infos: the agent to act is told ``round``, ``agent`` (its number), ``role`` (``"proposer"`` or ``"reviewer"``),
``prefix`` (a character ``0`` or ``1`` per finished round: the modes chosen) and ``seed`` (the episode's), a controller
also ``infoset`` (its key, a tuple of integers), a speaker ``noise_seed``, which names the noise of this utterance. A
policy that derives its randomness from it, or from seed, prefix and agent, needs no state. Other agents' infos are
empty. The gold answer is in no observation, info or rendering.

### Rewards, and where they arrive
A proposer earns +1 for each right solution and −1 for each wrong or unparseable one; a reviewer +1 for each verdict
that matches the truth about the pending solution, −1 for one that does not, 0 if no verdict can be read. Every
controller earns the team's utility, once, at the end: u = ±1 − λ·C, with C the generated tokens over
``rounds · max_new_tokens``, at most 1. Where agents have prices, C is Σ price · tokens over the most that generation
can cost in a dialogue, and tokens that are read add to it.

All agents finish together after the last round; then each takes one **dead step** (``step(None)``). An agent receives
a reward at its next ``last()``: what a speaker earned earlier arrives when it is next selected, and the utility of
the controllers and the last speakers' rewards arrive in the dead steps. A loop that breaks at the first
``termination`` misses them. The parallel API returns each reward from the step that earned it.

### Seeds
``reset(seed=s)`` starts episode ``s``: its question is question ``s mod 2**31`` of the split's stream (a finite split
is taken round), so episodes 0 … n−1 of a split of n questions play each once. ``reset()`` draws a fresh episode: the
sequence is a function of the last seed given. ``reset(options={"question": …, "gold": …})`` poses a question of the
caller's; other options are ignored.

### Parallel API
``parallel_env()`` is the turn-based conversion: in each step only the agent named by ``infos[agent]["active_agent"]``
acts, at reset too.

### Forks
``env.fork()`` returns an independent continuation with the same wrappers, sharing the immutable state; ``fork(env)``
also keeps wrappers that are not ours. What a fork shares and what it does not: ``tracer_env.turns``.

### Controllers alone
``controller_env(speakers)`` plays the speakers itself and leaves only ``controller_i``: ``Box`` and ``Discrete(2)``,
for any other MARL library; ``controller_parallel_env(speakers)`` is its parallel conversion. ``WithoutInfos(env)``
has empty infos, for libraries that make tensors of them.

### Version history
* v0: initial version.
"""

from typing import Any

from tracer_env.controller_env import WithoutInfos, controller_env, controller_parallel_env
from tracer_env.env import env, raw_env
from tracer_env.parallel import TurnBasedParallel
from tracer_env.spaces import SpokenText
from tracer_env.turns import fork

__all__ = [
    "SpokenText",
    "WithoutInfos",
    "controller_env",
    "controller_parallel_env",
    "env",
    "fork",
    "parallel_env",
    "raw_env",
]


def parallel_env(**kwargs: Any) -> TurnBasedParallel:
    """The environment through the parallel API, turn by turn. Arguments as for ``raw_env``."""
    return TurnBasedParallel(env(**kwargs))
