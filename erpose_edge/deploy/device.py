"""Whether this machine is the device of a profile, so that a time measured here means something."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from erpose_edge.deploy.profile import Profile

_COMPATIBLE = Path("proc/device-tree/compatible")


def is_device(profile: Profile, root: Path = Path("/")) -> bool:
    """Return whether this machine is one of those that the profile means.

    Args:
        profile: Its ``device_tree`` names boards; None means any machine with the engine.
        root: Of the file system; tests have their own.
    """
    if not runs_here(profile):
        return False
    if profile.device_tree is None:
        return True
    try:
        names = (root / _COMPATIBLE).read_bytes().decode("ascii", "replace").split("\0")
    except OSError:  # no device tree: a PC
        return False
    return any(name in names for name in profile.device_tree)


def runs_here(profile: Profile) -> bool:
    """Return whether the profile's engine can be expected on this machine.

    TensorRT does not come with an extra and is often missing; every other engine does, and its
    absence is an error that names the extra.
    """
    return profile.engine != "tensorrt" or importlib.util.find_spec("tensorrt") is not None
