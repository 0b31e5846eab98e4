"""``erpose-edge sensitivity``: what each layer's quantization costs, and a policy from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erpose_edge.cli.output import Advance, console, emit_json, list_unusable, messages, progress
from erpose_edge.errors import EXIT_ACCURACY

if TYPE_CHECKING:
    from erpose_edge.network.checkpoint import Weights

_SHOWN = 20  # layers in the table; the document has all
_DOCUMENT = "sensitivity.json"
_PLOT = "sensitivity.png"


def command(
    weights: Annotated[
        str | None,
        typer.Option(help="Quantized or float weights; the bundled quantized ones by default."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="COCO-format label file; generated people by default.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images of --data.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Generated scenes, without --data.")] = 32,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="IMAGES", help="Only the first images.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/sensitivity"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    reverse: Annotated[
        bool, typer.Option("--reverse", help="Also measure every layer but one in int8.")
    ] = False,
    search: Annotated[
        bool, typer.Option(help="Search a policy by times of this machine's layers.")
    ] = True,
    target: Annotated[
        str, typer.Option(help="Target whose layers are timed; see `targets`.")
    ] = "openvino-cpu",
    input_size: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="HEIGHT WIDTH", help="Pixels; the weights' by default."),
    ] = None,
    min_retention: Annotated[
        float, typer.Option(min=0, max=1, help="AP that the policy keeps, of fp32's.")
    ] = 0.99,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Rank layers by what int8 costs them, and search a mixed policy."""
    from erpose_edge.cli.validate import checked_size, evaluation_samples
    from erpose_edge.deploy.mixed_precision import (
        Evidence,
        require_timed_layers,
        search_mixed_precision,
    )
    from erpose_edge.deploy.profile import load_profile
    from erpose_edge.quantization.checkpoint import deployed_network, policy_of
    from erpose_edge.quantization.recipe import fingerprint
    from erpose_edge.quantization.sensitivity.measure import (
        PoseSettings,
        measure_sensitivity,
        samples_digest,
    )
    from erpose_edge.quantization.sensitivity.plot import plot_sensitivity
    from erpose_edge.quantization.sensitivity.state import SensitivityState
    from erpose_edge.skeleton import skeleton_named

    profile = load_profile(target)
    if search:
        require_timed_layers(profile)
    quantized = _quantized(weights, out, resume=resume)
    skeleton = skeleton_named(quantized.skeleton)
    samples, unusable, described = evaluation_samples(data, images, count, 0, skeleton)
    list_unusable(unusable, "label entries")
    chosen = [samples[index] for index in range(min(limit or len(samples), len(samples)))]
    settings = PoseSettings(
        checked_size(input_size) or quantized.input_size, skeleton, nms=quantized.nms
    )
    request = {
        "weights": quantized.sha256,
        "policy": fingerprint(policy_of(quantized)),
        "images": len(chosen),
        "data": samples_digest(chosen),
        "input_size": list(settings.input_size),
        "reverse": reverse,
    }
    state = SensitivityState(out / "measured", request, resume=resume)
    network = deployed_network(quantized, quantized=True)
    with progress("measure layers") as advance:
        result = measure_sensitivity(
            network, chosen, settings, state, reverse=reverse, progress=_with_rate(advance)
        )
    list_unusable(result.rejected, "images")
    plot_sensitivity(result, out / _PLOT)
    document: dict[str, Any] = {
        **result.to_json(),
        "weights": quantized.path,
        "weights_sha256": quantized.sha256,
        "data": described,
        "input_size": list(settings.input_size),
        "min_retention": min_retention,
        "plot": out / _PLOT,
        "search": None,
    }
    if search:
        part = f"the first {len(chosen)} of " if len(chosen) < len(samples) else ""
        evidence = Evidence(network, result, chosen, settings, part + described)
        document["search"] = search_mixed_precision(
            quantized, evidence, profile, out, min_retention=min_retention, stage=progress
        ).to_json()
    _write(out / _DOCUMENT, document)
    if as_json:
        emit_json(document)
    else:
        _print(document)
    if search and not document["search"]["met"]:
        raise typer.Exit(EXIT_ACCURACY)


