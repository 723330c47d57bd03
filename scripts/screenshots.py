"""Takes the pictures of docs/gallery.md: ``python scripts/screenshots.py REPORT.html [--out docs/images]``.

A browser is needed, Chromium or Chrome; playwright drives it. Pictures that would exceed 300 kB are in 64 colours.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
LARGEST = 300_000  # bytes
DIALOGUE = "#m=trees&f=wrong_right"


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A picture: which part of the page, how wide, and in which theme."""

    name: str
    part: str  # the id of an element, at the top of the picture
    link: str = ""
    width: int = 1280
    height: int = 900
    scheme: str = "light"


SHOTS = (
    Shot(name="report-results", part="main"),
    Shot(name="report-speech", part="speech"),
    Shot(name="report-dialogue", part="detail", link=DIALOGUE, height=1000),
    Shot(name="report-dark", part="learning", scheme="dark"),
    Shot(name="report-phone", part="main", width=390, height=844),
    Shot(name="report-phone-dialogue", part="detail", link=DIALOGUE, width=390, height=844, scheme="dark"),
)


def take(browser: Browser, report: Path, shot: Shot, out: Path) -> Path:
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme=shot.scheme,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(report.resolve().as_uri() + shot.link)
    page.evaluate("name => document.getElementById(name).scrollIntoView({ block: 'start' })", shot.part)
    path = out / f"{shot.name}.png"
    page.screenshot(path=path)
    context.close()
    if path.stat().st_size > LARGEST:
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(64).save(path, optimize=True)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="a page that tracer report wrote about one certified run")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="the folder of the pictures")
    options = parser.parse_args()
    browser_path = next((path for path in map(shutil.which, NAMES) if path), None)
    if browser_path is None:
        print(f"no browser: install one of {', '.join(NAMES)}", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=FLAGS.split())
        for shot in SHOTS:
            path = take(browser, options.report, shot, options.out)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
