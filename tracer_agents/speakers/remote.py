"""Speakers behind a chat server: dialogue state -> messages -> server -> parsed utterance.

No tokenizer is known here: prompts are messages, and tokens are counted by the server.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tracer_agents.generation.openai.orders import MOST_LIKELIEST, ChatCompletion, ChatRequest
from tracer_agents.speakers.model import LONGEST_QUOTES, View, cuts, mean_logp, view_of
from tracer_agents.speakers.prompts import Prompts
from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import FinishReason, Role, Utterance, Verdict
from tracer_env.grading.verdict import parse_verdict
from tracer_env.spaces import MAX_CHARS, usable_text
from tracer_env.tasks.base import Task

_VERDICTS = (Verdict.RIGHT, Verdict.WRONG)


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
            likeliest=MOST_LIKELIEST if self.says_verdict(view.role) else 0,
        )

    def says_verdict(self, role: Role) -> bool:
        """Whether a speaker in this role says one of two words."""
        return role is Role.REVIEWER and self.prompts.review == "verdict"


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
        reason, chance = completion.finish_reason, None
        if self.says_verdict(view.role):
            words = self.prompts.texts.verdict_words
            chance = listed_p_right(completion.likeliest, words)
            if (verdict := spoken_verdict(text, words)) is not None:
                text, reason = f"Verdict: {verdict}", FinishReason.STOP  # the limit of one token cut nothing
        return RemoteUtterance(
            text=text,
            answer=self.task.parse(text) if proposes else None,
            verdict=None if proposes else parse_verdict(text),
            generated_tokens=completion.generated_tokens,
            prompt_tokens=completion.prompt_tokens,
            finish_reason=reason,
            omitted_characters=omitted,
            mean_logp=mean_logp(completion.logps),
            p_right=chance,
            counted=completion.counted,
            logps=completion.logps,
        )


def spoken_verdict(text: str, words: tuple[str, str]) -> Verdict | None:
    """The verdict that a review of one word says; None: it begins with neither word.

    Args:
        text: it begins with a word, or is the beginning of one alone, as of a word of several tokens.
        words: what says RIGHT and what says WRONG.
    """
    first = re.match(r"\W*(\w*)", text)
    spoken = (first[1] if first else "").casefold()
    for word, verdict in zip(words, _VERDICTS, strict=True):
        if spoken == word.casefold():
            return verdict
    place = _begun(text, words)
    return None if place is None else _VERDICTS[place]


def listed_p_right(likeliest: Sequence[tuple[str, float]] | None, words: tuple[str, str]) -> float | None:
    """P(RIGHT) among (RIGHT, WRONG), from the likeliest tokens that a review of one word could begin with.

    A word's probability is the sum over all listed tokens that begin it, and only it. A word that none begins has at
    most the smallest listed probability, and at most what the listed ones leave of 1: it counts as the lesser of both,
    so that P(RIGHT) is nearer to 1/2 than it truly is. None: nothing is listed, or nothing that begins either word.

    Args:
        likeliest: (token, natural log-probability) pairs, none likelier that is not among them.
        words: what says RIGHT and what says WRONG.
    """
    chances = [0.0, 0.0]
    listed = [(_begun(token, words), math.exp(min(logp, 0.0))) for token, logp in likeliest or ()]
    for place, chance in listed:
        if place is not None:
            chances[place] += chance
    if not any(chances):
        return None
    most = min(min(chance for _, chance in listed), max(0.0, 1 - sum(chance for _, chance in listed)))
    right, wrong = (chance or most for chance in chances)
    return right / (right + wrong)


def _begun(token: str, words: tuple[str, str]) -> int | None:
    """Which of two words a token begins: in this case, otherwise in any; None: neither, or both."""
    token = token.strip()
    for change in (str, str.casefold):
        begun = [place for place, word in enumerate(words) if token and change(word).startswith(change(token))]
        if begun:
            return begun[0] if len(begun) == 1 else None
    return None
