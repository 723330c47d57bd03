"""Speakers that are language models: dialogue state -> prompt -> engine -> parsed utterance."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracer_agents.config import PolicyScheme, policy_of
from tracer_agents.generation.base import Generation, GenerationBackend, GenerationRequest
from tracer_agents.speakers.chat import Chat
from tracer_agents.speakers.prompts import messages
from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import Dialogue, Role, Utterance
from tracer_env.grading.verdict import parse_verdict
from tracer_env.spaces import MAX_CHARS, usable_text
from tracer_env.tasks.base import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUtterance(Utterance):
    """An utterance that remembers the tokens it was sampled as: what GSPO trains on."""

    generation: Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that a speaker sees, and the seed of its noise.

    ``solution`` is the pending solution's text and ``review`` the last spoken review of it; None: there is none.
    ``agent`` tells who speaks where agents have policies of their own. In a debate, ``others`` holds the other
    agents' last solutions and ``solution`` the speaker's own.
    """

    role: Role
    agent: int = 0
    question: str
    solution: str | None
    review: str | None
    others: tuple[str, ...] = ()
    seed: int


def view_of(state: Dialogue, seed: int) -> View:
    """What the active speaker of ``state`` sees."""
    solution = state.pending.utterance.text if state.pending and state.pending.utterance else None
    reviews = state.reviews_of_pending()
    review = reviews[-1].utterance.text if reviews and reviews[-1].utterance else None
    return View(
        role=state.role, agent=state.agent, question=state.question, solution=solution, review=review, seed=seed
    )


@dataclass(frozen=True, kw_only=True)
class ModelSpeakers:
    """Every agent's proposer and reviewer, spoken by one engine.

    Args:
        backend: the engine.
        chat: the model's chat format.
        task: reads answers out of proposals.
        style: which of the prompt texts, see ``prompts``.
        proposer_max_new_tokens: the longest proposal, in tokens, end token included.
        reviewer_max_new_tokens: the longest review.
        policy: who shares a policy with whom.
        context: the model's context, tokens, or None for no limit; a prompt that leaves no room for its completion
            loses its beginning.
        temperature: of sampling; 0 is greedy.
    """

    backend: GenerationBackend
    chat: Chat
    task: Task
    style: str
    proposer_max_new_tokens: int
    reviewer_max_new_tokens: int
    context: int | None
    policy: PolicyScheme = "shared"
    temperature: float = 1.0

    def speak(self, requests: Sequence[SpeakRequest]) -> list[ModelUtterance]:
        """One utterance per request, in order, in one call of the engine."""
        return self.complete([view_of(request.state, request.noise_seed) for request in requests])

    def complete(self, views: Sequence[View]) -> list[ModelUtterance]:
        """One utterance per view, in order, in one call of the engine."""
        prompts: dict[tuple, tuple[int, ...]] = {}
        requests = []
        for view in views:
            key = (view.role, view.question, view.solution, view.review, view.others)
            if key not in prompts:
                prompts[key] = self.prompt_ids(view)
            requests.append(
                GenerationRequest(
                    prompt_ids=prompts[key],
                    seed=view.seed,
                    max_new_tokens=self._limit(view.role),
                    temperature=self.temperature,
                    policy=policy_of(self.policy, view.role, view.agent),
                )
            )
        generations = self.backend.generate(requests)
        return [self._parse(view, generation) for view, generation in zip(views, generations, strict=True)]

    def prompt_ids(self, view: View) -> tuple[int, ...]:
        """The prompt as token ids, through the model's chat template."""
        shown = messages(
            self.style,
            question=view.question,
            role=view.role,
            solution=view.solution,
            review=view.review,
            others=view.others,
            answer_format=self.task.answer_format,
        )
        ids = self.chat.encode(shown)
        longest = max(self.proposer_max_new_tokens, self.reviewer_max_new_tokens)  # roles share a batch
        return ids if self.context is None else ids[-(self.context - longest) :]

    def _limit(self, role: Role) -> int:
        return self.proposer_max_new_tokens if role is Role.PROPOSER else self.reviewer_max_new_tokens

    def _parse(self, view: View, generation: Generation) -> ModelUtterance:
        proposes = view.role is Role.PROPOSER
        text = usable_text(self.chat.thought + generation.text, MAX_CHARS)  # as the environment takes it
        return ModelUtterance(
            text=text,
            answer=self.task.parse(text) if proposes else None,
            verdict=None if proposes else parse_verdict(text),
            generated_tokens=len(generation.output_ids),
            prompt_tokens=len(generation.prompt_ids),
            finish_reason=generation.finish_reason,
            generation=generation,
        )
