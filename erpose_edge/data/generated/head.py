"""Head: skull, hair, face and hats, each drawn only where it is turned to the camera."""

from __future__ import annotations

from typing import Callable, List, Tuple

from erpose_edge.data.generated.anatomy import Body, Build, Matrix, Vector, place
from erpose_edge.data.generated.dice import cos_sin
from erpose_edge.data.generated.outfit import (
    DARK,
    EYE_WHITE,
    HAIR,
    HAT,
    LIP,
    SHADOW,
    SKIN,
    Outfit,
)

Local = Callable[[float, float, float], Vector]  # from the head frame to space
Sphere = Tuple[Vector, float]
Shape = Tuple[str, int, List[Sphere]]

HEAD_KEYPOINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")

# The skull as an ellipsoid in the head frame (origin at the top of the neck), in statures.
_CENTRE = (0.0, -0.066, -0.006)
_RADII = (0.047, 0.066, 0.056)


def _ring(*angles: tuple[float, float]) -> list[Vector]:
    """Return unit directions for (azimuth from the front, elevation) in degrees."""
    directions = []
    for azimuth, elevation in angles:
        ca, sa = cos_sin(azimuth)
        ce, se = cos_sin(elevation)
        directions.append((sa * ce, -se, -ca * ce))
    return directions


_FACE = _ring(
    (0, 44), (30, 42), (52, 30), (66, 8), (68, -18), (52, -48), (22, -72),
    (-22, -72), (-52, -48), (-68, -18), (-66, 8), (-52, 30), (-30, 42),
)  # fmt: skip
_BEARD = _ring(
    (62, -14), (58, -44), (24, -76), (-24, -76), (-58, -44), (-62, -14), (-22, -30), (22, -30),
)  # fmt: skip
_HAT = _ring(*((60 * i, 24) for i in range(6)), *((90 * i + 45, 62) for i in range(4)))


def head_shapes(
    build: Build, body: Body, outfit: Outfit
) -> tuple[list[tuple[float, list[Shape]]], dict[str, Vector], dict[str, frozenset[str]]]:
    """Build a head.

    Returns:
        Groups of shapes with their depth; places of the five keypoints; the tags of the shapes on
        which each of them is seen (none where it is turned away).
    """
    size, turn, root = build.head, body.head, body.points["skull"]

    def at(x: float, y: float, z: float) -> Vector:
        return place(root, turn, (x * size, y * size, z * size))

    ahead = turn[8]  # 1 if the head looks into the camera, -1 if away from it
    points = {
        "nose": at(0, -0.050, -0.066),
        "left_eye": at(0.0185, -0.068, -0.052),
        "right_eye": at(-0.0185, -0.068, -0.052),
        "left_ear": at(0.046, -0.060, 0.006),
        "right_ear": at(-0.046, -0.060, 0.006),
    }
    skull: list[Sphere] = [
        (at(0, -0.078, 0.006), 0.050 * size),
        (at(0, -0.070, -0.014), 0.042 * size),
        (at(0, -0.024, -0.026), 0.028 * size),
    ]
    shapes: list[Shape] = [("head", SKIN, skull), *_hair(outfit, at, size)]
    if ahead > -0.5:
        shapes.append(("face", SKIN, _patch(_FACE, turn, at, size, 0.003)))
        if outfit.beard:
            shapes.append(("face", HAIR, _patch(_BEARD, turn, at, size, 0.004)))
    seen: dict[str, frozenset[str]] = {}
    for side, name in ((1, "left"), (-1, "right")):
        facing = -side * turn[6]
        seen[name + "_ear"] = frozenset()
        if facing > -0.3 and outfit.hair not in ("long", "full"):
            ear = [(at(side * 0.047, -0.068, 0.008), 0.010 * size),
                   (at(side * 0.045, -0.053, 0.004), 0.007 * size)]  # fmt: skip
            shapes.append(("ear", SHADOW if facing > 0.5 else SKIN, ear))
            seen[name + "_ear"] = frozenset({"ear", "face", "head"})
    for side, name in ((1, "left"), (-1, "right")):
        seen[name + "_eye"] = frozenset()
        if 0.94 * ahead - 0.35 * side * turn[6] > 0.12:
            shapes += _eye(at, size, side, outfit)
            seen[name + "_eye"] = frozenset({"face", "eye", "pupil", "glasses"})
    seen["nose"] = frozenset()
    if ahead > -0.25:
        shapes.append(("nose", SHADOW, [(at(0, -0.066, -0.058), 0.004 * size),
                                        (at(0, -0.050, -0.062), 0.0075 * size)]))  # fmt: skip
        seen["nose"] = frozenset({"face", "nose"})
    if ahead > 0.15:
        shapes.append(("mouth", LIP, [(at(x, -0.026, -0.052), 0.0035 * size)
                                      for x in (-0.014, 0.014)]))  # fmt: skip
    shapes += _hat(outfit, turn, at, size)
    groups = [(skull[0][0][2] - 0.02, shapes), *_behind(outfit, at, size)]
    return groups, points, seen


