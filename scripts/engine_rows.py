"""What ``engine_table.py`` measures: the artifact of every row, and the poses that it found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from measured_block import ROOT

sys.path.insert(0, str(ROOT))

from erpose_edge.config import config_from_mapping
from erpose_edge.exporters.artifact_export import ExportRequest, export_artifact
from erpose_edge.exporters.islands import openvino_islands, tflite_islands
from erpose_edge.exporters.lint.linter import lint, read_model
from erpose_edge.exporters.ptq_baselines import quantize_with_litert, quantize_with_nncf
from erpose_edge.network.checkpoint import Weights, load_weights, save_weights
from erpose_edge.quantization.calibrate import CalibrationImages
from erpose_edge.quantization.checkpoint import policy_of
from erpose_edge.quantization.observers import METHODS
from erpose_edge.quantization.qat import Quantization
from erpose_edge.quantization.recipe import load_calibration
from erpose_edge.runtime.artifact import Artifact, write_artifact
from erpose_edge.runtime.poses import Poses

ENGINES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "tflite": "TFLite"}
_OBSERVERS = {"minmax": "min-max", "percentile": "percentile", "mse": "MSE"}
VARIANTS = {
    "fp32": "fp32",
    **{f"ptq-{method}": f"PTQ, {_OBSERVERS[method]}" for method in METHODS},
    "nncf": "PTQ, NNCF",
    "nncf-keep-float": "PTQ, NNCF with our keep_float",
    "litert-quantizer": "PTQ, litert-quantizer",
    "qat": "QAT",
}
# Engines' own tools, and whose they are.
TOOLS = {"nncf": "openvino", "nncf-keep-float": "openvino", "litert-quantizer": "tflite"}


@dataclass(frozen=True)
class Networks:
    """What rows are exported from.

    Attributes:
        reference: Float weights.
        qat: Quantized weights; their config says how PTQ calibrates.
        input_size: (height, width) in pixels.
        folder: Gets the calibrated weights.
    """

    reference: Weights
    qat: Weights
    input_size: tuple[int, int]
    folder: Path

    @property
    def images(self) -> CalibrationImages:
        """Of every calibration."""
        recipe = load_calibration(self.qat.config["qat"]["calibration"])
        return CalibrationImages(recipe, self.input_size)

    def calibrated(self, observer: str) -> Weights:
        """Return what ``erpose-edge qat --epochs 0 --set qat.observer=...`` writes."""
        made_from = f"{self.reference.sha256[:8]}-{self.qat.sha256[:8]}"
        size = "x".join(map(str, self.input_size))
        path = self.folder / f"ptq-{observer}-{made_from}-{size}.safetensors"
        if not path.is_file():
            config = config_from_mapping(self.qat.config, str(self.qat.path))
            qat = config.qat.model_copy(update={"observer": observer, "epochs": 0})
            network = config.network.model_copy(update={"input_size": self.input_size})
            config = config.model_copy(update={"qat": qat, "network": network})
            quantization = Quantization(self.reference, config)
            quantization.calibrate(progress(f"calibrate, {observer}"))
            save_weights(path, quantization.weights())
        return load_weights(path)


def export(engine: str, variant: str, networks: Networks, place: Path) -> Artifact:
    """Return the artifact of a row.

    Raises:
        ExportError: The engine, or its tool, does not take the network.
        MissingExtraError: It is not installed.
    """
    request = ExportRequest(f"{engine}-table", engine, "int8", input_size=networks.input_size)
    if variant in TOOLS:
        request = replace(request, precision="fp32", contract="raw")
        raw = export_artifact(networks.reference, request, place.with_name(f"{engine}-raw"))
        return _by_tool(variant, raw, networks, place)
    if variant == "fp32":
        return export_artifact(networks.reference, replace(request, precision="fp32"), place)
    method = variant.removeprefix("ptq-")
    return export_artifact(
        networks.qat if variant == "qat" else networks.calibrated(method), request, place
    )


def _by_tool(variant: str, raw: Artifact, networks: Networks, place: Path) -> Artifact:
    files = {name: (raw.folder / name).read_bytes() for name in raw.manifest.files}
    if variant == "litert-quantizer":
        (model,) = (name for name in files if name.endswith(".tflite"))
        files[model] = quantize_with_litert(files[model], networks.images)
    else:
        keeps = policy_of(networks.qat).is_float if variant == "nncf-keep-float" else None
        files.update(quantize_with_nncf(files, networks.images, keeps_float=keeps))
    # The poses of the self-test are those of the float network.
    return write_artifact(place, replace(raw.manifest, precision="int8", self_test=None), files)


def islands(artifact: Artifact) -> int:
    """Return how many float islands the engine of an artifact has between int8 layers."""
    engine = artifact.manifest.engine
    if engine == "onnxruntime":
        return lint(read_model(artifact.file(".onnx"))).summary.islands
    if engine == "tflite":
        return tflite_islands(artifact.file(".tflite").read_bytes())
    names = [artifact.file(".xml"), artifact.file(".bin")]
    return openvino_islands({path.name: path.read_bytes() for path in names})


def save_poses(path: Path, poses: Mapping[int, Poses]) -> None:
    """Write poses by image id, one after the other."""
    arrays = {
        "ids": np.array(list(poses), np.int64),
        "counts": np.array([len(found) for found in poses.values()], np.int64),
    }
    for name in ("scores", "keypoints", "visibility"):
        arrays[name] = np.concatenate([getattr(found, name) for found in poses.values()])
    part = path.with_name(path.name + ".part")
    with part.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    part.replace(path)


def load_poses(path: Path) -> dict[int, Poses]:
    """Return what `save_poses` wrote."""
    with np.load(path) as file:
        ends = file["counts"].cumsum()[:-1]
        parts = [np.split(file[name], ends) for name in ("scores", "keypoints", "visibility")]
        return {int(i): Poses(*arrays) for i, *arrays in zip(file["ids"], *parts, strict=True)}


def progress(what: str) -> Callable[[int, int], None]:
    """Return what shows on standard error how far ``what`` is."""

    def advance(done: int, total: int) -> None:
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{what}: {done}/{total}{end}" if total else f"{what}\n")
        sys.stderr.flush()

    return advance
