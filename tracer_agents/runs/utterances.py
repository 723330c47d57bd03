"""Utterances of frozen speakers on disk, so that work that was killed goes on without asking for them again."""

from collections.abc import Sequence
from pathlib import Path

from tracer_agents.errors import RunError
from tracer_agents.rollout.records import utterance_as_json, utterance_from_json
from tracer_agents.runs.files import append_lines, keep_lines
from tracer_agents.speakers.model import View, ViewSpeakers
from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import FinishReason, Utterance

FILE = "utterances.jsonl"


class RecordedSpeakers:
    """Wraps speakers whose weights stand still: what they said once is read from the file from then on.

    An utterance is known by its ``noise_seed``, as in ``RememberingSpeakers``. One that failed is not recorded, so the
    next run asks for it again.

    Args:
        speakers: say what is not recorded yet.
        folder: of the run, whose lock is held; a torn last row is cut off.

    Raises:
        RunError: a row of the file is damaged.
    """

    def __init__(self, speakers: ViewSpeakers, folder: Path) -> None:
        self._speakers = speakers
        self._path = folder / FILE
        self._known: dict[int, Utterance] = {}
        for number, row in enumerate(keep_lines(self._path, lambda _: True) if self._path.exists() else (), 1):
            try:
                seed = row.pop("seed")
                self._known[seed] = utterance_from_json(row)
            except (KeyError, TypeError, ValueError) as error:
                raise RunError(f"{self._path}, line {number}: no utterance of this version: {error}") from error

    def __len__(self) -> int:
        """How many utterances are recorded."""
        return len(self._known)

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        """One utterance per request; new ones are on disk before they are returned."""
        fresh = {request.noise_seed: request for request in requests if request.noise_seed not in self._known}
        new = dict(zip(fresh, self._speakers.speak(list(fresh.values())) if fresh else (), strict=True))
        spoken = {seed: each for seed, each in new.items() if each.finish_reason is not FinishReason.FAILED}
        append_lines(self._path, [{"seed": seed, **utterance_as_json(each)} for seed, each in spoken.items()])
        self._known |= spoken
        return [self._known.get(request.noise_seed) or new[request.noise_seed] for request in requests]

    def complete(self, views: Sequence[View]) -> Sequence[Utterance]:
        """What the speakers say; views are not recorded."""
        return self._speakers.complete(views)
