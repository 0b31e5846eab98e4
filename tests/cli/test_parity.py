"""``erpose-edge parity``: exit codes, the table, the document, dumps."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest
from tiny_pose import write_tiny_artifact

from erpose_edge.cli.app import main
from erpose_edge.schemas import load_schema
from erpose_edge.validate.parity.file import read_dump, write_dump


@pytest.fixture
def picture(tmp_path):
    image = np.zeros((48, 64, 3), np.uint8)
    image[8:40, 20:50] = (40, 180, 220)
    image[::5, ::3] //= 2
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), image)
    return str(path)


@pytest.fixture
def sides(tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    return [
        str(write_tiny_artifact(tmp_path / name, contract, engine))
        for name, contract, engine in (("a", "compact", "openvino"), ("b", "raw", "onnxruntime"))
    ]


def test_other_contracts_and_engines_are_compared_on_what_they_share(sides, picture, capsys):
    assert main(["parity", *sides, "--input", picture]) == 0
    out = capsys.readouterr().out
    assert out.startswith("parity: no stage of 1 pictures is beyond the budget of fp32")
    assert "note: not compared: P3:" in out
    for name in ("picture", "input", "decode A", "decoded", "poses"):
        assert name in out


def test_json_keeps_to_its_schema(sides, picture, capsys):
    jsonschema = pytest.importorskip("jsonschema")
    assert main(["parity", *sides, "--input", picture, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, load_schema("parity"))
    assert document["verdict"]["parity"] is True
    assert document["stages"][-1]["measured"]["people"] >= 1


def test_a_dump_is_compared_on_its_own_pictures_and_a_divergence_is_exit_code_3(
    sides, picture, tmp_path, capsys
):
    dump = tmp_path / "board.npz"
    assert main(["parity", sides[0], "--input", picture, "--dump", str(dump)]) == 0
    assert capsys.readouterr().out.startswith(f"{dump}: 1 pictures, ")
    assert main(["parity", sides[1], str(dump)]) == 0
    found = read_dump(dump)
    turned = tuple(
        dataclasses.replace(f, images=np.ascontiguousarray(f.images[:, ::-1])) for f in found.frames
    )
    write_dump(dump, dataclasses.replace(found, frames=turned))
    assert main(["parity", sides[1], str(dump)]) == 3
    out = capsys.readouterr().out
    assert "first divergence: input (preprocessing): SNR" in out
    assert "channels are in the other order (BGR for RGB)" in out
    assert "BEYOND" in out


def test_a_dump_as_input_gives_its_pictures(sides, picture, tmp_path):
    dump, again = tmp_path / "a.npz", tmp_path / "b.npz"
    assert main(["parity", sides[0], "--input", picture, "--dump", str(dump)]) == 0
    assert main(["parity", sides[1], "--input", str(dump), "--dump", str(again)]) == 0
    first, second = read_dump(dump).frames[0], read_dump(again).frames[0]
    assert np.array_equal(first.picture.image, second.picture.image)
    assert first.picture.file_sha256 == second.picture.file_sha256 != ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["A"], "parity: expected two sides to compare, got one"),
        (["A", "A", "--dump", "x.npz"], "--dump: expected one side, got two"),
        (["A", "--dump", "x.txt"], "--dump: expected a name that ends in .npz, got x.txt"),
        (["A", "A", "--input", "no.png"], "no.png: expected a picture, got no such file"),
    ],
)
def test_a_mistake_in_the_request_is_one_line(tiny_artifact, arguments, message, capsys):
    pytest.importorskip("openvino")
    given = [str(tiny_artifact) if a == "A" else a for a in arguments]
    assert main(["parity", *given]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_dump_is_exit_code_6(tiny_artifact, tmp_path, capsys):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 no dump")
    assert main(["parity", str(tiny_artifact), str(tmp_path / "a.npz")]) == 6
    assert "expected a dump as `parity --dump` writes it" in capsys.readouterr().err
