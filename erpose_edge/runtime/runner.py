"""One engine behind ``run(images)``; which one, the artifact says."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Protocol

from erpose_edge.errors import (
    ImageError,
    IntegrityError,
    MissingExtraError,
    RequestError,
    TargetError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from erpose_edge.runtime.artifact import Artifact


class Runner(Protocol):
    """A network on an engine.

    Attributes:
        engine: Its name and version, for reports.
        threads: How many the engine computes with.
    """

    engine: str
    threads: int

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network and wait for it.

        Args:
            images: RGB (1, 3, H, W) in [0, 1], rows one after the other.

        Returns:
            Outputs by name, valid until the next call: an engine may write into them again.

        Raises:
            ImageError: ``images`` are of another shape or type.
        """


# engine → module, class, package to import (None: the module finds one), extra that brings it
_ENGINES: dict[str, tuple[str, str, str | None, str]] = {
    "openvino": ("openvino_runner", "OpenvinoRunner", "openvino", "openvino"),
    "onnxruntime": ("onnx_runner", "OnnxRunner", "onnxruntime", "ort"),
    "tflite": ("tflite_runner", "TfliteRunner", None, "tflite"),
    "tensorrt": ("tensorrt.runner", "TensorrtRunner", None, "tensorrt"),
}


def open_runner(artifact: Artifact, threads: int | None = None) -> Runner:
    """Load an artifact into its engine.

    Args:
        artifact: As `read_artifact` returns it.
        threads: How many the engine may use; its own choice by default.

    Raises:
        RequestError: ``threads`` is below one.
        MissingExtraError: The engine is not installed.
        TargetError: This version has no runner for the engine, or the engine refuses the model.
        IntegrityError: The model's inputs or outputs are not the ones of the manifest.
    """
    name = artifact.manifest.engine
    if name not in _ENGINES:
        raise TargetError(
            f"engine: expected {' or '.join(_ENGINES)}, got {name!r}; "
            "install a version of erpose-edge that knows it"
        )
    if threads is not None and threads < 1:
        raise RequestError(f"threads: expected at least 1, got {threads}; leave it out")
    module, runner, package, extra = _ENGINES[name]
    if package is not None:
        _require(name, package, extra)
    opened: Runner = getattr(importlib.import_module(f"erpose_edge.runtime.{module}"), runner)(
        artifact, threads
    )
    return opened


def _require(engine: str, package: str, extra: str) -> None:
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:  # the engine is there, but broken
            raise
        raise MissingExtraError(
            f"{engine}: expected the package {package}, got none; "
            f"run: pip install 'erpose-edge[{extra}]'"
        ) from None


def usable_cores() -> int:
    """Return how many logical processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_images(images: NDArray[np.float32], size: tuple[int, int]) -> None:
    """Refuse what an engine would silently cast or stretch to its input.

    Args:
        images: To be run.
        size: (height, width) of the network's input.

    Raises:
        ImageError: They are not float32 (1, 3, height, width).
    """
    if images.dtype.name != "float32" or images.shape != (1, 3, *size):
        raise ImageError(
            f"images: expected float32 {(1, 3, *size)}, got {images.dtype.name} {images.shape}; "
            "preprocess them for the input size of the manifest"
        )


def check_tensors(artifact: Artifact, inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Compare the names in a loaded model with the manifest's.

    Raises:
        IntegrityError: A name is missing.
    """
    manifest = artifact.manifest
    found = {"input": set(inputs), "outputs": set(outputs)}
    wanted = {"input": [manifest.input.name], "outputs": [spec.name for spec in manifest.outputs]}
    for field, names in wanted.items():
        for name in names:
            if name not in found[field]:
                raise IntegrityError(
                    f"{artifact.folder}: {field}: expected {name} as the manifest says, "
                    f"got {', '.join(sorted(found[field]))}; export the artifact again"
                )


def load_error(artifact: Artifact, engine: str, error: Exception) -> TargetError:
    """Return the error for a model that an engine refuses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return TargetError(
        f"{artifact.folder}: expected a model that {engine} loads, "
        f"got: {lines[-1] if lines else type(error).__name__}; export it with this version"
    )
