"""Read labels in the layout of YOLO-pose: a folder of pictures and one text file for each.

A line is one person, ``class cx cy w h`` and for each keypoint ``x y v`` or ``x y``, all but class
and flag divided by the width or height of the picture. ``images/a/7.jpg`` is labelled by
``labels/a/7.txt``; a picture without such a file, or with an empty one, shows nobody.

Ref: https://docs.ultralytics.com/datasets/pose/
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import DataError, ImageError
from erpose_edge.metrics.image_labels import ImageLabels, LabelSet, Rejected
from erpose_edge.metrics.label_entries import MASK_PER_BOX, EntryError, shown
from erpose_edge.runtime.images import IMAGE_SUFFIXES, read_image
from erpose_edge.skeleton import SKELETONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from erpose_edge.skeleton import Skeleton

PERSON = 0  # the only class of people's data sets
_BOX = 5  # numbers before the keypoints: class and box
_SLACK = 0.01  # past the edge of the picture, of its size: what rounding tools leave
_FLAGS = (0.0, 1.0, 2.0)


def read_yolo_pose(
    labels: str | Path, images: str | Path, skeleton: Skeleton | None = None
) -> LabelSet:
    """Read a folder of YOLO-pose text files.

    A line that cannot be used is listed with file, line and reason. Flags are COCO's; without
    flags a keypoint at 0 0, or below 0, is unlabelled and every other one visible. Areas are 0.53
    of the box, as the layout has none. Every picture is decoded once, for its size.

    Args:
        labels: Folder of text files.
        images: Folder of pictures of the same names.
        skeleton: What the files have to hold; by default the one that the first line fits.

    Raises:
        DataError: A folder is missing, or holds nothing usable.
    """
    label_folder, image_folder = _folder(labels, "labels"), _folder(images, "images")
    pictures = _files(image_folder, IMAGE_SUFFIXES)
    texts = _files(label_folder, (".txt",))
    rejected: list[Rejected] = []
    for name in sorted(set(texts) - set(pictures)):
        reason = f"file: expected a picture of this name in {image_folder}, got none"
        rejected.append(Rejected(str(texts[name]), "picture", reason))
    lines = {name: _lines(texts[name], rejected) for name in sorted(set(texts) & set(pictures))}
    found = skeleton or _skeleton_of(line for of_file in lines.values() for _, line in of_file)
    listed: list[ImageLabels] = []
    people = 0
    for image_id, name in enumerate(sorted(pictures), start=1):
        try:
            height, width = read_image(pictures[name]).shape[:2]
        except ImageError as error:
            reason = str(error).replace(f"{pictures[name]}: ", "", 1)  # said once
            rejected.append(Rejected(str(pictures[name]), f"image {image_id}", reason))
            continue
        parsed: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        for number, line in lines.get(name, []):
            try:
                parsed.append(parse_person(line, len(found)))
            except EntryError as error:
                rejected.append(Rejected(str(texts[name]), f"line {number}", str(error)))
        file_name = pictures[name].relative_to(image_folder).as_posix()
        size = (height, width)
        listed.append(_labels(image_id, file_name, size, parsed, len(found), people + 1))
        people += len(parsed)
    if not listed or not people:
        what = "people" if listed else "pictures"
        first = f"; the first: {rejected[0]}" if rejected else ""
        raise DataError(
            f"{label_folder}: expected YOLO-pose labels of {what}, got none usable{first}"
        )
    return LabelSet(found, listed, rejected, str(label_folder))


def parse_person(line: str, keypoints: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a person's box and keypoints from one line.

    Args:
        line: ``class cx cy w h`` and ``x y v`` or ``x y`` for each keypoint.
        keypoints: K.

    Returns:
        Box (4,), centre and size, and keypoints (K, 3), x, y and COCO flag; in parts of the
        picture's size.

    Raises:
        EntryError: ``<field>: expected <x>, got <y>``.
    """
    words = line.split()
    with_flags, without = _BOX + 3 * keypoints, _BOX + 2 * keypoints
    if len(words) not in (with_flags, without):
        raise EntryError(
            f"numbers: expected {with_flags} (class, box and x y v of {keypoints} keypoints) or "
            f"{without} (x y), got {len(words)}"
        )
    values = [_number(word, index) for index, word in enumerate(words)]
    if values[0] != PERSON:
        raise EntryError(f"class: expected {PERSON} for a person, got {shown(words[0])}")
    for name, value in zip(("cx", "cy", "w", "h"), values[1:_BOX]):
        if not -_SLACK <= value <= 1 + _SLACK:
            raise EntryError(f"{name}: expected a part of the picture in [0, 1], got {value:g}")
    if not (values[3] > 0 and values[4] > 0):
        raise EntryError(f"box: expected a positive size, got {values[3]:g} x {values[4]:g}")
    points = np.zeros((keypoints, 3))
    given = np.array(values[_BOX:]).reshape(keypoints, -1)
    points[:, : given.shape[1]] = given
    if len(words) == without:
        unlabelled = (given < 0).any(axis=1) | (given == 0).all(axis=1)
        points[:, 2] = np.where(unlabelled, 0, 2)
    _check_points(points)
    points[points[:, 2] == 0, :2] = 0  # as COCO writes them
    return np.array(values[1:_BOX]), points


