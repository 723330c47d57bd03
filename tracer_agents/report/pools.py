"""The page of pools: what one draw and votes of several are worth, how sure reviews are, and every draw."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tracer_agents.controllers.calibration import judge
from tracer_agents.errors import RunError
from tracer_agents.evaluation.play import majority
from tracer_agents.evaluation.statistics import mean_interval95
from tracer_agents.report.blocks import Cell, Chart, Page, Point, Row, Section, Series, Span, Table, Tile
from tracer_agents.report.dialogues import MOST_DIALOGUES, Collection, browser_data
from tracer_agents.report.figures import INTERVAL, interval, rate, share_cell
from tracer_agents.report.training import reliability
from tracer_agents.rollout.pools import Draw, Pool, PooledQuestion
from tracer_agents.rollout.records import DialogueRecord, Kind, Outcome, turn_record
from tracer_agents.runs.files import read_lines
from tracer_agents.runs.pools import load_pool
from tracer_env.dialogue import Mode, Role, Turn, Utterance, Verdict
from tracer_env.seeding import pool_report_stream

_RESAMPLES = 2000


def pool_files(path: Path) -> list[Path]:
    """The pools that a path names: itself, or those among the JSONL files of a folder."""
    paths = [path] if path.is_file() else sorted(path.glob("*.jsonl"))
    return [each for each in paths if _is_pool(each)]


def _is_pool(path: Path) -> bool:
    try:
        head = next(read_lines(path), {})
    except RunError:  # its first row is no JSON
        return False
    return "members" in head and "schema_version" in head


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """The draws of one member of a pool: a ballot per question, of all its proposals."""

    name: str
    ballots: Sequence[DialogueRecord]  # proposals alone
    whole: Sequence[DialogueRecord]  # with their reviews
    draws: int  # that every question has


def pools_page(files: Sequence[Path], *, most: int = MOST_DIALOGUES) -> Page:
    """The page of some pools, from their files alone.

    Raises:
        RunError: a file is no pool, or is incomplete or damaged.
    """
    pools = [load_pool(file) for file in files]
    voices = [
        _voice(pool, member, name if len(files) == 1 else f"{file.stem}: {name}")
        for file, pool in zip(files, pools, strict=True)
        for member, name in enumerate(pool.header.members)
    ]
    sections = [_votes(voices), _frontier(voices), _reviews(voices), _certainty(voices)]
    first = pools[0].header
    questions = sum(len(pool.questions) for pool in pools)
    collections = [
        Collection(name=voice.name, labels={"pool": "every draw"}, records={"pool": voice.whole}) for voice in voices
    ]
    return Page(
        title=" and ".join(file.stem for file in files),
        subtitle=f"{first.task or 'a pool'}: {', '.join(dict.fromkeys(v.name for v in voices))}; {questions} questions",
        tiles=[
            Tile(label="questions", value=f"{questions:,}"),
            Tile(label="proposals per question", value=f"{min(voice.draws for voice in voices)}", detail="at least"),
            Tile(label="generated tokens", value=f"{sum(pool.generated_tokens for pool in pools):,}", detail="to draw"),
        ],
        sections=[section for section in sections if section is not None],
        facts=[
            (f"{file.name}: {name}", str(value))
            for file, pool in zip(files, pools, strict=True)
            for name, value in (("split", pool.header.split), ("seed", pool.header.seed))
            if value is not None
        ],
        browser=browser_data(collections, most=most),
    )


def _voice(pool: Pool, member: int, name: str) -> Voice:
    whole = [_ballot(question, member) for question in pool.questions]
    ballots = [
        replace(record, turns=tuple(turn for turn in record.turns if turn.role is Role.PROPOSER)) for record in whole
    ]
    return Voice(name=name, ballots=ballots, whole=whole, draws=min(len(ballot.turns) for ballot in ballots))


def _ballot(question: PooledQuestion, member: int) -> DialogueRecord:
    """All draws of a member as votes, each with its reviews; rounds number the proposals."""
    asked = question.episode.question
    turns = []
    for number, draw in enumerate(question.members[member], 1):
        turns.append(turn_record(Turn(number, member, Role.PROPOSER, Mode.SPEAK, True, draw.utterance), draw.right))
        for reviewer, review in _reviews_of(draw, member):
            turns.append(turn_record(Turn(number, reviewer, Role.REVIEWER, Mode.SPEAK, True, review), draw.right))
    proposals = tuple(turn for turn in turns if turn.role is Role.PROPOSER)
    blank = DialogueRecord(
        method="pool",
        phase="pool",
        seed=0,
        question_id=asked.id,
        question=asked.text,
        gold=asked.gold,
        answer=None,
        correct=False,
        grade=Outcome.WRONG,
        kind=Kind.BALLOT,
        turns=proposals,
    )
    return replace(majority(blank, len(proposals)), turns=tuple(turns))


def _reviews_of(draw: Draw, member: int) -> list[tuple[int, Utterance]]:
    """(Who reviews, what is said) of a draw."""
    by_member = {member: draw.reviews, **draw.cross_reviews}
    return [(reviewer, review) for reviewer, reviews in sorted(by_member.items()) for review in reviews]


def _voted(voice: Voice, votes: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether the majority of the first votes is right, and what they cost, of every question."""
    chosen = [majority(ballot, votes) for ballot in voice.ballots]
    right = np.array([record.correct for record in chosen], dtype=np.float64)
    return right, np.array([record.generated_tokens for record in chosen], dtype=np.float64)


