"""Scenarios: how frames come, and the moments of each.

Ref: https://arxiv.org/abs/1911.02549 (MLPerf Inference), section 4, for single-stream, multi-stream
and offline; the camera is this project's own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import RequestError
from erpose_edge.validate.latency.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.validate.latency.frames import FrameSet

    Progress = Callable[[int, int], None]

SINGLE_STREAM, MULTI_STREAM, OFFLINE, CAMERA = "single-stream", "multi-stream", "offline", "camera"
SCENARIOS = (SINGLE_STREAM, MULTI_STREAM, OFFLINE, CAMERA)
DURATIONS_S = {"quick": 10.0, "standard": 60.0, "mlperf": 600.0}
SAMPLES_PER_QUERY = 8
DEVICE_STEPS = ("h2d", "compute", "d2h")
WARM_UP_MS = 200.0
FEWEST_SAMPLES = 20
_FEWEST_IN_WARM_UP = 5
_HIGHEST_FPS = 1000.0


@dataclass(frozen=True)
class Request:
    """What is to be measured.

    Attributes:
        scenario: One of ``SCENARIOS``.
        seconds: At least so long, and at least 20 frames, after the warm-up.
        fps: Frames a second of the camera; None in the other scenarios.
        seed: Of the pictures' order.
        warm_up_ms: At least so long before.
    """

    scenario: str
    seconds: float = DURATIONS_S["quick"]
    fps: float | None = None
    seed: int = 0
    warm_up_ms: float = WARM_UP_MS

    def __post_init__(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            RequestError: A value is out of range, or the rate and the scenario do not fit.
        """
        if self.scenario not in SCENARIOS:
            raise RequestError(
                f"scenario: expected {', '.join(SCENARIOS[:-1])} or {SCENARIOS[-1]}, "
                f"got {self.scenario!r}; choose one"
            )
        if not 0 < self.seconds < float("inf"):
            raise RequestError(
                f"seconds: expected a positive number, got {self.seconds}; choose 10, 60 or 600"
            )
        if not WARM_UP_MS <= self.warm_up_ms < float("inf"):
            raise RequestError(
                f"warm-up: expected at least {WARM_UP_MS:.0f} ms, got {self.warm_up_ms}; leave it"
            )
        if self.seed < 0:
            raise RequestError(f"seed: expected 0 or more, got {self.seed}; choose another")
        if self.scenario == CAMERA and self.fps is None:
            raise RequestError("fps: expected the camera's frames a second, got none; add --fps 30")
        if self.scenario != CAMERA and self.fps is not None:
            raise RequestError(
                f"fps: expected none in the scenario {self.scenario}, got {self.fps}; "
                "only a camera has a rate"
            )
        if self.fps is not None and not 0 < self.fps <= _HIGHEST_FPS:
            raise RequestError(
                f"fps: expected a rate above 0, at most {_HIGHEST_FPS:.0f}, got {self.fps}; "
                "give your camera's"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Run:
    """Moments of a scenario's N frames, on its clock, in ns.

    Attributes:
        marks_ns: When each frame was begun, preprocessed, inferred and decoded, (N, 4).
        pictures: Which picture of the set each was, (N,).
        picture_ns: When the decoding of a picture file began and ended, (M, 2): before each frame
            or query in single-stream and multi-stream; once for each picture of the set before
            the warm-up in offline and camera.
        device_ns: How long copying in, computing and copying out took, (N, 3); None where the
            runner does not tell.
        arrivals: Of each frame from the camera, its number from 0 on and when it was there, (N, 2);
            None in the other scenarios.
    """

    marks_ns: NDArray[np.int64]
    pictures: NDArray[np.int64]
    picture_ns: NDArray[np.int64]
    device_ns: NDArray[np.int64] | None = None
    arrivals: NDArray[np.int64] | None = None


def run_scenario(
    estimator: PoseEstimator,
    frames: FrameSet,
    request: Request,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Run:
    """Measure one estimator in one scenario.

    Args:
        estimator: Its score threshold is set to 0 meanwhile, so that decoding is timed at its
            worst: with as many poses as can be.
        frames: Pictures, which come in the order of the request's seed.
        request: Scenario and length.
        progress: Called with the part that is done and 100.
        clock: Another than this machine's, for tests.

    Raises:
        ImageError: A picture is none.
    """
    course = _Course(estimator, frames, request, progress, clock or Clock())
    threshold, estimator.score_threshold = estimator.score_threshold, 0.0
    try:
        return course.run()
    finally:
        estimator.score_threshold = threshold


class _Course:
    """One scenario under way."""

    def __init__(
        self,
        estimator: PoseEstimator,
        frames: FrameSet,
        request: Request,
        progress: Progress | None,
        clock: Clock,
    ) -> None:
        self._estimator, self._frames, self._request = estimator, frames, request
        self._progress, self._clock = progress, clock
        self._order: Iterator[int] = frames.order(request.seed)
        self._marks: list[tuple[int, int, int, int]] = []
        self._pictures: list[int] = []
        self._picture_ns: list[tuple[int, int]] = []
        self._device_ns: list[tuple[int, ...]] = []
        self._arrivals: list[tuple[int, int]] = []
        self._started_ns = 0

    def run(self) -> Run:
        request = self._request
        loaded: list[NDArray[np.uint8]] = []
        if request.scenario in (OFFLINE, CAMERA):
            loaded = [self._read(index) for index in range(len(self._frames))]
        self._warm_up()
        self._started_ns = self._clock.now_ns()
        if request.scenario == CAMERA:
            self._follow_camera(loaded)
        elif request.scenario == OFFLINE:
            while not self._finished():
                index = next(self._order)
                self._time(loaded[index], index)
        else:
            size = SAMPLES_PER_QUERY if request.scenario == MULTI_STREAM else 1
            while not self._finished():
                query = [next(self._order) for _ in range(size)]
                pictures = [self._read(index) for index in query]
                for picture, index in zip(pictures, query):
                    self._time(picture, index)
        if self._progress is not None:
            self._progress(100, 100)
        return Run(
            np.array(self._marks, np.int64),
            np.array(self._pictures, np.int64),
            np.array(self._picture_ns, np.int64),
            np.array(self._device_ns, np.int64) if self._device_ns else None,
            np.array(self._arrivals, np.int64) if self._arrivals else None,
        )

    def _warm_up(self) -> None:
        """Run frames that do not count: engines allocate, clocks rise."""
        begun = self._clock.now_ns()
        done = 0
        while done < _FEWEST_IN_WARM_UP or (
            self._clock.now_ns() - begun < self._request.warm_up_ms * 1e6
        ):
            self._estimator(self._frames.decode(done % len(self._frames)))
            done += 1

    def _finished(self) -> bool:
        passed_s = (self._clock.now_ns() - self._started_ns) / 1e9
        if self._progress is not None:
            self._progress(min(int(100 * passed_s / self._request.seconds), 99), 100)
        return passed_s >= self._request.seconds and len(self._marks) >= FEWEST_SAMPLES

    def _follow_camera(self, loaded: list[NDArray[np.uint8]]) -> None:
        """Take the newest frame that waits; those before it are dropped, as a driver does."""
        period_ns = 1e9 / (self._request.fps or 1.0)
        taken = -1
        while not self._finished():
            waiting = int((self._clock.now_ns() - self._started_ns) / period_ns)
            if waiting <= taken:
                waiting = taken + 1
                self._clock.sleep_until(self._started_ns + int(np.ceil(waiting * period_ns)))
            index = next(self._order)
            self._arrivals.append((waiting, self._started_ns + int(waiting * period_ns)))
            taken = waiting
            self._time(loaded[index], index)

    def _read(self, index: int) -> NDArray[np.uint8]:
        begun = self._clock.now_ns()
        picture = self._frames.decode(index)
        self._picture_ns.append((begun, self._clock.now_ns()))
        return picture

    def _time(self, picture: NDArray[np.uint8], index: int) -> None:
        now, estimator = self._clock.now_ns, self._estimator
        begun = now()
        images, letterbox = estimator.preprocess(picture)
        preprocessed = now()
        outputs = estimator.infer(images)
        inferred = now()
        estimator.decode(outputs, letterbox)
        self._marks.append((begun, preprocessed, inferred, now()))
        self._pictures.append(index)
        steps = getattr(estimator.runner, "timings_ms", None)
        if steps is not None:
            self._device_ns.append(tuple(round(1e6 * steps[step]) for step in DEVICE_STEPS))
