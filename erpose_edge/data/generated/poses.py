"""Poses: joint angles of people who stand, walk, run, sit, squat, bend, kneel, lie and play."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Tuple

from erpose_edge.data.generated.dice import Dice

LEFT, RIGHT = 1, -1
Range = Tuple[float, float]


@dataclass
class Pose:
    """Joint angles in degrees; zero everywhere is a person at attention.

    Attributes:
        family: Which kind of pose it is.
        lean: The pelvis tips forward.
        roll: The pelvis tips towards the person's left.
        spine: Forward bend, bend to the side, twist.
        neck: Forward bend, bend to the side, turn.
        arms: Flexion, abduction, inner rotation, elbow flexion, by LEFT and RIGHT.
        legs: Flexion, abduction, inner rotation, knee flexion, plantar flexion, likewise.
    """

    family: str
    lean: float = 0.0
    roll: float = 0.0
    spine: tuple[float, float, float] = (0.0, 0.0, 0.0)
    neck: tuple[float, float, float] = (0.0, 0.0, 0.0)
    arms: dict[int, tuple[float, ...]] = field(default_factory=dict)
    legs: dict[int, tuple[float, ...]] = field(default_factory=dict)


# flexion, abduction, inner rotation, elbow
_ARMS: dict[str, tuple[Range, Range, Range, Range]] = {
    "hang": ((-15, 20), (3, 18), (0, 40), (4, 35)),
    "hip": ((-25, 0), (35, 55), (50, 80), (75, 105)),
    "folded": ((20, 40), (0, 15), (60, 85), (95, 120)),
    "lap": ((15, 50), (0, 20), (10, 50), (40, 90)),
    "phone": ((10, 60), (0, 30), (10, 50), (110, 145)),
    "forward": ((50, 110), (-10, 30), (0, 40), (0, 50)),
    "raised": ((-10, 20), (125, 175), (-60, 60), (0, 60)),
    "overhead": ((140, 180), (-10, 20), (-30, 30), (0, 70)),
    "side": ((-15, 25), (55, 110), (-40, 60), (0, 40)),
    "wave": ((-10, 30), (65, 110), (-110, -60), (60, 120)),
    "behind": ((-40, -15), (8, 25), (40, 80), (30, 80)),
    "wild": ((-50, 170), (-10, 140), (-80, 80), (0, 135)),
}
_ARMS_OF: dict[str, tuple[tuple[str, float], ...]] = {
    "stand": (
        ("hang", 9), ("hip", 2), ("folded", 2), ("lap", 2), ("phone", 2), ("forward", 1),
        ("raised", 1.5), ("overhead", 0.8), ("side", 1.2), ("wave", 1.2), ("behind", 0.8),
    ),
    "sit": (("lap", 6), ("hang", 2), ("phone", 3), ("forward", 2), ("folded", 1), ("raised", 1)),
    "free": (("wild", 6), ("side", 2), ("raised", 2), ("forward", 2), ("overhead", 1)),
}  # fmt: skip
FAMILIES = (
    ("standing", 34), ("walking", 16), ("running", 9), ("sitting", 12), ("squatting", 5),
    ("bending", 6), ("kneeling", 4), ("lying", 4), ("lunging", 4), ("kicking", 3), ("jumping", 3),
)  # fmt: skip


def sample_pose(dice: Dice, family: str | None = None) -> Pose:
    """Draw the angles of one person, of one family (one of FAMILIES) or of any."""
    family = family or dice.weighted(FAMILIES)
    between = dice.between
    pose = Pose(
        family,
        lean=between(-4, 8),
        roll=between(-4, 4),
        spine=(between(-6, 14), between(-8, 8), between(-14, 14)),
        neck=(between(-15, 30), between(-12, 12), between(-40, 40) if dice.chance(0.5) else 0.0),
    )
    _arms(pose, dice, "stand")
    lead = dice.pick((LEFT, RIGHT))
    _SHAPES[family](pose, dice, lead)
    return pose


def _arms(pose: Pose, dice: Dice, group: str) -> None:
    kind = dice.weighted(_ARMS_OF[group])
    for side in (LEFT, RIGHT):
        # Half of the people do the same with both arms.
        if side == RIGHT and dice.chance(0.5):
            kind = dice.weighted(_ARMS_OF[group])
        pose.arms[side] = tuple(dice.between(*limits) for limits in _ARMS[kind])


def _leg(dice: Dice, *limits: Range) -> tuple[float, ...]:
    return tuple(dice.between(*pair) for pair in limits)


def _stand(pose: Pose, dice: Dice, lead: int) -> None:
    for side in (LEFT, RIGHT):
        pose.legs[side] = _leg(dice, (-6, 8), (1, 14), (-25, 0), (0, 10), (-3, 8))
    if dice.chance(0.3):  # The weight is on one leg.
        pose.legs[lead] = _leg(dice, (5, 28), (2, 20), (-30, 5), (8, 45), (0, 20))
        pose.roll += 5 * lead


def _stride(pose: Pose, dice: Dice, lead: int, reach: Range, lift: Range) -> None:
    reach_now = dice.between(*reach)
    pose.legs[lead] = _leg(dice, (reach_now * 0.8, reach_now), (0, 6), (-8, 4), (2, 22), (-8, 10))
    pose.legs[-lead] = _leg(dice, (-reach_now, -reach_now * 0.5), (0, 6), (-8, 4), lift, (5, 35))


def _swing(pose: Pose, dice: Dice, lead: int, elbow: Range, swing: Range) -> None:
    far = dice.between(*swing)
    pose.arms[-lead] = _leg(dice, (far * 0.6, far), (3, 20), (0, 30), elbow)
    pose.arms[lead] = _leg(dice, (-far, -far * 0.5), (3, 20), (0, 30), elbow)


def _walk(pose: Pose, dice: Dice, lead: int) -> None:
    _stride(pose, dice, lead, (12, 38), (8, 50))
    if dice.chance(0.75):
        _swing(pose, dice, lead, (8, 45), (10, 40))


def _run(pose: Pose, dice: Dice, lead: int) -> None:
    pose.lean = dice.between(2, 20)
    _stride(pose, dice, lead, (28, 80), (40, 120))
    if dice.chance(0.5):  # The knee of the leading leg is high.
        flexion, abduction, rotation, _, ankle = pose.legs[lead]
        pose.legs[lead] = (flexion, abduction, rotation, dice.between(40, 100), ankle)
    _swing(pose, dice, lead, (65, 115), (25, 65))


def _sit(pose: Pose, dice: Dice, lead: int) -> None:
    pose.lean = dice.between(-15, 12)
    for side in (LEFT, RIGHT):
        pose.legs[side] = _leg(dice, (72, 100), (0, 28), (-20, 10), (45, 105), (-5, 20))
    if dice.chance(0.25):  # Legs crossed.
        pose.legs[lead] = _leg(dice, (95, 110), (-22, -8), (-10, 20), (60, 100), (0, 30))
    _arms(pose, dice, "sit")


def _squat(pose: Pose, dice: Dice, lead: int) -> None:
    pose.lean = dice.between(10, 40)
    for side in (LEFT, RIGHT):
        pose.legs[side] = _leg(dice, (95, 130), (5, 35), (-25, 0), (100, 145), (-30, 0))
    if dice.chance(0.3):
        pose.legs[lead] = _leg(dice, (60, 90), (5, 20), (-10, 0), (90, 130), (-20, 10))
    _arms(pose, dice, "sit")


def _bend(pose: Pose, dice: Dice, lead: int) -> None:
    lean = pose.lean = dice.between(15, 60)
    pose.spine = (dice.between(20, 65), dice.between(-12, 12), dice.between(-25, 25))
    pose.neck = (dice.between(-40, 15), 0.0, dice.between(-30, 30))
    for side in (LEFT, RIGHT):
        pose.legs[side] = _leg(dice, (lean - 5, lean + 15), (0, 14), (-15, 5), (0, 40), (-10, 10))
        pose.arms[side] = _leg(dice, (40, 120), (-5, 25), (-10, 40), (0, 60))
    if dice.chance(0.2):
        pose.arms[lead] = tuple(dice.between(*limits) for limits in _ARMS["hip"])


def _kneel(pose: Pose, dice: Dice, lead: int) -> None:
    pose.lean = dice.between(-5, 20)
    for side in (LEFT, RIGHT):
        pose.legs[side] = _leg(dice, (0, 50), (2, 15), (-10, 5), (90, 145), (40, 60))
    if dice.chance(0.6):
        pose.legs[lead] = _leg(dice, (80, 105), (0, 20), (-10, 5), (75, 105), (-5, 10))


def _lie(pose: Pose, dice: Dice, lead: int) -> None:
    # Face up, face down, or on one side.
    if dice.chance(0.7):
        pose.lean = dice.between(80, 100) * dice.pick((-1, 1))
    else:
        pose.roll = dice.between(75, 105) * lead
    bent = dice.between(0, 70)
    for side in (LEFT, RIGHT):
        pose.legs[side] = _leg(
            dice, (0, bent), (0, 20), (-20, 10), (bent * 0.5, bent * 1.5), (0, 40)
        )
    if dice.chance(0.5):
        _arms(pose, dice, "free")


def _lunge(pose: Pose, dice: Dice, lead: int) -> None:
    pose.lean = dice.between(-5, 30)
    pose.legs[lead] = _leg(dice, (50, 105), (0, 40), (-30, 5), (30, 110), (-10, 15))
    pose.legs[-lead] = _leg(dice, (-45, 10), (0, 45), (-30, 5), (0, 60), (0, 30))
    _arms(pose, dice, "free")


def _kick(pose: Pose, dice: Dice, lead: int) -> None:
    pose.lean = dice.between(-25, 15)
    pose.roll = dice.between(-15, 15)
    pose.legs[lead] = _leg(dice, (30, 110), (0, 50), (-30, 10), (0, 60), (0, 50))
    pose.legs[-lead] = _leg(dice, (-15, 10), (0, 10), (-15, 5), (0, 35), (0, 15))
    _arms(pose, dice, "free")


def _jump(pose: Pose, dice: Dice, lead: int) -> None:
    pose.lean = dice.between(-25, 30)
    # A few are upside down: cartwheels, divers.
    pose.roll = dice.between(-25, 25) + (dice.between(60, 180) * lead if dice.chance(0.15) else 0)
    for side in (LEFT, RIGHT):
        pose.legs[side] = _leg(dice, (-40, 90), (0, 60), (-30, 10), (0, 110), (10, 60))
    _arms(pose, dice, "free")


_SHAPES = {
    "standing": _stand, "walking": _walk, "running": _run, "sitting": _sit, "squatting": _squat,
    "bending": _bend, "kneeling": _kneel, "lying": _lie, "lunging": _lunge, "kicking": _kick,
    "jumping": _jump,
}  # fmt: skip
