"""Post-training quantization by the engines' own tools: what ours is measured against.

Neither is used by `deploy`: NNCF's files run in OpenVINO only and litert-quantizer's in TFLite
only, each with ranges of its own, so that they are other networks than the one that was validated.
Both start from the float file of contract ``raw``: decoding is not theirs to quantize.

Ref: https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training.html
and https://github.com/google-ai-edge/ai-edge-quantizer (renamed litert-quantizer).
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from erpose_edge.errors import ExportError, MissingExtraError
from erpose_edge.exporters.openvino import MODEL_BIN, MODEL_XML

_CONVOLUTION_OF_TWO = "/WithoutBiases"


class Images(Sized, Protocol):
    """Calibration images (1, 3, H, W), RGB in [0, 1], that can be gone through more than once."""

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield them one at a time."""
        ...


def quantize_with_nncf(
    files: Mapping[str, bytes],
    images: Images,
    *,
    keeps_float: Callable[[str], bool] | None = None,
) -> dict[str, bytes]:
    """Return an IR as `nncf.quantize` makes it, by its defaults, for a CPU.

    Args:
        files: Float IR, ``model.xml`` and ``model.bin``.
        images: To calibrate with; all are used.
        keeps_float: Whether a convolution, by its module's name, has to stay float; by default
            NNCF decides.

    Raises:
        MissingExtraError: NNCF is not installed.
        ExportError: It does not take the model.
    """
    nncf = _package("nncf")
    import openvino as ov

    with _quiet(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in (MODEL_XML, MODEL_BIN):
            (folder / file).write_bytes(files[file])
        model = ov.Core().read_model(folder / MODEL_XML)
        try:
            quantized = nncf.quantize(
                model,
                nncf.Dataset(images),
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(images),
                ignored_scope=_scope(nncf, model, keeps_float),
            )
        except (RuntimeError, nncf.InternalError, nncf.ValidationError) as error:
            raise _refused("nncf", error) from error
        (folder / "int8").mkdir()
        ov.save_model(quantized, folder / "int8" / MODEL_XML, compress_to_fp16=False)
        return {file: (folder / "int8" / file).read_bytes() for file in (MODEL_XML, MODEL_BIN)}


def quantize_with_litert(content: bytes, images: Images) -> bytes:
    """Return a TFLite file as litert-quantizer's static int8 recipe makes it; in and out float32.

    Args:
        content: Float TFLite file with one input, NHWC.
        images: To calibrate with.

    Raises:
        MissingExtraError: litert-quantizer is not installed.
        ExportError: It does not take the model.
    """
    _package("litert_quantizer")
    quantizers = _package("litert_quantizer.quantizer")
    recipes = _package("litert_quantizer.recipe")
    # litert-quantizer names the algorithm for what a recipe leaves alone.
    untouched = quantizers.AlgorithmName.NO_QUANTIZE
    with _quiet():
        quantizer = quantizers.Quantizer(content, recipes.static_wi8_ai8())
        for place in (recipes.TFLOperationName.INPUT, recipes.TFLOperationName.OUTPUT):
            quantizer.update_quantization_recipe(
                regex=".*", operation_name=place, algorithm_key=untouched
            )
        signature, name = _input_of(content)
        try:
            ranges = quantizer.calibrate({signature: _Samples(images, name)}, num_threads=1)
            result = quantizer.quantize(ranges, enable_progress_report=False)
        except (RuntimeError, ValueError) as error:
            raise _refused("litert-quantizer", error) from error
    return bytes(result.quantized_model)


@dataclass(frozen=True)
class _Samples:
    """Images as litert-quantizer takes them, NHWC by name; it goes through them twice."""

    images: Images
    name: str

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[dict[str, NDArray[np.float32]]]:
        for image in self.images:
            yield {self.name: np.ascontiguousarray(image.transpose(0, 2, 3, 1))}


def _scope(nncf: ModuleType, model: Any, keeps_float: Callable[[str], bool] | None) -> Any:  # noqa: ANN401 - of NNCF
    if keeps_float is None:
        return None
    layers = [
        op.get_friendly_name() for op in model.get_ops() if "Convolution" in op.get_type_name()
    ]
    names = [layer for layer in layers if keeps_float(layer.removesuffix(_CONVOLUTION_OF_TWO))]
    return nncf.IgnoredScope(names=names) if names else None


def _input_of(content: bytes) -> tuple[str, str]:
    """Return the keys of a TFLite file's signature and of its one input."""
    interpreter = _package("ai_edge_litert.interpreter").Interpreter(model_content=content)
    ((signature, tensors),) = interpreter.get_signature_list().items()
    (name,) = tensors["inputs"]
    return signature, name


def _package(name: str) -> ModuleType:
    import importlib

    try:
        with _quiet():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"baselines: expected the package {error.name}, got none; "
            "run `pip install 'erpose-edge[baselines]'`"
        ) from error


def _refused(tool: str, error: Exception) -> ExportError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1] if lines else type(error).__name__
    return ExportError(f"{tool}: expected to quantize the float model, got: {reason}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tools' bars, messages and warnings of their own internals to themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
