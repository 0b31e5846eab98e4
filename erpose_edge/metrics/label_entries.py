"""Check one entry of a COCO-format label file: an image or a person.

Whatever JSON can hold may stand in an entry; each function returns the entry in numbers, or raises
`EntryError` that names the field. Nothing is corrected silently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASK_PER_BOX = 0.53  # person area over box area where a file gives no area: CrowdPose's own rule
MAX_SIDE_PX = 1_000_000  # beyond any camera; keeps squared distances finite
_MAX_ID = 2**63 - 1
_FLAGS = (0.0, 1.0, 2.0)


class EntryError(Exception):
    """An entry cannot be used; the text reads ``<field>: expected <x>, got <y>``."""


class ImageEntry(NamedTuple):
    """An image as the file lists it; sizes in pixels."""

    image_id: int
    file_name: str
    width: int
    height: int
    crowd_index: float | None


@dataclass(frozen=True)
class PersonEntry:
    """One annotated person in source pixels.

    Attributes:
        annotation_id: Its id in the file.
        image_id: The image it stands in.
        keypoints: (K, 3) float32, x, y and COCO flag (0 unlabelled, 1 hidden, 2 visible).
        box: x, y, width, height.
        area: Square pixels.
        crowd: True for a region of many people.
        ignore: True where it is neither a person to find nor background.
    """

    annotation_id: int
    image_id: int
    keypoints: NDArray[np.float32]
    box: tuple[float, ...]
    area: float
    crowd: bool
    ignore: bool


def shown(value: object) -> str:
    """Return ``value`` short enough for an error of one line."""
    if isinstance(value, (list, dict)):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    if isinstance(value, int) and abs(value) > _MAX_ID:
        return "an integer of more than 64 bits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def parse_image(entry: object) -> ImageEntry:
    """Return one entry of ``images``.

    Raises:
        EntryError: A field is missing, or of the wrong type or range.
    """
    fields = _object(entry)
    crowd_index = fields.get("crowdIndex")
    if crowd_index is not None:
        crowd_index = _number(fields, "crowdIndex", low=0.0)
    return ImageEntry(
        image_id=identifier(fields, "id"),
        file_name=_file_name(fields),
        width=_side(fields, "width"),
        height=_side(fields, "height"),
        crowd_index=crowd_index,
    )


def parse_person(entry: object, keypoints: int) -> PersonEntry:
    """Return one entry of ``annotations``.

    A person is ignored where the file says so (``iscrowd`` or ``ignore``) or labels no keypoint.

    Args:
        entry: The value in the file.
        keypoints: K, the keypoints of the skeleton.

    Raises:
        EntryError: A field is missing, or of the wrong type or range.
    """
    fields = _object(entry)
    points = _keypoints(fields, keypoints)
    box = _box(fields)
    area = _area(fields, box)
    crowd = _switch(fields, "iscrowd")
    labelled = int(np.count_nonzero(points[:, 2]))
    if "num_keypoints" in fields:
        labelled = min(labelled, _count(fields, "num_keypoints", keypoints))
    return PersonEntry(
        annotation_id=identifier(fields, "id"),
        image_id=identifier(fields, "image_id"),
        keypoints=points,
        box=box,
        area=area,
        crowd=crowd,
        ignore=crowd or _switch(fields, "ignore") or labelled == 0,
    )


def identifier(fields: Mapping[str, Any], name: str) -> int:
    """Return the integer id in field ``name``.

    Raises:
        EntryError: It is missing, or no integer of 64 bits.
    """
    value = _field(fields, name)
    if type(value) is not int or abs(value) > _MAX_ID:
        raise EntryError(f"{name}: expected an integer, got {shown(value)}")
    return value


def _object(entry: object) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise EntryError(f"entry: expected an object, got {shown(entry)}")
    return entry


def _field(fields: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    if name not in fields:
        raise EntryError(f"{name}: expected the field, got none")
    return fields[name]


def _number(fields: Mapping[str, Any], name: str, low: float) -> float:
    value = _field(fields, name)
    if not _is_number(value) or value < low:
        raise EntryError(f"{name}: expected a number of at least {low:g}, got {shown(value)}")
    return float(value)


def _is_number(value: object) -> bool:
    """Say whether ``value`` is finite and within what a float holds; a bool is no number."""
    if type(value) is int:
        return abs(value) <= _MAX_ID
    return type(value) is float and math.isfinite(value)


def _side(fields: Mapping[str, Any], name: str) -> int:
    value = _field(fields, name)
    if type(value) is not int or not 1 <= value <= MAX_SIDE_PX:
        raise EntryError(f"{name}: expected a whole number of pixels from 1, got {shown(value)}")
    return value


def _file_name(fields: Mapping[str, Any]) -> str:
    value = _field(fields, "file_name")
    if not isinstance(value, str) or not value or not value.isprintable():
        raise EntryError(f"file_name: expected a printable file name, got {shown(value)}")
    return value


def _switch(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, 0)
    if not isinstance(value, int) or value not in (0, 1):
        raise EntryError(f"{name}: expected 0 or 1, got {shown(value)}")
    return bool(value)


def _count(fields: Mapping[str, Any], name: str, most: int) -> int:
    value = fields[name]
    if type(value) is not int or not 0 <= value <= most:
        raise EntryError(f"{name}: expected a whole number from 0 to {most}, got {shown(value)}")
    return value


def _keypoints(fields: Mapping[str, Any], keypoints: int) -> NDArray[np.float32]:
    values = _field(fields, "keypoints")
    if not isinstance(values, list):
        raise EntryError(f"keypoints: expected a list of numbers, got {shown(values)}")
    if len(values) != 3 * keypoints:
        raise EntryError(
            f"keypoints: expected {3 * keypoints} numbers ({keypoints} keypoints), "
            f"got {len(values)} ({len(values) / 3:g} keypoints)"
        )
    for index, value in enumerate(values):
        if not _is_number(value) or abs(value) > MAX_SIDE_PX:
            raise EntryError(f"keypoints[{index}]: expected a finite number, got {shown(value)}")
    for index, flag in enumerate(values[2::3]):
        if flag not in _FLAGS:
            raise EntryError(f"keypoints[{3 * index + 2}]: expected flag 0, 1 or 2, got {flag}")
    return np.array(values, np.float32).reshape(keypoints, 3)


def _box(fields: Mapping[str, Any]) -> tuple[float, ...]:
    values = _field(fields, "bbox")
    if not isinstance(values, list) or len(values) != 4:
        raise EntryError(f"bbox: expected [x, y, width, height], got {shown(values)}")
    for index, value in enumerate(values):
        if not _is_number(value) or abs(value) > MAX_SIDE_PX:
            raise EntryError(f"bbox[{index}]: expected a finite number, got {shown(value)}")
    if not (values[2] > 0 and values[3] > 0):
        raise EntryError(
            f"bbox: expected a positive width and height, got {values[2]} x {values[3]}"
        )
    return tuple(float(value) for value in values)


def _area(fields: Mapping[str, Any], box: tuple[float, ...]) -> float:
    if "area" not in fields:
        return MASK_PER_BOX * box[2] * box[3]
    value = fields["area"]
    if not _is_number(value) or not 0 < value <= MAX_SIDE_PX**2:
        raise EntryError(f"area: expected a positive number, got {shown(value)}")
    return float(value)
