"""Speakers that are language models: dialogue state -> prompt -> engine -> parsed utterance."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tracer_agents.errors import GenerationFailed
from tracer_agents.generation.base import Generation, GenerationBackend, GenerationRequest
from tracer_agents.speakers.chat import Chat
from tracer_agents.speakers.prompts import MAX_QUOTED_CHARACTERS, Prompts
from tracer_agents.speakers.templates import Messages
from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import Dialogue, FinishReason, Role, Utterance, Verdict
from tracer_env.errors import ConfigError
from tracer_env.grading.verdict import parse_verdict
from tracer_env.spaces import MAX_CHARS, usable_text
from tracer_env.tasks.base import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUtterance(Utterance):
    """An utterance that remembers the tokens it was sampled as: what GSPO trains on."""

    generation: Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt as token ids, and how many characters of quoted texts it left out."""

    ids: tuple[int, ...]
    omitted_characters: int


LONGEST_QUOTES = [  # characters of a solution and of a review, from the most to the least that is shown
    *((MAX_QUOTED_CHARACTERS, longest) for longest in (MAX_QUOTED_CHARACTERS, 3_000, 1_500, 750, 300, 100)),
    *((longest, 100) for longest in (3_000, 1_500, 750, 300, 100)),
]
_UNSAID = ModelUtterance(
    text="",
    finish_reason=FinishReason.TOO_LONG,
    generation=Generation(
        prompt_ids=(),
        output_ids=(),
        logps=(),
        text="",
        finish_reason=FinishReason.TOO_LONG,
        policy_version=-1,  # no weights were asked
    ),
)


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


def cuts(view: View, longest: tuple[int, int]) -> tuple[int, ...]:
    """What a prompt leaves out of each text that it quotes, in characters.

    ``longest`` are those shown of a solution and of a review.
    """
    alone = view.role is Role.PROPOSER and view.review is None and not view.others  # it is shown no solution
    quotes = [] if alone else [len(text) for text in (view.solution, *view.others) if text is not None]
    return (*(max(0, length - longest[0]) for length in quotes), max(0, len(view.review or "") - longest[1]))


def view_of(state: Dialogue, seed: int) -> View:
    """What the active speaker of ``state`` sees."""
    solution = state.pending.utterance.text if state.pending and state.pending.utterance else None
    reviews = state.reviews_of_pending() if state.rules.revisions else ()
    review = reviews[-1].utterance.text if reviews and reviews[-1].utterance else None
    return View(
        role=state.role, agent=state.agent, question=state.question, solution=solution, review=review, seed=seed
    )


def mean_logp(logps: Sequence[float] | None) -> float | None:
    """The mean log-probability of some tokens; None: there are none, or they are not known."""
    return min(sum(logps) / len(logps), 0.0) if logps else None  # a server's rounding may exceed 0


class ViewSpeakers(Protocol):
    """Speakers that can be asked by what they see."""

    def speak(self, requests: Sequence[SpeakRequest]) -> Sequence[Utterance]:
        """One utterance per request, in order."""
        ...

    def complete(self, views: Sequence[View]) -> Sequence[Utterance]:
        """One utterance per view, in order."""
        ...


