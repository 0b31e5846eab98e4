"""Bad input ends in one line that names file and field, with exit code 2 or 6."""

import json

import cv2
import numpy as np
import pytest

from erpose_edge.cli.app import main
from erpose_edge.resources import find_resource


def coco(**changes):
    """Return a label file with one person; ``changes`` are those of its annotation."""
    person = {
        "id": 7,
        "image_id": 1,
        "category_id": 1,
        "bbox": [10, 10, 40, 40],
        "area": 900,
        "iscrowd": 0,
        "num_keypoints": 17,
        "keypoints": [20.0, 20.0, 2] * 17,
    }
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 64}],
        "annotations": [{**person, **changes}],
        "categories": [{"id": 1, "name": "person"}],
    }


@pytest.fixture
def folder(tmp_path):
    image = np.full((64, 64, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), image)
    return tmp_path


@pytest.fixture
def failing(capfd):
    """Run a command that must fail; returns its exit code and its only line of error."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert out == ""
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, err
        return code, lines[0]

    return run


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("network: {scale: n}\ndata: {trian: []}\n", ("data.trian", "train", ":2")),
        ("network: {scale: n, input_size: big}\n", ("network.input_size", "big", ":1")),
        ("network: {scale: q}\n", ("network.scale", "q", ":1")),
    ],
    ids=["unknown key", "wrong type", "unknown scale"],
)
def test_a_mistake_in_a_config_names_file_line_and_key(failing, folder, text, words):
    path = folder / "mistake.yaml"
    path.write_text(text)
    code, line = failing("train", "--cfg", path, "--out", folder / "run")
    assert code == 2
    assert all(word in line for word in ("mistake.yaml", *words))
    assert not (folder / "run").exists()


def test_a_missing_config_is_named(failing):
    code, line = failing("train", "--cfg", "nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml" in line


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", ("labels.json", "empty")),
        (json.dumps(coco(keypoints=[1.0, 1.0, 2] * 16)), ("labels.json", "7", "keypoints")),
        (json.dumps(coco(keypoints=[float("nan"), 1.0, 2] * 17)), ("labels.json", "keypoints")),
    ],
    ids=["empty file", "16 keypoints", "NaN"],
)
def test_labels_without_anything_usable_name_file_and_field(failing, folder, document, words):
    path = folder / "labels.json"
    path.write_text(document)
    source = find_resource("weights", "erpose-n")
    code, line = failing("validate", source, "--data", path, "--images", folder)
    assert code == 2
    assert all(word in line for word in words)


def test_a_truncated_photograph_is_named(failing, folder):
    whole = (folder / "a.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    code, line = failing("predict", folder / "cut.jpg", "--out", folder / "drawn")
    assert code == 2
    assert "cut.jpg" in line


@pytest.mark.parametrize("command", [["validate"], ["predict", "a.jpg", "--model"]])
def test_weights_of_no_bytes_are_damaged(failing, folder, monkeypatch, command):
    monkeypatch.chdir(folder)
    (folder / "none.safetensors").write_bytes(b"")
    code, line = failing(*command, "none.safetensors")
    assert code == 6
    assert "none.safetensors" in line


def test_weights_of_another_scale_are_refused(failing, folder):
    source = find_resource("weights", "erpose-n")
    code, line = failing(
        "train", "--cfg", "s", "--set", f"training.init={source}", "--out", folder / "run"
    )
    assert code == 2
    assert "network.scale: expected s, got n" in line


def test_an_artifact_with_one_flipped_byte_is_refused(failing, tiny_artifact):
    model = next(path for path in tiny_artifact.iterdir() if path.name != "manifest.json")
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    code, line = failing("bench", tiny_artifact)
    assert code == 6
    assert model.name in line
