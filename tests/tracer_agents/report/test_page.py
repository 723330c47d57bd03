"""The page as a file: its parts, its size, and that nothing that a model wrote has power over it."""

import json
import re
from html.parser import HTMLParser

import pytest

from tracer_agents.cli import main
from tracer_agents.errors import RunError
from tracer_agents.report.pages import speech
from tracer_agents.report.recorded import RecordedRun, plain
from tracer_agents.report.sources import page_of, write_report
from tracer_agents.runs.beliefs import save_belief
from tracer_agents.runs.directory import RunDirectory
from tracer_env.beliefs import FEATURES, Belief
from tracer_env.errors import ConfigError

SECTIONS = ["results", "frontier", "learning", "speech", "correction", "belief", "certificate", "dialogues"]


class Read(HTMLParser):
    """The elements of a page, and the texts of its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data):
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(run, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report([run], path)
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def page(html) -> Read:
    return Read(html)


def test_every_part_of_a_run_has_its_section(page):
    assert [section["id"] for section in page.of("section")] == SECTIONS
    assert len(page.of("h1")) == 1
    assert page.of("html") == [{"lang": "en"}]
    links = [link["href"] for link in page.of("a")]
    assert links == ["#main", *(f"#{name}" for name in SECTIONS)]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_tables_and_charts_can_be_read_aloud(page):
    assert all(cell.get("scope") in ("col", "row", "rowgroup") for cell in page.of("th"))
    charts = [svg for svg in page.of("svg") if "chart" in (svg.get("class") or "")]
    assert charts
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in charts)
    assert len(page.of("figure")) == len(page.of("figcaption"))


def test_nothing_outside_the_page_is_named(html, page):
    named = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "poster", "data")
    ]
    assert [value for value in named if not value.startswith(("#", "data:,"))] == []
    [policy] = [meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "@import" not in html
    assert not re.search(r"url\((?!data:)", html)


def test_what_models_wrote_is_no_markup(html, page):
    assert len(page.of("script")) == 2  # the data, and the page's own
    assert page.of("img") == []
    assert [attributes for _, attributes in page.elements if any(name.startswith("on") for name in attributes)] == []
    data = json.loads(page.texts["script"][0])
    assert any("</script><script>window.planted" in text for text in data["texts"])  # whole, as a text
    assert any("{{ 7 * 7 }}" in text for text in data["texts"])
    assert not re.search("[\u202a-\u202e\x00\x1b]", html)
    assert any("\\u202eright" in text for text in data["texts"])


def test_hostile_names_of_runs_are_no_markup(make_run, tmp_path):
    folder = make_run(tmp_path / '<script>alert(1)<"')
    write_report([folder], tmp_path / "report.html")
    read = Read((tmp_path / "report.html").read_text("utf-8"))
    assert len(read.of("script")) == 2
    assert '<script>alert(1)<"' in read.texts["h1"]


def test_the_same_files_give_the_same_bytes(run, html, tmp_path):
    write_report([run], tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text("utf-8") == html


def test_long_texts_leave_the_page_below_3_mb_per_1000_dialogues(make_run, tmp_path):
    folder = make_run(tmp_path / "long", questions=60, padding=2000)
    write_report([folder], tmp_path / "report.html")
    data = json.loads(Read((tmp_path / "report.html").read_text("utf-8")).texts["script"][0])
    assert data["dialogues"] == 300
    assert (tmp_path / "report.html").stat().st_size < 3e6 * 0.3
    assert 100 < data["excerpt"] < 8000
    assert max(map(len, data["texts"])) < data["excerpt"] + 400  # escapes, and how much is left out
    assert any(re.search(r"… \([\d,]+ more characters\)$", text) for text in data["texts"])
    assert f"cut to {data['excerpt']:,} characters" in (tmp_path / "report.html").read_text("utf-8")


def test_a_limit_of_dialogues_is_stated_and_keeps_questions_whole(run, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main(["report", str(run), "--out", str(out), "--dialogues", "17"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 0.")
    html = out.read_text("utf-8")
    data = json.loads(Read(html).texts["script"][0])
    assert [len(question["entries"]) for question in data["questions"]] == [5, 5, 5]
    assert (data["dialogues"], data["all_dialogues"], data["all_questions"]) == (15, 60, 12)
    assert "that are\n    recorded; the others are in the recorded files" in html


def test_two_runs_stand_side_by_side(run, other, tmp_path):
    page = page_of([run, other])
    assert page.title == "first and second"
    assert [each["name"] for each in page.browser["runs"]] == ["first", "second"]
    first = page.browser["questions"][0]
    assert {entry["run"] for entry in first["entries"]} == {0, 1}
    table = page.sections[0].blocks[0]
    assert [row.group for row in table.rows] == ["first"] * 4 + ["second"] * 4
    flagged = [entry["flags"] for question in page.browser["questions"] for entry in question["entries"]]
    assert any("runs_differ" in flags for flags in flagged)


@pytest.mark.parametrize(
    ("infoset", "known", "unknown"),
    [("paper", "reviews said", "agree,"), ("belief", "how probable", "reviews said"), ("recall", "silent", "agree,")],
)
def test_the_speech_part_says_what_controllers_know(make_run, tmp_path, infoset, known, unknown):
    part = speech(RecordedRun.load(make_run(tmp_path / "run", questions=4, infoset=infoset)), None)
    assert part is not None
    assert known in part.lead
    assert unknown not in part.lead


def test_a_run_s_belief_names_its_bins_in_heat_maps_and_dialogues(make_run, tmp_path):
    folder = make_run(tmp_path / "run", questions=4, infoset="belief")
    belief = Belief(intercept=0.0, coefficients=(1.0,) * len(FEATURES), edges=(0.25,))
    RunDirectory(folder).checkpoints.save(1, lambda checkpoint: save_belief(checkpoint, belief))
    page = page_of([folder])
    maps = next(section for section in page.sections if section.name == "speech").blocks
    assert {column for each in maps for column in each.columns} == {"< 0.25"}  # expanded without a belief: bin 0
    assert {each["label"].partition(", ")[2] for each in page.browser["runs"][0]["infosets"].values()} == {
        "belief < 0.25"
    }


def test_runs_of_one_name_are_told_apart(make_run, tmp_path):
    folders = [make_run(tmp_path / name / "run", questions=4) for name in ("a", "b")]
    assert page_of(folders).title == "a/run and b/run"


def test_a_run_that_has_not_ended_shows_its_steps(make_run, tmp_path):
    folder = make_run(tmp_path / "run", questions=4)
    for name in ("summary.json", "certificate.json", "trees.jsonl"):
        (folder / name).unlink()
    page = page_of([folder])
    assert [section.name for section in page.sections] == ["results", "learning", "speech", "certificate"][:3]
    assert "not ended" in page.sections[0].blocks[0].text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("summary.json", "{", "summary.json: damaged"),
        ("trees.jsonl", '{"question_id": 1}\n', "trees.jsonl:1: no expanded question"),
        ("transcripts.jsonl", '{"method": 1}\n', "transcripts.jsonl:1: no record"),
        ("summary.json", '{"after": {"n": 1}}', "summary.json, metrics.jsonl or certificate.json is damaged"),
    ],
)
def test_damaged_files_are_named(make_run, tmp_path, name, text, message):
    folder = make_run(tmp_path / "run", questions=4)
    (folder / name).write_text(text)
    with pytest.raises(RunError, match=message):
        write_report([folder], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_paths_that_are_nothing_to_report_on_are_refused(run, tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        page_of([tmp_path / "nowhere"])
    with pytest.raises(ConfigError, match="no run"):
        page_of([tmp_path])
    with pytest.raises(ConfigError, match="is no run"):
        page_of([run, tmp_path])


def test_a_file_that_is_no_page_is_not_replaced(run, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["report", str(run), "--out", str(tmp_path / "notes.txt")]) == 1
    assert "such as notes.html" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_recorded_completions_have_columns_of_their_own(tmp_path, capsys):
    rows = [
        {"question": "What is 1 + 1?", "completion": f"#### {answer}", "model": "<b>"} for answer in ("2", "3", "2")
    ]
    (tmp_path / "completions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "questions.jsonl").write_text(json.dumps({"question": "What is 1 + 1?", "answer": "2"}) + "\n")
    words = ["eval", "--speaker", "replay", "--completions", str(tmp_path / "completions.jsonl"), "--task", "jsonl"]
    assert main([*words, "--data", str(tmp_path / "questions.jsonl"), "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    page = page_of([tmp_path / "run"])
    table = page.sections[0].blocks[0]
    assert [name for name, _ in table.columns][:3] == ["accuracy", "self-consistency", "pass@k"]
    assert [cell.text for cell in table.rows[0].cells] == ["1.000", "1.000", "1.000", "2.0", "1", "3", "0", "0"]
    assert page.subtitle == "jsonl; recorded completions of <b>; 1 held-out question"
    assert Read((tmp_path / "run" / "report.html").read_text("utf-8")).of("b") == []


@pytest.mark.parametrize(("votes", "words"), [(1, "self-consistency, 1 vote"), (4, "self-consistency, 4 votes")])
def test_a_single_vote_is_a_vote(votes, words):
    assert plain(f"self_consistency@{votes}") == words
