"""``erpose-edge export``: write a network for an engine as an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erpose_edge.cli.output import console, emit_json, messages

if TYPE_CHECKING:
    from erpose_edge.deploy.profile import Profile
    from erpose_edge.network.checkpoint import Weights
    from erpose_edge.runtime.artifact import Artifact


def command(
    weights: Annotated[str, typer.Argument(help="Weights file, or the name of bundled ones.")],
    target: Annotated[str, typer.Option(help="Target to export for.")] = "openvino-cpu",
    precision: Annotated[
        str | None,
        typer.Option(help="fp32, fp16 or int8; by default the target's first that the weights do."),
    ] = None,
    contract: Annotated[
        str | None, typer.Option(help="raw, decoded or compact; the target's by default.")
    ] = None,
    input_size: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="HEIGHT WIDTH", help="Pixels; the target's or weights' by default."),
    ] = None,
    dla: Annotated[
        bool, typer.Option("--dla", help="Add what DLA needs (Orin NX, AGX Orin, Xavier).")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the artifact.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a network for an engine as an artifact."""
    import torch  # noqa: F401 - named first where it is missing

    from erpose_edge.cli.validate import checked_size
    from erpose_edge.deploy.dla import dla_document, dla_lines, dla_request
    from erpose_edge.deploy.profile import load_profile, require_available
    from erpose_edge.exporters.artifact_export import ExportRequest, export_artifact
    from erpose_edge.network.checkpoint import load_weights
    from erpose_edge.resources import find_resource

    profile = load_profile(target)
    require_available(profile)
    wanted = dla_request(profile) if dla else None
    loaded = load_weights(find_resource("weights", weights))
    request = ExportRequest(
        target=profile.name,
        engine=profile.engine,
        precision=precision or _first_precision(profile, loaded),
        contract=contract or profile.contract,
        input_size=checked_size(input_size) or profile.input_size,
        max_poses=loaded.config["export"]["max_poses"],
        dla=wanted,
    )
    folder = out or Path("runs/export") / f"{profile.name}-{request.precision}"
    messages.print(f"export {weights} for {profile.name} in {request.precision}", markup=False)
    artifact = export_artifact(loaded, request, folder)
    document = _document(artifact)
    if dla:
        document["dla"] = dla_document(profile, artifact)
        for line in dla_lines(document["dla"]):
            messages.print(line, markup=False, soft_wrap=True)
    if as_json:
        emit_json(document)
    else:
        console.print(
            f"{artifact.folder}: {document['size_mb']} MB, {', '.join(document['files'])}",
            markup=False,
            soft_wrap=True,
        )


def _first_precision(profile: Profile, weights: Weights) -> str:
    rungs = [p for p in profile.precisions if p != "mixed"]  # `deploy` makes that one
    possible = [p for p in rungs if p != "int8" or weights.kind == "qat"]
    return (possible or rungs)[0]


def _document(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        "artifact": artifact.folder,
        "target": manifest.target,
        "engine": manifest.engine,
        "precision": manifest.precision,
        "contract": manifest.contract,
        "input_size": list(manifest.input_size),
        "size_mb": round(artifact.size_bytes / 1e6, 3),
        "files": manifest.files,
    }
