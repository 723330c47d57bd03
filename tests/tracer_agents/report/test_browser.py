"""The page in a real browser: it works, at a desk and on a phone, in light and dark, and asks nobody for anything."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracer_agents.report.sources import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"no browser: install one of {', '.join(NAMES)}")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield running
        running.close()


@pytest.fixture(scope="module")
def files(run, other, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    pages = {"one": folder / "one.html", "two": folder / "two.html"}
    write_report([run], pages["one"])
    write_report([run, other], pages["two"])
    return pages


@pytest.fixture
def visit(chromium, files):
    """Opens a page; whatever it asks for, logs or throws is kept, and must be nothing but itself."""
    contexts, asked, trouble = [], [], []

    def opened(name="one", *, size="desktop", scheme="light", link=""):
        width, height = SIZES[size]
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url.partition("#")[0]))
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: trouble.append(dialog.message))
        page.goto(files[name].as_uri() + link)
        return page

    yield opened
    pages = {path.as_uri() for path in files.values()}
    planted = [page.evaluate("'planted' in window") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert not any(planted)
    assert [url for url in asked if url not in pages and url != "data:,"] == []
    assert trouble == []


def listed(page) -> list[str]:
    return page.locator("#list .head > span:first-child").all_inner_texts()


def bad_for_readers(page) -> list[tuple[str, str, str]]:
    """What axe-core calls serious or critical: the rule, the element, and what is wrong with it."""
    violations = axe.Axe().run(page).response["violations"]
    bad = [each for each in violations if each["impact"] in ("serious", "critical")]
    return [(each["id"], node["html"], node["failureSummary"]) for each in bad for node in each["nodes"]]


def choose_method(page, label: str) -> None:
    page.get_by_label("Played by").select_option(label=label)


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [
        ("one", "desktop", "light"),
        ("one", "phone", "light"),
        ("one", "desktop", "dark"),
        ("one", "phone", "dark"),
        ("two", "desktop", "light"),
        ("two", "phone", "dark"),
    ],
)
def test_axe_has_nothing_serious_to_say_and_nothing_is_wider_than_the_screen(visit, name, size, scheme):
    page = visit(name, size=size, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert bad_for_readers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


def test_axe_would_say_it(visit):
    page = visit()
    page.evaluate("document.querySelector('.lead').style.color = '#cccccc'")
    page.evaluate("document.querySelector('label[for=search]').remove()")
    assert {rule for rule, _, _ in bad_for_readers(page)} == {"color-contrast", "label"}


def test_filters_keep_the_dialogues_that_are_flagged(visit):
    page = visit()
    assert len(listed(page)) == 12
    wrong = page.get_by_label(re.compile("^wrong in the end"))
    count = int(page.locator("label", has=wrong).locator("small").inner_text())
    wrong.check()
    assert 0 < len(listed(page)) == count < 12
    assert page.locator("#count").inner_text() == f"{count} question{'s' * (count != 1)} of 12"
    assert set(page.locator("#list .is-wrong").all_inner_texts()) == {"✗"}
    page.get_by_label(re.compile("^right in the end")).check()
    assert listed(page) == []
    assert "No dialogue passes" in page.locator("#detail").inner_text()


def test_search_goes_through_questions_and_what_was_said(visit):
    page = visit()
    shown = page.locator("#detail .text-box").first.inner_text()
    number = re.search(r"0\.\d{6,}", shown)[0]
    page.get_by_label("Search questions").fill(number)
    assert len(listed(page)) == 1
    assert page.locator("#detail mark").first.inner_text() == number
    page.get_by_label("Search questions").fill("no such words")
    assert listed(page) == []


def test_hostile_texts_are_shown_as_text(visit):
    page = visit()
    for hostile in ("<script>window.planted", "onerror=", "{{ 7 * 7 }}", "<svg onload="):
        page.get_by_label("Search questions").fill(hostile)
        assert page.locator("#detail .text-box", has_text=hostile).count() > 0
    assert page.locator("#detail img, #detail script, #detail .text-box svg").count() == 0


def test_a_branch_that_was_not_played_can_be_followed_and_left(visit):
    page = visit()
    assert page.locator("#detail .round").count() == 5
    assert page.locator("#detail .branch").count() == 9  # the first round is forced
    assert page.locator("#detail .branch .tag").count() == 5
    end = page.locator("#detail .end").inner_text()
    page.locator("#detail .branch:not(.on)").nth(0).get_by_role("button").click()
    assert page.get_by_text("This path was not played.").count() == 1
    path = re.search(r"[#&]p=([01]{5})", page.url)[1]
    assert path[0] == "1"
    page.get_by_role("button", name="Back to the played path").click()
    assert page.locator("#detail .end").inner_text() == end
    assert "p=" not in page.url


def test_a_permalink_leads_back_to_the_same_view(visit):
    page = visit()
    page.get_by_label(re.compile("^methods differ")).check()
    page.locator("#list button").nth(1).click()
    page.locator("#detail .branch:not(.on)").nth(1).get_by_role("button").click()
    link, view = page.get_by_role("link", name="Permalink").get_attribute("href"), page.locator("#detail").inner_text()
    again = visit(link=link)
    assert again.locator("#detail").inner_text() == view
    assert again.get_by_label(re.compile("^methods differ")).is_checked()
    assert listed(again) == listed(page)


def test_the_same_question_is_read_under_every_method(visit):
    page = visit()
    question = listed(page)[0]
    for label in ("always speak", "self-consistency, 3 votes", "before training"):
        page.locator("#detail .others").get_by_role("button", name=label, exact=True).click()
        assert page.locator("#detail h3").inner_text() == f"{question} · {label}"
        assert page.get_by_label("Played by").locator("option:checked").inner_text() == label
    choose_method(page, "self-consistency, 3 votes")
    assert page.locator("#detail h5").all_inner_texts() == ["Proposal 1 · agent 0"] * 3


def test_two_runs_are_read_side_by_side(visit):
    page = visit("two")
    sides = page.locator("#detail .side")
    assert [side.locator("h4").inner_text() for side in sides.all()] == ["first", "second"]
    left, right = (side.bounding_box() for side in sides.all())
    assert left["x"] + left["width"] <= right["x"]
    page.get_by_label(re.compile("^runs differ")).check()
    marks = page.locator("#list button").first.locator(".head [role=img]").all_inner_texts()
    assert sorted(marks) == ["✓", "✗"]


def test_the_switch_overrules_the_systems_theme(visit):
    page = visit(scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    switch = page.locator("#theme")
    assert switch.inner_text() == "Theme: auto"
    for theme, dark in (("light", False), ("dark", True), ("auto", False)):
        switch.click()
        assert switch.inner_text() == f"Theme: {theme}"
        assert (page.evaluate(ground) != light) is dark
    assert visit(scheme="dark").evaluate(ground) != light


def test_the_keyboard_reaches_a_dialogue_and_a_reader_hears_where_it_is(visit):
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.locator("#list button").nth(2).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "detail"
    assert page.locator("#list [aria-current=true] .head > span").first.inner_text() == listed(page)[2]
    page.get_by_role("button", name="Next").press("Enter")
    assert page.locator("#detail h3").inner_text().startswith(listed(page)[3])


def test_the_page_is_whole_at_both_sizes(visit, tmp_path):
    for size in SIZES:
        page = visit(size=size)
        page.screenshot(path=tmp_path / f"{size}.png", full_page=True)
        assert (tmp_path / f"{size}.png").stat().st_size > 50_000
        visible = [svg.is_visible() for svg in page.locator("svg.chart").all()]
        assert visible.count(False) == 1  # the frontier is drawn for either width
        assert page.locator("#detail .end").is_visible()
