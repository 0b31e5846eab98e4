"""Another power mode for a while: only when a person named it, and always restored."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import TargetError
from erpose_edge.machine import mode_guardian
from erpose_edge.machine.power_mode import (
    CONFIG,
    STATUS,
    PowerMode,
    mode_settings,
    read_power_modes,
)
from erpose_edge.machine.sysfs import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOOL = "nvpmodel"
_SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")  # not in the PATH of everyone


@contextmanager
def changed_power_mode(name: str | None, root: Path = Path("/")) -> Iterator[PowerMode | None]:
    """Put the board into a power mode, and back into the former one at the end.

    A process of its own restores the mode, also when this one is interrupted or killed. Clocks that
    ``jetson_clocks`` pinned are not pinned again; `SettingsRecord` shows what changed.

    Args:
        name: As a person gave it with ``--set-power-mode``; None changes nothing.
        root: Folder that stands for ``/``.

    Yields:
        The mode that the board is in; None on machines without power modes.

    Raises:
        TargetError: The board has no such mode, it needs a restart, nvpmodel refused it, or the
            former mode could not be restored.
    """
    modes = read_power_modes(root)
    if name is None:
        yield None if modes is None else modes.current
        return
    if modes is None:
        raise TargetError(
            f"power mode {name}: expected a Jetson with /{CONFIG}, got a machine without; "
            "leave out --set-power-mode"
        )
    wanted, former = modes.by_name(name), modes.current
    if former is None:
        raise TargetError(
            f"power mode {wanted.name}: expected the present mode in /{STATUS}, got none, so that "
            f"it could not be restored; set it yourself: sudo nvpmodel -m {wanted.id}"
        )
    if wanted == former:
        yield former
        return
    _refuse_restart(wanted, former, root)
    guardian = _Guardian(wanted, former, root)
    try:
        guardian.check_set()
        yield wanted
    finally:
        guardian.restore()


def find_nvpmodel() -> Path:
    """Return the path of nvpmodel.

    Raises:
        TargetError: It is not installed.
    """
    folders = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM_FOLDERS])
    found = shutil.which(_TOOL, path=folders)
    if found is None:
        raise TargetError(
            "power mode: expected nvpmodel in PATH or /usr/sbin, got none; "
            "sudo apt install nvidia-l4t-nvpmodel, or leave out --set-power-mode"
        )
    return Path(found)


class _Guardian:
    """The process that changes the mode, seen from the one that asked for it."""

    def __init__(self, wanted: PowerMode, former: PowerMode, root: Path) -> None:
        self._wanted, self._former = wanted, former
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", mode_guardian.__file__),
                *(str(find_nvpmodel()), str(wanted.id), str(former.id), str(root / STATUS)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C and kills of the group do not reach it
        )

    def check_set(self) -> None:
        report = self._report()
        if report.get("mode") == self._wanted.id:
            return
        output = str(report.get("output", ""))
        if "reboot" in output.lower():
            raise _needs_restart(self._wanted, "nvpmodel asks for one")
        said = " ".join(output.split())[-200:] or "nothing"
        raise TargetError(
            f"power mode {self._wanted.name}: expected nvpmodel to set it, got exit code "
            f"{report.get('code', 'none')} ({said}); run as root, with sudo"
        )

    def restore(self) -> None:
        with self._process as process:
            if process.stdin is not None:
                process.stdin.close()
            report = self._report()
        if report.get("mode") != self._former.id:
            raise TargetError(
                f"power mode: expected {self._former.name} to be restored, got mode "
                f"{report.get('mode', 'unknown')}; sudo nvpmodel -m {self._former.id}"
            )

    def _report(self) -> dict[str, Any]:
        line = b"" if self._process.stdout is None else self._process.stdout.readline()
        document = json.loads(line) if line else {}
        return document if isinstance(document, dict) else {}


def _refuse_restart(wanted: PowerMode, former: PowerMode, root: Path) -> None:
    """Refuse a mode that switches other parts of the GPU off: that takes effect at a start only.

    nvpmodel would say so itself, but not before the GPU was used: then it could not be restored.
    """
    text = read_text(root / CONFIG) or ""
    new, old = mode_settings(text, wanted.id), mode_settings(text, former.id)
    for key, value in new.items():
        if key.endswith("_PG_MASK") and old.get(key, value) != value:
            why = f"{key.split()[-1]} is {value}, in {former.name} it is {old[key]}"
            raise _needs_restart(wanted, why)


def _needs_restart(wanted: PowerMode, why: str) -> TargetError:
    return TargetError(
        f"power mode {wanted.name}: expected a mode that can be set while running, got one that "
        f"needs a restart ({why}); run sudo nvpmodel -m {wanted.id}, let it restart, and try "
        "again without --set-power-mode"
    )
