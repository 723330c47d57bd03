"""The debate as a PettingZoo AEC environment: a thin shell over the rules in ``dialogue``.

``tracer_env.debate_v0`` is the public door and the environment's page.
"""

# Arguments from outside are checked, whatever their annotations say:
# pyright: reportUnnecessaryIsInstance=false

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import product
from operator import index
from typing import Any, TypeVar

import numpy as np
from gymnasium import logger
from gymnasium.spaces import Box, Dict, Discrete, Space

from tracer_env import tasks
from tracer_env.beliefs import FEATURES, standing_evidence
from tracer_env.dialogue import (
    AnswerRule,
    Dialogue,
    FinishReason,
    Mode,
    Posterior,
    Role,
    Rules,
    Schedule,
    Sharing,
    Utterance,
    initial,
    is_terminal,
    legal,
)
from tracer_env.dialogue import transition as next_state
from tracer_env.episodes import EpisodeSource, checked_seed
from tracer_env.errors import ConfigError, DataError, InvalidAction
from tracer_env.grading.verdict import parse_verdict
from tracer_env.infosets import InfosetKey, InfosetName, Infosets
from tracer_env.rendering import render_dialogue
from tracer_env.rewards import Prices, Utility, proposer_reward, reviewer_reward
from tracer_env.seeding import fresh_episode_seed
from tracer_env.spaces import MAX_CHARS, SpokenText, UnicodeText, count_words, usable_text
from tracer_env.tasks.base import Grade, Split, Task
from tracer_env.turns import OrderEnforcing, TurnBasedEnv

MASKS = {legal_modes: np.array(legal_modes, np.int8) for legal_modes in product((False, True), repeat=2)}
MEMO = 4096  # infoset keys whose features are kept
PARTS = ("controller", "proposer", "reviewer")
_Number = TypeVar("_Number", int, float)


