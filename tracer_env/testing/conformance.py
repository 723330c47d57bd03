"""Plays seeded random episodes of a debate environment and holds it to its contract.

The contract is the page of ``tracer_env.debate_v0``: masks, refused actions, forks, dead steps, where each reward
arrives, seeds, and a gold answer that nobody sees. It holds for ``controller_env`` too.
"""

# PettingZoo's spaces and environments have none:
# pyright: basic

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracer_env.errors import ConformanceError, TracerError
from tracer_env.seeding import conformance_stream, episode_seed

SECRET = "918273645546372819"  # a gold answer that no speaker says: wherever it shows, it has leaked
REFUSED_TO_CONTROLLERS = ("1", None, 2, -1, 0.5)
REFUSED_TO_SPEAKERS = (1, None, b"text")

Speak = Callable[[np.random.Generator], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceReport:
    """What was exercised; every count is positive after a check of more than a few episodes."""

    episodes: int
    turns: int
    refused: int
    forks: int
    utilities: tuple[float, ...]  # the distinct values, ascending


@dataclass(slots=True)
class _Tally:
    turns: int = 0
    refused: int = 0
    forks: int = 0
    utilities: set[float] = field(default_factory=set)


def check_dialogue_env(
    env_factory: Callable[[], Any], episodes: int = 1000, seed: int = 0, speak: Speak | None = None
) -> ConformanceReport:
    """Checks an AEC debate environment over ``episodes`` seeded random episodes.

    Args:
        env_factory: makes the environment, the same one each time; ``render_mode="ansi"`` lets the check read
            renderings too.
        episodes: how many.
        seed: of everything random in the check.
        speak: what speakers say, by default ``plausible_text``; it must not say ``SECRET``.

    Raises:
        ConformanceError: the first breach.
    """
    env, replica = env_factory(), env_factory()
    tally = _Tally()
    for episode in range(episodes):
        options = ({}, {"question": "How many?", "gold": SECRET}, {"question": "How many?", "gold": "7"})[episode % 3]
        check = _Episode(
            where=f"episode {episode} of seed {seed}",
            rng=conformance_stream(seed, episode),
            speak=speak or plausible_text,
            secret=options.get("gold") == SECRET,
            tally=tally,
        )
        reset_seed = episode_seed(seed, "episode", episode)
        env.reset(seed=reset_seed, options=options)
        played = check.play(env)
        replica.reset(seed=reset_seed, options={**options, "unknown": 1})
        check.replay(replica, played)
    return ConformanceReport(
        episodes=episodes,
        turns=tally.turns,
        refused=tally.refused,
        forks=tally.forks,
        utilities=tuple(sorted(tally.utilities)),
    )


def plausible_text(rng: np.random.Generator) -> str:
    """An utterance such as a proposer, a reviewer or an adversary might produce."""
    number = int(rng.integers(6, 8))
    says = (
        f"I add them up.\n#### {number}",
        f"So it is \\boxed{{{number}}}.\n#### {number}",
        "The sum is right.\nVerdict: RIGHT",
        "Step 2 is off.\nVerdict: WRONG",
        "I cannot tell.",
        "",
        "NUL \0, half a pair \ud83d, a bell \a and \x1b[31mred",
        "日本語 😀 \u202egnirts",
    )
    return says[int(rng.integers(len(says)))]


@dataclass(slots=True)
class _Episode:
    """One episode under check."""

    where: str
    rng: np.random.Generator
    speak: Speak
    secret: bool
    tally: _Tally

    def require(self, holds: bool, breach: str) -> None:
        if not holds:
            raise ConformanceError(f"{self.where}: {breach}")

    def play(self, env: Any) -> list[tuple[Any, Any]]:
        """Plays to the end, checking every turn; returns what was seen and done at each."""
        owed: dict[str, float] = defaultdict(float)
        played, idle, finished = [], None, []
        everybody = list(env.agents)
        self.require(everybody == list(env.possible_agents), "not everybody is alive after reset")
        fork_at = int(self.rng.integers(2 * len(everybody)))
        for turn, agent in enumerate(env.agent_iter()):
            self.tally.turns += 1
            if turn == fork_at:
                idle = self._check_fork(env)
            seen = env.last()
            observation, reward, terminated, truncated, info = seen
            self.require(env.observation_space(agent).contains(observation), f"{agent} saw what its space lacks")
            self.require(reward == owed[agent], f"{agent} received {reward} and had earned {owed[agent]}")
            owed[agent] = 0.0
            self._check_secret(env, observation, info)
            self._check_masks(env, agent)
            before = _snapshot(env)
            record = _frozen(seen)
            _vandalise(observation)
            self.require(_snapshot(env) == before, f"the observation of {agent} is shared with the environment")
            self._check_refusals(env, agent, bool(terminated or truncated))
            action = None if terminated or truncated else self._legal_action(env, agent)
            if action is None:
                self.require(not played or env.agents == everybody[len(finished) :], "agents finish out of order")
                finished.append((agent, reward))
            else:
                self.require(not finished, f"{agent} acts after others have finished")
            played.append((record, action))
            env.step(action)
            self._check_rewards(env, agent, dead=action is None)
            for earner, earned in env.rewards.items():
                owed[earner] += earned
        self.require([agent for agent, _ in finished] == everybody, "not every agent took one dead step")
        utilities = {reward for agent, reward in finished if _controls(agent)}
        self.require(len(utilities) == 1, f"controllers received different utilities {sorted(utilities)}")
        self.tally.utilities |= utilities
        if idle is not None:
            fork, as_it_was = idle
            self.require(_snapshot(fork) == as_it_was, "a fork changed when its parent was played")
        return played

    def replay(self, env: Any, played: list[tuple[Any, Any]]) -> None:
        """The same seed and actions give the same episode, without any of the checks in between."""
        for turn, (record, action) in enumerate(played):
            self.require(_frozen(env.last()) == record, f"turn {turn} differs when the episode is played again")
            env.step(action)
        self.require(not env.agents, "the episode goes on when it is played again")

    def _legal_action(self, env: Any, agent: str) -> int | str:
        if _controls(agent):
            return int(self.rng.choice(np.flatnonzero(env.observe(agent)["action_mask"])))
        return self.speak(self.rng)

    def _check_masks(self, env: Any, selected: str) -> None:
        alive = not env.terminations[selected]
        for agent in filter(_controls, env.agents):
            mask = env.observe(agent)["action_mask"]
            may_act = alive and agent == selected
            self.require(bool(mask.any()) == may_act, f"the mask of {agent} is {mask.tolist()} when {selected} acts")

    def _check_refusals(self, env: Any, agent: str, dead: bool) -> None:
        """Wrong actions raise an error of ours and change nothing."""
        if dead:
            wrong: tuple[Any, ...] = (0,)
        elif _controls(agent):
            masked = np.flatnonzero(env.observe(agent)["action_mask"] == 0)
            wrong = (*masked.tolist(), REFUSED_TO_CONTROLLERS[int(self.rng.integers(len(REFUSED_TO_CONTROLLERS)))])
        else:
            wrong = (REFUSED_TO_SPEAKERS[int(self.rng.integers(len(REFUSED_TO_SPEAKERS)))],)
        before = _snapshot(env)
        for action in wrong:
            try:
                env.step(action)
            except TracerError:
                self.tally.refused += 1
            else:
                self.require(False, f"{agent} was allowed the action {action!r}")
            self.require(_snapshot(env) == before, f"the refused action {action!r} of {agent} changed the environment")

    def _check_rewards(self, env: Any, actor: str, dead: bool) -> None:
        """Nobody is paid by a dead step, controllers at the end only, and speakers for what they said."""
        over = any(env.terminations.values())
        for agent, reward in env.rewards.items():
            if dead or (agent != actor and not _controls(agent)) or (_controls(agent) and not over):
                self.require(reward == 0, f"{agent} was paid {reward} for nothing")
            elif agent.startswith("proposer"):
                self.require(reward in (-1.0, 1.0), f"{agent} was paid {reward} for a solution")
            elif agent.startswith("reviewer"):
                self.require(reward in (-1.0, 0.0, 1.0), f"{agent} was paid {reward} for a review")

    def _check_secret(self, env: Any, observation: Any, info: Any) -> None:
        if not self.secret:
            return
        shown = [observation, info, env.infos, env, env.unwrapped, str(env)]
        if env.render_mode == "ansi":
            shown.append(env.render())
        self.require(SECRET not in repr(shown), "the gold answer leaked")

    def _check_fork(self, env: Any) -> tuple[Any, Any]:
        """A played and vandalised fork leaves its parent alone; returns another fork, unplayed, as it is."""
        self.tally.forks += 1
        before = _snapshot(env)
        fork, idle = env.fork(), env.fork()
        self.require(type(fork) is type(env), f"a fork of {type(env).__name__} is a {type(fork).__name__}")
        self.require(_snapshot(fork) == before, "a fork differs from its parent")
        for agent in fork.agent_iter():
            observation, _, terminated, truncated, _ = fork.last()
            _vandalise(observation)
            fork.step(None if terminated or truncated else self._legal_action(fork, agent))
            _vandalise(fork.infos)
        fork.reset(seed=1)
        for agent in fork.agents:
            fork.action_space(agent).seed(1)
            self.require(fork.action_space(agent) is not env.action_space(agent), f"a fork shares the space of {agent}")
        self.require(_snapshot(env) == before, "playing a fork changed its parent")
        return idle, before


def _controls(agent: str) -> bool:
    return agent.startswith("controller")


def _frozen(value: Any) -> Any:
    """``value`` by value: comparable, and detached from what may change."""
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return value


def _snapshot(env: Any) -> Any:
    """Everything a player can see of the environment."""
    public = (env.agents, env.rewards, env._cumulative_rewards, env.terminations, env.truncations, env.infos)
    seen = tuple(_frozen(env.observe(agent)) for agent in env.possible_agents)
    return env.agent_selection, seen, *map(_frozen, public)


def _vandalise(value: Any) -> None:
    """Overwrites everything mutable that was handed out."""
    if isinstance(value, np.ndarray):
        value.fill(9)
    elif isinstance(value, dict):
        for item in value.values():
            _vandalise(item)
        value["vandalised"] = True
