"""Folders of data sets: where known layouts have their label files and images; what is missing.

Nothing is moved or repaired: a missing part is named with the path where it is looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from erpose_edge.data.report import LabelReport, check_labels
from erpose_edge.errors import DataError

_COCO = "https://cocodataset.org/#download"
_CROWDPOSE = "https://github.com/Jeff-sjtu/CrowdPose"
_EXAMPLES = 3  # shared images that are named


@dataclass(frozen=True)
class Part:
    """One split of a layout, as paths below the data set's folder.

    Attributes:
        split: Its name.
        labels: Label file.
        images: Folder of its images.
        needed: False for splits that nothing here trains or measures on.
        labels_from: Where its labels come from.
        images_from: Where its images come from.
    """

    split: str
    labels: str
    images: str
    needed: bool = True
    labels_from: str = ""
    images_from: str = ""


@dataclass(frozen=True)
class Missing:
    """What a layout expects and the folder does not have."""

    path: Path
    what: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.what}, got none; {self.way_out}"


@dataclass(frozen=True)
class Overlap:
    """Images that two splits have in common.

    Attributes:
        splits: Their names.
        files: Images of the same file name.
        ids: Images of the same id; data sets made apart may count from 1 each.
        examples: Some of the file names.
    """

    splits: tuple[str, str]
    files: int
    ids: int
    examples: list[str]


@dataclass(frozen=True)
class FolderReport:
    """What was found in a data set's folder.

    Attributes:
        folder: Of the data set.
        layout: ``coco``, ``crowdpose`` or ``simple``.
        splits: Report of every split that could be read, by name.
        failed: Why others could not, by name.
        missing: Label files and folders that are not there, but needed.
        overlaps: Images in two splits that should have none in common.
    """

    folder: Path
    layout: str
    splits: dict[str, LabelReport]
    failed: dict[str, str]
    missing: list[Missing]
    overlaps: list[Overlap]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``data check FOLDER --json``."""
        return {
            "folder": str(self.folder),
            "layout": self.layout,
            "splits": {name: report.to_json() for name, report in self.splits.items()},
            "failed": self.failed,
            "missing": [{**vars(part), "path": str(part.path)} for part in self.missing],
            "overlaps": [vars(overlap) for overlap in self.overlaps],
        }

    def faults(self) -> list[str]:
        """Return every fault that ``--strict`` refuses, a line each."""
        unusable = [
            str(entry) for r in self.splits.values() for entry in (*r.rejected, *r.unreadable)
        ]
        shared = [
            f"{self.folder}: expected no image in both {' and '.join(o.splits)}, got {o.files} "
            f"({', '.join(o.examples)})"
            for o in self.overlaps
            if o.files
        ]
        return [*map(str, self.missing), *self.failed.values(), *shared, *unusable]


LAYOUTS = {
    "coco": tuple(
        Part(
            split,
            f"annotations/person_keypoints_{split}2017.json",
            f"{split}2017",
            labels_from=f"unpack annotations_trainval2017.zip of {_COCO} there",
            images_from=f"unpack {split}2017.zip of {_COCO} there",
        )
        for split in ("train", "val")
    ),
    "crowdpose": tuple(
        Part(
            split,
            f"json/crowdpose_{split}.json",
            "images",
            needed=split in ("trainval", "test"),
            labels_from=f"take it from the annotations linked at {_CROWDPOSE}",
            images_from=f"unpack the images linked at {_CROWDPOSE} there",
        )
        for split in ("trainval", "train", "val", "test")
    ),
}
# Pairs of splits that are meant to share images.
_SHARING = {("trainval", "train"), ("trainval", "val")}


def check_folder(
    folder: Path,
    progress: Callable[[str, int, int], None] = lambda _split, _done, _total: None,
) -> FolderReport:
    """Find the splits of a data set and check each.

    Args:
        folder: Of the data set.
        progress: Called with the split, the images of it that were opened and their number.

    Raises:
        DataError: The layout is not known, or no split of it can be checked.
    """
    layout, parts = _recognise(folder)
    lacking = [m for part in parts for m in _missing(folder, part)]
    missing = list({part.path: part for part in reversed(lacking)}.values())[::-1]
    splits: dict[str, LabelReport] = {}
    failed: dict[str, str] = {}
    for part in parts:
        labels, images = folder / part.labels, folder / part.images
        if not (labels.is_file() and images.is_dir()):
            continue
        try:
            splits[part.split] = check_labels(labels, images, partial(progress, part.split))
        except DataError as error:
            failed[part.split] = str(error)
    if not splits:
        first = next(iter(failed.values()), None) or missing[0]
        raise DataError(
            f"{folder}: expected a split of the {layout} layout to check, got none; {first}"
        )
    return FolderReport(folder, layout, splits, failed, missing, _overlaps(splits))


def _recognise(folder: Path) -> tuple[str, tuple[Part, ...]]:
    """Return the layout that a folder has, or has parts of."""
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder or a label file, got none; check the path")
    for name, parts in LAYOUTS.items():
        if any((folder / part.labels).is_file() for part in parts):
            return name, parts
    if any((folder / part.images).is_dir() for part in LAYOUTS["coco"]):
        return "coco", LAYOUTS["coco"]
    files = sorted(file.name for file in folder.glob("*.json"))
    if files:
        advice = "put the images there, or name label file and --images"
        return "simple", tuple(
            Part(Path(file).stem, file, "images", images_from=advice) for file in files
        )
    known = ", ".join(part.labels for parts in LAYOUTS.values() for part in parts if part.needed)
    raise DataError(
        f"{folder}: expected label files ({known}, or any *.json beside images/), got none; "
        "name the folder that holds them, or a label file with --images"
    )


def _missing(folder: Path, part: Part) -> list[Missing]:
    labels, images = folder / part.labels, folder / part.images
    found = []
    if part.needed and not labels.is_file():
        found.append(Missing(labels, f"the labels of {part.split}", part.labels_from))
    if (part.needed or labels.is_file()) and not images.is_dir():
        found.append(Missing(images, f"the images of {part.split}", part.images_from))
    return found


def _overlaps(splits: dict[str, LabelReport]) -> list[Overlap]:
    found = []
    for first, second in combinations(splits, 2):
        if (first, second) in _SHARING:
            continue
        images = [splits[name].labels.images for name in (first, second)]
        names, others = ({image.file_name for image in listed} for listed in images)
        ids, other_ids = ({image.image_id for image in listed} for listed in images)
        same = sorted(names & others)
        if same or ids & other_ids:
            shared = len(ids & other_ids)
            found.append(Overlap((first, second), len(same), shared, same[:_EXAMPLES]))
    return found
