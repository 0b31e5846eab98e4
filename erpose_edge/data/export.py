"""Write labelled images as a data set: pictures and a COCO-format label file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from erpose_edge.errors import RequestError
from erpose_edge.metrics.image_labels import ImageLabels, to_coco
from erpose_edge.skeleton import Skeleton

LABELS_FILE = "labels.json"
IMAGES_FOLDER = "images"


class Scenes(Protocol):
    """Images, BGR uint8 (H, W, 3), with their labels; the ending of a file name is its format."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], ImageLabels]]:
        """Return them one by one."""
        ...


def export_data_set(
    scenes: Scenes,
    folder: str | Path,
    skeleton: Skeleton,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[ImageLabels]:
    """Write every scene as a picture, and ``labels.json``.

    The folder appears when it is complete; what was written so far is removed if it does not get
    there.

    Args:
        scenes: Of different file names.
        folder: New, or empty.
        skeleton: Of the labels.
        progress: Called with the scenes that are written and their number.

    Returns:
        The labels that were written.

    Raises:
        RequestError: ``folder`` is not empty or cannot be written.
    """
    folder = Path(folder).absolute()
    _require_free(folder)
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        (part / IMAGES_FOLDER).mkdir(parents=True)
        labels = _write_images(scenes, part / IMAGES_FOLDER, progress)
        document = json.dumps(to_coco(labels, skeleton))
        (part / LABELS_FILE).write_text(document, encoding="utf-8")
        if folder.is_dir():
            folder.rmdir()
        part.replace(folder)
    except OSError as error:
        raise RequestError(
            f"{folder}: expected to write a data set, got {error.strerror}; choose another place"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return labels


def _require_free(folder: Path) -> None:
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        found = "a file" if folder.is_file() else "one with files in it"
        raise RequestError(
            f"{folder}: expected a new or empty folder, got {found}; choose another place"
        )


def _write_images(
    scenes: Scenes, folder: Path, progress: Callable[[int, int], None]
) -> list[ImageLabels]:
    written: list[ImageLabels] = []
    annotations = 0
    for image, labels in scenes:
        _, content = cv2.imencode(Path(labels.file_name).suffix, image)
        (folder / labels.file_name).write_bytes(content.tobytes())
        # Every scene counts its people from 1; in one file each annotation needs its own id.
        ids = np.arange(annotations + 1, annotations + len(labels) + 1, dtype=np.int64)
        annotations += len(labels)
        written.append(replace(labels, annotation_ids=ids))
        progress(len(written), len(scenes))
    return written
