"""Every random stream of the project, derived from (seed, labels) without any global state.

An episode seed and the mode prefix before an action name all the randomness of that action, so every loop that plays
the same episode plays it alike. This module alone knows the labels.
"""

from hashlib import blake2b

import numpy as np

EPISODES = 2**31  # episode seeds of fresh resets, and positions in a stream of questions: more than any run plays


def derive_seed(*keys: int | str) -> int:
    """A 63-bit seed that is a pure function of ``keys`` (the same on every machine and in every process)."""
    text = "\x1f".join(
        f"{type(key).__name__[0]}{key}".replace("\x1e", "\x1e0").replace("\x1f", "\x1e1") for key in keys
    )
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def stream(*keys: int | str) -> np.random.Generator:
    """An independent generator for ``keys``, e.g. ``stream(seed, "questions", step)``."""
    return generator(derive_seed(*keys))


def generator(seed: int) -> np.random.Generator:
    """The generator of a seed that is derived already."""
    return np.random.Generator(np.random.PCG64(seed))


# playing an episode


def control_uniform(episode_seed: int, prefix: str) -> float:
    """The uniform in [0, 1) that P(SPEAK) is compared with, after the modes in ``prefix``."""
    return float(stream(episode_seed, "control", prefix).random())


def speak_seed(episode_seed: int, prefix: str, candidate: int = 0, first_agent: int = 0) -> int:
    """The seed of an utterance's sampling noise, after the modes in ``prefix``; candidate 0 is the one played.

    Modes say who spoke if one knows who began: ``first_agent``.
    """
    begun = (first_agent,) if first_agent else ()
    return derive_seed(episode_seed, "speak", prefix, candidate, *begun)


def view_seed(episode_seed: int, voice: int, seen: tuple[str, ...], *, draw: int, candidate: int = 0) -> int:
    """The seed of a voice's utterance number ``draw`` to what it sees (``Rules.seen``); candidate 0 is played."""
    return derive_seed(episode_seed, "view", voice, *seen, draw, candidate)


def pool_seed(episode_seed: int, agent: int, draw: int, review: int | None = None, reviewer: int | None = None) -> int:
    """The seed of an agent's independent proposal number ``draw``, or of review number ``review`` of that.

    ``reviewer`` is the agent that reviews; None: the proposer itself.
    """
    further = (number for number in (review, reviewer) if number is not None)
    return derive_seed(episode_seed, "pool", agent, draw, *further)


def pool_place(question_id: str) -> float:
    """Where in [0, 1) a question of a pool lies when the pool is divided into splits."""
    return derive_seed("pool split", question_id) / 2.0**63


def token_uniforms(noise_seed: int, count: int) -> np.ndarray:
    """The uniforms that an utterance's tokens are sampled with, float64 of shape (count,)."""
    return stream(noise_seed, "tokens").random(count)


# which episodes are played


def episode_seed(seed: int, phase: str, position: int) -> int:
    """The seed of the episode that plays the question at ``position`` of a phase's stream."""
    return derive_seed(seed, phase, position)


def fresh_episode_seed(root: int, count: int) -> int:
    """The seed of the ``count``-th unseeded reset after one seeded with ``root``, below ``EPISODES``."""
    return derive_seed(root, "episode", count) % EPISODES


# questions


def story_seed(seed: int, level: str, split: str) -> int:
    """The seed of the arithmetic task's stories of a level and split."""
    return derive_seed(seed, "arithmetic", level, split)


def epoch_order(seed: int, task: str, epoch: int, count: int) -> np.ndarray:
    """The order in which a finite task's ``count`` questions are taken in an epoch, int of shape (count,)."""
    return stream(seed, task, "epoch", epoch).permutation(count)


def choice_order(question: str, count: int) -> np.ndarray:
    """The order in which a question's choices are shown, by its hash, int of shape (count,)."""
    return stream("choices", question).permutation(count)


def difficulty_uniform(question_id: str) -> float:
    """The uniform in [0, 1) that decides a tabular question's class."""
    return derive_seed("difficulty", question_id) / 2.0**63


# learning and measuring


def adapter_seed(seed: int, policy: str) -> int:
    """The seed of a policy's fresh LoRA adapter."""
    return derive_seed(seed, "adapter", policy)


def minibatch_stream(seed: int, step: int) -> np.random.Generator:
    """How a step's samples are shuffled into minibatches."""
    return stream(seed, "minibatches", step)


def verdict_stream(seed: int, step: int) -> np.random.Generator:
    """How a step's graded proposals are shuffled into minibatches for verdicts."""
    return stream(seed, "verdicts", step)


def bootstrap_stream(seed: int) -> np.random.Generator:
    """How questions are resampled for intervals."""
    return stream(seed, "bootstrap")


def certificate_stream(seed: int, phase: str) -> np.random.Generator:
    """How questions are resampled for the certificate of a phase."""
    return stream(seed, phase)


def pool_report_stream() -> np.random.Generator:
    """How questions are resampled for the intervals on a pool's page: the same for every pool."""
    return stream("report", "pool")


def conformance_stream(seed: int, episode: int) -> np.random.Generator:
    """What the conformance checks do in an episode."""
    return stream(seed, "conformance", episode)
