from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from erpose_edge.cli.app import main
from erpose_edge.runtime.images import read_video

SQUARE = np.zeros((64, 96, 3), np.uint8)
SQUARE[16:24, 40:48] = 255  # one person at (44, 20)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), SQUARE)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for image in (SQUARE, np.zeros_like(SQUARE), SQUARE):
        writer.write(image)
    writer.release()
    return path


def _predict(artifact: Path, *arguments: object) -> int:
    return main(["predict", *map(str, arguments), "--model", str(artifact)])


def test_json_is_the_only_thing_on_stdout_and_holds_source_pixels(tiny_artifact, photo, capsys):
    assert _predict(tiny_artifact, photo, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    (image,) = document["images"]
    assert (image["file"], image["width"], image["height"]) == (str(photo), 96, 64)
    (pose,) = image["poses"]
    assert pose["score"] > 0.99
    assert len(pose["keypoints"]) == 17
    assert pose["keypoints"][0] == pytest.approx([44, 20, 0.98], abs=0.01)


def test_pictures_are_drawn_into_the_folder(tiny_artifact, photo, tmp_path, capsys):
    assert _predict(tiny_artifact, photo, "--out", tmp_path / "out") == 0
    drawn = cv2.imread(str(tmp_path / "out" / "photo.jpg"))
    assert drawn.shape == SQUARE.shape
    assert abs(drawn.astype(int) - SQUARE).max() > 60
    assert "1 poses in 1 pictures" in capsys.readouterr().out


def test_results_are_drawn_into_predictions_by_default_and_not_with_json(
    tiny_artifact, photo, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert _predict(tiny_artifact, photo, "--json") == 0
    assert not (tmp_path / "predictions").exists()
    assert _predict(tiny_artifact, photo) == 0
    assert (tmp_path / "predictions" / "photo.jpg").exists()


def test_folders_and_videos_are_gone_through(tiny_artifact, photo, clip, tmp_path, capsys):
    assert _predict(tiny_artifact, tmp_path, "--json", "--out", tmp_path / "out") == 0
    images = json.loads(capsys.readouterr().out)["images"]
    assert [(Path(i["file"]).name, i.get("frame"), len(i["poses"])) for i in images] == [
        ("clip.avi", 0, 1),
        ("clip.avi", 1, 0),
        ("clip.avi", 2, 1),
        ("photo.png", None, 1),
    ]
    assert len(list(read_video(tmp_path / "out" / "clip.mp4"))) == 3


def test_a_bad_picture_is_told_in_one_line_and_the_others_are_done(
    tiny_artifact, photo, tmp_path, capfd
):
    truncated = tmp_path / "cut.jpg"
    truncated.write_bytes(cv2.imencode(".jpg", SQUARE)[1].tobytes()[:-100])
    missing = tmp_path / "none.jpg"
    assert _predict(tiny_artifact, truncated, missing, photo, "--json") == 2
    captured = capfd.readouterr()
    assert [i["file"] for i in json.loads(captured.out)["images"]] == [str(photo)]
    errors = [line for line in captured.err.splitlines() if line.startswith("error")]
    assert errors[0].startswith(f"error: {truncated}: expected a whole JPEG, got one cut off")
    assert errors[1].startswith(f"error: {missing}: expected a picture, got no such file")
    assert len(errors) == 2


def test_a_single_bad_picture_gives_2_and_no_file(tiny_artifact, tmp_path, capfd):
    (tmp_path / "a.jpg").write_bytes(b"")
    assert _predict(tiny_artifact, tmp_path / "a.jpg", "--out", tmp_path / "out") == 2
    captured = capfd.readouterr()
    assert "expected a picture, got an empty file" in captured.err
    assert "Traceback" not in captured.err
    assert list((tmp_path / "out").iterdir()) == []


def test_an_empty_folder_gives_2(tiny_artifact, tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    assert _predict(tiny_artifact, tmp_path / "empty", "--json") == 2
    assert "expected pictures or videos in the folder, got none" in capfd.readouterr().err


def test_the_threshold_is_heard(tiny_artifact, tmp_path, capsys):
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((64, 96, 3), 128, np.uint8))  # every score is 0.51
    found = []
    for threshold in (0.5, 0.6):
        assert _predict(tiny_artifact, path, "--json", "--threshold", threshold) == 0
        found.append(len(json.loads(capsys.readouterr().out)["images"][0]["poses"]))
    assert found == [5, 0]


def test_a_damaged_artifact_gives_6(tiny_artifact, photo, capsys):
    path = tiny_artifact / "model.onnx"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert _predict(tiny_artifact, photo, "--json") == 6
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {path}: expected sha256")


def test_an_unknown_precision_and_no_source_give_2(photo, capsys):
    assert main(["predict", str(photo), "--precision", "int3"]) == 2
    assert "precision: expected fp32 or int8, got 'int3'" in capsys.readouterr().err
    assert main(["predict"]) == 2
