"""The speakers of a team of several models: each agent's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tracer_agents.speakers.model import View, ViewSpeakers
from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import Utterance

_Asked = TypeVar("_Asked", SpeakRequest, View)


@dataclass(frozen=True, kw_only=True)
class MemberSpeakers:
    """Passes what is asked of an agent on to the agent's own speakers.

    Agents with the same speakers are asked in one call, so that a team of equal members does what one model does.

    Args:
        by_agent: the speakers of each agent; agents may share them.
    """

    by_agent: tuple[ViewSpeakers, ...]

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        """One utterance per request, in order, in one call for each of the distinct speakers."""
        return self._spread(requests, [request.state.agent for request in requests], lambda speakers: speakers.speak)

    def complete(self, views: Sequence[View]) -> list[Utterance]:
        """One utterance per view, in order, in one call for each of the distinct speakers."""
        return self._spread(views, [view.agent for view in views], lambda speakers: speakers.complete)

    def _spread(
        self,
        asked: Sequence[_Asked],
        agents: Sequence[int],
        verb: Callable[[ViewSpeakers], Callable[[Sequence[_Asked]], Sequence[Utterance]]],
    ) -> list[Utterance]:
        answers: dict[int, Utterance] = {}
        for speakers in {id(each): each for each in self.by_agent}.values():
            rows = [row for row, agent in enumerate(agents) if self.by_agent[agent] is speakers]
            if rows:
                answers |= zip(rows, verb(speakers)([asked[row] for row in rows]), strict=True)
        return [answers[row] for row in range(len(asked))]
