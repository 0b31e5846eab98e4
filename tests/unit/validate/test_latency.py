from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest

from erpose_edge.errors import ImageError, RequestError
from erpose_edge.runtime.estimator import PoseContract, PoseEstimator
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.latency import STAGES, Percentiles, bench, example_frame, interleaved

pytestmark = pytest.mark.alone
CONTRACT = PoseContract("compact", (32, 32), (8, 16, 32), 5, COCO_17)


class _Sleeper:
    """A runner that takes a known time."""

    engine = "sleeper 1.0"
    threads = 1

    def __init__(self, *times_ms: float) -> None:
        self.times_ms = times_ms
        self.calls: list[float] = []
        self._outputs = {
            "scores": np.full((1, 5), 0.1, np.float32),
            "keypoints": np.zeros((1, 5, 17, 2), np.float32),
            "visibility": np.zeros((1, 5, 17), np.float32),
        }

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        self.calls.append(time.perf_counter())
        time.sleep(self.times_ms[len(self.calls) % len(self.times_ms)] / 1e3)
        return self._outputs


def _estimator(*times_ms: float) -> PoseEstimator:
    return PoseEstimator(CONTRACT, runner=_Sleeper(*times_ms))


def test_stages_are_timed_apart_and_add_up():
    latency = bench(_estimator(8.0), seconds=0.3)
    assert 8 <= latency.infer_ms.p50 < 24  # a busy machine wakes it late
    assert 0 < latency.preprocess_ms.p50 < 8
    assert 0 < latency.decode_ms.p50 < 8
    parts = sum(latency.stages[stage].p50 for stage in STAGES[:3])
    assert latency.end_to_end_ms.p50 == pytest.approx(parts, rel=0.2)
    assert latency.fps == pytest.approx(1e3 / latency.end_to_end_ms.p50, rel=0.3)
    assert latency.samples >= 20
    assert list(latency.stages) == list(STAGES)


def test_percentiles_are_of_all_frames():
    samples = np.arange(1.0, 101.0)
    found = Percentiles.of(samples)
    assert (found.p50, found.p90, found.p99) == pytest.approx((50.5, 90.1, 99.01))
    assert bench(_estimator(2.0, 2.0, 2.0, 12.0), seconds=0.3).infer_ms.p90 >= 12


def test_the_warm_up_of_200_ms_is_not_measured():
    estimator = _estimator(5.0)
    latency = bench(estimator, seconds=0.1)
    calls = estimator.runner.calls
    measured_from = calls[-latency.samples]
    assert measured_from - calls[0] >= 0.2


def test_estimators_take_turns():
    slow, fast = _estimator(12.0), _estimator(4.0)
    found = interleaved({"slow": slow, "fast": fast}, seconds=0.4)
    assert found["slow"].infer_ms.p50 > 1.5 * found["fast"].infer_ms.p50
    who = sorted([(t, "s") for t in slow.runner.calls] + [(t, "f") for t in fast.runner.calls])
    changes = sum(a[1] != b[1] for a, b in itertools.pairwise(who))
    assert changes >= 10


def test_a_drift_is_called_unstable_and_a_steady_time_is_not():
    class Drifting(_Sleeper):
        def run(self, images):
            self.times_ms = (2 + 0.1 * len(self.calls),)
            return super().run(images)

    drifting = bench(PoseEstimator(CONTRACT, runner=Drifting(2.0)), seconds=0.4)
    assert drifting.coefficient_of_variation > 0.025
    assert drifting.unstable
    assert drifting.unstable == (drifting.to_json()["coefficient_of_variation"] > 0.025)


def test_decoding_is_timed_with_all_poses_and_the_threshold_comes_back():
    estimator = _estimator(1.0)
    estimator.score_threshold = 0.7
    decoded = []
    decode = estimator.decode
    estimator.decode = lambda *a: decoded.append(decode(*a)) or decoded[-1]
    bench(estimator, seconds=0.05)
    assert {len(poses) for poses in decoded} == {5}
    assert estimator.score_threshold == 0.7


def test_json_tells_machine_and_artifact(tiny_artifact: Path):
    estimator = PoseEstimator(tiny_artifact)
    shares: list[tuple[int, int]] = []
    latency = bench(estimator, seconds=0.1, progress=lambda done, of: shares.append((done, of)))
    document = json.loads(json.dumps(latency.to_json(estimator.artifact.manifest)))
    assert set(document["infer_ms"]) == {"p50", "p90", "p99"}
    assert document["cpu"]["threads"] >= 1
    assert document["engine"].startswith("OpenVINO 20")
    assert document["input_size"] == [64, 96]
    assert document["precision"] == "fp32"
    assert shares == sorted(shares)
    assert shares[-1] == (100, 100)
    assert len(latency.notes()) == 3


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(seconds):
    with pytest.raises(RequestError, match="seconds: expected a positive number"):
        bench(_estimator(1.0), seconds=seconds)


def test_a_frame_that_is_none_is_refused():
    with pytest.raises(ImageError):
        bench(_estimator(1.0), np.zeros((4, 4), np.uint8), 0.1)


def test_the_example_frame_is_the_same_everywhere():
    frame = example_frame((100, 130))
    assert frame.shape == (100, 130, 3)
    assert frame.astype(np.int64).sum() == 4417922
    assert frame.std() > 30
