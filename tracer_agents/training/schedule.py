"""What each training step does, as a pure function of its number."""

from dataclasses import dataclass
from typing import Self

from tracer_agents.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Length and rhythm of a training, in steps that are counted from 1.

    Args:
        steps: all of them.
        controller_steps: the last ones, in which speakers are frozen and controllers start afresh.
        answer_steps: the first ones, in which proposers answer alone and no controller learns.
        questions_per_step: questions expanded while speakers learn.
        controller_questions_per_step: questions expanded once they are frozen.
        checkpoint_every: steps between checkpoints; the last step always has one.
        trains_speakers, trains_controllers: which layers learn at all.
    """

    steps: int
    controller_steps: int
    answer_steps: int
    questions_per_step: int
    controller_questions_per_step: int
    checkpoint_every: int
    trains_speakers: bool
    trains_controllers: bool

    @classmethod
    def of(cls, config: Config) -> Self:
        """The schedule that the settings describe."""
        trainer = config.trainer
        return cls(
            steps=trainer.steps,
            controller_steps=trainer.controller_steps,
            answer_steps=round(trainer.answer_share * (trainer.steps - trainer.controller_steps)),
            questions_per_step=trainer.questions_per_step,
            controller_questions_per_step=trainer.controller_questions_per_step,
            checkpoint_every=trainer.checkpoint_every,
            trains_speakers=config.speakers_learn,
            trains_controllers=config.controllers.train,
        )

    @property
    def speaker_steps(self) -> int:
        """How many steps come before speakers are frozen."""
        return self.steps - self.controller_steps

    @property
    def speaker_questions(self) -> int:
        """How many questions come before speakers are frozen."""
        return self.speaker_steps * self.questions_per_step

    def answers_alone(self, step: int) -> bool:
        """Whether dialogues end with the first proposal: only proposers are trained, in groups of their own size."""
        return step <= self.answer_steps

    def speakers_learn(self, step: int) -> bool:
        """Whether speakers are trained in this step."""
        return self.trains_speakers and step <= self.speaker_steps

    def controllers_learn(self, step: int) -> bool:
        """Whether controllers are trained in this step."""
        return self.trains_controllers and not self.answers_alone(step)

    def controllers_start_afresh(self, step: int) -> bool:
        """Whether this is the first step with frozen speakers: what was learned about earlier ones is void."""
        return step == self.speaker_steps + 1

    def questions(self, step: int) -> int:
        """How many questions this step expands."""
        return self.questions_per_step if step <= self.speaker_steps else self.controller_questions_per_step

    def first_question(self, step: int) -> int:
        """How many questions the earlier steps expanded."""
        frozen = max(step - 1 - self.speaker_steps, 0)
        return (step - 1 - frozen) * self.questions_per_step + frozen * self.controller_questions_per_step

    def has_checkpoint(self, step: int) -> bool:
        """Whether a checkpoint is written after this step."""
        return step % self.checkpoint_every == 0 or step == self.steps
