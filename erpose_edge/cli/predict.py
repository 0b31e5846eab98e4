"""``erpose-edge predict``: find and draw the people in photographs and videos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erpose_edge.cli.output import console, emit_json, messages, progress
from erpose_edge.errors import EXIT_REQUEST, ImageError, RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from erpose_edge.runtime.album import Album
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.runtime.poses import Poses


def command(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE...", help="Images, folders or videos.")
    ],
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", help="Weights or artifact; the bundled weights by default."),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32 or int8, where weights are given.")] = "fp32",
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Leave out poses with a lower score; the model's own."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the drawn results; ./predictions, with --json none."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print poses as JSON.")] = False,
) -> None:
    """Draw the people in images, folders and videos."""
    from erpose_edge.runtime.album import Album
    from erpose_edge.runtime.images import find_sources

    found = list(find_sources(sources))
    estimator = _estimator(model, precision)
    if threshold is not None:
        estimator.score_threshold = threshold
    album = None if json and out is None else Album(out or Path("predictions"))
    images: list[dict[str, Any]] = []
    people = failures = 0
    with progress("predict") as advance:
        for done, source in enumerate(found):
            advance(done, len(found))
            try:
                if isinstance(source, ImageError):
                    raise source
                for entry in _predict(estimator, source, album):
                    people += len(entry["poses"])
                    images.append(entry)
            except ImageError as error:
                failures += 1
                messages.print(f"error: {error}", markup=False, soft_wrap=True)
        advance(len(found), len(found))
    if json:
        emit_json({"images": images, "unreadable": failures})
    elif album is not None and images:
        console.print(
            f"{people} poses in {len(images)} pictures; drawn in {album.folder}",
            markup=False,
            soft_wrap=True,
        )
    if failures:
        raise typer.Exit(EXIT_REQUEST)


def _estimator(model: Path | None, precision: str) -> PoseEstimator:
    from erpose_edge.runtime.estimator import PoseEstimator

    if model is not None and model.is_dir():
        return PoseEstimator(model)
    if precision not in ("fp32", "int8"):
        raise RequestError(f"precision: expected fp32 or int8, got {precision!r}")
    from erpose_edge.deploy.default import default_estimator

    return default_estimator(model, precision)


def _predict(
    estimator: PoseEstimator, source: Path, album: Album | None
) -> Iterator[dict[str, Any]]:
    """Yield an entry of the JSON for every picture of a source, and put drawings in the album."""
    from erpose_edge.runtime.draw import draw_poses
    from erpose_edge.runtime.images import is_video, read_image, read_video, video_rate

    if not is_video(source):
        image = read_image(source)
        poses = estimator(image)
        if album is not None:
            album.write_picture(source, draw_poses(image, poses, estimator.skeleton))
        yield _entry(source, image, poses)
        return
    if album is None:
        for number, frame in enumerate(read_video(source)):
            yield {**_entry(source, frame, estimator(frame)), "frame": number}
        return
    with album.video(source, video_rate(source)) as (_, write):
        for number, frame in enumerate(read_video(source)):
            poses = estimator(frame)
            write(draw_poses(frame, poses, estimator.skeleton))
            yield {**_entry(source, frame, poses), "frame": number}


def _entry(source: Path, image: NDArray[np.uint8], poses: Poses) -> dict[str, Any]:
    height, width = image.shape[:2]
    return {"file": str(source), "width": width, "height": height, "poses": poses.to_json()}
