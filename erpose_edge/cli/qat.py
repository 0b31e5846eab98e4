"""``erpose-edge qat``: from float weights to quantized ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erpose_edge.cli.output import Advance, console, emit_json, messages, progress

if TYPE_CHECKING:
    from torch import fx

    from erpose_edge.config import RunConfig
    from erpose_edge.network.checkpoint import Weights
    from erpose_edge.quantization.qat import Quantization
    from erpose_edge.training.distributed import Processes
    from erpose_edge.training.loop import StepReport

    Ap = dict[str, float]

_METRICS = ("ap", "ap50", "ap75", "ar")


def command(
    cfg: Annotated[str, typer.Option(help="Config: a path, or the name of a bundled one.")],
    weights: Annotated[
        str | None,
        typer.Option(help="Float weights; by default training.init, else the bundled ones."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Overrides qat.epochs; 0 only calibrates.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/qat"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    half: Annotated[bool, typer.Option("--half", help="Store weights as float16.")] = False,
    validate: Annotated[bool, typer.Option(help="Measure AP on data.val, float and int8.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fine-tune a network with fake-quantization for int8."""
    import torch  # noqa: F401 - named first where it is missing

    from erpose_edge.config import dump_config, load_config
    from erpose_edge.network.checkpoint import load_weights, save_weights
    from erpose_edge.quantization.qat import Quantization
    from erpose_edge.training.distributed import join_processes, leave_processes
    from erpose_edge.training.session import CONFIG_FILE, WEIGHTS_FILE

    overrides = [*(settings or []), *([] if epochs is None else [f"qat.epochs={epochs}"])]
    config = load_config(cfg, overrides)
    source = load_weights(_find_weights(weights, config))
    quantization = Quantization(source, config)
    processes = join_processes()
    with progress("calibrate") as advance:
        quantization.calibrate(advance)
    if config.qat.epochs:
        measure = config if validate else None
        _fine_tune(quantization, out, processes, measure, resume=resume)
    leave_processes(processes)
    if not processes.first:
        return
    result = quantization.weights(half=half)
    accuracy = _compare(source, result, config) if validate else {}
    result.details.update(accuracy)
    save_weights(out / WEIGHTS_FILE, result, half=half)
    (out / CONFIG_FILE).write_text(dump_config(config), encoding="utf-8")
    document = _document(out / WEIGHTS_FILE, config, result, accuracy)
    if as_json:
        emit_json(document)
    else:
        _print(document)


def _find_weights(given: str | None, config: RunConfig) -> Path:
    from erpose_edge.resources import find_resource

    network = config.network
    variant = "" if network.backbone == "csp" else f"-{network.backbone}"
    name = given or config.training.init or f"erpose-{network.scale}{variant}"
    return find_resource("weights", name)


def _fine_tune(
    quantization: Quantization,
    folder: Path,
    processes: Processes,
    validated: RunConfig | None,
    *,
    resume: bool,
) -> None:
    """Fine-tune, and after every epoch measure on ``data.val`` of ``validated`` if it is given."""
    with progress("fine-tune") as advance:
        place = [0, 1]  # steps done, and of how many: what the bar shows while AP is measured

        def on_step(step: StepReport) -> None:
            place[:] = (step.epoch - 1) * step.batches + step.batch, step.epochs * step.batches
            advance(place[0], place[1], f"loss {step.loss:.3f}, {step.rate:.1f} images/s")

        def on_image(done: int, total: int) -> None:
            advance(place[0], place[1], f"validate {done}/{total}")

        def measure(network: fx.GraphModule, config: RunConfig) -> Ap:
            return _measure(network, config, on_image)

        quantization.fine_tune(
            folder,
            processes,
            resume=resume,
            on_step=on_step,
            validate=partial(measure, config=validated) if validated else None,
        )


def _compare(source: Weights, quantized: Weights, config: RunConfig) -> dict[str, Ap]:
    """Return AP on ``data.val`` before and after."""
    from erpose_edge.quantization.checkpoint import deployed_network

    found = {}
    for precision, weights in (("fp32", source), ("int8", quantized)):
        network = deployed_network(weights, quantized=precision == "int8")
        with progress(f"validate {precision}") as advance:
            found[precision] = _measure(network, config, advance)
    return found


def _measure(
    network: fx.GraphModule, config: RunConfig, advance: Advance | Callable[[int, int], None]
) -> Ap:
    from erpose_edge.training.validation import measure_accuracy

    metrics = measure_accuracy(network, config, advance).metrics
    return {name: getattr(metrics, name) for name in _METRICS}


def _document(
    path: Path, config: RunConfig, weights: Weights, accuracy: dict[str, Ap]
) -> dict[str, Any]:
    return {
        "weights": path,
        "size_mb": round(path.stat().st_size / 1e6, 3),
        "epochs": config.qat.epochs,
        "policy": config.qat.policy,
        "calibration": config.qat.calibration,
        "observer": config.qat.observer,
        "scales": sum(name.endswith(".scale") for name in weights.state),
        "fp32": accuracy.get("fp32"),
        "int8": accuracy.get("int8"),
    }


def _print(document: dict[str, Any]) -> None:
    for precision in ("fp32", "int8"):
        if document[precision]:
            row = "  ".join(f"{name} {value:.3f}" for name, value in document[precision].items())
            console.print(f"{precision}: {row}", markup=False)
    console.print(
        f"{document['weights']}: {document['size_mb']} MB, {document['scales']} scales, "
        f"{document['epochs']} epochs of fine-tuning",
        markup=False,
        soft_wrap=True,
    )
    messages.print("next: erpose-edge deploy --weights, or erpose-edge export", markup=False)
