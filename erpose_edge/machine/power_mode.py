"""Power modes of a Jetson, by name: the numbers differ from board to board.

Ref: the header of /etc/nvpmodel.conf; /var/lib/nvpmodel/status, which ``nvpmodel -m`` writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from erpose_edge.errors import TargetError
from erpose_edge.machine.sysfs import read_text

CONFIG = "etc/nvpmodel.conf"
STATUS = "var/lib/nvpmodel/status"
_SUPER = "MAXN_SUPER"
_MODEL = re.compile(r"^\s*<\s*POWER_MODEL\s+([^>\n]*)>", re.MULTILINE)
_SECTION = re.compile(r"^\s*<", re.MULTILINE)
_ATTRIBUTE = re.compile(r"(\w+)=(\S+)")
_STATUS = re.compile(r"\bpmode:\s*([0-9]+)")


@dataclass(frozen=True)
class PowerMode:
    """One mode of this board.

    Attributes:
        id: Number that ``nvpmodel -m`` takes on this board.
        name: Such as ``15W`` or ``MAXN``.
    """

    id: int
    name: str


@dataclass(frozen=True)
class PowerModes:
    """What modes a board has.

    Attributes:
        modes: In the order of the file.
        current: The one it is in; None if the status file does not say.
    """

    modes: tuple[PowerMode, ...]
    current: PowerMode | None

    @property
    def has_super(self) -> bool:
        """The board was flashed with the Super configuration."""
        return any(_key(mode.name) == _key(_SUPER) for mode in self.modes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the file."""
        return tuple(mode.name for mode in self.modes)

    def by_name(self, name: str) -> PowerMode:
        """Look a mode up; case, spaces and hyphens do not matter.

        Raises:
            TargetError: No mode, or more than one, has this name.
        """
        found = [mode for mode in self.modes if mode.name == name]
        found = found or [mode for mode in self.modes if _key(mode.name) == _key(name)]
        if len(found) == 1:
            return found[0]
        what = "several modes of that name" if found else f"{name!r}"
        raise TargetError(
            f"power mode: expected one of {', '.join(self.names) or 'none'}, got {what}; "
            f"see the POWER_MODEL lines of /{CONFIG}"
        )


def read_power_modes(root: Path = Path("/")) -> PowerModes | None:
    """Read the modes of the board and the one it is in; None where there is no nvpmodel.conf."""
    text = read_text(root / CONFIG)
    if text is None:
        return None
    return PowerModes(parse_modes(text), _current(parse_modes(text), root))


def read_current_id(root: Path = Path("/")) -> int | None:
    """Return the number in the status file; None if there is none."""
    found = _STATUS.search(read_text(root / STATUS) or "")
    return int(found.group(1)) if found else None


def parse_modes(text: str) -> tuple[PowerMode, ...]:
    """Return the modes that the text of an nvpmodel.conf declares; lines without both are none."""
    modes = []
    for header in _MODEL.finditer(text):
        mode = _mode(header.group(1))
        if mode is not None:
            modes.append(mode)
    return tuple(modes)


def mode_settings(text: str, mode_id: int) -> dict[str, str]:
    """Return what a mode sets: ``{"TPC_POWER_GATING TPC_PG_MASK": "240", ...}``."""
    for header in _MODEL.finditer(text):
        mode = _mode(header.group(1))
        if mode is not None and mode.id == mode_id:
            following = _SECTION.search(text, header.end())
            body = text[header.end() : following.start() if following else len(text)]
            lines = [line.split("#")[0].split() for line in body.splitlines()]
            return {" ".join(words[:-1]): words[-1] for words in lines if len(words) > 1}
    return {}


def _mode(attributes: str) -> PowerMode | None:
    values = dict(_ATTRIBUTE.findall(attributes))
    number = values.get("ID", "")
    if not (number.isascii() and number.isdigit() and "NAME" in values):
        return None
    return PowerMode(int(number), values["NAME"])


def _current(modes: tuple[PowerMode, ...], root: Path) -> PowerMode | None:
    number = read_current_id(root)
    return next((mode for mode in modes if mode.id == number), None)


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).upper()
