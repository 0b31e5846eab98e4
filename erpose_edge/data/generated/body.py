"""Body: one clothed person as a figure whose shapes are ordered by depth, with its keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

from erpose_edge.data.generated.anatomy import Body, Build, Vector, place
from erpose_edge.data.generated.head import HEAD_KEYPOINTS, head_shapes
from erpose_edge.data.generated.outfit import BOTTOM, EXTRA, SHOE, SKIN, SOCK, TOP, Outfit
from erpose_edge.data.generated.paint import Figure

# One shape: its tag, its material, and spheres (centre, radius) in statures.
Sphere = Tuple[Vector, float]
Shape = Tuple[str, int, List[Sphere]]

FLAT = frozenset({"eye", "pupil", "brow", "mouth", "glasses"})

# The shapes in which a keypoint counts as seen. ``~`` marks shapes that both sides share: there the
# keypoint is seen only if it lies on the half of the body that is turned to the camera.
_SEEN_ON = {
    "shoulder": ("upper_arm", "~chest"),
    "elbow": ("upper_arm", "forearm"),
    "wrist": ("forearm", "hand"),
    "hip": ("thigh", "~chest", "~hips", "~skirt"),
    "knee": ("thigh", "shin", "~skirt"),
    "ankle": ("shin", "foot"),
}
_FAR = 0.045  # statures behind the middle of the trunk from which a shared shape hides a keypoint


@dataclass(frozen=True)
class Person:
    """One person in space.

    Attributes:
        groups: (depth, shapes), to be painted from the largest depth to the smallest.
        keypoints: COCO-17 places, in statures.
        seen_on: For each keypoint the tags of the shapes on which it is seen; empty if turned away.
    """

    groups: list[tuple[float, list[Shape]]]
    keypoints: list[Vector]
    seen_on: list[frozenset[str]]


def dress(build: Build, body: Body, outfit: Outfit) -> Person:
    """Put flesh and clothes on a posed body."""
    groups: list[tuple[float, list[Shape]]] = []
    for end in ("_l", "_r"):
        groups += _arm(build, body, outfit, end)
        groups += _leg(build, body, outfit, end)
    groups += _trunk(build, body, outfit)
    head_groups, head_points, head_seen = head_shapes(build, body, outfit)
    groups += head_groups
    groups.sort(key=lambda group: -group[0])

    keypoints = [head_points[name] for name in HEAD_KEYPOINTS]
    seen = [head_seen[name] for name in HEAD_KEYPOINTS]
    middle = {"shoulder": body.points["neck"][2], "hip": 0.0, "knee": 0.0}
    for joint, shapes in _SEEN_ON.items():
        for end in ("_l", "_r"):
            point = body.points[joint + end]
            far = point[2] - middle.get(joint, 0.0) > _FAR
            tags = [s[1:] if s[0] == "~" else s + end for s in shapes if not (far and s[0] == "~")]
            keypoints.append(point)
            seen.append(frozenset(tags))
    return Person(groups, keypoints, seen)


def _depth(*spheres: Sphere) -> float:
    """Return the depth by which a shape is ordered: its middle, a little nearer if it is thick."""
    return sum(p[2] - 0.4 * r for p, r in spheres) / len(spheres)


def _mix(a: Vector, b: Vector, share: float) -> Vector:
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )


def _arm(build: Build, body: Body, outfit: Outfit, end: str) -> list[tuple[float, list[Shape]]]:
    p, thick = body.points, build.girth
    shoulder, elbow, wrist = p["shoulder" + end], p["elbow" + end], p["wrist" + end]
    cloth = outfit.loose if outfit.sleeve == 1.0 else 1.0
    arm = TOP if outfit.sleeve == 1.0 else SKIN
    upper: list[Sphere] = [
        (_mix(shoulder, elbow, 0.06), 0.031 * thick * cloth),
        (_mix(shoulder, elbow, 0.4), 0.030 * thick * cloth),
        (elbow, 0.024 * thick * cloth),
    ]
    lower: list[Sphere] = [
        (elbow, 0.024 * thick * cloth),
        (_mix(elbow, wrist, 0.3), 0.025 * thick * cloth),
        (wrist, 0.0165 * thick * cloth),
    ]
    palm, finger, thumb = p["palm" + end], p["finger" + end], p["thumb" + end]
    hand: list[Sphere] = [(wrist, 0.014), (palm, 0.019), (finger, 0.012)]
    shapes: list[Shape] = [("upper_arm" + end, arm, upper)]
    if 0 < outfit.sleeve < 1:
        wide = 0.033 * thick * outfit.loose
        cuff = _mix(shoulder, elbow, outfit.sleeve)
        shapes.append(("upper_arm" + end, TOP, [(shoulder, wide), (cuff, wide * 0.95)]))
    elif outfit.sleeve == 0:
        strap = _mix(shoulder, p["neck"], 0.3)
        shapes.append(("upper_arm" + end, TOP, [(strap, 0.03 * thick)]))
    return [
        (_depth(*upper), shapes),
        (_depth(*lower) - 0.004, [("forearm" + end, arm, lower)]),
        (
            _depth(*hand) - 0.004,
            [
                ("hand" + end, SKIN, hand),
                ("hand" + end, SKIN, [(_mix(wrist, palm, 0.4), 0.010), (thumb, 0.0085)]),
            ],
        ),
    ]


def _leg(build: Build, body: Body, outfit: Outfit, end: str) -> list[tuple[float, list[Shape]]]:
    p, thick = body.points, build.girth
    hip, knee, ankle = p["hip" + end], p["knee" + end], p["ankle" + end]
    whole = outfit.leg == 1.0
    loose = outfit.loose if whole else 1.0
    skin_or_cloth = BOTTOM if whole else SKIN
    thigh: list[Sphere] = [
        (hip, 0.056 * thick),
        (_mix(hip, knee, 0.3), 0.052 * thick * (1 + (loose - 1) * 0.5)),
        (knee, 0.034 * thick * loose),
    ]
    shin: list[Sphere] = [
        (knee, 0.033 * thick * loose),
        (p["calf" + end], 0.034 * thick * loose),
        (ankle, (0.036 if whole and outfit.loose > 1.25 else 0.021) * thick),
    ]
    upper: list[Shape] = [("thigh" + end, skin_or_cloth, thigh)]
    if not whole:
        cuff = _mix(hip, knee, outfit.leg)
        wide = (0.056 - 0.018 * outfit.leg) * thick * outfit.loose
        upper.append(("thigh" + end, BOTTOM, [(hip, 0.058 * thick), (cuff, wide)]))
    lower: list[Shape] = [("shin" + end, skin_or_cloth, shin)]
    if not whole:
        sock = _mix(ankle, knee, 0.22)
        lower.append(("shin" + end, SOCK, [(ankle, 0.022 * thick), (sock, 0.025 * thick)]))
    foot: list[Sphere] = [
        (p["heel" + end], 0.024), (p["ball" + end], 0.022), (p["toe" + end], 0.016),
    ]  # fmt: skip
    return [
        (_depth(*thigh), upper),
        (_depth(*shin), lower),
        (_depth(*foot), [("foot" + end, SHOE, [*foot, (ankle, 0.022)])]),
    ]


def _trunk(build: Build, body: Body, outfit: Outfit) -> list[tuple[float, list[Shape]]]:
    p, thick = body.points, build.girth
    pelvis, waist, neck = p["pelvis"], p["waist"], p["neck"]
    wide = 0.5 + 0.5 * thick
    hips: list[Sphere] = []
    chest: list[Sphere] = []
    for side in (-1.0, 1.0):
        hips.append(
            (place(pelvis, body.pelvis, (side * build.hip * 0.75, 0.0, 0.008)), 0.06 * wide)
        )
        hips.append((place(waist, body.pelvis, (side * 0.052 * wide, 0.01, 0.0)), 0.05 * wide))
        chest.append(
            (place(neck, body.chest, (side * (build.shoulder - 0.024), 0.038, 0.0)), 0.036 * wide)
        )
        chest.append(
            (place(neck, body.chest, (side * (build.shoulder - 0.045), 0.09, -0.008)), 0.058 * wide)
        )
        chest.append((place(waist, body.chest, (side * 0.045 * wide, 0.0, 0.0)), 0.052 * wide))
    chest.append((place(waist, body.chest, (0.0, 0.0, -build.belly)), 0.055 * wide))
    chest.append((place(neck, body.chest, (0.0, 0.012, 0.004)), 0.036))
    if build.bust:
        bust = (0.0, 0.115, -0.03 - build.bust)
        chest.append((place(neck, body.chest, bust), 0.042 * wide))
    if outfit.hem:
        for side in (-1.0, 1.0):
            low = (side * build.hip * 0.7, -0.01, 0.0)
            chest.append(
                (place(pelvis, body.pelvis, low), 0.06 * wide * (0.6 + 0.4 * outfit.loose))
            )
    collar: list[Sphere] = [
        (place(neck, body.chest, (0.0, 0.012, -0.004)), 0.034 * wide),
        (p["skull"], 0.028 * wide),
    ]
    depth = _depth(*chest) + 0.008
    groups: list[tuple[float, list[Shape]]] = [
        (_depth(*hips) + 0.006, [("hips", BOTTOM, hips)]),
        (depth, [("chest", TOP, chest)]),
        # An open collar in front, a closed one behind.
        (depth - 0.002 if body.chest[8] > 0.55 else depth + 0.002, [("neck", SKIN, collar)]),
    ]
    if outfit.skirt:
        groups.append(_skirt(build, body, outfit, hips))
    if outfit.bag:
        bag: list[Sphere] = [
            (place(neck, body.chest, (0.05 * side, y, 0.085)), 0.045)
            for side in (-1, 1)
            for y in (0.05, 0.19)
        ]
        groups.append((_depth(*bag) - 0.03, [("bag", EXTRA, bag)]))
    return groups


def _skirt(
    build: Build, body: Body, outfit: Outfit, hips: list[Sphere]
) -> tuple[float, list[Shape]]:
    shape = list(hips)
    nearest = 0.0
    for end in ("_l", "_r"):
        hip, knee, ankle = (body.points[name + end] for name in ("hip", "knee", "ankle"))
        thigh = min(1.0, outfit.skirt)
        hem = _mix(hip, knee, thigh)
        shape.append((hem, 0.062 * build.girth * outfit.loose))
        if outfit.skirt > 1:
            shape.append((_mix(knee, ankle, outfit.skirt - 1), 0.06 * build.girth * outfit.loose))
        nearest = min(nearest, _depth((hip, 0.056), (_mix(hip, knee, 0.3), 0.05), (knee, 0.034)))
    return nearest - 0.001, [("skirt", BOTTOM, shape)]


def figure_of(person: Person, outfit: Outfit, project: tuple[float, float, float, float]) -> Figure:
    """Project a person into the picture.

    Args:
        person: The person, in statures.
        outfit: Whose materials the figure gets.
        project: x and y of the pelvis in px, px per stature there, distance of the camera in
            statures.
    """
    figure = Figure(materials=outfit.materials, flat=FLAT)
    for _, shapes in person.groups:
        for tag, material, spheres in shapes:
            figure.add(tag, material, *(_project_sphere(s, project) for s in spheres))
    return figure


def project_point(
    point: Vector, project: tuple[float, float, float, float]
) -> tuple[float, float, float]:
    """Return x and y in px, and the px per stature at that depth."""
    x, y, stature, distance = project
    scale = stature * distance / max(0.3, distance + point[2])
    return x + point[0] * scale, y + point[1] * scale, scale


def _project_sphere(
    sphere: Sphere, project: tuple[float, float, float, float]
) -> tuple[float, float, float]:
    x, y, scale = project_point(sphere[0], project)
    return x, y, sphere[1] * scale
