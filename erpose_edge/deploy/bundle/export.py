"""What a bundle holds beside its artifacts: the shared ONNX graph, and the integration files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.deploy.bundle.write import ARTIFACTS_FOLDER
from erpose_edge.errors import RequestError
from erpose_edge.resources import find_resource, list_resources
from erpose_edge.runtime.artifact import Artifact, file_sha256, read_artifact

if TYPE_CHECKING:
    from erpose_edge.deploy.profile import Profile
    from erpose_edge.network.checkpoint import Weights

SHARED_ONNX = "onnx/model.onnx"


@dataclass(frozen=True)
class Source:
    """Where the shared graph of an artifact comes from, if it has to be made.

    Attributes:
        weights: That the artifact was exported from; None looks among the bundled ones.
        policy: File of the policy, where it was not that of the weights.
    """

    weights: Path | None = None
    policy: Path | None = None

    def weights_of(self, artifact: Artifact) -> Weights:
        """Return the weights that an artifact was exported from.

        Raises:
            RequestError: They are not there.
            MissingExtraError: A package of the ``export`` extra is missing.
        """
        import torch  # noqa: F401 - named first where it is missing

        from erpose_edge.network.checkpoint import load_weights
        from erpose_edge.quantization.checkpoint import under_policy
        from erpose_edge.quantization.recipe import load_policy

        weights = load_weights(self.weights or _bundled(artifact))
        return under_policy(weights, load_policy(self.policy)) if self.policy else weights


def read_artifacts(folders: list[Path]) -> dict[str, Artifact]:
    """Read and verify artifacts; each is named after its precision.

    Raises:
        RequestError: There is no such folder, or two are of one precision.
        IntegrityError: An artifact is damaged.
    """
    found: dict[str, Artifact] = {}
    for folder in folders:
        artifact = read_artifact(folder)
        precision = artifact.manifest.precision
        if precision in found:
            raise RequestError(
                f"{folder}: expected one artifact of each precision, got {precision} twice; "
                "leave one out"
            )
        found[precision] = artifact
    return found


def extra_files(
    artifacts: Mapping[str, Artifact], profile: Profile, weights: Callable[[Artifact], Weights]
) -> dict[str, bytes]:
    """Return what belongs into a bundle with these artifacts, by path, for `write_bundle`.

    Args:
        artifacts: By name; the first one serves.
        profile: Of the target.
        weights: Finds what an artifact was exported from, if its graph has to be made.

    Raises:
        RequestError: The weights to export the shared graph from are not there, or are others than
            those of the artifact.
        MissingExtraError: A package of the ``export`` extra is missing.
    """
    from erpose_edge.deploy.integration.files import integration_files

    name, artifact = next(iter(artifacts.items()))
    files = integration_files(artifact, profile, f"{ARTIFACTS_FOLDER}/{name}")
    if not any(file.endswith(".onnx") for file in artifact.manifest.files):
        files[SHARED_ONNX] = shared_graph(artifact, weights(artifact))
    return files


def shared_graph(artifact: Artifact, weights: Weights) -> bytes:
    """Return the ONNX graph that the artifact's engine started from.

    Args:
        artifact: Of any engine.
        weights: That it was exported from, under the same policy.

    Raises:
        RequestError: The weights or their policy are others.
        MissingExtraError: A package of the ``export`` extra is missing.
    """
    from erpose_edge.exporters.artifact_export import ExportRequest, engine_export
    from erpose_edge.exporters.onnx import serialize
    from erpose_edge.quantization.checkpoint import activation_scales
    from erpose_edge.quantization.recipe import fingerprint

    manifest = artifact.manifest
    _require_sha256(artifact, weights.path, weights.sha256)
    request = ExportRequest(
        target=manifest.target,
        engine=manifest.engine,
        precision=manifest.precision,
        contract=manifest.contract,
        input_size=manifest.input_size,
        max_poses=manifest.max_poses,
    )
    export = engine_export(weights, request)
    policy = fingerprint(export.policy) if export.policy else None
    if policy != manifest.policy_sha256 or (
        policy and activation_scales(export.network) != manifest.scales
    ):
        raise RequestError(
            f"{artifact.folder}: policy: expected the one with sha256 "
            f"{str(manifest.policy_sha256)[:12]}..., got {str(policy)[:12]}...; pass the file that "
            "the artifact was made with by --policy"
        )
    return serialize(export.graph)


def _bundled(artifact: Artifact) -> Path:
    expected = artifact.manifest.weights_sha256
    for name in list_resources("weights"):
        path = find_resource("weights", name)
        if file_sha256(path) == expected:
            return path
    raise RequestError(
        f"{artifact.folder}: weights: expected the file with sha256 {expected[:12]}... to export "
        "onnx/model.onnx from, got none that is bundled; pass it with --weights"
    )


def _require_sha256(artifact: Artifact, path: Path | None, got: str) -> None:
    expected = artifact.manifest.weights_sha256
    if got != expected:
        raise RequestError(
            f"{path or 'weights'}: expected the weights of {artifact.folder} (sha256 "
            f"{expected[:12]}...), got {got[:12]}...; pass those it was exported from, or export "
            "the artifact again"
        )
