"""``run``: poses of pictures, videos and cameras, as lines of JSON or for people."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import EXIT_ACCURACY, EXIT_PASS, EXIT_REQUEST, ImageError, RequestError
from erpose_edge.on_device.checks import miss_line
from erpose_edge.on_device.opened import EngineOptions, open_bundle, self_test
from erpose_edge.runtime.album import Album
from erpose_edge.runtime.camera import is_live, read_live
from erpose_edge.runtime.draw import draw_poses
from erpose_edge.runtime.images import find_sources, is_video, read_image, read_video

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from erpose_edge.runtime.estimator import PoseEstimator


def run(options: argparse.Namespace) -> int:
    """Print the poses of every frame; return the exit code.

    With ``--json`` a frame is one line: ``frame`` (its number in this run), ``source``,
    ``time_ms`` (from the frame to its poses), ``width``, ``height``, ``poses``.

    Raises:
        RequestError: An option is out of range.
        ImageError: No source can be read at all.
    """
    _check(options)
    opened = open_bundle(options.bundle)
    estimator = opened.estimator(options=EngineOptions.of(options))
    misses = self_test(opened, estimator)
    if misses:
        for miss in misses:
            sys.stderr.write(miss_line(miss) + "\n")
        sys.stderr.write("error: self-test: expected it to pass, got misses; nothing is served\n")
        return EXIT_ACCURACY
    if options.threshold is not None:
        estimator.score_threshold = options.threshold
    album = None if options.out is None else Album(options.out)
    number = failures = 0
    for frame in _frames(options.source):
        if isinstance(frame, ImageError):
            failures += 1
            sys.stderr.write(f"error: {frame}\n")
            continue
        source, image = frame
        sys.stdout.write(_line(number, source, image, estimator, album, as_json=options.json))
        sys.stdout.flush()
        number += 1
        if number == options.limit:
            break
    return EXIT_REQUEST if failures else EXIT_PASS


def _frames(sources: list[str]) -> Iterator[tuple[str, NDArray[np.uint8]] | ImageError]:
    """Yield frames with their source; what cannot be read is yielded as its error."""
    for source in sources:
        for path in [source] if is_live(source) else find_sources([source]):
            if isinstance(path, ImageError):
                yield path
                continue
            try:
                for image in _read(path):
                    yield str(path), image
            except ImageError as error:
                yield error


def _read(source: str | Path) -> Iterator[NDArray[np.uint8]]:
    if isinstance(source, str):
        yield from read_live(source)
    elif is_video(source):
        yield from read_video(source)
    else:
        yield read_image(source)


def _line(
    number: int,
    source: str,
    image: NDArray[np.uint8],
    estimator: PoseEstimator,
    album: Album | None,
    *,
    as_json: bool,
) -> str:
    started = time.perf_counter_ns()
    poses = estimator(image)
    time_ms = round((time.perf_counter_ns() - started) / 1e6, 3)
    if album is not None:
        album.write_picture(Path(source), draw_poses(image, poses, estimator.skeleton))
    if not as_json:
        return f"{number} {source}: {len(poses)} poses, {time_ms:.1f} ms\n"
    document: dict[str, Any] = {
        "frame": number,
        "source": source,
        "time_ms": time_ms,
        "width": image.shape[1],
        "height": image.shape[0],
        "poses": poses.to_json(),
    }
    return json.dumps(document, allow_nan=False) + "\n"


def _check(options: argparse.Namespace) -> None:
    if options.limit is not None and options.limit < 1:
        raise RequestError(f"limit: expected at least 1, got {options.limit}; leave it out")
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        raise RequestError(f"threshold: expected 0 to 1, got {options.threshold}; leave it out")
