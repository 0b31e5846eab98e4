"""A report's page: its structure, its numbers, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from report_certificates import SERIES, failed, with_sensors
from report_page import Page
from small_certificate import write_certificate

from erpose_edge.errors import ErposeError, IntegrityError, RequestError
from erpose_edge.validate.certificate.seal import digest
from erpose_edge.validate.latency.packing import unpacked

pytest.importorskip("jinja2")

from erpose_edge.deploy.report import report_of


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("report")
    return [with_sensors(folder / "first"), failed(folder / "second")]


@pytest.fixture(scope="module")
def html(paths) -> str:
    return report_of(paths)


@pytest.fixture(scope="module")
def single(paths) -> tuple[Page, dict]:
    return Page(report_of(paths[:1])), json.loads(paths[0].read_text())


def resealed(path: Path, folder: Path, change) -> Path:
    document = json.loads(path.read_text())
    change(document)
    document["sha256"] = digest({k: v for k, v in document.items() if k != "sha256"})
    altered = folder / "altered.json"
    altered.write_text(json.dumps(document))
    return altered


def test_elements_are_closed_and_names_are_unique(html):
    page = Page(html)
    assert page.unclosed == []
    names = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert sorted(set(names)) == sorted(names)
    labels = " ".join(a.get("aria-labelledby", "") for _, a, _ in page.elements).split()
    assert set(labels) <= set(names)
    links = [a["href"] for a in page.named("a")]
    assert {link.lstrip("#") for link in links} <= set(names)
    assert all(link.startswith("#") for link in links)


def test_the_page_needs_nothing_else(html):
    page = Page(html)
    assert (
        "http:" not in html and "https:" not in html and "//" not in html and "@import" not in html
    )
    assert page.named("script") == page.named("iframe") == page.named("object") == []
    assert page.named("link") == [{"rel": "icon", "href": "data:,"}]
    assert not [a for tag, a, _ in page.elements if "src" in a or tag == "img"]
    policy = next(a for a in page.named("meta") if "http-equiv" in a)
    assert policy["content"].startswith("default-src 'none'")


def test_headings_begin_with_the_verdict_and_leave_out_no_level(html):
    levels = [level for level, _ in Page(html).headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    titles = [text.strip() for level, text in Page(html).headings if level == 2]
    assert titles == [
        "Verdict: 1 of 2 pass", "Overview", "Trade-off", "Latency", "Accuracy", "Placement",
        "How it was measured",
    ]  # fmt: skip


def test_every_chart_has_a_title_for_screen_readers_and_its_numbers_in_a_table(html):
    figures = re.findall(r"<figure.*?</figure>", html, re.S)
    assert len(figures) == len(Page(html).named("svg")) >= 9
    for figure in figures:
        page = Page(figure)
        (svg,) = page.named("svg")
        assert svg["role"] == "img"
        assert page.count_in("svg", "title") == page.count_in("svg", "desc") == 1
        assert page.count_in("details", "table") == 1
        (rows,) = page.tables.values()
        assert len(rows) > 1
        assert all(len(row) == len(rows[0]) for row in rows)
        drawn = [a for tag, a, _ in page.elements if a.get("class", "").split(" ")[0] in
                 ("line", "mark")]  # fmt: skip
        assert drawn


def test_the_overview_has_the_numbers_of_the_certificate(single):
    page, document = single
    for name in ("int8", "fp32"):
        turns = document["latency"][name]["turns"]
        for column, value in {
            "AP": f"{document['accuracy'][name]['ap']:.4f}",
            "engine p50 (ms)": f"{turns['infer_ms']['p50']:.2f}",
            "end to end p50 (ms)": f"{turns['end_to_end_ms']['p50']:.2f}",
            "p90 (ms)": f"{turns['end_to_end_ms']['p90']:.2f}",
            "p99 (ms)": f"{turns['end_to_end_ms']['p99']:.2f}",
            "frames/s": f"{turns['fps']:.1f}",
            "size (MB)": f"{document['artifacts'][name]['size_mb']:.2f}",
        }.items():
            assert page.cell("All artifacts", name, column) == value, (name, column)
    kept = document["accuracy"]["int8"]["against"]["retention"]["ap"]
    words = "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * kept[k] for k in ("value", "low", "high")))
    assert page.cell("All artifacts", "int8", "left of fp32's AP (%)") == words
    assert page.cell("All artifacts", "int8", "int8 convolutions in int8") == "66.7%"


def test_the_tables_under_the_charts_have_the_numbers_of_the_certificate(single):
    page, document = single
    for point, value in document["accuracy"]["int8"]["per_keypoint_ap"].items():
        assert page.cell("AP by keypoint", point.replace("_", " "), "int8") == f"{value:.4f}"
    times = "How long frames take (in turns)"
    for name in ("int8", "fp32"):
        turns = document["latency"][name]["turns"]
        marks = unpacked(turns["samples_ns"], name, 4)
        for row, percent in (("50 %", "p50"), ("90 %", "p90"), ("99 %", "p99")):
            stated = turns["end_to_end_ms"][percent]
            assert float(page.cell(times, row, name)) == pytest.approx(stated, abs=6e-5)
        longest = float(np.max(marks[:, 3] - marks[:, 0])) / 1e6
        assert float(page.cell(times, "longest", name)) == pytest.approx(longest, abs=6e-5)
        assert page.cell(times, "frames", name) == str(turns["samples"])
    curve = document["latency"]["int8"]["scenarios"]["single-stream"]["statistics"]["curve"]
    rows = page.tables["Latency over time (single-stream)"][1:]
    assert [row[1:3] for row in rows] == [
        [f"{ms:.4f}", str(frames)]
        for ms, frames in zip(curve["p50_ms"], curve["frames"], strict=True)
    ]
    assert len(rows) == 10
    low, high = document["accuracy"]["int8"]["intervals"]["ap"]
    ends = [page.cell("AP and how sure it is", "int8", column) for column in ("from", "to")]
    assert ends == [f"{low:.4f}", f"{high:.4f}"]
    assert page.cell("Accuracy over latency", "int8", "end to end p50 (ms)") == (
        f"{document['latency']['int8']['turns']['end_to_end_ms']['p50']:.4f}"
    )


def test_temperatures_and_clocks_stand_where_there_was_a_sensor_with_gaps_as_gaps(single, html):
    page, _ = single
    heat = page.tables["Temperature (single-stream of int8)"]
    assert heat[0] == ["second", "cpu-thermal", "gpu-thermal"]
    expected = SERIES["temperatures_c"]["cpu-thermal"]
    assert [row[1] for row in heat[1:]] == ["–" if v is None else f"{v:.2f}" for v in expected]
    seconds = np.array([float(row[0]) for row in heat[1:]])
    assert np.allclose(np.diff(seconds), 0.5, atol=0.011)
    assert page.tables["Clocks (single-stream of int8)"][1][1] == "1500.00"
    assert not [caption for caption in page.tables if caption.startswith("Power")]
    figure = re.search(r'<figure id="c0-single-stream-0-temperatures_c".*?</figure>', html, re.S)
    assert figure is not None
    assert figure[0].count("<polyline") == 3  # one of the two lines has a gap
    assert html.count("no sensor was read") == 1  # the other certificate


def test_text_of_a_certificate_is_text_and_nothing_else(html):
    page = Page(html)
    assert page.named("script") == []
    assert page.named("svg") and "<script>" not in html
    assert any("<script>alert(1)</script>" in text for _, text in page.headings)


def test_a_failed_verdict_says_so_in_words_with_its_reason(paths, html):
    reason = json.loads(paths[1].read_text())["verdict"]["reasons"][0]
    assert "✗ Fail: int8 for" in html and "✓ Pass: int8 for tiny-test" in html
    assert reason.split(";")[0] in html


def test_points_on_the_front_are_those_that_no_other_beats_in_both(single):
    page, document = single
    aps = {name: found["ap"] for name, found in document["accuracy"].items()}
    assert aps["int8"] < aps["fp32"]  # and it is faster
    rows = page.tables["Accuracy over latency"][1:]
    assert [row[-1] for row in rows] == ["yes", "yes"]


def test_accuracy_on_other_data_is_not_in_the_same_plot(paths, tmp_path):
    from erpose_edge.validate.certificate.parts import generated_data

    other = write_certificate(tmp_path, target="other", data=generated_data(6, 1, (480, 640)))
    html = report_of([paths[0], other])
    assert len(re.findall(r'<figure id="tradeoff-', html)) == 2
    both = report_of(paths)
    assert len(re.findall(r'<figure id="tradeoff-', both)) == 1


def test_after_a_failed_self_test_there_is_a_verdict_and_nothing_to_draw(tmp_path):
    path = write_certificate(
        tmp_path,
        self_test={"passed": False, "reasons": ["self-test: expected the poses, got others"]},
        accuracy={}, latency={}, placement={}, start_to_first_pose_ms=None,
    )  # fmt: skip
    page = Page(report_of([path]))
    assert page.named("svg") == []
    assert page.cell("All artifacts", "int8", "AP") == "–"
    assert (2, "Verdict: fail") in page.headings


def test_an_altered_certificate_is_refused_by_name_and_field(paths, tmp_path):
    def faster(document):
        document["latency"]["int8"]["turns"]["end_to_end_ms"]["p50"] = 0.1

    altered = resealed(paths[0], tmp_path, faster)
    with pytest.raises(IntegrityError, match=r"altered\.json: latency\.int8\.turns: end_to_end_ms"):
        report_of([paths[0], altered])


def test_a_part_that_is_not_computed_again_and_is_missing_is_an_error_in_words(paths, tmp_path):
    altered = resealed(paths[0], tmp_path, lambda d: d["accuracy"]["int8"].pop("per_keypoint_ap"))
    with pytest.raises(
        IntegrityError, match=r"expected what a report shows, got .*per_keypoint_ap"
    ):
        report_of([altered])


def test_the_same_certificate_is_not_shown_twice(paths, tmp_path):
    copy = tmp_path / "copy.json"
    copy.write_bytes(paths[0].read_bytes())
    with pytest.raises(RequestError, match=r"copy\.json: expected another certificate"):
        report_of([paths[0], copy])


def test_a_key_that_did_not_sign_is_refused(paths):
    pytest.importorskip("cryptography")
    with pytest.raises(ErposeError):
        report_of(paths, key=bytes(32))


def test_certificates_of_one_target_have_names_of_their_own(paths, tmp_path):
    other = tmp_path / "after.json"
    other.write_bytes(write_certificate(tmp_path, version="0.2.0").read_bytes())
    rows = Page(report_of([paths[0], other])).tables["All artifacts"][1:]
    names = [row[0] for row in rows]
    assert names[0] == "tiny-test (certificate) int8 (serves)"
    assert names[2] == "tiny-test (after) int8 (serves)"
    assert len(set(names)) == 4


@pytest.mark.slow
def test_the_same_certificates_give_the_same_bytes(paths, html, tmp_path):
    for seed in ("1", "2"):
        out = tmp_path / f"{seed}.html"
        subprocess.run(
            [sys.executable, "-m", "erpose_edge", "report", *map(str, paths), "-o", str(out)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        )
        assert out.read_text("utf-8") == html


PALETTES = {
    "light": r":root \{(.*?)\}",
    "dark": r"prefers-color-scheme: dark\) \{\s*:root \{(.*?)\}",
}


@pytest.mark.parametrize("palette", PALETTES)
def test_every_colour_of_text_and_series_has_the_contrast_of_wcag_aa(html, palette):
    found = re.search(PALETTES[palette], html, re.S)
    assert found is not None
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", found[1]))
    inks = set(colours) - {"page", "rule", "band"}
    assert len(inks) == 11
    for ink in inks:
        for ground in ("page", "band"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def contrast(a: str, b: str) -> float:
    """Ref: WCAG 2.2, contrast ratio."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)
