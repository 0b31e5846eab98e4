"""Read label files of the COCO format and of CrowdPose.

A label file is written by somebody else, so an entry that cannot be used is listed with file, id
and reason instead of ending the run; only a file without anything usable is an error.

Ref: https://cocodataset.org/#format-data; Li et al., "CrowdPose", CVPR 2019.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from erpose_edge.errors import DataError
from erpose_edge.metrics.image_labels import ImageLabels, LabelSet, Rejected, to_coco
from erpose_edge.metrics.label_entries import (
    EntryError,
    ImageEntry,
    PersonEntry,
    parse_image,
    parse_person,
    shown,
)
from erpose_edge.skeleton import SKELETONS, Skeleton

__all__ = ["ImageLabels", "LabelSet", "Rejected", "read_labels", "to_coco"]

_ALIASES = {"head": "top_head"}  # CrowdPose's files name it in both ways


def read_labels(path: str | Path, skeleton: Skeleton | None = None) -> LabelSet:
    """Read a COCO-format or CrowdPose-format label file.

    Args:
        path: JSON with ``images`` and ``annotations``. The skeleton is the one that
            ``categories`` names, or else the one with as many keypoints as the annotations.
        skeleton: What the file has to hold; any known one by default.

    Raises:
        DataError: The file cannot be read, is not such JSON, is of another skeleton, or holds
            nothing usable.
    """
    document = _read_json(Path(path))
    file = str(path)
    lists = [_list(document, name, file) for name in ("images", "annotations")]
    found, category = _skeleton_of(document, lists[1], skeleton, file)
    rejected: list[Rejected] = []
    images = _read_images(lists[0], file, rejected)
    people = _read_people(lists[1], images, (found, category), file, rejected)
    for name, usable in (("images", images), ("annotations", people)):
        if not usable:
            first = f"; the first: {rejected[0].entry}: {rejected[0].reason}" if rejected else ""
            raise DataError(f"{file}: {name}: expected at least one usable entry, got none{first}")
    of_image: dict[int, list[PersonEntry]] = {}
    for person in people:
        of_image.setdefault(person.image_id, []).append(person)
    labelled = [
        _labels(entry, of_image.get(image_id, []), len(found)) for image_id, entry in images.items()
    ]
    return LabelSet(found, labelled, rejected, file)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: expected a label file, got none; check the path") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a readable label file, got {error}") from None
    if not content.strip():
        raise DataError(f"{path}: expected COCO-format JSON, got an empty file")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected COCO-format JSON, got {error}") from None
    if not isinstance(document, dict):
        raise DataError(f"{path}: expected a JSON object, got {shown(document)}")
    return document


def _list(document: dict[str, Any], name: str, file: str) -> list[Any]:
    if name not in document:
        raise DataError(f"{file}: {name}: expected a list, got no such field")
    value = document[name]
    if not isinstance(value, list) or not value:
        got = "an empty list" if value == [] else shown(value)
        raise DataError(f"{file}: {name}: expected a list of entries, got {got}")
    return value


def _skeleton_of(
    document: dict[str, Any], annotations: list[Any], wanted: Skeleton | None, file: str
) -> tuple[Skeleton, int | None]:
    """Return the file's skeleton, and the id of the category that has it (None: any)."""
    categories = document.get("categories")
    for category in categories if isinstance(categories, list) else []:
        names = category.get("keypoints") if isinstance(category, dict) else None
        if isinstance(names, list) and names:
            found = _known(tuple(_ALIASES.get(n, n) if isinstance(n, str) else "" for n in names))
            if found is None:
                raise DataError(
                    f"{file}: categories.keypoints: expected the names of "
                    f"{' or '.join(SKELETONS)} in order, got {len(names)} others"
                )
            identity = category.get("id")
            return _check(found, wanted, file), identity if type(identity) is int else None
    sizes = Counter(
        len(entry["keypoints"])
        for entry in annotations
        if isinstance(entry, dict) and isinstance(entry.get("keypoints"), list)
    )
    sizes_of = {3 * len(s): s for s in SKELETONS.values()}
    fitting = [s for size, s in sizes_of.items() if sizes[size] == max(sizes.values(), default=-1)]
    if fitting:
        return _check(fitting[0], wanted, file), None
    # No entry will fit; with a skeleton to hold them against, each gets its own reason.
    return wanted or next(iter(SKELETONS.values())), None


def _known(names: tuple[str, ...]) -> Skeleton | None:
    return next((s for s in SKELETONS.values() if s.keypoints == names), None)


def _check(found: Skeleton, wanted: Skeleton | None, file: str) -> Skeleton:
    if wanted is not None and found.name != wanted.name:
        raise DataError(f"{file}: keypoints: expected {wanted.name}, got {found.name}")
    return found


def _read_images(entries: list[Any], file: str, rejected: list[Rejected]) -> dict[int, ImageEntry]:
    images: dict[int, ImageEntry] = {}
    for position, entry in enumerate(entries):
        try:
            image = parse_image(entry)
            if image.image_id in images:
                raise EntryError(f"id: expected one image of this id, got {image.image_id} again")
            images[image.image_id] = image
        except EntryError as error:
            rejected.append(Rejected(file, _which("image", entry, position), str(error)))
    return images


def _read_people(
    entries: list[Any],
    images: dict[int, ImageEntry],
    kind: tuple[Skeleton, int | None],
    file: str,
    rejected: list[Rejected],
) -> list[PersonEntry]:
    skeleton, category = kind
    people: dict[int, PersonEntry] = {}
    for position, entry in enumerate(entries):
        try:
            _check_category(entry, category)
            person = parse_person(entry, len(skeleton))
            if person.image_id not in images:
                raise EntryError(f"image_id: expected a usable image, got {person.image_id}")
            if person.annotation_id in people:
                raise EntryError(f"id: expected one annotation of it, got {person.annotation_id}")
            people[person.annotation_id] = person
        except EntryError as error:
            rejected.append(Rejected(file, _which("annotation", entry, position), str(error)))
    return list(people.values())


def _check_category(entry: object, category: int | None) -> None:
    if category is None or not isinstance(entry, dict):
        return
    got = entry.get("category_id", category)
    if type(got) is not int or got != category:
        raise EntryError(f"category_id: expected {category}, got {shown(got)}")


def _which(kind: str, entry: object, position: int) -> str:
    identity = entry.get("id") if isinstance(entry, dict) else None
    if type(identity) is int:
        return f"{kind} {shown(identity)}"
    return f"{kind} at position {position}"


def _labels(entry: ImageEntry, people: list[PersonEntry], keypoints: int) -> ImageLabels:
    count = len(people)
    return ImageLabels(
        image_id=entry.image_id,
        file_name=entry.file_name,
        width=entry.width,
        height=entry.height,
        keypoints=np.array([p.keypoints for p in people], np.float32).reshape(count, keypoints, 3),
        boxes=np.array([p.box for p in people], np.float32).reshape(count, 4),
        areas=np.array([p.area for p in people], np.float64),
        ignore=np.array([p.ignore for p in people], bool),
        annotation_ids=np.array([p.annotation_id for p in people], np.int64),
        crowd_index=entry.crowd_index,
        crowd=np.array([p.crowd for p in people], bool),
    )
