"""Power, heat, clocks and settings of this device while something is measured on it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.machine.mode_change import changed_power_mode
from erpose_edge.machine.settings import Settings, SettingsRecord, read_settings
from erpose_edge.machine.telemetry.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from erpose_edge.machine.telemetry.summary import Summary
    from erpose_edge.validate.latency import Latency


@dataclass(frozen=True)
class Watched:
    """What the device did.

    Attributes:
        settings: Power mode and clocks before, during and after.
        summary: From the first frame to the last.
        frame_mj: Energy of a frame in millijoules, by artifact; None where no sensor says.
        asked: A power mode was asked for, so that the settings changed on purpose.
    """

    settings: SettingsRecord
    summary: Summary
    frame_mj: dict[str, float | None]
    asked: bool

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {
            "settings": self.settings.to_json(),
            **self.summary.to_json(),
            "frame_mj": self.frame_mj,
        }


class Watch:
    """A measurement under way; `over` is to be called when it has ended."""

    def __init__(
        self, sampler: Sampler, before: Settings, during: Settings, *, asked: bool
    ) -> None:
        self._sampler, self._asked = sampler, asked
        self._before, self._during = before, during
        self.after: Settings | None = None

    def over(self, latency: Mapping[str, Latency]) -> Watched:
        """Return what was watched while these latencies were measured."""
        marks = [found.marks_ns for found in latency.values()]
        first = min(int(found[0, 0]) for found in marks)
        last = max(int(found[-1, -1]) for found in marks)
        energy = {
            name: self._sampler.energy_per_frame_mj(
                [(int(row[0]), int(row[-1])) for row in found.marks_ns]
            )
            for name, found in latency.items()
        }
        record = SettingsRecord(self._before, self._during, self.after or self._during)
        return Watched(record, self._sampler.summary(first, last), energy, self._asked)


@contextmanager
def watched(power_mode: str | None = None, root: Path = Path("/")) -> Iterator[Watch]:
    """Sample the device while the block runs.

    Args:
        power_mode: Name of the mode to measure in, restored at the end; None leaves it.
        root: Folder that stands for ``/``.

    Raises:
        TargetError: There is no such mode, or it cannot be set or restored.
    """
    before = read_settings(root)
    with changed_power_mode(power_mode, root), Sampler(root) as sampler:
        watch = Watch(sampler, before, read_settings(root), asked=power_mode is not None)
        yield watch
    watch.after = read_settings(root)
