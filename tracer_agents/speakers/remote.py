"""Speakers behind a chat server: dialogue state -> messages -> server -> parsed utterance.

No tokenizer is known here: prompts are messages, and tokens are counted by the server.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tracer_agents.generation.openai.orders import ChatCompletion, ChatRequest
from tracer_agents.speakers.model import LONGEST_QUOTES, View, cuts, mean_logp, view_of
from tracer_agents.speakers.prompts import Prompts
from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import FinishReason, Role, Utterance, Verdict
from tracer_env.grading.verdict import parse_verdict
from tracer_env.spaces import MAX_CHARS, usable_text
from tracer_env.tasks.base import Task


class Completer(Protocol):
    """Completes conversations."""

    def complete(self, requests: Sequence[ChatRequest]) -> list[ChatCompletion]:
        """One completion per request, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteUtterance(Utterance):
    """An utterance that a server counted, or not: ``counted`` is False where its token numbers are estimates.

    ``logps`` holds the log-probability of each token of the text, or None where the server gave none.
    """

    counted: bool = True
    logps: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ChatRequests:
    """Words what is asked of a chat server; nothing is sent.

    Args:
        task: says how an answer ends.
        prompts: what speakers are shown.
        proposer_max_new_tokens: the longest proposal, in tokens.
        reviewer_max_new_tokens: the longest review.
        temperature: of sampling; 0 is greedy.
    """

    task: Task
    prompts: Prompts
    proposer_max_new_tokens: int
    reviewer_max_new_tokens: int
    temperature: float = 1.0

    def request(
        self, view: View, longest: tuple[int, int] = LONGEST_QUOTES[0], *, most_tokens: int | None = None
    ) -> ChatRequest:
        """What is asked for a view.

        Args:
            view: what the speaker sees.
            longest: characters that are quoted of a solution and of a review.
            most_tokens: a further bound of the completion.
        """
        limit = self.proposer_max_new_tokens if view.role is Role.PROPOSER else self.reviewer_max_new_tokens
        return ChatRequest.of(
            self.prompts.messages(
                question=view.question,
                role=view.role,
                solution=view.solution,
                review=view.review,
                others=view.others,
                answer_format=self.task.answer_format,
                longest=longest,
            ),
            seed=view.seed,
            max_new_tokens=min(limit, most_tokens or limit),
            temperature=self.temperature,
        )


@dataclass(frozen=True, kw_only=True)
class OpenAISpeakers(ChatRequests):
    """Every agent's proposer and reviewer, spoken by one model of one chat server.

    Args:
        client: sends the requests; the others are those of ``ChatRequests``. The task also reads answers.
    """

    client: Completer

    def speak(self, requests: Sequence[SpeakRequest]) -> list[RemoteUtterance]:
        """One utterance per request, in order, all under way together."""
        return self.complete([view_of(request.state, request.noise_seed) for request in requests])

    def complete(self, views: Sequence[View]) -> list[RemoteUtterance]:
        """One utterance per view, in order.

        Where a prompt does not fit into the server's context, it is asked again with shorter quotes; a speaker whose
        question does not fit says nothing, for that reason.
        """
        utterances: dict[int, RemoteUtterance] = {}
        left = list(range(len(views)))
        tried: dict[int, tuple[int, ...]] = {}  # row -> what its last prompt left out
        for longest in LONGEST_QUOTES:
            cut = {row: cuts(views[row], longest) for row in left}
            rows = [row for row in left if cut[row] != tried.get(row)]
            if not rows:
                continue
            completions = self.client.complete([self.request(views[row], longest) for row in rows])
            for row, completion in zip(rows, completions, strict=True):
                tried[row] = cut[row]
                utterances[row] = self._parse(views[row], completion, sum(cut[row]))
            left = [row for row in left if utterances[row].finish_reason is FinishReason.TOO_LONG]
            if not left:
                break
        return [
            replace(utterances[row], omitted_characters=0)
            if utterances[row].finish_reason is FinishReason.TOO_LONG
            else utterances[row]
            for row in range(len(views))
        ]

    def _parse(self, view: View, completion: ChatCompletion, omitted: int) -> RemoteUtterance:
        proposes = view.role is Role.PROPOSER
        text = usable_text(completion.text, MAX_CHARS)  # as the environment takes it
        if not proposes and self.prompts.review == "verdict":
            text = worded_verdict(text, self.prompts.texts.verdict_words)
        return RemoteUtterance(
            text=text,
            answer=self.task.parse(text) if proposes else None,
            verdict=None if proposes else parse_verdict(text),
            generated_tokens=completion.generated_tokens,
            prompt_tokens=completion.prompt_tokens,
            finish_reason=completion.finish_reason,
            omitted_characters=omitted,
            mean_logp=mean_logp(completion.logps),
            counted=completion.counted,
            logps=completion.logps,
        )


def worded_verdict(text: str, words: tuple[str, str]) -> str:
    """A review of one word, worded as every other verdict is; a text that begins with neither word is left alone.

    Servers with chat interfaces give no probability of a word that was not said, so P(RIGHT) stays unknown.
    """
    first = re.match(r"\W*(\w*)", text)
    spoken = (first[1] if first else "").casefold()
    for word, verdict in zip(words, (Verdict.RIGHT, Verdict.WRONG), strict=True):
        if spoken == word.casefold():
            return f"Verdict: {verdict}"
    return text
