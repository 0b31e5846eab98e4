"""Whether this machine is the device of a profile, so that a time measured here means something."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from erpose_edge.deploy.profile import Profile
from erpose_edge.deploy.registry import load_registry
from erpose_edge.machine.board import read_board
from erpose_edge.machine.diagnosis import Target
from erpose_edge.machine.power_mode import read_power_modes


def is_device(profile: Profile, root: Path = Path("/")) -> bool:
    """Return whether this machine is one of those that the profile means.

    Args:
        profile: It names modules of the registry, or boards by their device tree; a profile of
            neither means any machine with the engine.
        root: Of the file system; tests have their own.
    """
    if not runs_here(profile):
        return False
    board = read_board(root, load_registry(), read_power_modes(root))
    return Target.from_profile(profile.model_dump(mode="json")).fits(board)


def runs_here(profile: Profile) -> bool:
    """Return whether the profile's engine can be expected on this machine.

    TensorRT does not come with an extra and is often missing; every other engine does, and its
    absence is an error that names the extra.
    """
    return profile.engine != "tensorrt" or importlib.util.find_spec("tensorrt") is not None
