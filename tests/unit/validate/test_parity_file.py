"""Dumps: what was written is read back, and nothing else is."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erpose_edge.errors import IntegrityError, RequestError
from erpose_edge.runtime.poses import Poses
from erpose_edge.runtime.preprocess import preprocess
from erpose_edge.validate.parity.capture import Capture, Frame, Picture, Side
from erpose_edge.validate.parity.file import read_dump, write_dump
from erpose_edge.validate.parity.layers import Layer

SIZE = (32, 64)
K = 17


def made(layers=("stem.conv",)) -> Capture:
    """Return a capture of made-up numbers."""
    rng = np.random.default_rng(0)

    def real(*shape):
        return rng.random(shape, np.float32)

    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    images, box = preprocess(image, SIZE)
    poses = Poses(real(4), real(4, K, 2), real(4, K))
    outputs = {"scores": real(1, 4), "keypoints": real(1, 4, K, 2), "visibility": real(1, 4, K)}
    frame = Frame(
        Picture("a.png", image), box, images, outputs, poses, poses,
        layers={name: real(5) for name in layers}, heads={"scores_8": real(1, 1, 4, 8)},
        beside=outputs,
    )  # fmt: skip
    side = Side(
        "x", "artifact", "Engine 1", "int8", "compact", SIZE, (8, 16, 32), "coco-17", 4, 0.3, None,
        "", "ab", {"numpy": "1"}, tuple(Layer(name, ()) for name in layers),
    )  # fmt: skip
    return Capture(side, (frame,))


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("dump") / "a.npz"
    write_dump(path, made())
    assert [p.name for p in path.parent.iterdir()] == ["a.npz"]  # nothing temporary is left
    return path.read_bytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("read") / "a.npz"


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def array(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def with_header(content, change):
    entries = members(content)
    header = json.loads(np.load(io.BytesIO(entries["header.npy"])).tobytes())
    change(header)
    entries["header.npy"] = array(np.frombuffer(json.dumps(header).encode(), np.uint8))
    return zipped(entries)


def test_what_was_written_is_read_back(content, path):
    path.write_bytes(content)
    wanted, found = made(), read_dump(path)
    assert found.side == wanted.side
    ours, theirs = wanted.frames[0], found.frames[0]
    assert theirs.letterbox == ours.letterbox
    assert np.array_equal(theirs.picture.image, ours.picture.image)
    for group in ("layers", "heads", "outputs", "beside"):
        a, b = getattr(ours, group), getattr(theirs, group)
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[name], b[name]) for name in a)
    assert np.array_equal(theirs.poses.keypoints, ours.poses.keypoints)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_dump_is_refused_or_unharmed(content, path, data):
    """Cut anywhere, or any bytes changed: an IntegrityError, or every number as it was."""
    damaged = bytearray(content[: data.draw(st.integers(0, len(content)))])
    if len(damaged) == len(content) or data.draw(st.booleans()):
        damaged = bytearray(content)
        for _ in range(data.draw(st.integers(1, 4))):
            damaged[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(damaged))
    try:
        found = read_dump(path)
    except IntegrityError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        return
    wanted = made()
    assert found.side == wanted.side
    assert np.array_equal(found.frames[0].images, wanted.frames[0].images)


def drop(*keys):
    def change(header):
        place = header
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return change


def put(value, *keys):
    def change(header):
        place = header
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        drop("format"),
        drop("side", "engine"),
        drop("pictures", 0, "pad"),
        drop("arrays", "0/input"),
        put("erpose-parity-9", "format"),
        put([64, 64], "side", "input_size"),
        put([64], "side", "input_size"),
        put([8, 16, 1.5], "side", "strides"),
        put("none", "side", "skeleton"),
        put("raw", "side", "contract"),
        put([0, 1], "pictures", 0, "scale"),
        put([], "pictures"),
        put([{"name": "b", "inputs": []}], "side", "layers"),
        put({"dtype": "float32", "shape": [5], "sha256": "0" * 64}, "arrays", "0/layer/stem.conv"),
        put(1, "further"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(content, path, change):
    path.write_bytes(with_header(content, change))
    with pytest.raises(IntegrityError) as caught:
        read_dump(path)
    assert caught.value.exit_code == 6
    assert str(caught.value).startswith(f"{path}: ")


def test_pickles_and_bombs_are_refused_before_they_are_loaded(content, path):
    entries = members(content)
    pickled = np.array([{"a": 1}], object)
    buffer = io.BytesIO()
    np.save(buffer, pickled, allow_pickle=True)
    path.write_bytes(zipped({**entries, "0/input.npy": buffer.getvalue()}))
    with pytest.raises(IntegrityError, match="0/input: array of object"):
        read_dump(path)
    claims = array(np.zeros(3, np.float32)).replace(b"(3,)", b"(9,)")
    path.write_bytes(zipped({**entries, "0/input.npy": claims}))
    with pytest.raises(IntegrityError, match="140 bytes for the shape"):
        read_dump(path)


def test_there_has_to_be_a_file(tmp_path):
    with pytest.raises(RequestError, match="expected a dump, got no such file; check the path"):
        read_dump(tmp_path / "no.npz")


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(RequestError, match=r"a\.npz: expected to write a dump, got"):
        write_dump(tmp_path / "a.npz", made())
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
