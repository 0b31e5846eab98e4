"""Clips of generated people who move before a camera that pans; who is who is known.

A frame depends on its number alone, and is the same bytes on every platform, as scenes are: see
``dice``. Everything about a person but their place and their joint angles is drawn once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from erpose_edge.data.generated.anatomy import Build, camera_rotation, pose_body, sample_build
from erpose_edge.data.generated.background import paint_background
from erpose_edge.data.generated.body import Person, dress
from erpose_edge.data.generated.camera import add_grain, expose
from erpose_edge.data.generated.dice import Dice, cos_sin
from erpose_edge.data.generated.objects import make_object
from erpose_edge.data.generated.outfit import Outfit, sample_outfit
from erpose_edge.data.generated.person import lay_patterns
from erpose_edge.data.generated.poses import FAMILIES, LEFT, RIGHT, Pose, sample_pose
from erpose_edge.data.generated.scene import (
    MOST_PEOPLE,
    OBJECT,
    Drawn,
    labels_of,
    put_figure,
    put_person,
)
from erpose_edge.data.generated.stage import Setting, sample_cast, sample_setting
from erpose_edge.errors import DataError
from erpose_edge.metrics.image_labels import ImageLabels

# Streams of clips are no scene's: people are 1, 2, ... after a clip's own, frames come after them.
_FIRST = 1 << 62
_STRIDE = 1 << 32
_CAMERA, _FRAMES = 1 << 16, 1 << 20
# Between two poses of these a body turns over.
_STAY = tuple(entry for entry in FAMILIES if entry[0] not in ("lying", "jumping"))
_SPEED = {"walking": 0.75, "running": 1.6}  # statures a second
_STEPS = {"walking": (0.9, 1.3), "running": (0.75, 1.0)}  # s for two steps
_GROWTH = 0.06  # of the stature, for each stature walked towards the camera
_PARTS = 16  # of a pixel, in which the camera pans


@dataclass(frozen=True)
class _Actor:
    """One person or thing; ``number`` is the annotation id, and 255 for a thing.

    x, y of the ground and stature are those at the start, in px; ``speed`` is in px/s along x,
    ``growth`` a share of the stature a second. The body goes from the first pose to the last and
    back in ``period`` s.
    """

    number: int
    seed: int
    kind: str
    x: float
    stature: float
    speed: float = 0.0
    growth: float = 0.0
    build: Build | None = None
    poses: tuple[Pose, Pose] | None = None
    yaw: float = 0.0
    turn: float = 0.0
    pitch: float = 0.0
    period: float = 1.0
    start: float = 0.0
    upright: bool = False


class GeneratedClip:
    """Frames that are drawn when they are asked for; the same ones for a seed on every platform.

    Args:
        count: Number of frames.
        seed: Clips with different seeds have nothing in common.
        size: (height, width) of the frames, at least 32 px each.
        people: How many people there are; some may enter or leave.
        rate: Frames a second.
        moving: Whether people and camera move; the sensor's noise differs between frames anyway.

    Raises:
        DataError: A number is out of range.
    """

    def __init__(
        self,
        count: int,
        seed: int = 0,
        size: tuple[int, int] = (480, 640),
        people: int = 3,
        rate: float = 30.0,
        moving: bool = True,
    ) -> None:
        _check(count, seed, size, people, rate)
        self.count, self.size, self.rate, self.moving = count, size, rate, moving
        self.seed = seed
        self._base = _FIRST + seed * _STRIDE
        dice = Dice(self._base)
        self._setting = sample_setting(dice, size, people)
        # The camera comes back in the time of a pan; it sees so much more to both sides.
        self._pan = dice.between(0.02, 0.08) * size[1]
        self._pan_period, self._pan_start = dice.between(3.0, 8.0), dice.between(0.0, 360.0)
        self._margin = math.ceil(self._pan) + 1
        wide = (size[0], size[1] + 2 * self._margin + 1)
        self._background = paint_background(dice, wide, int(self._setting.horizon))
        self._grain = dice.whole(2, 14)
        most = self._setting.stature
        # Nothing stands nearer than the people: a clip is of somebody who can be seen.
        cast = [
            c for c in sample_cast(dice, self._setting, people) if c[1] == "person" or c[0] < most
        ]
        numbers = iter(range(1, people + 1))
        self._actors = [
            self._actor(next(numbers) if kind == "person" else OBJECT, place, stature, kind, x)
            for place, (stature, kind, x) in enumerate(cast, start=1)
        ]

    def _actor(self, number: int, place: int, stature: float, kind: str, x: float) -> _Actor:
        seed = self._base + place
        if kind != "person":
            return _Actor(number, seed, kind, x, stature)
        dice = Dice(seed)
        build, first = sample_build(dice), sample_pose(dice, dice.weighted(_STAY))
        yaw = dice.between(-180.0, 180.0)
        last = _other_end(dice, first)
        speed = _SPEED.get(first.family, 0.0) * dice.between(0.8, 1.2)
        ahead, aside = cos_sin(yaw)
        speed_x = -speed * aside * stature
        if speed_x * (self.size[1] / 2 - x) < 0:  # Towards the middle, to stay in the picture.
            x = self.size[1] - x
        return _Actor(
            number, seed, kind, x, stature, speed_x, _GROWTH * speed * ahead, build, (first, last),
            yaw=yaw,
            turn=dice.between(-25.0, 25.0) if not speed else 0.0,
            pitch=self._setting.pitch + dice.between(-5.0, 5.0),
            period=dice.between(*_STEPS.get(first.family, (1.5, 4.0))),
            start=dice.between(0.0, 360.0),
            upright=dice.chance(0.35),
        )  # fmt: skip

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[np.ndarray, ImageLabels]]:
        for index in range(self.count):
            yield self[index]

    def __getitem__(self, index: int) -> tuple[np.ndarray, ImageLabels]:
        """Draw a frame: uint8 BGR (height, width, 3), and its labels with image id index + 1.

        ``annotation_ids`` are the same for a person in all frames.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"frame {index} of {self.count}")
        seconds = index / self.rate if self.moving else 0.0
        sway = cos_sin(self._pan_start + 360.0 * seconds / self._pan_period)[1]
        pan = math.floor(self._pan * sway * _PARTS)  # in parts of a pixel
        image = self._seen_background(pan)
        owner = np.zeros(self.size, np.uint8)
        drawn: list[Drawn] = []
        standing = [(a.stature * max(0.3, 1 + a.growth * seconds), a) for a in self._actors]
        standing.sort(key=lambda entry: entry[0])  # far to near
        for stature, actor in standing:
            x = actor.x + actor.speed * seconds - pan / _PARTS
            drawn += self._put(actor, (image, owner), (x, stature), seconds)
        labels = labels_of(drawn, owner)
        image = expose(Dice(self._base + _CAMERA), image)
        add_grain(Dice(self._base + _FRAMES + index), image, self._grain)
        name = f"clip_{self.seed}_{index:06d}.png"
        return image, replace(labels, image_id=index + 1, file_name=name)

    def _seen_background(self, pan: int) -> np.ndarray:
        whole, part = divmod(pan, _PARTS)
        left, width = self._margin + whole, self.size[1]
        # Both in 16 bits: numpy 1 would take the type of the picture, not that of the number.
        seen = self._background[:, left : left + width + 1].astype(np.uint16)
        mixed = (seen[:, :-1] * (_PARTS - part) + seen[:, 1:] * part) // _PARTS
        return mixed.astype(np.uint8)

    def _put(
        self,
        actor: _Actor,
        canvas: tuple[np.ndarray, np.ndarray],
        where: tuple[float, float],
        seconds: float,
    ) -> list[Drawn]:
        x, stature = where
        setting = self._setting
        foot = setting.horizon + setting.eye * stature
        dice = Dice(actor.seed)  # from the start: the same folds and things in every frame
        if actor.build is None or actor.poses is None:
            figure = make_object(dice, actor.kind, x, foot, stature)
            put_figure(dice, setting, canvas, figure, OBJECT)
            return []
        outfit = sample_outfit(dice, stature)
        person = _posed(actor, outfit, setting, x, seconds)
        posed = (person, outfit, actor.poses[0].family)
        return put_person(dice, setting, canvas, posed, (x, foot, stature), actor.number)


