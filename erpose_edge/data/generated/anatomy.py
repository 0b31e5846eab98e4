"""Anatomy: proportions of a body, and where its parts are in space for given joint angles.

Frames are right-handed with x to the right of the picture, y down and z away from the camera. A
person without rotation faces the camera: their left is +x, up is -y, forward is -z. Lengths are in
statures (1.0 is the height of the standing person).

Ref: Drillis and Contini, Body Segment Parameters, 1966 (segment lengths over stature).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from erpose_edge.data.generated.dice import Dice, cos_sin
from erpose_edge.data.generated.poses import LEFT, RIGHT, Pose

Vector = Tuple[float, float, float]
Matrix = Tuple[float, float, float, float, float, float, float, float, float]


@dataclass(frozen=True)
class Build:
    """Proportions of one person, lengths in statures; ``girth`` scales every thickness."""

    shoulder: float
    hip: float
    trunk: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    head: float
    girth: float
    belly: float
    bust: float


def sample_build(dice: Dice) -> Build:
    """Draw the proportions of a man, a woman or a child."""
    kind = dice.weighted((("man", 4), ("woman", 4), ("child", 1.5)))
    child = kind == "child"

    def vary(middle: float) -> float:
        return middle * dice.between(0.93, 1.07)

    return Build(
        shoulder=vary({"man": 0.112, "woman": 0.099, "child": 0.100}[kind]),
        hip=vary({"man": 0.066, "woman": 0.070, "child": 0.063}[kind]),
        trunk=vary(0.300 if not child else 0.305),
        upper_arm=vary(0.168 if not child else 0.155),
        forearm=vary(0.142 if not child else 0.130),
        thigh=vary(0.242 if not child else 0.215),
        shin=vary(0.238 if not child else 0.210),
        head=vary(1.0 if not child else dice.between(1.15, 1.5)),
        girth=dice.between(0.85, 1.1) + dice.skewed(0.0, 0.4),
        belly=dice.skewed(0.0, 0.05),
        bust=dice.between(0.01, 0.03) if kind == "woman" else 0.0,
    )


@dataclass(frozen=True)
class Body:
    """One posed person in camera orientation, origin between the hips.

    Attributes:
        points: Named places; those with a side end in ``_l`` or ``_r``.
        pelvis, chest, head: Rotations of these parts into the camera frame.
    """

    points: dict[str, Vector]
    pelvis: Matrix
    chest: Matrix
    head: Matrix


def rotation(axis: int, degrees: float) -> Matrix:
    """Return the rotation about axis 0 (x), 1 (y) or 2 (z), right-handed."""
    c, s = cos_sin(degrees)
    if axis == 0:
        return (1.0, 0.0, 0.0, 0.0, c, -s, 0.0, s, c)
    if axis == 1:
        return (c, 0.0, s, 0.0, 1.0, 0.0, -s, 0.0, c)
    return (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0)


def product(*matrices: Matrix) -> Matrix:
    """Multiply matrices from left to right."""
    a = matrices[0]
    for b in matrices[1:]:
        a = (
            a[0] * b[0] + a[1] * b[3] + a[2] * b[6],
            a[0] * b[1] + a[1] * b[4] + a[2] * b[7],
            a[0] * b[2] + a[1] * b[5] + a[2] * b[8],
            a[3] * b[0] + a[4] * b[3] + a[5] * b[6],
            a[3] * b[1] + a[4] * b[4] + a[5] * b[7],
            a[3] * b[2] + a[4] * b[5] + a[5] * b[8],
            a[6] * b[0] + a[7] * b[3] + a[8] * b[6],
            a[6] * b[1] + a[7] * b[4] + a[8] * b[7],
            a[6] * b[2] + a[7] * b[5] + a[8] * b[8],
        )
    return a


def place(origin: Vector, turn: Matrix, offset: Vector) -> Vector:
    """Return origin + turn @ offset."""
    x, y, z = offset
    return (
        origin[0] + turn[0] * x + turn[1] * y + turn[2] * z,
        origin[1] + turn[3] * x + turn[4] * y + turn[5] * z,
        origin[2] + turn[6] * x + turn[7] * y + turn[8] * z,
    )


def camera_rotation(yaw: float, pitch: float, roll: float) -> Matrix:
    """Return the rotation from an upright person into the camera frame, angles in degrees.

    Args:
        yaw: The person turns: 0 faces the camera, 180 shows the back, 90 looks to the left edge.
        pitch: The camera looks down by this.
        roll: The camera is tilted by this.
    """
    return product(rotation(2, roll), rotation(0, pitch), rotation(1, yaw))


def pose_body(build: Build, pose: Pose, camera: Matrix) -> Body:
    """Put the parts of a body where the joint angles say."""
    pelvis = product(camera, rotation(2, pose.roll), rotation(0, pose.lean))
    flexion, side_bend, twist = pose.spine
    # Bent half in the lumbar spine and half in the thoracic spine.
    half = product(rotation(0, flexion / 2), rotation(2, side_bend / 2), rotation(1, twist / 2))
    lumbar = product(pelvis, half)
    chest = product(lumbar, half)
    nod, tilt, turn = pose.neck
    head = product(chest, rotation(1, turn), rotation(0, nod), rotation(2, tilt))

    origin = (0.0, 0.0, 0.0)
    waist = place(origin, lumbar, (0.0, -0.42 * build.trunk, 0.0))
    neck = place(waist, chest, (0.0, -0.62 * build.trunk, 0.01))
    points = {
        "pelvis": origin,
        "waist": waist,
        "neck": neck,
        "skull": place(neck, chest, (0.0, -0.028, -0.008)),
    }
    for side in (LEFT, RIGHT):
        _add_arm(points, build, pose.arms[side], chest, side)
        _add_leg(points, build, pose.legs[side], pelvis, side)
    return Body(points, pelvis, chest, head)


def _add_arm(
    points: dict[str, Vector], build: Build, angles: tuple[float, ...], chest: Matrix, side: int
) -> None:
    flexion, abduction, inner, elbow = angles
    end = "_l" if side == LEFT else "_r"
    # The collar bone lifts the shoulder when the arm goes above it.
    lift = 0.00045 * max(0.0, max(flexion, abduction) - 70.0)
    shoulder = place(
        points["neck"], chest, (side * (build.shoulder - 0.4 * lift), 0.026 - lift, 0.0)
    )
    upper = product(
        chest, rotation(2, -side * abduction), rotation(0, -flexion), rotation(1, side * inner)
    )
    lower = product(upper, rotation(0, -elbow))
    points["shoulder" + end] = shoulder
    points["elbow" + end] = place(shoulder, upper, (0.0, build.upper_arm, 0.0))
    points["wrist" + end] = place(points["elbow" + end], lower, (0.0, build.forearm, 0.0))
    points["palm" + end] = place(points["wrist" + end], lower, (0.0, 0.040, -0.004))
    points["finger" + end] = place(points["wrist" + end], lower, (0.0, 0.078, -0.012))
    points["thumb" + end] = place(points["wrist" + end], lower, (-side * 0.024, 0.040, -0.010))


def _add_leg(
    points: dict[str, Vector], build: Build, angles: tuple[float, ...], pelvis: Matrix, side: int
) -> None:
    flexion, abduction, inner, knee, plantar = angles
    end = "_l" if side == LEFT else "_r"
    hip = place((0.0, 0.0, 0.0), pelvis, (side * build.hip, 0.0, 0.0))
    upper = product(
        pelvis, rotation(2, -side * abduction), rotation(0, -flexion), rotation(1, side * inner)
    )
    lower = product(upper, rotation(0, knee))
    foot = product(lower, rotation(0, plantar))
    points["hip" + end] = hip
    points["knee" + end] = place(hip, upper, (0.0, build.thigh, 0.0))
    ankle = place(points["knee" + end], lower, (0.0, build.shin, 0.0))
    points["ankle" + end] = ankle
    points["calf" + end] = place(points["knee" + end], lower, (0.0, 0.3 * build.shin, 0.010))
    points["heel" + end] = place(ankle, foot, (0.0, 0.026, 0.022))
    points["ball" + end] = place(ankle, foot, (0.0, 0.030, -0.070))
    points["toe" + end] = place(ankle, foot, (0.0, 0.034, -0.098))
