"""``erpose-edge stability``: exit code, document, budget."""

from __future__ import annotations

import json

import cv2
import jsonschema
import numpy as np
import pytest

from erpose_edge.cli.app import main
from erpose_edge.schemas import load_schema
from erpose_edge.validate.stability_record import check_statistics

SIZE = (64, 96)


@pytest.fixture
def video(tmp_path):
    """A bright square that moves: what the tiny artifact takes for people."""
    path = tmp_path / "own.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, SIZE[::-1])
    for t in range(8):
        frame = np.zeros((*SIZE, 3), np.uint8)
        frame[16:48, 8 + 4 * t : 40 + 4 * t] = 255
        writer.write(frame)
    writer.release()
    return path


def test_json_is_one_document_that_keeps_to_its_schema(tiny_artifact, video, capsys):
    command = ["stability", str(tiny_artifact), "--against", str(tiny_artifact)]
    assert main([*command, "--clip", str(video), "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    jsonschema.Draft202012Validator(load_schema("stability")).validate(document)
    check_statistics(document)
    assert document["clip"]["description"] == "own.avi"
    assert (document["clip"]["frames"], document["clip"]["rate"]) == (8, 10)
    assert document["people_from"] == "reference"
    assert document["against"]["distance"] == 0
    assert document["against"]["flicker"] == document["flicker"]
    assert document["people"] > 0
    assert "8/0" not in err


def test_generated_people_are_measured_against_their_labels(tiny_artifact, capsys):
    assert main(["stability", str(tiny_artifact), "--frames", "4", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["people_from"] == "labels"
    assert document["clip"]["frame_size"] == [480, 640]
    assert document["clip"]["description"] == "3 generated people of seed 0"
    assert document["reference"] is None


def test_people_read_a_table(tiny_artifact, video, capsys):
    assert main(["stability", str(tiny_artifact), "--clip", str(video), "--frames", "5"]) == 0
    out = capsys.readouterr().out
    for word in ("5 frames at 10 a second", "jitter, % of a person's", "flicker", "change order"):
        assert word in out
    assert "reference" not in out


def test_a_missed_budget_is_an_exit_code_and_a_line(tiny_artifact, video, capsys):
    command = ["stability", str(tiny_artifact), "--clip", str(video), "--threshold", "0"]
    assert main([*command, "--max-flicker", "99", "--max-jitter", "99"]) == 0
    capsys.readouterr()
    assert main([*command, "--max-flicker", "0"]) == 3
    message = "budget: flicker: expected at most 0 changes for each person and second, got 1."
    assert message in capsys.readouterr().err
    assert main([*command, "--max-jitter", "99", "--threshold", "1"]) == 3
    assert "got nobody found long enough" in capsys.readouterr().err


def test_mistakes_are_told_in_one_line(tiny_artifact, tmp_path, capsys):
    assert main(["stability", str(tiny_artifact), "--clip", str(tmp_path / "none.mp4")]) == 2
    assert "expected a video, got no such file" in capsys.readouterr().err
    assert main(["stability", str(tmp_path / "none")]) == 2
    assert main(["stability", str(tiny_artifact), "--frames", "2"]) == 2
