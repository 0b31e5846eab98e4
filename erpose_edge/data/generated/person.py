"""Person: everything about one person drawn at random, and a person cut out of no scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from erpose_edge.data.generated.anatomy import Body, camera_rotation, pose_body, sample_build
from erpose_edge.data.generated.body import Person, dress, figure_of, project_point
from erpose_edge.data.generated.dice import Dice
from erpose_edge.data.generated.outfit import BOTTOM, TOP, Outfit, sample_outfit
from erpose_edge.data.generated.paint import Cutout, Figure, paint
from erpose_edge.data.generated.poses import sample_pose
from erpose_edge.data.generated.stage import Setting, sample_light


def sample_person(
    dice: Dice, setting: Setting, stature: float, x: float, width: int
) -> tuple[Person, Outfit, str]:
    """Draw build, pose, clothes and direction of a person.

    Args:
        dice: Where they are drawn from.
        setting: Camera and light of the scene.
        stature: Height of the person, px.
        x: Column in which they stand, px.
        width: Of the picture, px.

    Returns:
        The person, what they wear, and the family of their pose.
    """
    # Away from the middle of the picture the line of sight is oblique.
    bearing = (0.5 - x / width) * 40.0
    yaw = dice.weighted(
        (
            (dice.between(-35, 35), 4.5),
            (dice.between(35, 145) * dice.pick((-1, 1)), 3.5),
            (dice.between(145, 215), 2.0),
        )
    )
    build, pose = sample_build(dice), sample_pose(dice)
    outfit = sample_outfit(dice, stature)
    camera = camera_rotation(yaw + bearing, setting.pitch + dice.between(-5, 5), setting.roll)
    body = pose_body(build, pose, camera)
    lay_patterns(outfit, body, lambda: dice.chance(0.35))
    return dress(build, body, outfit), outfit, pose.family


def lay_patterns(outfit: Outfit, body: Body, upright: Callable[[], bool]) -> None:
    """Turn the patterns of top and trousers with the trunk and a thigh, in place.

    Args:
        outfit: What the person wears.
        body: As posed.
        upright: Says whether the top's pattern runs across; asked once, if its direction shows.
    """
    for index, (one, other) in ((TOP, ("neck", "waist")), (BOTTOM, ("hip_l", "knee_l"))):
        a, b = body.points[one], body.points[other]
        long = ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5
        if long > 0.01:
            axis = ((b[0] - a[0]) / long, (b[1] - a[1]) / long)
            across = index == TOP and upright()
            outfit.materials[index].axis = (-axis[1], axis[0]) if across else axis


def person_keypoints(
    person: Person,
    figure: Figure,
    cutout: Cutout,
    project: tuple[float, float, float, float],
    size: tuple[int, int],
) -> np.ndarray:
    """Return (K, 3) float32: x, y in px of a picture of this size, and flag.

    What the own body hides has flag 1; what others hide is not known here.
    """
    out = np.zeros((len(person.keypoints), 3), np.float32)
    for row, (point, tags) in enumerate(zip(person.keypoints, person.seen_on)):
        x, y, _ = project_point(point, project)
        # Rounded to 1/16 px, as the shapes are.
        x, y = int(x * 16 + 4096.5) / 16 - 256, int(y * 16 + 4096.5) / 16 - 256
        if 0 <= x <= size[1] - 1 and 0 <= y <= size[0] - 1:
            part = cutout.part_at(x, y)
            seen = part > 0 and figure.shapes[part - 1][3] in tags
            out[row] = (x, y, 2 if seen else 1)
    return out


def render_person_cutout(
    rng: np.random.Generator, height_px: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one person to be pasted into other pictures.

    Args:
        rng: Where the person is drawn from.
        height_px: Height that the person has when they stand upright.

    Returns:
        uint8 BGR (h, w, 3), black around the person; uint8 mask (h, w), 0 to 255; float32
        keypoints (17, 3) with x, y and flag, in px of the cut-out.
    """
    dice = Dice(rng)
    side = int(2.6 * height_px) + 8
    frame = (side, side)
    setting = Setting(
        frame, 0.0, 1.0, dice.between(-8, 20), dice.between(-8, 8), dice.between(2.5, 8), height_px,
        sample_light(dice),
    )  # fmt: skip
    person, outfit, _ = sample_person(dice, setting, height_px, side / 2, side)
    project = (side / 2, side / 2, height_px, setting.distance)
    figure = figure_of(person, outfit, project)
    cutout = paint(figure, frame, setting.light, dice)
    if cutout is None:
        return np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), np.uint8), np.zeros((17, 3), "f4")
    keypoints = person_keypoints(person, figure, cutout, project, frame)
    keypoints[:, :2] -= (cutout.left, cutout.top)
    return cutout.bgr, cutout.alpha, keypoints
