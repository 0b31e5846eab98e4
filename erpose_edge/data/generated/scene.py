"""Scene: people, objects and background in one picture, with labels that know what is hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from erpose_edge.data.generated.background import paint_background
from erpose_edge.data.generated.body import Person, figure_of, project_point
from erpose_edge.data.generated.camera import expose
from erpose_edge.data.generated.dice import Dice
from erpose_edge.data.generated.objects import make_chair, make_object
from erpose_edge.data.generated.outfit import Outfit
from erpose_edge.data.generated.paint import Cutout, Figure, composite, paint
from erpose_edge.data.generated.person import person_keypoints, sample_person
from erpose_edge.data.generated.stage import (
    Setting,
    sample_cast,
    sample_setting,
)
from erpose_edge.errors import DataError
from erpose_edge.metrics.image_labels import ImageLabels

OBJECT = 255  # in the owner map; people are 1, 2, ...
MOST_PEOPLE = 60  # in a scene
_COUNTS = (
    (0, 6), (1, 20), (2, 17), (3, 14), (4, 12), (5, 9), (6, 7), (7, 5), (8, 4), (10, 3), (12, 3),
)  # fmt: skip
_LEAST_SEEN = 0.12  # of a person's outline; hidden any more, nobody could label them
_LEAST_AREA = 120  # px


@dataclass(frozen=True)
class Drawn:
    """One person in the picture, as ImageLabels wants it; ``owner`` is the value in the map."""

    owner: int
    keypoints: np.ndarray
    box: tuple[int, int, int, int]
    area: int


def render_scene(
    seed: int, size: tuple[int, int] = (480, 640), people: int | None = None
) -> tuple[np.ndarray, ImageLabels]:
    """Draw a scene with people and its labels; the same bytes for a seed on every platform.

    Args:
        seed: Whole number from 0 on.
        size: (height, width) of the picture, at least 32 px each.
        people: How many people there are, at most 60; drawn from 0 to 12 if None. One that lies
            nearly all behind something is ``ignore`` and has no labelled keypoint.

    Returns:
        The picture, uint8 BGR (height, width, 3), and COCO-17 labels with image id 1: flag 2 for
        visible, 1 for hidden (by other people, by things, by the own body), 0 outside the picture.
        Pixel centres lie at whole numbers. Box and area are those of the person's outline within
        the picture, hidden parts included.

    Raises:
        DataError: The seed is negative, the size too small, or there are too many people.
    """
    if seed < 0:
        raise DataError(f"scene seed: expected 0 or more, got {seed}; correct it")
    dice = Dice(seed)
    image, labels, _ = compose_scene(dice, size, people)
    return expose(dice, image), labels


def compose_scene(
    dice: Dice, size: tuple[int, int], people: int | None = None
) -> tuple[np.ndarray, ImageLabels, np.ndarray]:
    """Draw a scene before the camera adds blur and noise; see ``render_scene``.

    Returns:
        The picture; its labels; and whose pixel each one is, uint8 (height, width): the annotation
        id of a person, 255 for an object that stands before or between people, 0 for the rest.

    Raises:
        DataError: The size is too small, or the number of people cannot be drawn.
    """
    if min(size) < 32:
        raise DataError(f"scene size: expected at least 32 x 32 px, got {size}; ask for more")
    if people is not None and not 0 <= people <= MOST_PEOPLE:
        raise DataError(f"scene people: expected 0 to {MOST_PEOPLE}, got {people}; ask for fewer")
    count = dice.weighted(_COUNTS)
    count = count if people is None else people
    setting = sample_setting(dice, size, count)
    image = paint_background(dice, size, int(setting.horizon))
    owner = np.zeros(size, np.uint8)
    drawn: list[Drawn] = []
    for stature, kind, x in sample_cast(dice, setting, count):
        foot = setting.horizon + setting.eye * stature
        if kind == "person":
            drawn += _put_person(dice, setting, (image, owner), (x, foot, stature), len(drawn) + 1)
        else:
            figure = make_object(dice, kind, x, foot, stature)
            put_figure(dice, setting, (image, owner), figure, OBJECT)
    return image, labels_of(drawn, owner), owner


def _put_person(
    dice: Dice,
    setting: Setting,
    canvas: tuple[np.ndarray, np.ndarray],
    where: tuple[float, float, float],
    owner: int,
) -> list[Drawn]:
    x, _, stature = where
    sampled = sample_person(dice, setting, stature, x, setting.size[1])
    return put_person(dice, setting, canvas, sampled, where, owner)


def put_person(
    dice: Dice,
    setting: Setting,
    canvas: tuple[np.ndarray, np.ndarray],
    posed: tuple[Person, Outfit, str],
    where: tuple[float, float, float],
    owner: int,
) -> list[Drawn]:
    """Draw a posed person with shadow and chair into a picture and its map of owners, in place.

    Args:
        dice: Where shadow, chair and folds are drawn from.
        setting: Camera and light.
        canvas: uint8 BGR picture (height, width, 3), and owners (height, width) uint8.
        posed: The person, what they wear, and the family of their pose.
        where: x of the person and y of the ground under them, and their stature, px.
        owner: Their value in the map.

    Returns:
        The person; nobody if they lie outside the picture.
    """
    x, foot, stature = where
    person, outfit, family = posed
    unit = (0.0, 0.0, stature, setting.distance)
    spheres = [s for _, shapes in person.groups for shape in shapes for s in shape[2]]
    edges = [(project_point(point, unit), radius) for point, radius in spheres]
    low = max(y + radius * scale for (_, y, scale), radius in edges)
    lift = stature * dice.between(0.05, 0.4) if family == "jumping" else 0.0
    project = (x, foot - low - lift, stature, setting.distance)
    _shadow(canvas[0], (x, foot, stature), dice)
    if family == "sitting" and dice.chance(0.6):
        seat = project[1] + 0.05 * stature
        put_figure(dice, setting, canvas, make_chair(dice, x, seat, foot, stature), OBJECT)
    figure = figure_of(person, outfit, project)
    cutout = put_figure(dice, setting, canvas, figure, owner)
    if cutout is None:
        return []
    mask = cutout.alpha >= 128
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return []
    box = (
        cutout.left + int(columns[0]), cutout.top + int(rows[0]),
        int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1,
    )  # fmt: skip
    keypoints = person_keypoints(person, figure, cutout, project, setting.size)
    return [Drawn(owner, keypoints, box, int(np.count_nonzero(mask)))]


def put_figure(
    dice: Dice,
    setting: Setting,
    canvas: tuple[np.ndarray, np.ndarray],
    figure: Figure,
    owner: int,
) -> Cutout | None:
    """Paint a figure into a picture and its map of owners, in place; None if it lies outside."""
    cutout = paint(figure, setting.size, setting.light, dice)
    if cutout is not None:
        composite(canvas[0], cutout)
        height, width = cutout.alpha.shape
        view = canvas[1][cutout.top : cutout.top + height, cutout.left : cutout.left + width]
        view[cutout.alpha >= 128] = owner
    return cutout


def _shadow(image: np.ndarray, where: tuple[float, float, float], dice: Dice) -> None:
    """Darken the ground under a person, in place."""
    x, foot, stature = where
    wide, high = stature * dice.between(0.15, 0.35), stature * dice.between(0.02, 0.06)
    dark = dice.whole(20, 110)
    left, right = max(0, int(x - wide)), min(image.shape[1], int(x + wide))
    top, bottom = max(0, int(foot - high)), min(image.shape[0], int(foot + high))
    if right <= left or bottom <= top:
        return
    u = (np.arange(left, right) - x) / wide
    v = (np.arange(top, bottom) - foot) / high
    inside = 1.0 - u[None] * u[None] - v[:, None] * v[:, None]
    keep = (256 - dark * np.clip(inside, 0.0, 1.0)).astype(np.uint16)
    view = image[top:bottom, left:right]
    view[:] = (view * keep[:, :, None]) >> 8


def labels_of(drawn: list[Drawn], owner: np.ndarray) -> ImageLabels:
    """Hide what others cover, drop whom nobody could see, and gather the labels."""
    seen = np.bincount(owner.ravel(), minlength=256)
    keypoints = np.zeros((len(drawn), 17, 3), np.float32)
    for row, person in enumerate(drawn):
        points = person.keypoints.copy()
        columns = np.floor(points[:, 0] + 0.5).astype(int)
        rows = np.floor(points[:, 1] + 0.5).astype(int)
        covered = owner[rows, columns] != person.owner
        points[(points[:, 2] == 2) & covered, 2] = 1
        little = seen[person.owner] < max(_LEAST_AREA, _LEAST_SEEN * person.area)
        if not (little or not (points[:, 2] == 2).any()):
            keypoints[row] = points
    return ImageLabels(
        image_id=1,
        file_name="",
        width=owner.shape[1],
        height=owner.shape[0],
        keypoints=keypoints,
        boxes=np.array([person.box for person in drawn], np.float32).reshape(-1, 4),
        areas=np.array([person.area for person in drawn], np.float64),
        ignore=np.asarray(~(keypoints[:, :, 2] > 0).any(axis=1)),
        annotation_ids=np.array([person.owner for person in drawn], np.int64),
    )
