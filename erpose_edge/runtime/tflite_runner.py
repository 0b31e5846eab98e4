"""Run an artifact with the TFLite runtime on the CPU, by XNNPACK where that is built in.

The runtime has had three names. The newest installed is taken: ``ai_edge_litert``, then
``tflite_runtime`` (last released in 2023, needs numpy 1), then ``tensorflow``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import IntegrityError, MissingExtraError
from erpose_edge.runtime.runner import check_images, check_tensors, load_error, usable_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.runtime.artifact import Artifact

# package, what it calls itself in reports, module with the class Interpreter
_RUNTIMES = (
    ("ai_edge_litert", "LiteRT", "ai_edge_litert.interpreter"),
    ("tflite_runtime", "TFLite runtime", "tflite_runtime.interpreter"),
    ("tensorflow", "TensorFlow Lite", "tensorflow.lite"),
)


class TfliteRunner:
    """`Runner` for ``model.tflite``, whose images and raw maps are NHWC."""

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
        """Load the model.

        Raises:
            MissingExtraError: No package with the runtime is installed.
            TargetError: The runtime refuses the model.
            IntegrityError: Its inputs or outputs are not the ones of the manifest.
        """
        title, interpreter_class = runtime()
        self.engine = title
        self.threads = usable_cores() if threads is None else threads
        path = artifact.file(".tflite")
        try:
            self.interpreter = interpreter_class(model_path=str(path), num_threads=self.threads)
            self.interpreter.allocate_tensors()
            signature = self.interpreter.get_signature_runner()
            inputs, outputs = signature.get_input_details(), signature.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise load_error(artifact, title, error) from None
        check_tensors(artifact, inputs, outputs)
        manifest = artifact.manifest
        self._maps = manifest.contract == "raw"
        _check(artifact, manifest.input.name, inputs, manifest.input.shape)
        for spec in manifest.outputs:
            n, *others = spec.shape
            channels_last = (n, *others[1:], others[0])
            _check(artifact, spec.name, outputs, channels_last if self._maps else spec.shape)
        self._size = manifest.input_size
        self._input = self.interpreter.tensor(inputs[manifest.input.name]["index"])
        self._outputs = [(spec.name, outputs[spec.name]["index"]) for spec in manifest.outputs]

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network; see `Runner.run`.

        Images are copied once, straight through if their memory is NHWC, as that of a
        `Preprocessor` for this layout is.
        """
        check_images(images, self._size)
        # The runtime refuses to run while anybody holds a view of its memory: none is kept.
        np.copyto(self._input(), images.transpose(0, 2, 3, 1))
        self.interpreter.invoke()
        found = {name: self.interpreter.get_tensor(index) for name, index in self._outputs}
        if self._maps:
            return {name: array.transpose(0, 3, 1, 2) for name, array in found.items()}
        return found


def runtime() -> tuple[str, Any]:
    """Return name and version of the runtime that is installed, and its class Interpreter.

    Raises:
        MissingExtraError: None is.
    """
    for package, title, module in _RUNTIMES:
        try:
            version = importlib.import_module(package).__version__
            return f"{title} {version}", importlib.import_module(module).Interpreter
        except ModuleNotFoundError as error:
            if error.name != package:  # it is there, but broken
                raise
    raise MissingExtraError(
        f"tflite: expected the package {' or '.join(package for package, *_ in _RUNTIMES)}, got "
        "none; run: pip install 'erpose-edge[tflite]'"
    )


def _check(
    artifact: Artifact, name: str, details: dict[str, Any], expected: tuple[int, ...]
) -> None:
    """Compare a tensor of the loaded model with the manifest's.

    Raises:
        IntegrityError: It has another shape or type.
    """
    shape = tuple(int(side) for side in details[name]["shape"])
    kind = np.dtype(details[name]["dtype"]).name
    if shape != tuple(expected) or kind != "float32":
        raise IntegrityError(
            f"{artifact.folder}: {name}: expected float32 {tuple(expected)} as the manifest says, "
            f"got {kind} {shape}; export the artifact again"
        )
