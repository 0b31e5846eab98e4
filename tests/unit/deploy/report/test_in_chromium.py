"""The page in a real browser: nothing in its console, nothing that runs over, all charts there."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import pytest
from report_certificates import failed, with_sensors

pytest.importorskip("jinja2")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]
WIDTHS = (360, 1280)
# What a reader would see: in a copy of the page, as the page itself allows no script.
SCRIPT = """<script>
const wide = document.documentElement.clientWidth, over = [], clipped = [];
for (const details of document.querySelectorAll("details")) details.open = true;
for (const part of document.querySelectorAll("body *")) {
  if (part.closest(".scroll") && !part.matches(".scroll")) continue;
  if (part.closest(".skip, .cards thead")) continue;
  const box = part.getBoundingClientRect();
  if (box.right > wide + 1 || box.left < -1) over.push(part.tagName + " " + part.className);
}
for (const text of document.querySelectorAll("svg text")) {
  const box = text.getBoundingClientRect(), all = text.closest("svg").getBoundingClientRect();
  if (box.left < all.left - 1 || box.right > all.right + 1 || box.bottom > all.bottom + 1
      || box.top < all.top - 1) clipped.push(text.textContent);
}
const all = (what) => [...document.querySelectorAll(what)];
const height = (part) => part.getBoundingClientRect().height;
const links = all("nav a").map(a => a.hash);
parent.postMessage(JSON.stringify({
  wide, scroll: document.documentElement.scrollWidth, over, clipped,
  charts: all("svg").filter(s => height(s) > 60).length,
  smallest: Math.min(...all("svg text").map(height)),
  reached: links.filter(h => height(document.querySelector(h)) > 40).length,
  links: links.length,
}), "*");
</script>"""
# A window is at least 500 pixels wide; a frame in it is as narrow as a phone.
FRAME = """<!doctype html><title>-</title><script>
addEventListener("message", (event) => document.title = event.data);
</script><iframe src="copy.html" style="border:0" width="{width}" height="900"></iframe>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    from erpose_edge.deploy.report import report_of

    folder = tmp_path_factory.mktemp("chromium")
    long = "a-target-with-a-name-that-is-longer-than-any-line-of-a-phone-" * 2
    paths = [with_sensors(folder / "first"), failed(folder / "second", long)]
    file = folder / "report.html"
    file.write_text(report_of(paths), "utf-8")
    return file


def chromium(folder: Path, file: Path, width: int, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},900", *more, file.as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip


def console(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_its_charts_are_drawn_and_its_sections_are_reached(page, tmp_path, width):
    text = page.read_text("utf-8")
    copy = tmp_path / "copy.html"
    plain = re.sub(r"<meta http-equiv=.*?>", "", text)
    copy.write_text(plain.replace("</body>", f"{SCRIPT}</body>"), "utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width))
    done = chromium(tmp_path, frame, width + 100, "--virtual-time-budget=5000", "--dump-dom")
    assert console(done) == []
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout)
    assert title is not None
    found = json.loads(html.unescape(title[1]))
    assert found["wide"] == width
    assert found["scroll"] <= width
    assert found["over"] == found["clipped"] == []
    assert found["charts"] == text.count("<svg") > 0
    assert found["reached"] == found["links"] >= 6
    assert found["smallest"] >= 11  # pixels from the top to the foot of a letter's line


def test_the_page_itself_says_nothing_in_the_console_and_allows_no_script(page, tmp_path):
    picture = tmp_path / "page.png"
    done = chromium(tmp_path, page, 1280, f"--screenshot={picture}")
    assert console(done) == []
    shown = cv2.imread(str(picture))
    assert shown.shape[1] == 1280
    assert shown.std() > 10  # not an empty page
    guarded = tmp_path / "guarded.html"
    guarded.write_text(page.read_text("utf-8").replace("</body>", f"{SCRIPT}</body>"), "utf-8")
    done = chromium(tmp_path, guarded, 1280, "--dump-dom")
    assert any("Content Security Policy" in line for line in console(done))
