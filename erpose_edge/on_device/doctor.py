"""``doctor``: what this device is, what is missing, and what mends it.

It runs where numpy, cv2 and the engine are missing, so it imports nothing that needs them, and
reads the bundle's lists without verifying the rest.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import erpose_edge
from erpose_edge.errors import IntegrityError
from erpose_edge.machine.diagnosis import Target, diagnose
from erpose_edge.machine.facts import read_machine
from erpose_edge.machine.registry import REGISTRY_FILE, Registry
from erpose_edge.machine.report import lines

if TYPE_CHECKING:
    from erpose_edge.on_device.program import Outcome

_LIST = "bundle.json"


def doctor(options: argparse.Namespace) -> Outcome:
    """Say what this device is, what is missing, and what mends it.

    Raises:
        IntegrityError: The bundle's lists cannot be read.
    """
    folder = options.bundle or Path(erpose_edge.__file__).resolve().parent.parent
    registry = Registry.from_json(_read(folder / REGISTRY_FILE))
    profile = _read(folder / _LIST)["profile"]
    machine = read_machine(registry=registry)
    diagnosis = diagnose(machine, [Target.from_profile(profile)], registry)
    document = {"machine": machine.to_json(), **diagnosis.to_json()}
    return document, lines(machine, diagnosis), diagnosis.exit_code


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"{path}: expected a file of the bundle, got {error}; fetch the bundle again"
        ) from None
    if not isinstance(document, dict):
        raise IntegrityError(f"{path}: expected a mapping, got another; fetch the bundle again")
    return document
