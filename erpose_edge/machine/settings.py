"""How a machine is set up: what a measurement depends on and telemetry does not show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.machine.clocks import Clocks, read_clocks
from erpose_edge.machine.power_mode import read_power_modes

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings:
    """Power mode, clocks and governors at one moment.

    Attributes:
        power_mode: Name; None on machines without modes, or if it is unknown.
        clocks: Every clock with its limits and governor.
    """

    power_mode: str | None
    clocks: Clocks

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {"power_mode": self.power_mode, "clocks": self.clocks.to_json()}

    def facts(self) -> dict[str, str]:
        """Return what stays the same unless somebody changes it: modes, limits, governors."""
        facts = {"power mode": self.power_mode or "unknown"}
        for clock in (*self.clocks.cpu, *self.clocks.gpu):
            facts[f"{clock.name} governor"] = clock.governor or "unknown"
            limits = (clock.lowest_mhz, clock.highest_mhz)
            low, high = ("?" if mhz is None else f"{mhz:.0f}" for mhz in limits)
            facts[f"{clock.name} limits"] = f"{low} to {high} MHz"
        return facts


@dataclass(frozen=True)
class SettingsRecord:
    """Settings before, during and after a measurement."""

    before: Settings
    during: Settings
    after: Settings

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values, with what changed in words."""
        moments = {name: getattr(self, name).to_json() for name in ("before", "during", "after")}
        return {**moments, "changes": list(self.changes())}

    def changes(self) -> tuple[str, ...]:
        """Return what was not the same throughout: ``power mode: 15W, then MAXN, then 15W``."""
        facts = [moment.facts() for moment in (self.before, self.during, self.after)]
        names = dict.fromkeys(name for moment in facts for name in moment)
        lines = []
        for name in names:
            values = [_value(moment, name) for moment in facts]
            if len(set(values)) > 1:
                lines.append(f"{name}: {', then '.join(values)}")
        return tuple(lines)


def read_settings(root: Path = Path("/")) -> Settings:
    """Look at the settings once."""
    modes = read_power_modes(root)
    current = None if modes is None else modes.current
    return Settings(None if current is None else current.name, read_clocks(root))


def _value(facts: Mapping[str, str], name: str) -> str:
    return facts.get(name, "none")