def _check_points(points: NDArray[np.float64]) -> None:
    for index, (x, y, flag) in enumerate(points):
        if flag not in _FLAGS:
            raise EntryError(f"keypoint {index}: expected flag 0, 1 or 2, got {flag:g}")
        if flag and (min(x, y) < -_SLACK or max(x, y) > 1 + _SLACK):
            raise EntryError(
                f"keypoint {index}: expected x and y in parts of the picture in [0, 1], "
                f"got {x:g} {y:g}; pixels have to be divided by its size"
            )


def _number(word: str, index: int) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise EntryError(f"number {index + 1}: expected a finite number, got {shown(word)}")
    return value


def _labels(
    image_id: int,
    file_name: str,
    size: tuple[int, int],
    people: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
    keypoints: int,
    first_id: int,
) -> ImageLabels:
    height, width = size
    scale = np.array([width, height], np.float64)
    boxes = np.array([box for box, _ in people]).reshape(-1, 2, 2) * scale
    points = np.array([person for _, person in people]).reshape(-1, keypoints, 3)
    points[:, :, :2] *= scale
    boxes[:, 0] -= boxes[:, 1] / 2  # the corner instead of the centre
    return ImageLabels(
        image_id=image_id,
        file_name=file_name,
        width=width,
        height=height,
        keypoints=points.astype(np.float32),
        boxes=boxes.reshape(-1, 4).astype(np.float32),
        areas=MASK_PER_BOX * boxes[:, 1].prod(axis=1),
        ignore=(points[:, :, 2] == 0).all(axis=1),
        annotation_ids=np.arange(first_id, first_id + len(people), dtype=np.int64),
    )


def _folder(path: str | Path, what: str) -> Path:
    if not Path(path).is_dir():
        raise DataError(f"{what} {path}: expected a folder, got none; check the path")
    return Path(path)


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return the files below ``folder`` by their path without suffix.

    Raises:
        DataError: Two differ only in their suffix.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in suffixes or not path.is_file():
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError(
                f"{path}: expected one file of this name, got {found[name].name} too; remove one"
            )
        found[name] = path
    return found


def _lines(path: Path, rejected: list[Rejected]) -> list[tuple[int, str]]:
    """Return the lines of a file that hold something, with their numbers from 1."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        rejected.append(Rejected(str(path), "file", f"text: expected UTF-8, got {error}"))
        return []
    return [(i, line) for i, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _skeleton_of(lines: Iterable[str]) -> Skeleton:
    sizes = {_BOX + n * len(s): s for s in SKELETONS.values() for n in (2, 3)}
    fitting = (sizes.get(len(line.split())) for line in lines)
    # Where no line fits, each gets its own reason when it is held against a skeleton.
    return next((s for s in fitting if s is not None), next(iter(SKELETONS.values())))
