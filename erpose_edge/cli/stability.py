"""``erpose-edge stability``: how steady the poses of an artifact are on video."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erpose_edge.cli.output import console, emit_json, messages, progress
from erpose_edge.errors import EXIT_ACCURACY, RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from erpose_edge.metrics.image_labels import ImageLabels
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.skeleton import Skeleton

    Frames = Iterable[tuple[NDArray[np.uint8], ImageLabels | None]]

_SIZE = (480, 640)


def command(
    artifact: Annotated[
        str, typer.Argument(metavar="ARTIFACT_OR_WEIGHTS", help="Artifact folder or weights file.")
    ],
    against: Annotated[
        str | None, typer.Option(help="Artifact or weights to compare with, usually fp32.")
    ] = None,
    clip: Annotated[
        Path | None, typer.Option(help="Video of yours; generated people by default.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=3, help="At most so many; 120 of generated people.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated people.")] = 0,
    people: Annotated[int, typer.Option(min=1, max=60, help="How many are generated.")] = 3,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Leave out poses with a lower score; the model's own."),
    ] = None,
    max_jitter: Annotated[
        float | None, typer.Option(min=0, help="Budget, in % of a person's diagonal.")
    ] = None,
    max_flicker: Annotated[
        float | None, typer.Option(min=0, help="Budget, in changes for each person and second.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure jitter, flicker and change of order on a clip."""
    from erpose_edge.deploy.default import open_estimator
    from erpose_edge.validate.stability import measure_stability, stability_misses
    from erpose_edge.validate.stability_record import stability_document

    opened = open_estimator(artifact)
    reference = None if against is None else open_estimator(against)
    _check_skeletons(opened, reference)
    for estimator in (opened, reference):
        if estimator is not None and threshold is not None:
            estimator.score_threshold = threshold
    shown, rate, described = _frames(clip, frames, seed, people, opened.skeleton)
    with progress("stability") as advance:

        def report(done: int, total: int) -> None:
            if total or messages.is_terminal:  # a log gets no line for every frame of a video
                advance(done, total)

        measured = measure_stability(opened, shown, rate, opened.skeleton, reference, report)
    document = stability_document(measured, described, against)
    misses = stability_misses(document, max_jitter, max_flicker)
    document["budget"] = {"max_jitter": max_jitter, "max_flicker": max_flicker, "misses": misses}
    if json:
        emit_json(document)
    else:
        _print(document, artifact)
    for miss in misses:
        messages.print(f"budget: {miss}", markup=False, soft_wrap=True)
    if misses:
        raise typer.Exit(EXIT_ACCURACY)


def _check_skeletons(opened: PoseEstimator, reference: PoseEstimator | None) -> None:
    if reference is not None and reference.skeleton != opened.skeleton:
        raise RequestError(
            f"--against: expected keypoints of {opened.skeleton.name}, "
            f"got {reference.skeleton.name}; compare networks of one skeleton"
        )


def _frames(
    clip: Path | None, frames: int | None, seed: int, people: int, skeleton: Skeleton
) -> tuple[Frames, float, str]:
    """Return the frames, how many a second, and what they are."""
    if clip is not None:
        from itertools import islice

        from erpose_edge.runtime.images import read_video, video_rate

        own = ((frame, None) for frame in islice(read_video(clip), frames))
        return own, video_rate(clip), clip.name
    from erpose_edge.data.generated.clip import GeneratedClip
    from erpose_edge.skeleton import COCO_17

    if skeleton.name != COCO_17.name:
        raise RequestError(
            f"--clip: expected a video for {skeleton.name}, got none; generated people are coco-17"
        )
    generated = GeneratedClip(120 if frames is None else frames, seed, _SIZE, people)
    described = f"{people} generated people of seed {seed}"
    return generated, generated.rate, described


def _print(document: dict[str, Any], artifact: str) -> None:
    from rich.table import Table

    clip, others = document["clip"], document["against"]
    console.print(
        f"{artifact} on {clip['description']}: {clip['frames']} frames at {clip['rate']:g} a "
        f"second, people known from {document['people_from']}",
        markup=False,
        soft_wrap=True,
    )
    sides = [document] if others is None else [document, others]
    table = Table("stability", "artifact", *([] if others is None else ["reference"]))
    rows = {
        "jitter, % of a person's diagonal": ("jitter", "value"),
        "typical jitter, %": ("jitter", "typical"),
        "flicker, changes a person and second": ("flicker", "value"),
        "pairs of people that change order": ("order", "value"),
        "people found": ("found", None),
        "other poses a frame": ("others_per_frame", None),
    }
    for title, (name, key) in rows.items():
        cells = (side[name] if key is None else side[name][key] for side in sides)
        table.add_row(title, *map(_shown, cells))
    if others is not None:
        table.add_section()
        table.add_row("jitter over the reference's", _shown(others["jitter_ratio"]), "")
        table.add_row("jitter of the difference, %", _shown(others["added_jitter"]), "")
        table.add_row("distance to the reference, %", _shown(others["distance"]), "")
        table.add_row("people of the reference found", _shown(others["found_of_reference"]), "")
    console.print(table)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