class raw_env(TurnBasedEnv):
    """The environment without wrappers; ``tracer_env.debate_v0`` documents it and its arguments.

    ``dialogue`` is the public state of the running episode and ``episode_seed`` its seed. A step that raises
    leaves the environment as it was.

    Raises:
        ConfigError: an argument outside its range, or an unknown task.
    """

    metadata = {"name": "debate_v0", "render_modes": ["human", "ansi"], "render_fps": 1}  # noqa: RUF012  # PettingZoo's

    dialogue: Dialogue
    episode_seed: int
    _gold: str
    _graded: Mapping[str, bool]  # answer -> whether it is right, for this episode's gold; replaced, never changed
    _key: InfosetKey | None  # what the controllers know; None at the end

    def __init__(
        self,
        n_agents: int = 2,
        rounds: int = 5,
        schedule: Schedule = "rotate",
        infoset: InfosetName = "consensus",
        task: str | Task = "arithmetic",
        price_of_speech: float = 0.1,
        max_new_tokens: int | Sequence[int] = 256,
        force_on_unparsed: bool = False,
        split: Split = "train",
        count_tokens: Callable[[str], int] = count_words,
        max_chars: int = MAX_CHARS,
        prices: Sequence[float] = (),
        prompt_prices: Sequence[float] = (),
        revisions: bool = True,
        answer_rule: AnswerRule = "pending",
        belief: Posterior | None = None,
        sharing: Sharing = "prefix",
        voices: Sequence[int] = (),
        signals: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__()
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(f"render_mode must be None, 'human' or 'ansi', got {render_mode!r}")
        if isinstance(max_chars, bool) or not isinstance(max_chars, int) or max_chars < 1:
            raise ConfigError(f"max_chars must be an integer ≥ 1, got {max_chars!r}")
        self.rules = Rules(
            n_agents=n_agents, rounds=rounds, schedule=schedule, force_on_unparsed=force_on_unparsed,
            revisions=revisions, answer_rule=answer_rule, belief=belief, sharing=sharing, voices=tuple(voices),
        )  # fmt: skip
        self.infosets = Infosets(infoset, self.rules)
        self.signals = signals
        limits = [max_new_tokens] * n_agents if isinstance(max_new_tokens, int) else max_new_tokens
        self.utility = Utility.of_team(
            self.rules,
            price_of_speech=price_of_speech,
            limits=_per_agent("max_new_tokens", limits, n_agents),
            prices=Prices(
                generated=_per_agent("prices", prices or (1,) * n_agents, n_agents),
                prompt=_per_agent("prompt_prices", prompt_prices or (0,) * n_agents, n_agents),
            ),
        )
        self.task: Task = tasks.make_task(task) if isinstance(task, str) else task
        self.max_chars = max_chars
        self.render_mode = render_mode
        self.possible_agents = [f"{part}_{i}" for i in range(n_agents) for part in PARTS]
        self.agents = []
        self._controllers = tuple(f"controller_{i}" for i in range(n_agents))
        self._source = EpisodeSource(self.task, split)
        self._count_tokens = count_tokens
        self._text = UnicodeText(max_chars)
        self._seen: dict[InfosetKey | None, np.ndarray] = {}  # key -> features; shared with forks, never changed
        self._root, self._resets = secrets.randbits(62), 0

    @cached_property
    def _observation_spaces(self) -> dict[str, Space[Any]]:
        return {agent: self._observation_space(agent) for agent in self.possible_agents}

    def _observation_space(self, agent: str) -> Dict:
        if agent in self._controllers:
            features, mask = Box(0.0, 1.0, (self._width,), np.float32), Box(0, 1, (2,), np.int8)
            heard = {"signals": Box(-np.inf, np.inf, (len(FEATURES),), np.float32)} if self.signals else {}
            return Dict({"observation": features, "action_mask": mask, **heard})
        texts = {name: UnicodeText(self.max_chars) for name in ("question", "solution", "review")}
        return Dict({**texts, "round": Discrete(self.rules.rounds + 1, start=1)})

    @cached_property
    def _action_spaces(self) -> dict[str, Space[Any]]:
        return {
            agent: Discrete(2) if agent in self._controllers else UnicodeText(self.max_chars)
            for agent in self.possible_agents
        }

    @property
    def _width(self) -> int:
        return max(1, self.infosets.n_features)  # "recall" knows nothing in a dialogue of one round

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Starts the episode ``seed`` names, or a fresh one.

        Raises:
            ConfigError: a seed that is no integer ≥ 0, or unusable ``question`` and ``gold`` options.
            DataError: the split is empty, or its question does not fit ``max_chars``.
            LeakageError: the split may not be played with this task.
        """
        if seed is None:
            root, resets = self._root, self._resets + 1
            seed = fresh_episode_seed(root, resets)
        else:
            root = seed = checked_seed(seed)
            resets = 0
        question, gold = self._posed(seed, options or {})
        self._root, self._resets, self.episode_seed = root, resets, seed
        self.dialogue = initial(self.rules, question)
        self._gold, self._graded = gold, {}
        self._begin(self._actors[0][0])
        self._inform()
        if self.render_mode == "human":
            from tracer_env import screen  # loads rich, which a loop without a person does not need

            screen.display(screen.question_panel(question))

    def _posed(self, seed: int, options: Mapping[str, Any]) -> tuple[str, str]:
        """The episode's question and gold answer."""
        usable = self._text.contains
        if "question" in options or "gold" in options:
            question, gold = options.get("question"), options.get("gold")
            if not isinstance(question, str) or not isinstance(gold, str) or not usable(question):
                raise ConfigError(
                    "options 'question' and 'gold' must be given together, both as text, the question within "
                    f"max_chars={self.max_chars} characters and without NUL or lone surrogates"
                )
            return question, gold
        drawn = self._source.question(seed)
        if not usable(drawn.text):
            raise DataError(
                f"question {drawn.id!r} has NUL or lone surrogates, or more than max_chars={self.max_chars} characters"
            )
        return drawn.text, drawn.gold

    def observe(self, agent: str) -> dict[str, Any]:
        """What ``agent`` sees now; the caller owns the result."""
        state = self.dialogue
        if agent in self._controllers:
            mask = MASKS[legal(state) if agent == self.agent_selection else (False, False)]
            heard = {"signals": np.array(standing_evidence(state), np.float32)} if self.signals else {}
            return {"observation": self._features().copy(), "action_mask": mask.copy(), **heard}
        pending, reviews = state.pending, state.reviews_of_pending() if self.rules.revisions else ()
        return {
            "question": state.question,
            "solution": pending.utterance.text if pending and pending.utterance else "",
            "review": reviews[-1].utterance.text if reviews and reviews[-1].utterance else "",
            "round": state.round,
        }

    def step(self, action: Any) -> None:
        """Plays the selected agent's action: a mode, a text, or None once it has finished.

        Raises:
            InvalidAction: not an action of the selected agent.
            IllegalMove: a masked mode, or no dialogue in progress.
            GradingError: the task's grader could not be kept alive.
        """
        if self._dead_step(action):
            return
        state = self.dialogue
        after = next_state(state, self._utterance(action) if state.speaking else self._mode(action))
        paid = {} if after.speaking else self._paid(after)
        self.dialogue = after
        self._settle(paid, self._acting())
        self._inform()
        if self.render_mode == "human" and not after.speaking:
            self._display_round()

    def render(self) -> str | None:
        """The dialogue so far: returned with ``"ansi"``, printed with ``"human"``."""
        if self.render_mode is None:
            logger.warn("render() needs a render_mode: pass 'ansi' or 'human' when making the environment")
            return None
        if self.render_mode == "ansi":
            return render_dialogue(self.dialogue)
        from tracer_env import screen

        screen.display(*screen.dialogue_view(self.dialogue))
        return None

    def _display_round(self) -> None:
        """Prints the round that has just finished and, after the last one, the team's answer."""
        from tracer_env import screen

        screen.display(screen.turn_block(screen.shown_turn(self.dialogue.turns[-1])))
        if is_terminal(self.dialogue):
            screen.display(screen.ending_view(self.dialogue))

    def _features(self) -> np.ndarray:
        """What the controllers see, float32 of shape (n_features,); not to be handed out."""
        features = self._seen.get(self._key)
        if features is None:
            features = np.zeros(self._width, np.float32)
            if self._key:
                features[: self.infosets.n_features] = self.infosets.features(self._key)
            if len(self._seen) < MEMO:
                self._seen[self._key] = features
        return features

    @cached_property
    def _actors(self) -> tuple[tuple[str, str], ...]:
        """(Controller, speaker) of round 1, 2, …, R."""
        return tuple((f"controller_{agent}", f"{role}_{agent}") for agent, role in self.rules.seats)

    @cached_property
    def _places(self) -> tuple[dict[str, Any], ...]:
        """What the infos say of round 1, 2, …, R."""
        return tuple(
            {"round": round_, "agent": agent, "role": role.value}
            for round_, (agent, role) in enumerate(self.rules.seats, start=1)
        )

    def _acting(self) -> str | None:
        """Who acts now; None at the end."""
        state = self.dialogue
        return None if is_terminal(state) else self._actors[state.round - 1][state.speaking]

    def _inform(self) -> None:
        """Tells the selected agent where it is, and refreshes what the controllers know."""
        state = self.dialogue
        if is_terminal(state):
            self._key = None
            return
        info = {**self._places[state.round - 1], "prefix": state.prefix, "seed": self.episode_seed}
        if state.speaking:
            info["noise_seed"] = state.noise_seed(self.episode_seed)
        else:
            self._key = info["infoset"] = self.infosets.key(state)
        self.infos[self.agent_selection] = info

    def _mode(self, action: Any) -> Mode:
        try:
            return Mode(index(action))
        except (TypeError, ValueError):
            raise InvalidAction(
                f"{self.agent_selection} must act: a mode, 0 (SKIP) or 1 (SPEAK), got {_shown(action)}"
            ) from None

    def _utterance(self, action: Any) -> Utterance:
        if not isinstance(action, str):
            raise InvalidAction(f"{self.agent_selection} must speak: a text (str), got {_shown(action)}")
        text = usable_text(action, self.max_chars)
        proposing = self.dialogue.role is Role.PROPOSER
        spoken = action if isinstance(action, SpokenText) else SpokenText(action)
        counted = spoken.generated_tokens
        return Utterance(
            text=text,
            answer=self.task.parse(text) if proposing else None,
            verdict=None if proposing else parse_verdict(text),
            generated_tokens=self._count_tokens(text) if counted is None else counted,
            prompt_tokens=spoken.prompt_tokens,
            finish_reason=FinishReason.LENGTH if len(action) > self.max_chars else spoken.finish_reason,
            mean_logp=spoken.mean_logp,
            p_right=None if proposing else spoken.p_right,
        )

    def _paid(self, state: Dialogue) -> dict[str, float]:
        """What the round that has just finished earns: its speaker's reward and, at the end, the team's utility."""
        turn = state.turns[-1]
        paid: dict[str, float] = {}
        if turn.utterance is not None:
            right = self._right(state.answer)
            proposing = turn.role is Role.PROPOSER
            reward = proposer_reward(right) if proposing else reviewer_reward(turn.utterance.verdict, right)
            paid[f"{turn.role}_{turn.agent}"] = reward
        if is_terminal(state):
            utility = float(self.utility(self._right(state.team_answer), self.utility.prices.dialogue(state)))
            paid |= dict.fromkeys(self._controllers, utility)
        return paid

    def _right(self, answer: str | None) -> bool:
        """Whether an answer is right; each distinct answer of an episode is graded once."""
        if answer is None:
            return False
        if answer not in self._graded:
            grade = self.task.grade([answer], [self._gold])[0]
            self._graded = {**self._graded, answer: grade is Grade.RIGHT}
        return self._graded[answer]


def env(**kwargs: Any) -> OrderEnforcing:
    """The AEC environment: ``raw_env`` with PettingZoo's order check. Arguments as for ``raw_env``."""
    return OrderEnforcing(raw_env(**kwargs))


def _per_agent(name: str, values: Sequence[_Number], n_agents: int) -> tuple[_Number, ...]:
    """``values``, one for each agent.

    Raises:
        ConfigError: there are more or fewer.
    """
    if len(values) != n_agents:
        raise ConfigError(f"{name} must hold a number for each of {n_agents} agents, got {values!r}")
    return tuple(values)


def _shown(action: Any) -> str:
    """An action in an error message, bounded: it may be a megabyte."""
    text = repr(action) if not isinstance(action, str) else repr(action[:40])
    return f"{type(action).__name__} {text[:60]}"