def _posed(actor: _Actor, outfit: Outfit, setting: Setting, x: float, seconds: float) -> Person:
    if actor.build is None or actor.poses is None:
        raise DataError(f"clip actor: expected a person, got {actor.kind}; draw it as an object")
    way = (1.0 - cos_sin(actor.start + 360.0 * seconds / actor.period)[0]) / 2
    bearing = (0.5 - x / setting.size[1]) * 40.0
    camera = camera_rotation(actor.yaw + actor.turn * way + bearing, actor.pitch, setting.roll)
    body = pose_body(actor.build, _between(actor.poses, way), camera)
    lay_patterns(outfit, body, lambda: actor.upright)
    return dress(actor.build, body, outfit)


def _other_end(dice: Dice, first: Pose) -> Pose:
    """Return the pose at the other end of a movement: the next step, or a part of the way."""
    if first.family in _SPEED:
        return replace(
            first,
            arms={LEFT: first.arms[RIGHT], RIGHT: first.arms[LEFT]},
            legs={LEFT: first.legs[RIGHT], RIGHT: first.legs[LEFT]},
        )
    return _between((first, sample_pose(dice, first.family)), dice.between(0.2, 0.7))


def _between(poses: tuple[Pose, Pose], way: float) -> Pose:
    """Return the pose a share ``way`` of the way from the first to the last."""
    first, last = poses

    def mixed(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(a + (b - a) * way for a, b in zip(one, other))

    lean, roll = mixed((first.lean, first.roll), (last.lean, last.roll))
    bend, side, twist = mixed(first.spine, last.spine)
    nod, tilt, turn = mixed(first.neck, last.neck)
    return Pose(
        first.family,
        lean,
        roll,
        (bend, side, twist),
        (nod, tilt, turn),
        {end: mixed(first.arms[end], last.arms[end]) for end in (LEFT, RIGHT)},
        {end: mixed(first.legs[end], last.legs[end]) for end in (LEFT, RIGHT)},
    )


def _check(count: int, seed: int, size: tuple[int, int], people: int, rate: float) -> None:
    for name, value in (("frames", count), ("seed", seed)):
        if value < 0:
            raise DataError(f"clip {name}: expected 0 or more, got {value}; correct it")
    if min(size) < 32:
        raise DataError(f"clip size: expected at least 32 x 32 px, got {size}; ask for more")
    if not 0 <= people <= MOST_PEOPLE:
        raise DataError(f"clip people: expected 0 to {MOST_PEOPLE}, got {people}; ask for fewer")
    if not 0 < rate < math.inf:
        raise DataError(f"clip rate: expected frames a second above 0, got {rate}; correct it")
