"""Open what `erpose-edge parity` compares: artifacts, weights and dumps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from erpose_edge.data.generated.scene import render_scene
from erpose_edge.deploy.default import weights_estimator
from erpose_edge.errors import RequestError
from erpose_edge.resources import find_resource
from erpose_edge.validate.parity.capture import (
    Capture,
    LayerRunner,
    Picture,
    Side,
    capture,
    versions,
)
from erpose_edge.validate.parity.dump import artifact_capture, read_pictures
from erpose_edge.validate.parity.file import SUFFIX, is_dump, read_dump

GENERATED_SIZE = (480, 640)


def generated_pictures(count: int, seed: int) -> list[Picture]:
    """Return generated scenes, each of its own seed."""
    return [
        Picture(f"generated-{number}", render_scene(number, GENERATED_SIZE)[0])
        for number in range(seed, seed + count)
    ]


def open_captures(
    sources: Sequence[str],
    given: Sequence[Path],
    *,
    count: int,
    seed: int,
    precisions: tuple[str, str] | None = None,
    advance: Callable[[int, int], object] | None = None,
) -> list[Capture]:
    """Run every source that is no dump, all on the same pictures.

    Args:
        sources: Artifact folders, weights (files or bundled names) and dumps; one or two.
        given: Pictures, folders or dumps to take pictures from; where there are none, those of a
            dump among the sources, else generated scenes.
        count: Generated scenes.
        seed: Of the first one.
        precisions: Of each source, where it is weights.
        advance: Called with pictures done and all of them.

    Raises:
        RequestError: There is nothing at a source.
        IntegrityError: What is there is damaged.
        ImageError: A picture cannot be read.
    """
    dumps = {source: read_dump(source) for source in sources if is_dump(source)}
    pictures = _pictures(given, dumps, count, seed)
    size = _input_size(sources, dumps)
    total = len(pictures) * (len(sources) - len(dumps))
    done = 0

    def step(*_: int) -> None:
        nonlocal done
        done += 1
        if advance is not None:
            advance(done, total)

    captures = []
    for index, source in enumerate(sources):
        if source in dumps:
            captures.append(dumps[source])
        elif Path(source).is_dir():
            captures.append(artifact_capture(source, pictures, advance=step))
        else:
            precision = None if precisions is None else precisions[index]
            captures.append(weights_capture(source, pictures, precision, size, step))
    return captures


def weights_capture(
    source: str,
    pictures: Sequence[Picture],
    precision: str | None = None,
    input_size: tuple[int, int] | None = None,
    advance: Callable[[int, int], object] | None = None,
) -> Capture:
    """Run weights in torch.

    Args:
        source: Weights file, or name of bundled weights.
        pictures: What to run on.
        precision: fp32 or int8; by default what the weights are.
        input_size: (height, width) in pixels; by default that of their config.
        advance: Called for every picture.

    Raises:
        RequestError: There is no such file, or no such precision.
        WeightsError: int8 was asked of float weights.
    """
    from erpose_edge.exporters.stages import TorchLayers
    from erpose_edge.network.checkpoint import load_weights
    from erpose_edge.quantization.checkpoint import deployed_network

    weights = load_weights(find_resource("weights", source))
    precision = precision or ("fp32" if weights.kind == "float" else "int8")
    estimator = weights_estimator(weights, precision, input_size)
    layers: LayerRunner = TorchLayers(
        deployed_network(weights, quantized=precision == "int8"), estimator.runner
    )
    contract = estimator.contract
    side = Side(
        source=source,
        kind="weights",
        engine=estimator.runner.engine,
        precision=precision,
        contract=contract.outputs,
        input_size=contract.input_size,
        strides=contract.strides,
        skeleton=contract.skeleton.name,
        max_poses=contract.max_poses,
        score_threshold=contract.score_threshold,
        nms=contract.nms,
        weights_sha256=weights.sha256,
        artifact_sha256="",
        versions=versions(),
        layers=layers.layers,
    )
    return capture(estimator, side, pictures, layers, advance)


def _pictures(
    given: Sequence[Path], dumps: dict[str, Capture], count: int, seed: int
) -> list[Picture]:
    if given:
        return read_pictures(given)
    for dump in dumps.values():
        return [frame.picture for frame in dump.frames]
    return generated_pictures(count, seed)


def _input_size(sources: Sequence[str], dumps: dict[str, Capture]) -> tuple[int, int] | None:
    """Return the size that a side prescribes to weights on the other one; None where none does."""
    from erpose_edge.runtime.artifact import read_artifact

    for source in sources:
        if source in dumps:
            return dumps[source].side.input_size
        if Path(source).is_dir():
            return read_artifact(source).manifest.input_size
    return None


def check_request(sources: Sequence[str], dump: Path | None) -> None:
    """Refuse what `erpose-edge parity` cannot do.

    Raises:
        RequestError: Two sides are to be dumped, or one is to be compared with nothing.
    """
    if dump is None:
        if len(sources) < 2:
            raise RequestError(
                "parity: expected two sides to compare, got one; name the other, or give --dump"
            )
        return
    if len(sources) > 1:
        raise RequestError(
            "--dump: expected one side, got two; dump one of them, then compare it with the other"
        )
    if dump.suffix != SUFFIX:
        raise RequestError(f"--dump: expected a name that ends in {SUFFIX}, got {dump}")
