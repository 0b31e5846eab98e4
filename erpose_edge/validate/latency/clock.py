"""The clock that moments are taken from, and waiting on it."""

from __future__ import annotations

import time


class Clock:
    """``time.perf_counter_ns``: it never goes back, and telemetry is taken on it too."""

    def now_ns(self) -> int:
        """Return this moment."""
        return time.perf_counter_ns()

    def sleep_until(self, moment_ns: int) -> None:
        """Return at the moment, or shortly after; the processor is idle meanwhile."""
        left_ns = moment_ns - self.now_ns()
        if left_ns > 0:
            time.sleep(left_ns / 1e9)
