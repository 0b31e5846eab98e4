"""How long a frame takes on this device, stage by stage.

Several artifacts are timed in turns in one process: whatever else the machine does then befalls
all of them alike, and their ratio is worth more than either number.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import RequestError
from erpose_edge.machine.cpu import CpuFacts, cpu_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.runtime.manifest import Manifest

    Progress = Callable[[int, int], None]

UNSTABLE_ABOVE = 0.025  # coefficient of variation; above it a difference of 5 % means nothing
WARM_UP_MS = 200.0
TURN_MS = 100.0
_FEWEST_IN_TURN = 5  # frames
_FEWEST_SAMPLES = 20
_RAW = ("marks_ns", "turn_frames")
STAGES = ("preprocess", "infer", "decode", "end_to_end")


@dataclass(frozen=True)
class Percentiles:
    """Half, nine tenths and 99 of 100 frames took at most so long, in milliseconds."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, samples_ms: NDArray[np.float64]) -> Percentiles:
        """Return the percentiles of some samples (N,)."""
        return cls(*(float(np.round(p, 4)) for p in np.percentile(samples_ms, (50, 90, 99))))


@dataclass(frozen=True)
class Latency:
    """What timing one estimator gave.

    Attributes:
        preprocess_ms: From the frame to the network's input.
        infer_ms: The engine's part.
        decode_ms: From the outputs to poses in source pixels.
        end_to_end_ms: All three.
        fps: Frames a second, one after the other: the inverse of the mean end to end.
        samples: Frames that were timed.
        coefficient_of_variation: Standard deviation over mean of the turns' medians, end to end:
            how far the number would move if it were measured again.
        unstable: The coefficient is above 2.5 %.
        engine: Name and version.
        frame_size: (height, width) of the frame in pixels.
        cpu: What it ran on; the load is that from before the measurement.
        marks_ns: When each frame was begun, preprocessed, inferred and decoded, (N, 4) int64 on the
            clock of `time.perf_counter_ns`: to be laid beside what else was sampled meanwhile.
        turn_frames: How many frames each turn had, in order.
    """

    preprocess_ms: Percentiles
    infer_ms: Percentiles
    decode_ms: Percentiles
    end_to_end_ms: Percentiles
    fps: float
    samples: int
    coefficient_of_variation: float
    unstable: bool
    engine: str
    frame_size: tuple[int, int]
    cpu: CpuFacts
    marks_ns: NDArray[np.int64] = field(repr=False, compare=False)
    turn_frames: tuple[int, ...] = field(default=(), repr=False)

    @property
    def stages(self) -> dict[str, Percentiles]:
        """Percentiles by stage, in the order of ``STAGES``."""
        return {stage: getattr(self, f"{stage}_ms") for stage in STAGES}

    def to_json(self, manifest: Manifest | None = None) -> dict[str, Any]:
        """Return the statistics as plain values, with fields that tell which artifact it was."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _RAW}
        stages = {f"{stage}_ms": asdict(found) for stage, found in self.stages.items()}
        document: dict[str, Any] = {
            **plain,
            **stages,
            "frame_size": list(self.frame_size),
            "cpu": self.cpu.to_json(),
        }
        if manifest is not None:
            for name in ("target", "precision", "contract", "weights_sha256"):
                document[name] = getattr(manifest, name)
            document["input_size"] = list(manifest.input_size)
        return document

    def notes(self) -> list[str]:
        """Return lines for people: rate, steadiness and processor."""
        cpu = self.cpu
        height, width = self.frame_size
        return [
            f"{self.fps:.1f} frames/s over {self.samples} frames of {width}x{height}, "
            f"coefficient of variation {self.coefficient_of_variation:.1%}",
            f"{cpu.model}, {cpu.cores} cores, {cpu.threads} threads, load {cpu.load[0]:.2f} before"
            if cpu.load
            else f"{cpu.model}, {cpu.cores} cores, {cpu.threads} threads",
            f"instruction sets: {' '.join(cpu.flags) or 'unknown'}",
        ]


def bench(
    estimator: PoseEstimator,
    frame: NDArray[np.uint8] | None = None,
    seconds: float = 5.0,
    progress: Progress | None = None,
) -> Latency:
    """Time one estimator.

    Args:
        estimator: Its score threshold is set to 0 meanwhile, so that decoding is timed at its
            worst: with as many poses as can be.
        frame: BGR (H, W, 3); `example_frame` by default.
        seconds: At least so long after a warm-up of 200 ms.
        progress: Called with the part that is done and 100.

    Raises:
        RequestError: ``seconds`` is not positive.
        ImageError: ``frame`` is not a picture.
    """
    return interleaved({"": estimator}, frame, seconds, progress)[""]


def interleaved(
    estimators: Mapping[str, PoseEstimator],
    frame: NDArray[np.uint8] | None = None,
    seconds: float = 5.0,
    progress: Progress | None = None,
    turn_ms: float = TURN_MS,
) -> dict[str, Latency]:
    """Time several estimators in turns; see `bench`.

    Args:
        estimators: By the name that their result gets.
        frame: BGR (H, W, 3); `example_frame` by default.
        seconds: At least so long for each, after a warm-up of 200 ms.
        progress: Called with the part that is done and 100.
        turn_ms: Of one estimator before the next one's; at least five frames, and at most a tenth
            of ``seconds``.

    Raises:
        RequestError: ``seconds`` is not positive.
        ImageError: ``frame`` is not a picture.
    """
    if not 0 < seconds < float("inf"):
        raise RequestError(f"seconds: expected a positive number, got {seconds}")
    frame = example_frame() if frame is None else frame
    load_before = cpu_facts().load
    clocks = {name: _Clock(estimator, frame) for name, estimator in estimators.items()}
    for clock in clocks.values():
        clock.turn(WARM_UP_MS)
        clock.forget()
    while not all(clock.finished(seconds) for clock in clocks.values()):
        for clock in clocks.values():
            clock.turn(min(turn_ms, 1e3 * seconds / 10))
        if progress is not None:
            part = min(clock.spent_ms for clock in clocks.values()) / (1e3 * seconds)
            progress(min(int(100 * part), 99), 100)
    if progress is not None:
        progress(100, 100)
    return {name: clock.latency(load_before) for name, clock in clocks.items()}


def turn_statistics(marks_ns: NDArray[np.int64], turn_frames: NDArray[np.int64]) -> dict[str, Any]:
    """Return the statistics of frames that were timed in turns, as plain values.

    Args:
        marks_ns: As in `Latency`, (N, 4).
        turn_frames: How many of these frames each turn had, (T,).
    """
    stages_ms = np.diff(marks_ns, axis=1) / 1e6  # (N, 3)
    total_ns = marks_ns[:, 3] - marks_ns[:, 0]
    total_ms = total_ns / 1e6
    ends = np.cumsum(turn_frames)[:-1]
    medians = np.array([np.median(turn) for turn in np.split(total_ns, ends)])
    variation = float(medians.std(ddof=1) / medians.mean()) if len(medians) > 1 else 0.0
    columns = dict(zip(STAGES, (*stages_ms.T, total_ms)))
    return {
        **{f"{stage}_ms": asdict(Percentiles.of(column)) for stage, column in columns.items()},
        "fps": round(1e3 / float(total_ms.mean()), 2),
        "samples": len(marks_ns),
        "coefficient_of_variation": round(variation, 4),
        "unstable": variation > UNSTABLE_ABOVE,
    }


def example_frame(size: tuple[int, int] = (480, 640), seed: int = 2026) -> NDArray[np.uint8]:
    """Return a frame with content at every scale, the same on every machine; BGR (H, W, 3)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    frame = np.zeros((*size, 3), np.int64)
    for cell in (1, 8, 64):
        rows, columns = -(-size[0] // cell), -(-size[1] // cell)
        coarse = generator.integers(0, 86, (rows, columns, 3))
        frame += coarse.repeat(cell, 0).repeat(cell, 1)[: size[0], : size[1]]
    return frame.astype(np.uint8)


class _Clock:
    """Times one estimator's stages, turn by turn."""

    def __init__(self, estimator: PoseEstimator, frame: NDArray[np.uint8]) -> None:
        self._estimator = estimator
        self._frame = frame
        self._turns: list[list[tuple[int, int, int, int]]] = []

    @property
    def spent_ms(self) -> float:
        return sum(turn[-1][3] - turn[0][0] for turn in self._turns) / 1e6

    def forget(self) -> None:
        self._turns = []

    def finished(self, seconds: float) -> bool:
        enough = sum(map(len, self._turns)) >= _FEWEST_SAMPLES
        return enough and self.spent_ms >= 1e3 * seconds

    def turn(self, at_least_ms: float) -> None:
        """Time frames for a while; the first, which finds the caches cold, does not count."""
        estimator, threshold = self._estimator, self._estimator.score_threshold
        estimator.score_threshold = 0.0
        try:
            estimator(self._frame)
            marks: list[tuple[int, int, int, int]] = []
            while len(marks) < _FEWEST_IN_TURN or marks[-1][3] - marks[0][0] < at_least_ms * 1e6:
                marks.append(self._timed())
        finally:
            estimator.score_threshold = threshold
        self._turns.append(marks)

    def _timed(self) -> tuple[int, int, int, int]:
        now = time.perf_counter_ns
        start = now()
        images, letterbox = self._estimator.preprocess(self._frame)
        preprocessed = now()
        outputs = self._estimator.infer(images)
        inferred = now()
        self._estimator.decode(outputs, letterbox)
        return start, preprocessed, inferred, now()

    def latency(self, load: tuple[float, ...]) -> Latency:
        marks = np.array([mark for turn in self._turns for mark in turn], np.int64)
        turns = tuple(len(turn) for turn in self._turns)
        found = turn_statistics(marks, np.array(turns, np.int64))
        stages: dict[str, Any] = {
            f"{stage}_ms": Percentiles(**found.pop(f"{stage}_ms")) for stage in STAGES
        }
        runner = self._estimator.runner
        facts = cpu_facts(runner.threads)
        return Latency(
            **stages,
            **found,
            engine=runner.engine,
            frame_size=(self._frame.shape[0], self._frame.shape[1]),
            cpu=CpuFacts(facts.model, facts.flags, facts.cores, facts.threads, load),
            marks_ns=marks,
            turn_frames=turns,
        )
