from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.errors import RequestError
from erpose_edge.runtime.decode import decode, output_names
from erpose_edge.runtime.poses import Poses
from erpose_edge.runtime.preprocess import Letterbox

SAME = Letterbox(1.0, 1.0, 0, 0, (64, 96), (64, 96))
STRIDES = (8, 16, 32)
K = 3


def _raw(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    outputs = {}
    for s in STRIDES:
        size = (64 // s, 96 // s)
        outputs[f"scores_{s}"] = rng.normal(size=(1, 1, *size)).astype(np.float32)
        outputs[f"keypoints_{s}"] = rng.normal(size=(1, 2 * K, *size)).astype(np.float32)
        outputs[f"visibility_{s}"] = rng.normal(size=(1, K, *size)).astype(np.float32)
    return outputs


def _dense(raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The definition, cell by cell."""
    scores, keypoints, visibility = [], [], []
    for s in STRIDES:
        rows, columns = raw[f"scores_{s}"].shape[2:]
        for i in range(rows):
            for j in range(columns):
                scores.append(1 / (1 + np.exp(-raw[f"scores_{s}"][0, 0, i, j])))
                pairs = raw[f"keypoints_{s}"][0, :, i, j].reshape(K, 2)
                keypoints.append([((2 * x + j + 0.5) * s, (2 * y + i + 0.5) * s) for x, y in pairs])
                visibility.append(1 / (1 + np.exp(-raw[f"visibility_{s}"][0, :, i, j])))
    arrays = {"scores": scores, "keypoints": keypoints, "visibility": visibility}
    return {name: np.array([values], np.float32) for name, values in arrays.items()}


@pytest.mark.parametrize("most", [1, 30, 1000])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9])
def test_raw_and_decoded_give_the_poses_of_the_definition(threshold, most):
    raw = _raw()
    dense = _dense(raw)
    from_raw = decode(raw, "raw", SAME, STRIDES, threshold, most)
    from_dense = decode(dense, "decoded", SAME, STRIDES, threshold, most)
    order = np.argsort(-dense["scores"][0], kind="stable")
    order = order[dense["scores"][0][order] >= threshold][:most]
    assert len(order) == len(from_raw) == len(from_dense) > 0
    for poses in (from_raw, from_dense):
        assert np.allclose(poses.scores, dense["scores"][0][order], atol=1e-6)
        assert np.allclose(poses.keypoints, dense["keypoints"][0][order], atol=1e-4)
        assert np.allclose(poses.visibility, dense["visibility"][0][order], atol=1e-6)


def test_keypoints_come_back_in_source_pixels():
    box = Letterbox(0.5, 0.25, 10, 20, (100, 100), (64, 96))
    outputs = {
        "scores": np.array([[0.9]], np.float32),
        "keypoints": np.array([[[[11.5, 21.0]] * K]], np.float32),
        "visibility": np.ones((1, 1, K), np.float32),
    }
    poses = decode(outputs, "compact", box, STRIDES, 0.3, 30)
    assert np.allclose(poses.keypoints[0, 0], ((1.5 + 0.5) / 0.5 - 0.5, (1 + 0.5) / 0.25 - 0.5))


@given(st.lists(st.floats(0, 1, width=32), max_size=40), st.floats(0, 1), st.integers(1, 10))
def test_the_best_come_first_and_equals_keep_the_order_of_the_grid(scores, threshold, most):
    count = len(scores)
    number = np.arange(count, dtype=np.float32)
    outputs = {
        "scores": np.array([scores], np.float32).reshape(1, count),
        "keypoints": np.broadcast_to(number[None, :, None, None], (1, count, K, 2)).copy(),
        "visibility": np.ones((1, count, K), np.float32),
    }
    poses = decode(outputs, "decoded", SAME, STRIDES, threshold, most)
    expected = sorted(
        (n for n in range(count) if outputs["scores"][0, n] >= threshold),
        key=lambda n: (-outputs["scores"][0, n], n),
    )[:most]
    assert poses.keypoints[:, 0, 0].round().astype(int).tolist() == expected


def _three(boxes: list | None) -> dict[str, np.ndarray]:
    """Three answers, best first: the second a double of the first, the third a stranger."""
    corners = np.array([[0, 0, 20, 40], [1, 0, 20, 40], [30, 0, 50, 40]], np.float32)
    outputs = {
        "scores": np.array([[0.9, 0.8, 0.7]], np.float32),
        # K keypoints whose rectangle is the corners
        "keypoints": np.stack([corners[:, :2], corners[:, 2:], corners[:, :2]], axis=1)[None],
        "visibility": np.ones((1, 3, K), np.float32),
    }
    return outputs if boxes is None else {**outputs, "boxes": np.array([boxes], np.float32)}


APART = [[0, 0, 9, 9], [10, 0, 19, 9], [20, 0, 29, 9]]
DOUBLE = [[0, 0, 9, 9], [10, 0, 19, 9], [0, 0, 9, 9]]


@pytest.mark.parametrize(
    ("boxes", "nms", "most", "scores"),
    [
        (None, None, 30, [0.9, 0.8, 0.7]),
        (None, 0.65, 30, [0.9, 0.7]),  # by the rectangles around keypoints
        (None, 1.0, 30, [0.9, 0.8, 0.7]),
        (APART, 0.65, 30, [0.9, 0.8, 0.7]),  # by the network's boxes where there are any
        (DOUBLE, 0.65, 30, [0.9, 0.8]),
        (None, 0.65, 2, [0.9, 0.7]),  # suppressed first, counted then
        (None, 1.0, 2, [0.9, 0.8]),
    ],
)
def test_a_worse_answer_for_the_same_person_goes(boxes, nms, most, scores):
    poses = decode(_three(boxes), "decoded", SAME, STRIDES, 0.3, most, nms)
    assert np.allclose(poses.scores, scores)


def test_an_answer_below_the_threshold_suppresses_nobody():
    outputs = _three(None)
    outputs["scores"][:] = [[0.2, 0.8, 0.7]]
    poses = decode(outputs, "decoded", SAME, STRIDES, 0.3, 30, 0.65)
    assert np.allclose(poses.scores, [0.8, 0.7])


def test_boxes_of_the_raw_contract_are_suppressed_as_the_definition_says():
    raw = _raw()
    rng = np.random.default_rng(1)
    for s in STRIDES:
        shape = (1, 4 * 16, *raw[f"scores_{s}"].shape[2:])
        raw[f"boxes_{s}"] = rng.normal(scale=3, size=shape).astype(np.float32)
    boxes = []
    for s in STRIDES:
        for i, j in np.ndindex(raw[f"boxes_{s}"].shape[2:]):
            shares = np.exp(raw[f"boxes_{s}"][0, :, i, j].astype(np.float64).reshape(4, 16))
            sides = s * (shares * np.arange(16)).sum(axis=1) / shares.sum(axis=1)
            x, y = (j + 0.5) * s, (i + 0.5) * s
            boxes.append([x - sides[0], y - sides[1], x + sides[2], y + sides[3]])
    dense = {**_dense(raw), "boxes": np.array([boxes], np.float32)}
    from_raw = decode(raw, "raw", SAME, STRIDES, 0.2, 1000, 0.5)
    from_dense = decode(dense, "decoded", SAME, STRIDES, 0.2, 1000, 0.5)
    everybody = decode(dense, "decoded", SAME, STRIDES, 0.2, 1000)
    assert 10 < len(from_raw) < len(everybody)
    assert np.allclose(from_raw.scores, from_dense.scores, atol=1e-6)


def test_nobody_is_an_empty_array_that_keeps_its_shape():
    raw = {name: values - 50 for name, values in _raw().items()}
    for outputs, contract in ((raw, "raw"), (_dense(raw), "decoded")):
        poses = decode(outputs, contract, SAME, STRIDES, 0.3, 30)
        assert len(poses) == 0
        assert poses.keypoints.shape == (0, K, 2)
        assert poses.visibility.shape == (0, K)
        assert poses.to_json() == []
    assert Poses.nobody(K).keypoints.shape == (0, K, 2)


def test_extreme_logits_do_not_overflow():
    raw = _raw()
    raw["scores_8"][:] = -1e30
    raw["scores_16"][:] = 1e30
    raw["scores_32"][:] = np.nan
    poses = decode(raw, "raw", SAME, STRIDES, 0.3, 1000)
    assert len(poses) == 4 * 6
    assert (poses.scores == 1).all()


def test_results_do_not_share_memory_with_the_engine():
    outputs = _dense(_raw())
    poses = decode(outputs, "compact", SAME, STRIDES, 0.0, 30)
    before = poses.to_json()
    for values in outputs.values():
        values[:] = 0
    assert poses.to_json() == before


def test_types_are_float32():
    poses = decode(_raw(), "raw", SAME, STRIDES, 0.0, 30)
    assert {poses.scores.dtype, poses.keypoints.dtype, poses.visibility.dtype} == {
        np.dtype(np.float32)
    }


def test_boxes_stand_last():
    assert output_names("decoded", STRIDES, boxes=True)[-2:] == ("visibility", "boxes")
    assert output_names("raw", (8, 16), boxes=True)[3::4] == ("boxes_8", "boxes_16")


def test_output_names_follow_the_graph():
    assert output_names("compact", STRIDES) == ("scores", "keypoints", "visibility")
    assert output_names("raw", (8, 16))[:4] == (
        "scores_8",
        "keypoints_8",
        "visibility_8",
        "scores_16",
    )
    with pytest.raises(RequestError, match="contract: expected raw or decoded or compact, got 'x'"):
        output_names("x", STRIDES)


def test_json_holds_x_y_visibility_of_every_keypoint():
    poses = Poses(
        np.array([0.87654], np.float32),
        np.array([[[1.234, 5.678]]], np.float32),
        np.array([[0.5]], np.float32),
    )
    assert poses.to_json() == [{"score": 0.8765, "keypoints": [[1.23, 5.68, 0.5]]}]
