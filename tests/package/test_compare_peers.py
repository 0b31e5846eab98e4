"""The comparison with models of others: stand-ins of the right shapes whose poses are known."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("openvino")

ROOT = Path(__file__).parents[2]
K = 17
SIDE = 64  # px, of the stand-ins' input
FRAME = np.zeros((128, 128, 3), np.uint8)  # lies in the input at half its size, without bars
HALF_PX = 0.5
_POINTS = np.stack([np.linspace(4, 40, K), np.linspace(8, 60, K)], axis=1)  # input px, x and y
PEOPLE = np.stack([_POINTS, _POINTS * 0.5 + (20, 2)])
SCORES = np.array([0.6, 0.9])
SEEN = np.linspace(0.1, 0.9, K)


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")


def model(path: Path, shape: list[int], outputs: dict[str, np.ndarray], dtype=TensorProto.FLOAT):
    """Write a model that answers the same to every picture, and has to read it to do so."""
    nodes = [
        helper.make_node("Cast", ["images"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["cast"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
    ]
    constants = [numpy_helper.from_array(np.array(0, np.float32), "nothing")]
    for name, value in outputs.items():
        constants.append(numpy_helper.from_array(value.astype(np.float32), f"{name}_value"))
        nodes.append(helper.make_node("Add", [f"{name}_value", "zero"], [name]))
    infos = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, v.shape) for n, v in outputs.items()
    ]
    graph = helper.make_graph(
        nodes, "stand-in", [helper.make_tensor_value_info("images", dtype, shape)], infos, constants
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def rows() -> np.ndarray:
    """[1, 6, 56]: y, x, score in shares of the side; four rows are nobody."""
    found = np.zeros((1, 6, 3 * K + 5))
    for row, (points, score) in enumerate(zip(PEOPLE, SCORES, strict=True)):
        places = (points[:, ::-1] + HALF_PX) / SIDE
        found[0, row, : 3 * K] = np.c_[places, SEEN].ravel()
        found[0, row, -1] = score
    return found


def columns(unit: float = 1.0) -> np.ndarray:
    """[1, 56, 30]: every person twice, the second answer a little worse; the rest is nobody."""
    found = np.zeros((1, 3 * K + 5, 30))
    for column, (points, score) in enumerate(zip(PEOPLE, SCORES, strict=True)):
        low, high = points.min(axis=0), points.max(axis=0)
        for copy, worse in ((0, 0.0), (7, 0.1)):
            # The copy lies 1 px aside.
            places = points + HALF_PX + copy / 7
            box = [*((low + high) / 2 + HALF_PX), *(high - low)]
            values = [*(np.array(box) * unit), score - worse]
            found[0, :5, column + copy] = values
            found[0, 5:, column + copy] = np.c_[places * unit, SEEN].ravel()
    return found


def pairs() -> dict[str, np.ndarray]:
    boxes = np.zeros((1, 5, 5))
    points = np.zeros((1, 5, K, 3))
    boxes[0, :2, 4] = SCORES
    points[0, :2] = np.concatenate([PEOPLE, np.broadcast_to(SEEN, (2, K))[..., None]], axis=2)
    return {"dets": boxes, "keypoints": points}


NCHW, NHWC = [1, 3, SIDE, SIDE], [1, SIDE, SIDE, 3]
STAND_INS = {
    "movenet": ("movenet", NHWC, {"out": rows()}, TensorProto.UINT8),
    "movenet of floats": ("movenet", NHWC, {"out": rows()}, TensorProto.FLOAT),
    "ultralytics": ("ultralytics", NCHW, {"out": columns()}, TensorProto.FLOAT),
    "ultralytics of shares": ("ultralytics", NHWC, {"out": columns(1 / SIDE)}, TensorProto.FLOAT),
    "rtmo": ("rtmo", NCHW, pairs(), TensorProto.FLOAT),
}


def peer(tmp_path, name, **more):
    adapter, shape, outputs, dtype = STAND_INS[name]
    path = model(tmp_path / "peer.onnx", shape, outputs, dtype)
    return importlib.import_module("peer_models").PeerEstimator(path, adapter, 1, **more)


@pytest.mark.parametrize("name", STAND_INS)
def test_the_poses_of_a_stand_in_are_those_it_was_given(name, tmp_path):
    poses = peer(tmp_path, name)(FRAME)
    assert poses.scores == pytest.approx([0.9, 0.6], abs=1e-6)
    # Pixels of the frame are half as large as those of the input; centres are whole numbers.
    expected = (PEOPLE[::-1] + HALF_PX) * 2 - HALF_PX
    np.testing.assert_allclose(poses.keypoints, expected, atol=1e-3)
    np.testing.assert_allclose(poses.visibility, np.broadcast_to(SEEN, (2, K)), atol=1e-6)


@pytest.mark.parametrize("name", STAND_INS)
def test_a_threshold_leaves_out_whoever_scores_less(name, tmp_path):
    estimator = peer(tmp_path, name, threshold=0.7)
    assert estimator(FRAME).scores == pytest.approx([0.9], abs=1e-6)
    estimator.score_threshold = 0.95
    assert len(estimator(FRAME)) == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("movenet", (30, 20, 10)),
        ("movenet of floats", (30, 20, 10)),
        ("ultralytics", (30 / 255, 20 / 255, 10 / 255)),
        ("ultralytics of shares", (30 / 255, 20 / 255, 10 / 255)),
        ("rtmo", (10, 20, 30)),
    ],
)
def test_a_picture_goes_in_as_the_model_wants_it(name, expected, tmp_path):
    estimator = peer(tmp_path, name)
    frame = np.full((128, 128, 3), (10, 20, 30), np.uint8)
    images, _ = estimator.preprocess(frame)
    assert list(images.shape) == STAND_INS[name][1]
    assert images.dtype == estimator.runner.dtype
    pixel = images[0, 5, 5] if images.shape[3] == 3 else images[0, :, 5, 5]
    assert pixel == pytest.approx(expected)


def test_a_model_of_any_size_needs_one(tmp_path):
    peers = importlib.import_module("peer_models")
    path = model(tmp_path / "peer.onnx", [1, "h", "w", 3], {"out": rows()}, TensorProto.UINT8)
    with pytest.raises(Exception, match="expected --size for a model of any size, got none"):
        peers.PeerEstimator(path, "movenet", 1)
    assert peers.PeerEstimator(path, "movenet", 1, (64, 64)).input_size == (64, 64)


@pytest.fixture
def ask(tmp_path, tiny_artifact, capsys):
    """Compare the tiny artifact with a stand-in; return exit code, stdout and stderr."""

    def run(*more, name="ultralytics"):
        adapter, shape, outputs, dtype = STAND_INS[name]
        path = model(tmp_path / "peer.onnx", shape, outputs, dtype)
        script = importlib.import_module("compare_peers")
        code = script.main(
            ["--ours", f"own={tiny_artifact}", "--peer", f"other={adapter}:{path}",
             "--threads", "1", "--seconds", "0.1", *more]
        )  # fmt: skip
        return code, *capsys.readouterr()

    return run


def test_a_comparison_is_one_document(ask, tmp_path):
    code, out, _ = ask("--json")
    document = json.loads(out)
    assert code == 0
    assert set(document["models"]) == {"own", "other"}
    for found in document["models"].values():
        parts = [found[f"{stage}_ms"] for stage in ("preprocess", "infer", "decode", "end_to_end")]
        assert all(0 < part["p50"] <= part["p90"] <= part["p99"] for part in parts)
        assert found["engine"].startswith("OpenVINO")
    assert document["models"]["other"]["people_per_frame"] == 2
    assert len(document["models"]["other"]["sha256"]) == 64
    (ratio,) = document["ratios"]
    assert (ratio["ours"], ratio["peer"], ratio["fastest_peer"]) == ("own", "other", True)
    assert ratio["interval"][0] <= ratio["ratio"] <= ratio["interval"][1]
    assert document["rounds"] >= 10
    assert document["environment"]["threads"] == 1
    assert str(tmp_path) not in out


def test_a_comparison_for_people_has_the_ratio(ask):
    code, out, _ = ask()
    assert code == 0
    assert "| own | OpenVINO" in out
    assert "own / other: " in out
    assert "the fastest peer" in out


def test_the_ratio_is_that_within_rounds():
    script = importlib.import_module("compare_peers")
    rng = np.random.default_rng(0)
    load = rng.uniform(1, 3, 500)  # what the machine does besides befalls both
    own, peer = load * rng.normal(70, 1, 500), load * rng.normal(100, 1, 500)
    ratio, low, high = script._paired(own, peer)
    assert low < 0.7 < high
    assert ratio == pytest.approx(0.7, abs=0.003)
    assert high - low < 0.006


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--peer", "other=movenet:x"], "names: expected each once, got one twice"),
        (["--peer", "third=x"], "--peer third: expected ADAPTER:FILE with movenet or"),
        (["--peer", "third"], "model: expected NAME=..., got 'third'"),
        (["--peer", "third=rtmo:none.onnx"], "none.onnx: expected a model, got no such file"),
        (["--images", "none"], "--images: expected a folder, got none"),
    ],
)
def test_a_mistake_is_one_line(ask, more, message):
    code, out, err = ask(*more)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and message in err
    assert err.count("\n") == 1


def test_the_wrong_adapter_and_no_model_are_refused(ask, tmp_path):
    other = model(tmp_path / "o.onnx", NCHW, {"out": columns()})
    code, _, err = ask("--peer", f"third=rtmo:{other}")
    assert code == 5
    assert "outputs: expected [1, N, 5], got [1, 56, 30]; choose another adapter" in err
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    code, _, err = ask("--peer", f"third=rtmo:{tmp_path / 'bad.onnx'}")
    assert code == 5
    assert "bad.onnx: expected a model that OpenVINO loads" in err


def test_the_tflite_engine_gives_what_our_own_runner_gives(tmp_path):
    pytest.importorskip("ai_edge_litert")
    from tiny_tflite import INPUT_SIZE, MODEL, write_tiny_tflite

    from erpose_edge.runtime.estimator import PoseEstimator

    folder = write_tiny_tflite(tmp_path / "artifact")
    own = PoseEstimator(folder, threads=1)
    engine = importlib.import_module("peer_models").ENGINES["tflite"](folder / MODEL, 1, None)
    assert engine.shape == (1, *INPUT_SIZE, 3)
    assert engine.dtype == np.float32
    frame = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    images, _ = own.preprocess(frame)
    expected = {array.shape: array for array in own.infer(images).values()}
    found = {array.shape: array for array in engine.run(images.transpose(0, 2, 3, 1))}
    assert len(found) == 9
    for (n, c, h, w), array in expected.items():
        np.testing.assert_array_equal(found[n, h, w, c], array.transpose(0, 2, 3, 1))


def test_an_engine_that_nobody_knows_is_refused(ask):
    code, _, err = ask("--peer", "third=rtmo@abacus:none.onnx")
    assert code == 2
    assert "engine: expected openvino or tflite, got 'abacus'" in err
