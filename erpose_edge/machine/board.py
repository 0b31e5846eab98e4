"""Which board this is: by numbers, never by the name that a maker gave it.

A Jetson module is its part number. Four places say it, and the strongest that can be read decides:

    /proc/device-tree/chosen/sku        what the boot loader read from the module's EEPROM
    the EEPROM itself                   only root may read it
    /etc/nv_boot_control.conf           what the board was flashed as
    compatible, nvidia,boardids         what the device tree was written for; the same one can
                                        serve several modules, or a carrier of another maker

Ref: Jetson Linux Developer Guide, "Jetson EEPROM Layout" and "Update and Redundancy";
https://www.devicetree.org/specifications/, 2.3.1.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.machine.sysfs import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from erpose_edge.machine.power_mode import PowerModes
    from erpose_edge.machine.registry import Registry

_TREES = ("proc/device-tree", "sys/firmware/devicetree/base")
_DMI = "sys/devices/virtual/dmi/id"
_BOOT_CONTROL = "etc/nv_boot_control.conf"
_EEPROM_BUSES = (0, 1, 2, 7)
_EEPROM_PART = slice(20, 49)  # bytes of the 699-level part number
_PART_699 = re.compile(r"699-\d(\d{4})-(\d{4})(?!\d)")
_SPEC = re.compile(r"^TNSPEC[ \t]+(\d{4})-[^-\s]*-(\d{4})-(\S*)$", re.MULTILINE)
_BOARD_IDS = re.compile(r"(\d{4})[:-](\d{4})(?!\d)")
_MODULE = re.compile(r"\+p(\d{4})-(\d{4})(?!\d)")  # behind the carrier's number and a plus
_NUMBER = re.compile(r"p(\d{4})-(\d{4})(?!\d)")
_SUPER = "-super"
_TEGRA = "nvidia,tegra"


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes:
        model: As its maker calls it; for people, not for decisions.
        compatible: Names of its device tree, the most exact first; empty on a PC.
        part_number: Of a Jetson module, ``p3767-0005``; empty where it is none or not known.
        part_number_from: File that said so.
        flash: What a Jetson was flashed as: ``original``, or ``super`` for more power; None for
            what is no Jetson.
        modules: Names of the modules of the registry that it can be; one, as a rule.
        name: Of the board in the registry, where it is no Jetson; empty if it is not known.
    """

    model: str = ""
    compatible: tuple[str, ...] = ()
    part_number: str = ""
    part_number_from: str = ""
    flash: str | None = None
    modules: tuple[str, ...] = ()
    name: str = ""

    @property
    def is_jetson(self) -> bool:
        """Whether its chip is a Tegra."""
        return any(name.startswith(_TEGRA) for name in self.compatible)

    def fits(self, names: Iterable[str]) -> bool:
        """Return whether it is one of the boards with these names in a device tree.

        The name of a module, ``nvidia,p3701-0005``, stands for it on every carrier, where the
        device tree may only say ``nvidia,p3737-0000+p3701-0005``.
        """
        own = {self.part_number, *(f"p{a}-{b}" for a, b in _MODULE.findall(self._names))}
        for name in names:
            if name in self.compatible:
                return True
            numbers = _NUMBER.findall(name)
            plain = not name.endswith(_SUPER) or self.flash == "super"
            if plain and numbers and "p{}-{}".format(*numbers[-1]) in own:
                return True
        return False

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        lists = {"compatible": list(self.compatible), "modules": list(self.modules)}
        return {**asdict(self), **lists}

    @property
    def _names(self) -> str:
        return " ".join(self.compatible)


def read_board(
    root: Path = Path("/"), registry: Registry | None = None, modes: PowerModes | None = None
) -> Board:
    """Look at the board.

    Args:
        root: Of the file system.
        registry: Names the module; without one ``modules`` stays empty.
        modes: Power modes, which say what a Jetson was flashed as.
    """
    compatible = _compatible(root)
    model = _device_tree_text(root, "model") or _dmi_model(root)
    board = Board(model, compatible)
    if not board.is_jetson:
        known = registry.board_by_compatible(compatible) if registry is not None else None
        return replace(board, name=known.name if known is not None else "")
    number, source = _part_number(root, compatible, registry)
    match = registry.find_module(compatible, number) if registry is not None else None
    return replace(
        board,
        part_number=number,
        part_number_from=source,
        flash="super" if _is_super(root, compatible, modes) else "original",
        modules=tuple(module.name for module in match.modules) if match is not None else (),
    )


def _is_super(root: Path, compatible: tuple[str, ...], modes: PowerModes | None) -> bool:
    flashed = _SPEC.search(read_text(root / _BOOT_CONTROL) or "")
    return (
        any(name.endswith(_SUPER) for name in compatible)
        or (modes is not None and modes.has_super)
        or (flashed is not None and f"{_SUPER}-" in flashed[3])
    )


def _part_number(
    root: Path, compatible: tuple[str, ...], registry: Registry | None
) -> tuple[str, str]:
    """Return the module's part number and the file that said it; two empty texts if none does."""
    said = _PART_699.search(_device_tree_text(root, "chosen/sku"))
    if said is not None:
        return "p{}-{}".format(*said.groups()), "/proc/device-tree/chosen/sku"
    for bus in _EEPROM_BUSES:
        path = f"sys/bus/i2c/devices/{bus}-0050/eeprom"
        said = _PART_699.search(_read_bytes(root / path)[_EEPROM_PART].decode("ascii", "replace"))
        if said is not None:
            return "p{}-{}".format(*said.groups()), f"/{path}"
    said = _SPEC.search(read_text(root / _BOOT_CONTROL) or "")
    if said is not None:
        return f"p{said[1]}-{said[2]}", f"/{_BOOT_CONTROL}"
    for name in compatible:
        said = _MODULE.search(name) or (_NUMBER.search(name) if registry is not None else None)
        number = "p{}-{}".format(*said.groups()) if said is not None else ""
        # A name without a plus can be the number of a carrier: the registry knows modules.
        if number and ("+" in name or _known(registry, number)):
            return number, "/proc/device-tree/compatible"
    said = _BOARD_IDS.search(_device_tree_text(root, "nvidia,boardids"))
    if said is not None:
        return "p{}-{}".format(*said.groups()), "/proc/device-tree/nvidia,boardids"
    return "", ""


def _known(registry: Registry | None, number: str) -> bool:
    return registry is not None and registry.module_by_part_number(number) is not None


def _compatible(root: Path) -> tuple[str, ...]:
    for tree in _TREES:
        names = _read_bytes(root / tree / "compatible").decode("ascii", "replace").split("\0")
        found = tuple(name.strip() for name in names if name.strip())
        if found:
            return found
    return ()


def _device_tree_text(root: Path, name: str) -> str:
    for tree in _TREES:
        text = read_text(root / tree / name)
        if text:
            return text
    return ""


def _dmi_model(root: Path) -> str:
    words = [read_text(root / _DMI / name) or "" for name in ("sys_vendor", "product_name")]
    return " ".join(word for word in words if word)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
