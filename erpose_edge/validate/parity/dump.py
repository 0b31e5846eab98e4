"""Capture an artifact on a device, with no more than its engine, numpy and cv2.

``python3 -m erpose_edge.validate.parity.dump ARTIFACT --input PICTURE... --out FILE.npz``; from an
artifact alone: ``PYTHONPATH=ARTIFACT/runtime.zip python3 -m erpose_edge.validate.parity.dump ...``.
``--input`` also takes a dump that was made elsewhere: its pictures, bit by bit, are run again.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.errors import ErposeError, ImageError, RequestError
from erpose_edge.runtime.artifact import read_artifact
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.images import VIDEO_SUFFIXES, find_sources, read_image
from erpose_edge.validate.parity.capture import Capture, Picture, artifact_side, capture
from erpose_edge.validate.parity.engines import open_layers
from erpose_edge.validate.parity.file import is_dump, read_dump, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def artifact_capture(
    folder: str | Path,
    pictures: Sequence[Picture],
    threads: int | None = None,
    advance: Callable[[int, int], object] | None = None,
) -> Capture:
    """Run an artifact on its engine and keep every stage that the engine lets see.

    Raises:
        RequestError: There is no such folder.
        IntegrityError: The artifact is damaged.
        MissingExtraError: Its engine is not installed.
        TargetError: Its engine does not take it.
    """
    artifact = read_artifact(folder)
    estimator = PoseEstimator(artifact, threads=threads)
    layers, missing = open_layers(artifact, threads)
    side = artifact_side(estimator, artifact, layers, missing)
    return capture(estimator, side, pictures, layers, advance)


def read_pictures(paths: Sequence[str | Path]) -> list[Picture]:
    """Read pictures, those of folders, and those that dumps were made from.

    Raises:
        ImageError: One cannot be read; there is no picture.
    """
    pictures: list[Picture] = []
    for given in paths:
        if is_dump(given):
            pictures += [frame.picture for frame in read_dump(given).frames]
            continue
        for path in find_sources([given]):
            if isinstance(path, ImageError):
                raise path
            if path.suffix.lower() not in VIDEO_SUFFIXES:
                image = read_image(path)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                pictures.append(Picture(path.name, image, digest))
    if not pictures:
        raise RequestError(
            "--input: expected at least one picture, got none; name a file or folder"
        )
    return pictures


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a dump and return the exit code."""
    parser = argparse.ArgumentParser(prog="parity_dump", description=__doc__.splitlines()[0])
    parser.add_argument("artifact", help="folder that `export` or `deploy` wrote")
    parser.add_argument("--input", nargs="+", required=True, help="pictures, folders or a dump")
    parser.add_argument("--out", required=True, help="file to write, .npz")
    parser.add_argument("--threads", type=int, help="how many the engine may use")
    given = parser.parse_args(arguments)
    try:
        if Path(given.out).suffix != ".npz":
            raise RequestError(f"--out: expected a name that ends in .npz, got {given.out}")
        found = artifact_capture(given.artifact, read_pictures(given.input), given.threads)
        write_dump(given.out, found)
    except ErposeError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return error.exit_code
    layers = f"{len(found.side.layers)} layers" if found.side.layers else found.side.missing
    sys.stdout.write(f"{given.out}: {len(found.frames)} pictures, {layers}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
