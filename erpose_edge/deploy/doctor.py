"""The doctor on a workstation, or on a board with this package: every profile, every rule."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from erpose_edge.deploy.profile import list_profiles
from erpose_edge.deploy.registry import load_registry
from erpose_edge.errors import RequestError
from erpose_edge.machine.diagnosis import Diagnosis, Target, diagnose
from erpose_edge.machine.facts import Machine, read_machine


class Examination(NamedTuple):
    """A machine, and what it can serve."""

    machine: Machine
    diagnosis: Diagnosis


def examine(root: Path = Path("/")) -> Examination:
    """Look at a machine and judge it for every target that is bundled.

    Args:
        root: Of the file system: this machine's, or a copy of a board's.

    Raises:
        RequestError: ``root`` is no folder.
    """
    if not root.is_dir():
        raise RequestError(
            f"root: expected the folder of a file system, got {root}; check the path"
        )
    registry = load_registry()
    machine = read_machine(root, registry)
    targets = [Target.from_profile(each.model_dump(mode="json")) for each in list_profiles()]
    # Another root is a board, which gets a bundle and not this package.
    return Examination(machine, diagnose(machine, targets, registry, packaged=machine.here))