def _quantized(given: str | None, folder: Path, *, resume: bool) -> Weights:
    """Return quantized weights; float ones are calibrated by their own config, and it is said."""
    from erpose_edge.deploy.default import bundled_weights
    from erpose_edge.deploy.rungs import CALIBRATED_FILE, quantize_without_training
    from erpose_edge.network.checkpoint import load_weights
    from erpose_edge.resources import find_resource

    path = bundled_weights("int8") if given is None else find_resource("weights", given)
    weights = load_weights(path)
    if weights.kind != "float":
        return weights
    calibrated = folder / CALIBRATED_FILE
    if resume and calibrated.is_file():
        made = load_weights(calibrated)
        if made.details.get("float_weights_sha256") == weights.sha256:
            return made
    messages.print(
        f"{path} is not quantized: its ranges come from calibration alone",
        markup=False,
        soft_wrap=True,
    )
    with progress("calibrate") as advance:
        return quantize_without_training(weights, calibrated, advance)


def _with_rate(advance: Advance) -> Callable[[int, int], None]:
    start = time.perf_counter()
    first: list[int] = []

    def report(done: int, total: int) -> None:
        if not first:
            first.append(done)  # what a resumed run finds done took no time
        rate = (done - first[0]) / max(time.perf_counter() - start, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if rate else ""
        advance(done, total, f"{rate:.1f} variants/s{left}")

    return report


def _write(path: Path, document: dict[str, Any]) -> None:
    import json

    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")
    part.replace(path)


def _print(document: dict[str, Any]) -> None:
    from rich.table import Table

    console.print(f"{document['weights']} on {document['data']}", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("only this layer in int8", no_wrap=True)
    headings = ["OKS lost", "AP", "dB"]
    search = document["search"]
    headings += ["fp32 ms", "int8 ms"] if search else []
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    rows = sorted(document["layers"], key=lambda row: row["rank"])
    for row in rows[:_SHOWN]:
        cells = [f"{row['oks_loss']:.4f}", f"{row['ap_change']:+.4f}", _lowest(row["snr_db"])]
        if search:
            cells += [f"{search[name][row['layer']]:.3f}" for name in ("fp32_ms", "int8_ms")]
        table.add_row(str(row["rank"]), _short(row["layer"]), *cells)
    table.add_section()
    whole = document["int8"]
    table.add_row("", f"all {len(rows)}", f"{whole['oks_loss']:.4f}", f"{whole['ap_change']:+.4f}")
    console.print(table)
    if len(rows) > _SHOWN:
        console.print(f"{len(rows) - _SHOWN} more layers in the document", markup=False)
    console.print(
        f"fp32 AP {document['fp32']['ap']:.4f}, int8 {whole['ap']:.4f}; {document['images']} "
        f"images, {document['people']} people; plot: {document['plot']}",
        markup=False,
        soft_wrap=True,
    )
    if search:
        _print_search(search, document["min_retention"])


def _print_search(search: dict[str, Any], min_retention: float) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("policy search", no_wrap=True)
    for heading in ("float", "of fp32", "ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for step in search["steps"]:
        table.add_row(
            _short(step["change"]),
            str(step["float_layers"]),
            f"{step['retention']:.2%}",
            f"{step['modelled_ms']:.2f}",
            "met" if step["met"] else "low",
        )
    console.print(table)
    for name, row in search["latency_model"].items():
        console.print(
            f"{name}: modelled {row['modelled_ms']:.2f} ms, measured {row['measured_ms']:.2f} ms, "
            f"error {row['error']:+.1%}",
            markup=False,
        )
    if search["met"]:
        layers = ", ".join(search["keep_float"]) or "no further layer"
        console.print(f"float besides the weights' policy: {layers}", markup=False, soft_wrap=True)
        console.print(f"policy: {search['policy']}", markup=False, soft_wrap=True)
        messages.print(
            f"next: erpose-edge qat --set qat.policy={search['policy']}",
            markup=False,
            soft_wrap=True,
        )
    else:
        console.print(
            f"no policy: expected at least {min_retention:.2%} of fp32's AP, got less even with "
            "one layer in int8",
            markup=False,
            soft_wrap=True,
        )


def _lowest(snr_db: dict[str, float | None]) -> str:
    """Return the worst ratio of all kinds of outputs."""
    known = [value for value in snr_db.values() if value is not None]
    return f"{min(known):.1f}" if known else "-"


def _short(text: str) -> str:
    return text.removesuffix(".conv")
