"""One scenario measured while the machine is watched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.machine.cpu import cpu_facts
from erpose_edge.machine.settings import SettingsRecord, read_settings
from erpose_edge.machine.telemetry.recording import known
from erpose_edge.machine.telemetry.sampler import Sampler
from erpose_edge.validate.latency.background import BackgroundWatch
from erpose_edge.validate.latency.document import scenario_document
from erpose_edge.validate.latency.memory import memory_peak
from erpose_edge.validate.latency.scenario import Request, run_scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from erpose_edge.machine.telemetry.recording import Recording, Series
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.validate.latency.frames import FrameSet

_MOST_POINTS = 600  # of a series: one a second of the longest measurement
_DIGITS = 3


def measure(
    estimator: PoseEstimator,
    frames: FrameSet,
    request: Request,
    progress: Callable[[int, int], None] | None = None,
    *,
    cold_start_ns: NDArray[np.int64] | None = None,
    root: Path = Path("/"),
) -> dict[str, Any]:
    """Measure an estimator in a scenario and return its document; see `scenario_document`.

    Args:
        estimator: What is measured.
        frames: With what.
        request: How.
        progress: Called with the part that is done and 100.
        cold_start_ns: As `open_timed` gave it, to go along.
        root: Folder that stands for ``/``.

    Raises:
        ImageError: A picture is none.
    """
    before = read_settings(root)
    with Sampler(root) as sampler:
        watch = BackgroundWatch(root)
        run = run_scenario(estimator, frames, request, progress)
        background = watch.over()
        during = read_settings(root)
    record = SettingsRecord(before, during, read_settings(root))
    first_ns, last_ns = int(run.marks_ns[0, 0]), int(run.marks_ns[-1, -1])
    summary = sampler.summary(first_ns, last_ns)
    runner = estimator.runner
    facts = cpu_facts(runner.threads, root).to_json()
    watched = {
        "background": background.to_json(),
        "memory": memory_peak(runner, root),
        "telemetry": {
            "summary": summary.to_json(),
            "series": series_of(sampler.recording().between(first_ns, last_ns)),
        },
        "settings_changes": list(record.changes()),
    }
    machine = {"engine": runner.engine, "threads": runner.threads, "cpu": facts}
    return scenario_document(request, run, frames.to_json(), machine, watched, cold_start_ns)


def series_of(recording: Recording) -> dict[str, Any]:
    """Return what a sampler took over time, thinned out to at most 600 points each.

    Returns:
        ``at_ns`` on the clock of the samples, and in the same order ``temperatures_c`` by zone,
        ``clocks_mhz`` (of the processors the fastest, of a GPU each) and ``power_mw``; null where a
        sensor gave nothing.
    """
    step = -(-len(recording.rows) // _MOST_POINTS) or 1
    processors = list(zip(*recording.cpu_mhz().values()))
    clocks: Series = {f"gpu clock {name}": mhz for name, mhz in recording.gpu_mhz().items()}
    if processors:
        clocks["fastest cpu clock"] = tuple(max(known(row), default=None) for row in processors)
    return {
        "at_ns": list(recording.times_ns[::step]),
        "temperatures_c": _thin(recording.temperatures_c(), step),
        "clocks_mhz": _thin(clocks, step),
        "power_mw": _thin({"": recording.power_mw()}, step)[""],
    }


def _thin(series: Series, step: int) -> dict[str, list[float | None]]:
    return {
        name: [None if value is None else round(value, _DIGITS) for value in values[::step]]
        for name, values in series.items()
    }
