"""The numbers that a scenario's moments come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.validate.latency.scenario import (
    CAMERA,
    DEVICE_STEPS,
    MULTI_STREAM,
    OFFLINE,
    SAMPLES_PER_QUERY,
    Run,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIGITS = 4


def statistics(scenario: str, run: Run) -> dict[str, Any]:
    """Return the statistics of a scenario as plain values, times in milliseconds.

    Returns:
        - ``samples``: frames. ``fps``: see `_frames_a_second`.
        - ``headline``: the number that the scenario is for.
        - ``stages``: p50, p90, p99, mean and max by stage. ``picture`` is from a file's bytes to
          BGR, ``preprocess`` to the network's input, ``infer`` the engine's part and within it
          ``h2d``, ``compute``, ``d2h`` where the runner tells, ``decode`` to poses, ``end_to_end``
          all but ``picture``. Of a camera ``wait`` is from a frame's arrival until it is begun and
          ``age`` until its poses are there; of multi-stream ``query`` is eight frames.
        - ``camera``: frames that arrived, were taken and were dropped; None in other scenarios.
        - ``curve``: of every second that frames began in, their median and number.
    """
    marks = run.marks_ns
    total = marks[:, 3] - marks[:, 0]
    durations = {"picture": run.picture_ns[:, 1] - run.picture_ns[:, 0]}
    durations["preprocess"] = marks[:, 1] - marks[:, 0]
    durations["infer"] = marks[:, 2] - marks[:, 1]
    if run.device_ns is not None:
        durations.update(zip(DEVICE_STEPS, run.device_ns.T))
    durations["decode"] = marks[:, 3] - marks[:, 2]
    durations["end_to_end"] = total
    if run.arrivals is not None:
        durations["wait"] = marks[:, 0] - run.arrivals[:, 1]
        durations["age"] = marks[:, 3] - run.arrivals[:, 1]
    if scenario == MULTI_STREAM:
        durations["query"] = marks[7::SAMPLES_PER_QUERY, 3] - marks[::SAMPLES_PER_QUERY, 0]
    stages = {name: _spread(values) for name, values in durations.items()}
    fps = round(_frames_a_second(scenario, run), 3)
    return {
        "samples": len(marks),
        "headline": _headline(scenario, stages, fps),
        "fps": fps,
        "stages": stages,
        "camera": _camera(run.arrivals),
        "curve": _curve(marks),
    }


def _spread(values_ns: NDArray[np.int64]) -> dict[str, float]:
    p50, p90, p99 = np.percentile(values_ns, (50, 90, 99))
    found = {"p50": p50, "p90": p90, "p99": p99, "mean": values_ns.mean(), "max": values_ns.max()}
    return {name: round(float(value) / 1e6, _DIGITS) for name, value in found.items()}


def _frames_a_second(scenario: str, run: Run) -> float:
    """Return the rate of frames: in the time that they took, or else in all the time."""
    marks = run.marks_ns
    if scenario == OFFLINE:
        taken_ns = marks[-1, 3] - marks[0, 0]
    elif run.arrivals is not None:
        taken_ns = marks[-1, 3] - run.arrivals[0, 1]
    else:
        taken_ns = (marks[:, 3] - marks[:, 0]).sum()
    return float(1e9 * len(marks) / max(int(taken_ns), 1))


def _headline(scenario: str, stages: dict[str, dict[str, float]], fps: float) -> dict[str, Any]:
    if scenario == OFFLINE:
        return {"what": "frames a second", "value": fps, "unit": "1/s"}
    stage, percentile = {
        MULTI_STREAM: ("query", "p99"),
        CAMERA: ("age", "p99"),
    }.get(scenario, ("end_to_end", "p90"))
    what = f"{percentile} of {stage.replace('_', ' ')}"
    return {"what": what, "value": stages[stage][percentile], "unit": "ms"}


def _camera(arrivals: NDArray[np.int64] | None) -> dict[str, Any] | None:
    """Return how many frames arrived up to the last one that was taken, and what became of them."""
    if arrivals is None:
        return None
    arrived, taken = int(arrivals[-1, 0]) + 1, len(arrivals)
    dropped = arrived - taken
    part = round(dropped / arrived, _DIGITS)
    return {"arrived": arrived, "taken": taken, "dropped": dropped, "dropped_part": part}


def _curve(marks: NDArray[np.int64]) -> dict[str, list[Any]]:
    seconds = (marks[:, 0] - marks[0, 0]) // 1_000_000_000
    total_ms = (marks[:, 3] - marks[:, 0]) / 1e6
    there, starts, counts = np.unique(seconds, return_index=True, return_counts=True)
    medians = [float(np.median(part)) for part in np.split(total_ms, starts[1:])]
    return {
        "second": [int(second) for second in there],
        "p50_ms": [round(value, _DIGITS) for value in medians],
        "frames": [int(count) for count in counts],
    }
