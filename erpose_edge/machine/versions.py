"""Versions as boards write them, and ranges of them as the registry writes them.

A range is conditions joined by commas, all of which have to hold: ``>=10.8,<11``. Missing parts
count as zero, so ``10.3`` and ``10.3.0.0`` are one version.
"""

from __future__ import annotations

import re
from typing import Tuple

from erpose_edge.errors import ConfigError

Version = Tuple[int, ...]

_LEADING = re.compile(r"\s*v?(\d{1,9}(?:\.\d{1,9})*)")
_CONDITION = re.compile(r"(>=|<=|==|<|>)\s*(\d{1,9}(?:\.\d{1,9})*)$")


def parse_version(text: str) -> Version | None:
    """Return the numbers that a version begins with, less trailing zeros; None if there are none.

    Args:
        text: As a package or a file says it: ``8.5.2-1+cuda11.4``, ``10.3.0.30``, ``36.4.3``.
    """
    found = _LEADING.match(text)
    if found is None:
        return None
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def in_range(version: str, wanted: str) -> bool:
    """Return whether a version fulfils every condition of a range.

    Args:
        version: As `parse_version` takes it; text that is no version is in no range.
        wanted: Such as ``>=10.3,<10.4``.

    Raises:
        ConfigError: The range is not written as one.
    """
    limits = _limits(wanted)
    number = parse_version(version)
    return number is not None and all(_holds(number, sign, limit) for sign, limit in limits)


def check_range(wanted: str) -> None:
    """Refuse text that is no range.

    Raises:
        ConfigError: A condition has no sign or no version.
    """
    _limits(wanted)


def _limits(wanted: str) -> list[tuple[str, Version]]:
    limits = []
    for part in wanted.split(","):
        found = _CONDITION.match(part.strip())
        if found is None:
            raise ConfigError(
                f"version range: expected conditions such as '>=10.3,<10.4', got {wanted!r}; "
                "write a sign and a version, with commas between conditions"
            )
        limits.append((found[1], parse_version(found[2]) or ()))
    return limits


def _holds(version: Version, sign: str, limit: Version) -> bool:
    if sign == "==":
        return version == limit
    if sign in (">=", ">"):
        return version > limit or (sign == ">=" and version == limit)
    return version < limit or (sign == "<=" and version == limit)
