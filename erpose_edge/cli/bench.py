"""``erpose-edge bench``: time an artifact on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erpose_edge.cli.output import console, emit_json, messages, progress
from erpose_edge.errors import RequestError

if TYPE_CHECKING:
    from erpose_edge.runtime.manifest import Manifest
    from erpose_edge.validate.latency import Latency
    from erpose_edge.validate.latency.frames import FrameSet

_SECONDS = 5.0
_SCENES = 16


def command(
    artifact: Annotated[Path, typer.Argument(help="Folder that `export` or `deploy` wrote.")],
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="single-stream (p90 of a frame), multi-stream (p99 of eight frames), offline "
            "(frames a second) or camera (age of the poses, drops); may be given again. Without "
            "one, one picture is measured over and over."
        ),
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second of the camera.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Measure each for 10 s.")] = False,
    standard: Annotated[bool, typer.Option("--standard", help="Measure each for 60 s.")] = False,
    mlperf: Annotated[bool, typer.Option("--mlperf", help="Measure each for 600 s.")] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Measure so long, after the warm-up; 5 by default, 10 with --scenario."
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            help="Picture to measure with, or with --scenario a folder of them; a 640x480 pattern, "
            "or generated people, by default."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the generated people and the order of pictures.")
    ] = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="How many the engine may use; its choice by default.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the measurement as JSON.")] = False,
) -> None:
    """Measure the latency of an artifact on this machine."""
    length = _length({"quick": quick, "standard": standard, "mlperf": mlperf}, seconds)
    if scenario:
        _scenarios(artifact, scenario, fps, length, image, seed, threads, json)
        return
    if fps is not None:
        raise RequestError("fps: expected --scenario camera beside it, got none; add it")
    _turns(artifact, length or _SECONDS, image, threads, json)


def _length(named: dict[str, bool], seconds: float | None) -> float | None:
    """Return how long to measure; None where nobody said."""
    from erpose_edge.validate.latency.scenario import DURATIONS_S

    asked = {f"--{name}": DURATIONS_S[name] for name, given in named.items() if given}
    if seconds is not None:
        asked["--seconds"] = seconds
    if len(asked) > 1:
        raise RequestError(f"length: expected one, got {' and '.join(asked)}; leave one out")
    return next(iter(asked.values()), None)


def _turns(
    artifact: Path, seconds: float, image: Path | None, threads: int | None, json: bool
) -> None:
    from erpose_edge.runtime.artifact import read_artifact
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.runtime.images import read_image
    from erpose_edge.validate.latency import bench

    opened = read_artifact(artifact)
    frame = None if image is None else read_image(image)
    estimator = PoseEstimator(opened, threads=threads)
    with progress("bench") as advance:
        latency = bench(estimator, frame, seconds, advance)
    if json:
        emit_json(latency.to_json(opened.manifest))
    else:
        _print(latency, opened.manifest)
    if latency.unstable:
        _warn(
            f"turns of the measurement differ by {latency.coefficient_of_variation:.1%} (limit "
            "2.5%); is the machine busy?"
        )


def _scenarios(
    artifact: Path,
    names: list[str],
    fps: float | None,
    seconds: float | None,
    image: Path | None,
    seed: int,
    threads: int | None,
    json: bool,
) -> None:
    from erpose_edge.runtime.artifact import read_artifact
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.validate.latency.cold import open_timed
    from erpose_edge.validate.latency.measure import measure
    from erpose_edge.validate.latency.overview import overview
    from erpose_edge.validate.latency.scenario import CAMERA, DURATIONS_S, Request

    rates = {name: fps if name == CAMERA or CAMERA not in names else None for name in names}
    requests = [
        Request(name, seconds or DURATIONS_S["quick"], rate, seed) for name, rate in rates.items()
    ]
    opened = read_artifact(artifact)
    frames = _frames(image, seed)
    estimator, start_ns = open_timed(lambda: PoseEstimator(opened, threads=threads), frames)
    documents: dict[str, dict[str, Any]] = {}
    for request in requests:
        with progress(request.scenario) as advance:
            documents[request.scenario] = measure(
                estimator, frames, request, advance, cold_start_ns=start_ns
            )
    if json:
        emit_json(overview(documents, opened.manifest))
    else:
        for document in documents.values():
            _print_scenario(document, opened.manifest)
    for name, document in documents.items():
        for reason in document["unstable"]:
            _warn(f"{name}: {reason}")


def _frames(image: Path | None, seed: int) -> FrameSet:
    """Return the user's pictures, or generated people."""
    from erpose_edge.data.generated.people import GeneratedPeople
    from erpose_edge.validate.latency.frames import FrameSet

    if image is not None:
        return FrameSet.of_files(image)
    scenes = GeneratedPeople(_SCENES, seed)
    what = f"{_SCENES} scenes of generated people, seed {seed}"
    return FrameSet.of_pictures((picture for picture, _ in scenes), what)


def _warn(what: str) -> None:
    messages.print(f"warning: unstable: {what}", markup=False, soft_wrap=True)


def _print(latency: Latency, manifest: Manifest) -> None:
    from dataclasses import asdict

    stages = {name: asdict(found) for name, found in latency.stages.items()}
    _print_stages(f"{manifest.target} {manifest.precision}, {latency.engine}", stages)
    console.print("\n".join(latency.notes()), markup=False, soft_wrap=True)


def _print_scenario(document: dict[str, Any], manifest: Manifest) -> None:
    from erpose_edge.validate.latency.overview import lines

    title = f"{document['scenario']}: {manifest.target} {manifest.precision}, {document['engine']}"
    _print_stages(title, document["statistics"]["stages"])
    console.print("\n".join(lines(document)), markup=False, soft_wrap=True)


def _print_stages(title: str, stages: dict[str, dict[str, float]]) -> None:
    from rich.table import Table

    table = Table("stage", title=title)
    for column in ("p50 ms", "p90 ms", "p99 ms"):
        table.add_column(column, justify="right")
    for name, found in stages.items():
        cells = (f"{found[percentile]:.2f}" for percentile in ("p50", "p90", "p99"))
        table.add_row(name.replace("_", " "), *cells)
    console.print(table)
