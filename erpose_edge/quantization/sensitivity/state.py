"""What a sensitivity run has measured so far, on disk: one small file an image.

A file is written once, under a temporary name, when all variants of an image are done; a run that
is stopped loses the image that it was at.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erpose_edge.errors import IntegrityError, RequestError
from erpose_edge.runtime.files import write_json
from erpose_edge.runtime.poses import Poses

_REQUEST_FILE = "request.json"


@dataclass(frozen=True)
class ImageRecord:
    """What the variants gave on one image, V of them; the first is the float network.

    Attributes:
        poses: Of every variant, in source pixels; visibility is not kept.
        lost: Score that is lost against the float network, (V,); see `pose_shift`.
        total: Of how much score, (V,).
        power: Of the float network's outputs, one number a kind.
        noise: Of every variant's outputs, (V, kinds).
    """

    poses: list[Poses]
    lost: NDArray[np.float64]
    total: NDArray[np.float64]
    power: NDArray[np.float64]
    noise: NDArray[np.float64]


class SensitivityState:
    """The folder of a run's records.

    Args:
        folder: Made if missing.
        request: What is measured, in plain values; a run goes on only with the same.
        resume: Go on with the records of ``folder``.

    Raises:
        RequestError: ``folder`` holds records and ``resume`` is False.
        IntegrityError: They are of another request.
    """

    def __init__(self, folder: Path, request: Mapping[str, object], *, resume: bool) -> None:
        self._folder = folder
        path = folder / _REQUEST_FILE
        if path.is_file():
            if not resume:
                raise RequestError(
                    f"sensitivity {folder}: expected an empty folder, got one with measurements; "
                    "pass --resume to go on with them or --out for another folder"
                )
            _compare(path, request)
            return
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, request)

    def load(self, index: int) -> ImageRecord | None:
        """Return the record of image ``index``, None if there is none.

        Raises:
            IntegrityError: Its file is damaged.
        """
        path = self._path(index)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return _record({name: file[name] for name in file.files})
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise IntegrityError(
                f"sensitivity {path}: expected measurements of an image, got a damaged file "
                f"({error}); delete it and pass --resume"
            ) from error

    def save(self, index: int, record: ImageRecord) -> None:
        """Write the record of image ``index``."""
        path = self._path(index)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            np.savez(
                file,
                counts=np.array([len(poses) for poses in record.poses], np.int64),
                scores=np.concatenate([poses.scores for poses in record.poses]),
                keypoints=np.concatenate([poses.keypoints for poses in record.poses]),
                lost=record.lost,
                total=record.total,
                power=record.power,
                noise=record.noise,
            )
        part.replace(path)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:07d}.npz"


def _record(arrays: Mapping[str, NDArray[Any]]) -> ImageRecord:
    ends = np.cumsum(arrays["counts"])[:-1]
    scores = np.split(arrays["scores"], ends)
    keypoints = np.split(arrays["keypoints"], ends)
    poses = [
        Poses(s, k, np.zeros(k.shape[:2], np.float32))
        for s, k in zip(scores, keypoints, strict=True)
    ]
    return ImageRecord(poses, arrays["lost"], arrays["total"], arrays["power"], arrays["noise"])


def _compare(path: Path, request: Mapping[str, object]) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(
            f"sensitivity {path}: expected what the run measures, got a damaged file ({error}); "
            "start again in a new folder"
        ) from error
    for name, value in request.items():
        if found.get(name) != value:
            raise IntegrityError(
                f"sensitivity {path}: {name}: expected {found.get(name)}, with which the run was "
                f"begun, got {value}; ask for the same, or start in a new folder"
            )
