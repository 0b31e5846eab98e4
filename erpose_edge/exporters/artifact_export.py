"""From a weights file to the artifact of one engine."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from erpose_edge import __version__
from erpose_edge.data.generated.scene import render_scene
from erpose_edge.errors import RequestError, TargetError
from erpose_edge.exporters import onnxruntime, openvino, tensorrt, tflite
from erpose_edge.exporters.engine_export import DlaRequest, Engine, EngineExport
from erpose_edge.exporters.onnx import INPUT_NAME
from erpose_edge.exporters.runtime_archive import ARCHIVE_NAME, runtime_archive
from erpose_edge.network.checkpoint import Weights
from erpose_edge.network.plan import STRIDES
from erpose_edge.network.pose_network import DeployNetwork
from erpose_edge.quantization.checkpoint import activation_scales, deployed_network, policy_of
from erpose_edge.quantization.recipe import fingerprint
from erpose_edge.runtime.artifact import Artifact, write_artifact
from erpose_edge.runtime.decode import CONTRACTS, decode
from erpose_edge.runtime.manifest import (
    InputSpec,
    Manifest,
    NetworkFacts,
    OutputSpec,
    SelfTest,
)
from erpose_edge.runtime.nms import CANDIDATES
from erpose_edge.runtime.preprocess import PADDING, preprocess

ENGINES: dict[str, Engine] = {
    "openvino": openvino,
    "onnxruntime": onnxruntime,
    "tflite": tflite,
    "tensorrt": tensorrt,
}
LICENCES = ("Apache-2.0",)

_TOOLS = (
    "torch",
    "onnx",
    "onnxscript",
    "onnxsim",
    "onnxruntime",
    "openvino",
    "litert-torch",
    "litert-quantizer",
)
_SELF_TEST_SEEDS = (1, 2, 3)
_SELF_TEST_SIZE = (480, 640)
_SELF_TEST_SCORE = 0.3


@dataclass(frozen=True)
class ExportRequest:
    """What to export for.

    Attributes:
        target: Name of the device profile, for the manifest.
        engine: What will run the network, a key of `PRECISIONS`.
        precision: ``fp32``, ``fp16`` or ``int8``; ``fp16`` halves the files, CPUs compute it in
            float32 all the same.
        contract: ``raw``, ``decoded`` or ``compact``.
        input_size: (height, width) in pixels, multiples of 32; None takes that of the weights.
        max_poses: At most so many poses are returned.
        dla: What TensorRT needs for DLA is wanted too; None: it is not.
    """

    target: str
    engine: str
    precision: str
    contract: str = "compact"
    input_size: tuple[int, int] | None = None
    max_poses: int = 30
    dla: DlaRequest | None = None


def export_artifact(weights: Weights, request: ExportRequest, folder: Path) -> Artifact:
    """Write the artifact of ``weights`` for one engine; what was there is replaced at the end.

    Args:
        weights: As read from a file; quantized for ``int8``, float or quantized otherwise.
        request: What to export for.
        folder: Of the artifact.

    Raises:
        TargetError: There is no exporter for the engine.
        RequestError: The engine has no such precision, or there is no such contract.
        ExportError: The engine does not take the graph, or does not run in int8 what the policy
            says.
        WeightsError: ``int8`` was asked of float weights.
        MissingExtraError: A package of the ``export`` or the engine's extra is missing.
    """
    engine = _engine(request)
    export = engine_export(weights, request)
    files = {**engine.model_files(export), ARCHIVE_NAME: runtime_archive()}
    return write_artifact(folder, _manifest(weights, request, export, engine.LAYOUT), files)


def engine_export(weights: Weights, request: ExportRequest) -> EngineExport:
    """Return the network of ``weights`` on its way to an engine; all engines start from its graph.

    Raises:
        WeightsError: ``int8`` was asked of float weights.
    """
    quantized = request.precision == "int8"
    return EngineExport(
        network=deployed_network(weights, quantized=quantized),
        precision=request.precision,
        contract=request.contract,
        input_size=request.input_size or weights.input_size,
        answers=_answers(weights, request),
        policy=policy_of(weights) if quantized else None,
        skeleton=weights.skeleton,
        score_threshold=weights.score_threshold,
        nms=weights.nms,
        dla=request.dla,
    )


def _engine(request: ExportRequest) -> Engine:
    where = f"export for {request.target}"
    if request.engine not in ENGINES:
        raise TargetError(
            f"{where}: engine: expected {' or '.join(ENGINES)}, got {request.engine}; "
            "choose another target"
        )
    engine = ENGINES[request.engine]
    for field, got, known in (
        ("precision", request.precision, engine.PRECISIONS),
        ("contract", request.contract, CONTRACTS),
    ):
        if got not in known:
            raise RequestError(
                f"{where}: {field}: expected {' or '.join(known)}, got {got!r}; "
                f"choose one that {request.engine} has"
            )
    return engine


def _manifest(
    weights: Weights, request: ExportRequest, export: EngineExport, layout: str
) -> Manifest:
    deployed = DeployNetwork(
        export.network, export.contract, export.input_size, export.answers
    ).eval()
    details, policy, size = weights.details, export.policy, export.input_size
    shape = (1, 3, *size) if layout == "NCHW" else (1, *size, 3)
    return Manifest(
        target=request.target,
        engine=request.engine,
        precision=request.precision,
        contract=request.contract,
        input=InputSpec(INPUT_NAME, shape, layout),
        outputs=_outputs(deployed, size),
        skeleton=weights.skeleton,
        strides=STRIDES,
        max_poses=request.max_poses,
        score_threshold=weights.score_threshold,
        nms=weights.nms,
        network=NetworkFacts(
            weights.network.scale,
            weights.network.activation,
            sum(p.numel() for p in export.network.parameters()),
        ),
        weights_sha256=weights.sha256,
        preprocessing={
            "colour": "RGB",
            "divide_by": 255,
            "letterbox": "aspect ratio kept, centred",
            "padding": PADDING,
        },
        scales=activation_scales(export.network) if policy else {},
        files={},
        calibration_sha256=details.get("calibration_sha256") if policy else None,
        policy_sha256=fingerprint(policy) if policy else None,
        tool_versions=tool_versions(),
        licences=LICENCES,
        self_test=_self_test(deployed, size, request.max_poses, weights.nms),
    )


def _answers(weights: Weights, request: ExportRequest) -> int:
    """Return how many answers a compact graph gives: what the host suppresses needs more."""
    return request.max_poses if weights.nms is None else CANDIDATES


def _outputs(deployed: DeployNetwork, size: tuple[int, int]) -> tuple[OutputSpec, ...]:
    with torch.inference_mode():
        tensors = deployed(torch.zeros(1, 3, *size))
    specs = []
    for name, tensor in zip(deployed.output_names, tensors, strict=True):
        kind, _, stride = name.partition("_")
        if kind == "keypoints":
            unit, limits = ("2 strides" if stride else "input px"), None
        elif kind == "boxes":
            unit, limits = ("logit" if stride else "input px"), None
        else:
            unit, limits = ("logit", None) if stride else ("probability", (0.0, 1.0))
        specs.append(OutputSpec(name, tuple(tensor.shape), "float32", unit, limits))
    return tuple(specs)


def _self_test(
    deployed: DeployNetwork, size: tuple[int, int], max_poses: int, nms: float | None
) -> SelfTest:
    """Return the poses that the network finds in generated pictures, computed by torch."""
    found = []
    for seed in _SELF_TEST_SEEDS:
        images, letterbox = preprocess(render_scene(seed, _SELF_TEST_SIZE)[0], size)
        with torch.inference_mode():
            arrays = [tensor.numpy() for tensor in deployed(torch.from_numpy(images))]
        outputs: dict[str, np.ndarray] = dict(zip(deployed.output_names, arrays, strict=True))
        poses = decode(
            outputs, deployed.contract, letterbox, STRIDES, 0.0, max_poses, nms
        ).to_json()
        # The best pose is always there: the test of weak weights would be empty otherwise.
        found.append(poses[:1] + [p for p in poses[1:] if p["score"] >= _SELF_TEST_SCORE])
    return SelfTest(_SELF_TEST_SEEDS, _SELF_TEST_SIZE, tuple(found))


def tool_versions() -> dict[str, str]:
    """Return the version of every installed package that has a hand in an export."""
    found = {"erpose-edge": __version__}
    for tool in _TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found
