"""A clock that only the script moves, a runner that takes the time it is told, and a document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from erpose_edge.runtime.estimator import PoseContract, PoseEstimator
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.latency.clock import Clock
from erpose_edge.validate.latency.document import scenario_document
from erpose_edge.validate.latency.frames import FrameSet
from erpose_edge.validate.latency.scenario import Request, Run, run_scenario

CONTRACT = PoseContract("compact", (32, 32), (8, 16, 32), 5, COCO_17)
FRAMES = FrameSet.of_pictures(
    [np.full((24 + 8 * n, 40, 3), 20 * n, np.uint8) for n in range(4)], "four greys"
)
MACHINE = {"engine": "scripted 1.0", "threads": 1, "cpu": {"model": "none", "flags": []}}
IDLE = {
    "load": [0.1, 0.1, 0.1], "cores": 4, "wall_s": 10.0, "own_s": 9.0, "others_s": 0.1,
    "host_s": 0.0,
}  # fmt: skip
SUMMARY: dict[str, Any] = {"energy_mj": None, "throttled": [], "notes": []}
SERIES: dict[str, Any] = {"at_ns": [], "temperatures_c": {}, "clocks_mhz": {}, "power_mw": []}
WATCHED: dict[str, Any] = {
    "background": IDLE,
    "memory": {"peak_mb": 100.0, "gpu_mb": None},
    "telemetry": {"summary": SUMMARY, "series": SERIES},
    "settings_changes": [],
}


class ScriptedClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000
        self.slept: list[int] = []

    def now_ns(self) -> int:
        return self.ns

    def sleep_until(self, moment_ns: int) -> None:
        self.slept.append(moment_ns - self.ns)
        self.ns = max(self.ns, moment_ns)

    def pass_ms(self, ms: float) -> None:
        self.ns += round(1e6 * ms)


class ScriptedRunner:
    """Moves the clock by what the script says for frame n, the warm-up's included."""

    engine = "scripted 1.0"
    threads = 1

    def __init__(self, clock: ScriptedClock, script: Callable[[int], float]) -> None:
        self.clock, self.script = clock, script
        self.calls = 0
        self._outputs = {
            "scores": np.full((1, 5), 0.1, np.float32),
            "keypoints": np.zeros((1, 5, 17, 2), np.float32),
            "visibility": np.zeros((1, 5, 17), np.float32),
        }

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        self.clock.pass_ms(self.script(self.calls))
        self.calls += 1
        return self._outputs


def scripted(script: Callable[[int], float]) -> tuple[PoseEstimator, ScriptedClock]:
    clock = ScriptedClock()
    return PoseEstimator(CONTRACT, runner=ScriptedRunner(clock, script)), clock


def scripted_run(scenario: str, script: Callable[[int], float], **more: Any) -> Run:
    """Measure for 10 scripted seconds; ``more`` are fields of the request."""
    estimator, clock = scripted(script)
    return run_scenario(estimator, FRAMES, Request(scenario, **more), clock=clock)


def steady(n: int) -> float:
    """20 ms, and up to 0.1 ms more that look like chance."""
    return 20 + 0.1 * (n * 7919 % 101) / 101


def document(run: Run, scenario: str = "single-stream", **watched: Any) -> dict[str, Any]:
    """Return a scenario's document, watched as ``WATCHED`` but for what is given."""
    request = Request(scenario, fps=30.0 if scenario == "camera" else None)
    return scenario_document(request, run, FRAMES.to_json(), MACHINE, {**WATCHED, **watched})