@dataclass(frozen=True, kw_only=True)
class ModelSpeakers:
    """Every agent's proposer and reviewer, spoken by one engine.

    Args:
        backend: the engine.
        chat: the model's chat format.
        task: reads answers out of proposals.
        prompts: what speakers are shown.
        proposer_max_new_tokens: the longest proposal, in tokens, end token included.
        reviewer_max_new_tokens: the longest review.
        policy: (role, agent) -> the policy that an agent speaks with in a role.
        context: the engine's context, tokens, or None for no limit. Of quoted texts a prompt leaves out what does not
            fit; a speaker whose question does not fit says nothing, for that reason.
        temperature: of sampling; 0 is greedy.
        verdict_ids: the token that says RIGHT and the one that says WRONG, where a review is one of them (``prompts``
            that ask for a verdict); empty: reviews are worked out.
    """

    backend: GenerationBackend
    chat: Chat
    task: Task
    prompts: Prompts
    proposer_max_new_tokens: int
    reviewer_max_new_tokens: int
    context: int | None
    policy: Callable[[Role, int], str] = lambda role, agent: "shared"
    temperature: float = 1.0
    verdict_ids: tuple[int, ...] = ()

    def speak(self, requests: Sequence[SpeakRequest]) -> list[ModelUtterance]:
        """One utterance per request, in order, in one call of the engine."""
        return self.complete([view_of(request.state, request.noise_seed) for request in requests])

    def complete(self, views: Sequence[View]) -> list[ModelUtterance]:
        """One utterance per view, in order, in one call of the engine; those whose question is too long say nothing."""
        prompts: dict[tuple, Prompt | None] = {}
        requests: list[GenerationRequest] = []
        for view in views:
            key = (view.role, view.question, view.solution, view.review, view.others)
            if key not in prompts:
                prompts[key] = self.prompt(view)
            if (prompt := prompts[key]) is not None:
                requests.append(self._request(view, prompt))
        generations = iter(self.backend.generate(requests))
        shown = [prompts[view.role, view.question, view.solution, view.review, view.others] for view in views]
        return [
            _UNSAID if prompt is None else self._parse(view, prompt, next(generations))
            for view, prompt in zip(views, shown, strict=True)
        ]

    def prompt_ids(self, view: View) -> tuple[int, ...]:
        """The prompt as token ids, through the model's chat template.

        Raises:
            GenerationFailed: the question does not fit into the context.
        """
        prompt = self.prompt(view)
        if prompt is None:
            raise GenerationFailed(
                f"the question and the longest completion do not fit into the context of {self.context} tokens: lower "
                "speakers.proposer_max_new_tokens and speakers.reviewer_max_new_tokens, or shorten the question"
            )
        return prompt.ids

    def fits(self, view: View) -> bool:
        """Whether the question leaves room for a completion."""
        return self.prompt(view) is not None

    def require_room(self, questions: Sequence[str], *, reviews: bool) -> None:
        """Refuses a context into which, for some kind of prompt, no question fits.

        Args:
            questions: some of those that will be asked.
            reviews: whether there are reviews and revisions.

        Raises:
            ConfigError: every utterance of a kind would be empty.
        """
        kinds: list[tuple[Role, str | None, str | None]] = [(Role.PROPOSER, None, None)]
        kinds += [(Role.REVIEWER, "…", None), (Role.PROPOSER, "…", "…")] if reviews else []
        for role, solution, review in kinds:
            views = [View(role=role, question=text, solution=solution, review=review, seed=0) for text in questions]
            if self.context is None or not views or any(self.fits(view) for view in views):
                continue
            shortest = min(len(self.chat.encode(self._messages(view, LONGEST_QUOTES[-1]))) for view in views)
            longest = max(self.proposer_max_new_tokens, self.reviewer_max_new_tokens)
            raise ConfigError(
                f"speakers.proposer_max_new_tokens, speakers.reviewer_max_new_tokens: a context of {self.context} "
                f"tokens less {longest} for an utterance leaves {self.context - longest} for prompts, and the "
                f"shortest prompt of the {role} to the first {len(views)} questions has {shortest}; lower them, or use "
                "a model with a longer context"
            )

    def prompt(self, view: View) -> "Prompt | None":
        """The longest prompt that leaves room for a completion: reviews are shortened first; None: there is none."""
        room = None
        if self.context is not None:  # roles share a batch
            room = self.context - max(self.proposer_max_new_tokens, self.reviewer_max_new_tokens)
        tried: set[tuple[int, ...]] = set()
        for longest in LONGEST_QUOTES:
            cut = cuts(view, longest)
            if cut in tried:
                continue
            tried.add(cut)
            ids = self.chat.encode(self._messages(view, longest))
            if room is None or len(ids) <= room:
                return Prompt(ids=ids, omitted_characters=sum(cut))
        return None

    def _messages(self, view: View, longest: tuple[int, int]) -> Messages:
        return self.prompts.messages(
            question=view.question,
            role=view.role,
            solution=view.solution,
            review=view.review,
            others=view.others,
            answer_format=self.task.answer_format,
            longest=longest,
        )

    def _request(self, view: View, prompt: "Prompt") -> GenerationRequest:
        return GenerationRequest(
            prompt_ids=prompt.ids,
            seed=view.seed,
            max_new_tokens=self._limit(view.role),
            temperature=self.temperature,
            policy=self.policy(view.role, view.agent),
            choices=self.verdict_ids if view.role is Role.REVIEWER else (),
        )

    def _limit(self, role: Role) -> int:
        return self.proposer_max_new_tokens if role is Role.PROPOSER else self.reviewer_max_new_tokens

    def _parse(self, view: View, prompt: "Prompt", generation: Generation) -> ModelUtterance:
        proposes = view.role is Role.PROPOSER
        if generation.choice_logps:
            return _verdict_utterance(prompt, generation, self.verdict_ids)
        text = usable_text(self.chat.thought + generation.text, MAX_CHARS)  # as the environment takes it
        return ModelUtterance(
            text=text,
            answer=self.task.parse(text) if proposes else None,
            verdict=None if proposes else parse_verdict(text),
            generated_tokens=len(generation.output_ids),
            prompt_tokens=len(generation.prompt_ids),
            finish_reason=generation.finish_reason,
            omitted_characters=prompt.omitted_characters,
            mean_logp=mean_logp(generation.logps),
            generation=generation,
        )


def _verdict_utterance(prompt: Prompt, generation: Generation, ids: tuple[int, ...]) -> ModelUtterance:
    """A review of one token, worded so that it is read as every other review is."""
    verdict = Verdict.RIGHT if generation.output_ids[0] == ids[0] else Verdict.WRONG
    return ModelUtterance(
        text=f"Verdict: {verdict}",
        verdict=verdict,
        generated_tokens=len(generation.output_ids),
        prompt_tokens=len(generation.prompt_ids),
        finish_reason=generation.finish_reason,
        omitted_characters=prompt.omitted_characters,
        mean_logp=mean_logp(generation.logps),
        p_right=p_right(generation.choice_logps),
        generation=generation,
    )


def p_right(logps: Sequence[float]) -> float:
    """P(RIGHT) among (RIGHT, WRONG), from the log-probability of each: a sigmoid of their difference."""
    right, wrong = logps
    return 1 / (1 + math.exp(min(wrong - right, 700.0)))
