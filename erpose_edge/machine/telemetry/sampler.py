"""A thread that reads the machine's sensors while something else is measured."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.errors import RequestError
from erpose_edge.machine.load import CpuTimes, parse_cpu_times
from erpose_edge.machine.sysfs import parse_int
from erpose_edge.machine.telemetry.channels import CPU_TIMES, FIRMWARE, OpenFiles, find_channels
from erpose_edge.machine.telemetry.recording import Recording
from erpose_edge.machine.telemetry.summary import Summary, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from erpose_edge.machine.telemetry.recording import Row, Sample

SHORTEST_PERIOD_S = 0.1
_SHARE_OF_ONE_CPU = 0.01  # sampling waits longer where reading costs more


@dataclass
class Cost:
    """What sampling itself took.

    Attributes:
        cpu_ns: Time of the sampling thread on a processor.
        wall_ns: Time since the thread started.
    """

    cpu_ns: int = 0
    wall_ns: int = 0


class Sampler:
    """Samples power, temperatures, clocks, load and throttling while it is open.

    Moments are of ``time.perf_counter_ns``, the clock of `erpose_edge.validate.latency`::

        with Sampler() as sampler:
            first_ns = time.perf_counter_ns()
            ...
            last_ns = time.perf_counter_ns()
        summary = sampler.summary(first_ns, last_ns)

    Reading takes at most one hundredth of one processor: where a machine's sensors are slow to
    read, samples are taken less often than asked for.

    Args:
        root: Folder that stands for ``/``.
        period_s: From one sample to the next; at least 0.1.

    Raises:
        RequestError: The period is too short.
    """

    def __init__(self, root: Path = Path("/"), period_s: float = SHORTEST_PERIOD_S) -> None:
        if not SHORTEST_PERIOD_S <= period_s < float("inf"):
            raise RequestError(
                f"sampling period: expected {SHORTEST_PERIOD_S} s or more, got {period_s}; "
                "sensors are not faster, and reading them would disturb what is measured"
            )
        self._layout = find_channels(root)
        self._period_s = period_s
        self._rows: list[Row] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.cost = Cost()

    def __enter__(self) -> Sampler:
        if self._thread is not None:
            raise RequestError(
                "sampler: expected one that was not used yet, got a used one; "
                "make a new one for every run"
            )
        self._files = OpenFiles(self._layout.channels)
        self._take()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._take()
        self._files.close()

    def recording(self) -> Recording:
        """Return what was sampled up to now; can be called while sampling goes on."""
        return Recording(self._layout, tuple(self._rows))

    def samples(self) -> tuple[Sample, ...]:
        """Return the samples up to now, one by one."""
        return self.recording().samples()

    def summary(self, first_ns: int, last_ns: int, clock_tolerance: float = 0.1) -> Summary:
        """Return the means and extremes between two moments; see `summarise`."""
        return summarise(self.recording(), first_ns, last_ns, clock_tolerance)

    def energy_per_frame_mj(self, intervals_ns: Sequence[tuple[int, int]]) -> float | None:
        """Return the mean energy of frames in millijoules; None where power is unknown.

        Args:
            intervals_ns: Beginning and end of every frame.
        """
        curve = self.recording().energy()
        if curve is None or not intervals_ns:
            return None
        return sum(curve.energies_mj(intervals_ns)) / len(intervals_ns)

    def _run(self) -> None:
        started_ns, due_ns = time.perf_counter_ns(), time.perf_counter_ns()
        wait_s = self._period_s
        while not self._stop.wait(wait_s):
            self._take()
            self.cost.cpu_ns = time.thread_time_ns()
            now_ns = time.perf_counter_ns()
            self.cost.wall_ns = now_ns - started_ns
            pause_ns = self.cost.cpu_ns / _SHARE_OF_ONE_CPU - self.cost.wall_ns
            due_ns = max(due_ns + int(self._period_s * 1e9), now_ns)
            wait_s = max(due_ns - now_ns, pause_ns, 0) / 1e9

    def _take(self) -> None:
        before_ns = time.perf_counter_ns()
        texts = self._files.read()
        at_ns = (before_ns + time.perf_counter_ns()) // 2
        values: list[int | CpuTimes | None] = []
        for channel, text in zip(self._layout.channels, texts):
            if text is None:
                values.append(None)
            elif channel.quantity == CPU_TIMES:
                values.append(parse_cpu_times(text.decode("ascii", "replace")))
            else:
                values.append(parse_int(text, 16 if channel.quantity == FIRMWARE else 10))
        self._rows.append((at_ns, tuple(values)))