def _interval(right: np.ndarray) -> tuple[float, float]:
    return mean_interval95(right, resamples=_RESAMPLES, rng=pool_report_stream())


def _votes(voices: Sequence[Voice]) -> Section:
    rows = []
    for voice in voices:
        single = np.array([np.mean([turn.right is True for turn in ballot.turns]) for ballot in voice.ballots])
        whole, tokens = _voted(voice, voice.draws)
        best = np.array([any(turn.right for turn in ballot.turns[: voice.draws]) for ballot in voice.ballots])
        cells = [_share(single), _share(whole), Cell(text=rate(float(best.mean()))), Cell(text=f"{tokens.mean():,.1f}")]
        rows.append(Row(heading=voice.name, cells=[*cells, Cell(text=str(voice.draws))]))
    table = Table(
        caption="What draws and votes are worth",
        first="member",
        columns=[
            ("one draw", f"share of right proposals; {INTERVAL}"),
            ("all votes", f"accuracy of the most frequent answer, the earliest winning ties; {INTERVAL}"),
            ("pass@k", "share of questions with a right draw: a maximum in hindsight"),
            ("tokens", "generated tokens per question, of all proposals"),
            ("k", "proposals that every question has"),
        ],
        rows=rows,
    )
    return Section(name="results", title="Results", blocks=[table])


def _share(values: np.ndarray) -> Cell:
    mean, (low, high) = float(values.mean()), _interval(values)
    return Cell(text=rate(mean), detail=interval((low, high)), span=Span(low=low, value=mean, high=high))


def _frontier(voices: Sequence[Voice]) -> Section:
    series = []
    for tone, voice in enumerate(voices):
        points = []
        for votes in range(1, voice.draws + 1):
            right, tokens = _voted(voice, votes)
            label = f"{votes} vote{'s' * (votes > 1)}" if votes in (1, voice.draws) else ""
            points.append(Point(x=float(tokens.mean()), y=float(right.mean()), y_span=_interval(right), label=label))
        series.append(Series(name=voice.name, points=points, tone=tone, joined=True, band=True))
    chart = Chart(
        title="Accuracy of votes against generated tokens",
        x_label="generated tokens per question",
        y_label="accuracy",
        series=series,
        left=0,
        wide=True,
    )
    lead = "Self-consistency: the most frequent answer of the first k draws. Bands are 95% intervals over questions."
    return Section(name="frontier", title="Accuracy and tokens", lead=lead, blocks=[chart])


def _reviews(voices: Sequence[Voice]) -> Section | None:
    rows = []
    for voice in voices:
        proposal, judged = None, {True: [0, 0], False: [0, 0]}
        for turn in (turn for record in voice.whole for turn in record.turns):
            if turn.role is Role.PROPOSER:
                proposal = turn
            elif turn.verdict is not None and proposal is not None:
                truth = proposal.right is True
                judged[truth][0] += (turn.verdict is Verdict.RIGHT) == truth
                judged[truth][1] += 1
        if judged[True][1] + judged[False][1]:
            rows.append(Row(heading=voice.name, cells=[share_cell(*judged[False]), share_cell(*judged[True])]))
    if not rows:
        return None
    columns = [("wrong called WRONG", "sensitivity"), ("right called RIGHT", "specificity")]
    table = Table(caption="How reviews judge proposals", first="proposals of", columns=columns, rows=rows)
    return Section(name="reviews", title="Reviews", lead="Intervals: 95%, Wilson's for a share.", blocks=[table])


def _certainty(voices: Sequence[Voice]) -> Section | None:
    """How reliable P(RIGHT) is, where reviews have one."""
    charts = []
    for tone, voice in enumerate(voices):
        chance, right, question, proposal = [], [], [], None
        for number, record in enumerate(voice.whole):
            for turn in record.turns:
                if turn.role is Role.PROPOSER:
                    proposal = turn
                elif turn.p_right is not None and proposal is not None:
                    chance.append(turn.p_right)
                    right.append(proposal.right is True)
                    question.append(number)
        if chance:
            measured = judge(np.array(chance), np.array(right), np.array(question), np.ones(len(chance)))
            charts.append(reliability(f"{voice.name}; AUROC {rate(measured.auroc)}", measured.reliability, tone))
    if not charts:
        return None
    lead = "What reviews say with which certainty, before any calibration; on the diagonal it can be taken at its word."
    return Section(name="belief", title="P(RIGHT) of reviews", lead=lead, blocks=charts)
