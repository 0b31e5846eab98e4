"""Stage: the camera and light of a scene, and who and what stands where."""

from __future__ import annotations

from dataclasses import dataclass

from erpose_edge.data.generated.dice import Dice, cos_sin
from erpose_edge.data.generated.objects import HIDING, STANDING


@dataclass(frozen=True)
class Setting:
    """The camera and the light that all people of a scene share.

    Attributes:
        size: (height, width) of the picture, px.
        horizon: Row of the horizon, px.
        eye: Height of the camera over the ground, in statures.
        pitch: The camera looks down by this, degrees.
        roll: The camera is tilted by this, degrees.
        distance: Of the camera, in statures; small is strong perspective.
        stature: Height of a middling person, px.
        light: Unit vector towards the light in the picture.
    """

    size: tuple[int, int]
    horizon: float
    eye: float
    pitch: float
    roll: float
    distance: float
    stature: float
    light: tuple[float, float]


def sample_light(dice: Dice) -> tuple[float, float]:
    """Draw the direction of the light in the picture; it comes from above."""
    return cos_sin(dice.between(-160, -20))


def sample_setting(dice: Dice, size: tuple[int, int], count: int) -> Setting:
    """Draw camera and light for a picture of (height, width) px and this many people."""
    height = min(size[0], 1.3 * size[1])
    # Photographs show people from head to foot about as often as cut off by the border.
    least, most = (0.3, 2.4) if count < 2 else (0.26, 1.9) if count < 5 else (0.2, 1.1)
    stature = max(20.0, height * dice.skewed(least, most))
    room = size[0] - stature
    top = room * dice.between(0.1, 0.9) if room > 0 else size[0] * dice.between(-0.05, 0.35)
    foot = top + stature
    horizon = size[0] * dice.between(-0.05, 0.6)
    eye = min(2.2, max(0.25, (foot - horizon) / stature))
    return Setting(
        size=size,
        horizon=foot - eye * stature,
        eye=eye,
        pitch=min(45.0, max(-15.0, (eye - 0.9) * 22 + dice.between(-7, 9))),
        roll=dice.between(-4, 4) if dice.chance(0.7) else dice.between(-20, 20),
        distance=dice.between(1.9, 4) if dice.chance(0.3) else dice.between(3, 9),
        stature=stature,
        light=sample_light(dice),
    )


def sample_cast(dice: Dice, setting: Setting, count: int) -> list[tuple[float, str, float]]:
    """Draw (stature in px, kind, x) of everybody and everything, far to near."""
    width = setting.size[1]
    cast: list[tuple[float, str, float]] = []
    spread = dice.between(0.05, 0.4)
    for _ in range(count):
        stature = setting.stature * dice.between(1 - spread, 1 + spread)
        if cast and dice.chance(0.35):  # Close to somebody.
            x = cast[-1][2] + stature * dice.between(0.1, 0.4) * dice.pick((-1, 1))
            x = min(max(x, 0.0), float(width))
        else:
            x = width * dice.between(0.0, 1.0)
        cast.append((stature, "person", x))
    for kinds, most in ((STANDING, 4), (HIDING, 2)):
        for _ in range(dice.whole(0, most)):
            near = dice.between(0.9, 1.35) if kinds is HIDING else dice.between(0.5, 1.05)
            cast.append((setting.stature * near, dice.weighted(kinds), width * dice.between(0, 1)))
    cast.sort(key=lambda item: item[0])
    return cast
