"""``erpose-edge report``: exit codes and words."""

from __future__ import annotations

import json

import pytest
from small_certificate import write_certificate

from erpose_edge.cli.app import main

pytest.importorskip("jinja2")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("certificate"))


def run(*words):
    return main(["report", *map(str, words)])


def test_a_page_is_written_with_the_title_that_was_asked_for(path, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert run(path, "-o", out, "--title", "Before & after") == 0
    assert capsys.readouterr().out.startswith(f"{out}: ")
    assert "<title>Before &amp; after</title>" in out.read_text("utf-8")


def test_an_altered_certificate_ends_with_6_one_line_that_names_it_and_no_page(
    path, tmp_path, capsys
):
    document = json.loads(path.read_text())
    document["accuracy"]["int8"]["ap"] = 0.99
    altered = tmp_path / "altered.json"
    altered.write_text(json.dumps(document))
    out = tmp_path / "report.html"
    assert run(path, altered, "-o", out) == 6
    err = capsys.readouterr().err
    assert err.startswith(f"error: {altered}: accuracy.int8: ap: expected")
    assert len(err.splitlines()) == 1
    assert not out.exists()


def test_a_missing_certificate_or_place_ends_with_2(path, tmp_path, capsys):
    assert run(tmp_path / "none.json", "-o", tmp_path / "report.html") == 2
    assert "none.json: expected a certificate, got no such file" in capsys.readouterr().err
    assert run(path, "-o", tmp_path / "nowhere" / "report.html") == 2
    assert "expected to write the report, got No such file" in capsys.readouterr().err