def _hair(outfit: Outfit, at: Local, size: float) -> list[Shape]:
    if outfit.hair == "bald":
        return []
    grow = {"short": 0.0, "full": 0.007, "long": 0.005, "bun": 0.001, "tail": 0.001}[outfit.hair]
    cap = [
        (at(0, -0.082, 0.010), (0.050 + grow) * size),
        (at(0, -0.092, -0.012), (0.041 + grow) * size),
        (at(0, -0.048, 0.026), (0.032 + grow) * size),
    ]
    shapes: list[Shape] = [("hair", HAIR, cap)]
    if outfit.hair in ("long", "full"):
        low = 0.0 if outfit.hair == "long" else -0.035
        for side in (-1, 1):
            strand = [(at(side * 0.036, -0.075, -0.002), 0.022 * size),
                      (at(side * 0.040, low, 0.008), 0.019 * size)]  # fmt: skip
            shapes.append(("hair", HAIR, strand))
    return shapes


def _behind(outfit: Outfit, at: Local, size: float) -> list[tuple[float, list[Shape]]]:
    """Return hair that hangs at the back, ordered by its own depth."""
    if outfit.hair == "long":
        fall = [
            (at(side * 0.03, y, 0.042), 0.026 * size) for side in (-1, 1) for y in (-0.05, 0.06)
        ]
    elif outfit.hair == "tail":
        fall = [(at(0, -0.09, 0.055), 0.016 * size), (at(0, -0.02, 0.075), 0.014 * size),
                (at(0, 0.03, 0.066), 0.006 * size)]  # fmt: skip
    elif outfit.hair == "bun":
        fall = [(at(0, -0.118, 0.045), 0.026 * size)]
    else:
        return []
    depth = sum(p[2] for p, _ in fall) / len(fall) - 0.03
    return [(depth, [("hair", HAIR, fall)])]


def _eye(at: Local, size: float, side: int, outfit: Outfit) -> list[Shape]:
    x = side * 0.0185
    shapes: list[Shape] = [
        ("eye", EYE_WHITE, [(at(x + dx, -0.068, -0.051), 0.0042 * size) for dx in (-0.004, 0.004)]),
        ("pupil", DARK, [(at(x, -0.068, -0.052), 0.0042 * size)]),
        ("brow", HAIR if outfit.hair != "bald" else DARK,
         [(at(x + dx, -0.082, -0.050), 0.0024 * size) for dx in (-0.009, 0.009)]),
    ]  # fmt: skip
    if outfit.glasses:
        rim = [(at(x + dx, -0.067, -0.056), 0.009 * size) for dx in (-0.005, 0.005)]
        shapes.append(("glasses", DARK, rim))
    return shapes


def _hat(outfit: Outfit, turn: Matrix, at: Local, size: float) -> list[Shape]:
    if outfit.hat == "none":
        return []
    shapes: list[Shape] = [("hat", HAT, _patch(_HAT, turn, at, size, 0.010))]
    if outfit.hat == "cap" and turn[8] > -0.6:
        corners = ((-0.035, -0.05), (0.035, -0.05), (-0.02, -0.098), (0.02, -0.098))
        brim = [(at(x, -0.092, z), 0.008 * size) for x, z in corners]
        shapes.append(("hat", HAT, brim))
    return shapes


def _patch(
    directions: list[Vector],
    turn: Matrix,
    at: Local,
    size: float,
    radius: float,
) -> list[Sphere]:
    """Return a region of the head's surface; what is turned away is drawn in to the outline."""
    centre = at(*_CENTRE)
    patch: list[Sphere] = []
    for x, y, z in directions:
        offset = (x * _RADII[0] * size, y * _RADII[1] * size, z * _RADII[2] * size)
        px, py, pz = place((0.0, 0.0, 0.0), turn, offset)
        if pz > 0:
            flat = (px * px + py * py) ** 0.5
            grow = (px * px + py * py + pz * pz) ** 0.5 / max(flat, 1e-9)
            grow = min(grow, 0.052 * size / max(flat, 1e-9))
            px, py, pz = px * grow, py * grow, 0.0
        patch.append(((centre[0] + px, centre[1] + py, centre[2] + pz), radius * size))
    return patch
