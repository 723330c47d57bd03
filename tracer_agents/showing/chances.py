"""How probable it was that a controller speaks, round by round of a recorded dialogue."""

from dataclasses import replace
from pathlib import Path

from tracer_agents.controllers.fixed import AlwaysSpeak, RandomSpeech, fixed_controllers
from tracer_agents.controllers.tabular import PLAYS, Play, TabularController
from tracer_agents.rollout.records import DialogueRecord, Kind, TurnRecord
from tracer_agents.runs.controllers import controller_of
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.types import Controller
from tracer_env.dialogue import Dialogue, Mode, Rules, Utterance, initial, is_terminal, transition
from tracer_env.infosets import Infosets

_RULES: dict[str, Controller] = {
    "single": RandomSpeech(p=0.0),
    "always_speak": AlwaysSpeak(),
    "random_speak": RandomSpeech(p=0.5),
}


def controller_behind(run: RunDirectory, phase: str, method: str) -> Controller | None:
    """Who chose in the dialogues of a method; None where the run does not hold it.

    Raises:
        RunError: the run's tables are damaged.
    """
    if method in _RULES:
        return _RULES[method]
    if method.startswith("best_fixed:"):
        return fixed_controllers().get(method.removeprefix("best_fixed:"))
    if method.split("@")[0] != "team":
        return None
    config = run.config()
    if phase == "before":
        return TabularController.uniform(Infosets(config.dialogue.infoset, config.rules))
    checkpoint = _checkpoint(run)
    played = run.summary().get("controllers", {}).get("play") if (run.folder / "summary.json").is_file() else None
    play: Play | None = next((play for play in PLAYS if play == played), None)
    return controller_of(checkpoint, config, play) if checkpoint and play else AlwaysSpeak() if played else None


def _checkpoint(run: RunDirectory) -> Path | None:
    """The checkpoint whose team was measured: one of the run's or, of an evaluation, of the run that it measured."""
    if run.checkpoints.steps():
        return run.checkpoints.latest()
    if not (run.folder / "summary.json").is_file():
        return None
    weights = run.summary().get("weights")
    folder = Path(str(weights)) if weights else None
    return folder if folder and (folder / "controllers.npz").is_file() else None


def states_of(record: DialogueRecord, rules: Rules) -> list[Dialogue] | None:
    """The state before every round of a recorded dialogue and the last one; None where the rules were others."""
    if record.kind is not Kind.DIALOGUE or len(record.turns) != rules.rounds:
        return None
    state = initial(rules, record.question)
    states = [state]
    for turn in record.turns:
        if is_terminal(state) or (state.agent, state.role) != (turn.agent, turn.role):
            return None
        if turn.mode is Mode.SKIP and state.pending is None:
            return None
        state = transition(state, turn.mode)
        if turn.mode is Mode.SPEAK:
            state = transition(state, _utterance(turn))
        states.append(state)
    return states


def rules_of(rules: Rules, controller: Controller | None) -> Rules:
    """The rules under which a controller decides: with the belief that it knows."""
    return (
        replace(rules, belief=controller.infosets.rules.belief) if isinstance(controller, TabularController) else rules
    )


def speak_chances(record: DialogueRecord, rules: Rules, controller: Controller | None) -> list[float | None]:
    """P(SPEAK) of every round; None where it is not known."""
    states = states_of(record, rules)
    if states is None or controller is None:
        return [None] * len(record.turns)
    return [float(chance) for chance in controller.speak_probability(states[:-1])]


def _utterance(turn: TurnRecord) -> Utterance:
    return Utterance(
        text=turn.text or "",
        answer=turn.answer,
        verdict=turn.verdict,
        generated_tokens=turn.generated_tokens,
        prompt_tokens=turn.prompt_tokens,
        mean_logp=turn.mean_logp,
        p_right=turn.p_right,
    )
