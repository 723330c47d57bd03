"""Puts teams and their baselines to the same held-out questions with the same seeds, and compares their figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from tracer_agents import progress
from tracer_agents.build import Parts
from tracer_agents.config import Config
from tracer_agents.evaluation.metrics import METRIC_NAMES, Comparison, Metrics, compare, summarise
from tracer_agents.evaluation.play import draw_episodes, play_baselines, play_team
from tracer_agents.evaluation.summary import Baseline
from tracer_agents.rollout.records import DialogueRecord
from tracer_agents.rollout.remembering import RememberingSpeakers
from tracer_agents.types import Controller, Episode, Speakers
from tracer_env.dialogue import Rules
from tracer_env.rewards import UNIT_PRICES

TEAM, GREEDY = "team", "team@greedy"
Records = Sequence[DialogueRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """Puts teams to the same held-out questions with the same seeds, under the same rules."""

    config: Config
    parts: Parts
    episodes: Sequence[Episode]
    speakers: Speakers
    rules: Rules

    @classmethod
    def on_test(cls, config: Config, parts: Parts, rules: Rules | None = None) -> Self:
        """Examines the present weights on the first questions of the task's test split.

        ``rules`` hold a belief once one was fitted; by default those of the settings, which know none.
        """
        count, seed = config.evaluation.questions, config.seed
        episodes = draw_episodes(parts.task, "test", 0, count, seed=seed, phase="test")
        return cls(
            config=config,
            parts=parts,
            episodes=episodes,
            speakers=RememberingSpeakers(parts.speakers),
            rules=rules or config.rules,
        )

    def team(self, controller: Controller, *, phase: str) -> dict[str, list[DialogueRecord]]:
        """The team's dialogues, and those at temperature 0 if wanted, by method."""
        voices: dict[str, Speakers] = {TEAM: self.speakers}
        if self.config.evaluation.greedy:
            voices[GREEDY] = self.parts.greedy_speakers
        progress.expect(len(voices) * len(self.episodes) * self.rules.rounds)
        return {
            method: play_team(
                self.episodes,
                self.rules,
                speakers,
                controller,
                self.parts.task,
                method=method,
                phase=phase,
                seed=self.config.seed,
            )
            for method, speakers in voices.items()
        }

    def baselines(
        self, *, phase: str, cost: float, further: Mapping[str, tuple[str, Controller]] | None = None
    ) -> dict[str, list[DialogueRecord]]:
        """The baselines' dialogues with the same speakers, by the name of the baseline.

        ``further`` adds fixed controllers: the baseline's name -> (the method it turned out to be, the controller).
        """
        return play_baselines(
            self.episodes,
            self.rules,
            self.speakers,
            self.parts.task,
            utility=self.config.utility,
            budget=cost,
            further=further or {},
            most_votes=self.parts.most_votes,
            phase=phase,
            seed=self.config.seed,
        )

    def metrics(self, played: Mapping[str, Records]) -> Metrics:
        """The figures of a team's dialogues, as ``team`` gave them."""
        return figures(self.config, played[TEAM], played.get(GREEDY))

    def baseline_figures(self, baselines: Mapping[str, Records]) -> dict[str, Baseline]:
        """The figures of every baseline."""
        return {
            name: Baseline(method=records[0].method, metrics=figures(self.config, records))
            for name, records in baselines.items()
        }

    def comparisons(self, after: Records, others: Mapping[str, Records]) -> list[Comparison]:
        """The team against every other method, on every metric."""
        return [
            compare(
                after,
                records,
                metric,
                self.config.utility,
                names=("after", name),
                resamples=self.config.evaluation.bootstrap,
                seed=self.config.seed,
            )
            for name, records in others.items()
            for metric in (*METRIC_NAMES, *(["cost"] if self.config.utility.prices != UNIT_PRICES else []))
        ]


def figures(config: Config, records: Records, greedy: Records | None = None) -> Metrics:
    """The figures of one method's dialogues under a run's settings."""
    return summarise(
        records,
        config.utility,
        temperature=config.speakers.temperature,
        resamples=config.evaluation.bootstrap,
        seed=config.seed,
        greedy=greedy,
    )
