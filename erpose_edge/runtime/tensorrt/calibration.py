"""The calibration cache of implicit int8, which DLA needs before TensorRT 11.

DLA takes no QuantizeLinear and DequantizeLinear: it asks TensorRT for one scale per tensor, and
TensorRT asks a calibrator, which may answer with a text that an earlier calibration wrote::

    TRT-100300-EntropyCalibration2
    images: 3c010204

The number is that of TensorRT (8.5.2 is 8502, 10.3.0 is 100300); after each tensor's name stands
its scale, the largest value divided by 127, as the eight hexadecimal digits of a big-endian
float32. A text of another version is refused: TensorRT would calibrate instead, and has nothing to
calibrate with. So no such text is kept: the scales are, and the text is written for the version at
hand whenever an engine is built.

Never read by TensorRT itself here.

Ref: https://github.com/NVIDIA/Deep-Learning-Accelerator-SW/tree/main/tools/qdq-translator,
    https://github.com/microsoft/onnxruntime (trt calibration table in tensorrt_execution_provider)
"""

from __future__ import annotations

import argparse
import math
import re
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import ErposeError, IntegrityError, TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALGORITHM = "EntropyCalibration2"
_VERSION = re.compile(r"^(\d+)\.(\d+)\.(\d+)")
_LINE = re.compile(r"^(?P<name>.+): (?P<digits>[0-9a-f]{1,8})$")


def cache_header(version: str) -> str:
    """Return the first line of a cache.

    Args:
        version: Of TensorRT, as it says it, with three numbers at least.

    Raises:
        TargetError: It has fewer.
    """
    found = _VERSION.match(version)
    if found is None:
        raise TargetError(
            f"calibration: expected a version of TensorRT as 10.3.0, got {version!r}; "
            "give what tensorrt.__version__ says"
        )
    major, minor, patch = (int(part) for part in found.groups())
    # NV_TENSORRT_VERSION of NvInferVersion.h; TensorRT 10 made room for a second digit.
    number = (major * 10000 if major >= 10 else major * 1000) + minor * 100 + patch
    return f"TRT-{number}-{_ALGORITHM}"


def cache_text(scales: Mapping[str, float], version: str) -> bytes:
    """Return a calibration cache.

    Args:
        scales: Of each tensor by name, above 0.
        version: Of the TensorRT that will read it.

    Raises:
        TargetError: A scale cannot be one, or a name breaks the line.
    """
    lines = [cache_header(version)]
    for name, scale in scales.items():
        if not name or "\n" in name or "\r" in name:
            raise TargetError(
                f"calibration: expected names of one line, got {name!r}; rename the tensor"
            )
        digits = _digits(scale)
        if digits is None:
            raise TargetError(
                f"calibration: {name}: expected a scale above 0 that float32 holds, got {scale}; "
                "quantize the network again"
            )
        lines.append(f"{name}: {digits}")
    return ("\n".join(lines) + "\n").encode()


def read_cache(content: bytes, version: str) -> dict[str, float]:
    """Return the scales of a cache, by tensor.

    Raises:
        IntegrityError: It is of another version of TensorRT, or not a cache.
    """
    first, *lines = content.decode(errors="replace").split("\n")
    header = cache_header(version)
    if first != header:
        raise IntegrityError(
            f"calibration: expected {header}, got {first[:80]!r}; write it anew for this TensorRT"
        )
    scales: dict[str, float] = {}
    for number, line in enumerate(lines, 2):
        if not line and number == len(lines) + 1:
            break
        found = _LINE.match(line)
        scale = None if found is None else _scale(found.group("digits"))
        if found is None or scale is None:
            raise IntegrityError(
                f"calibration: line {number}: expected a name and a scale above 0 as hexadecimal "
                f"digits, got {line[:80]!r}; write it anew"
            )
        scales[found.group("name")] = scale
    return scales


def calibrator(trt: Any, scales: Mapping[str, float]) -> Any:  # noqa: ANN401 - TensorRT's
    """Return a calibrator that answers with scales and has no images.

    Args:
        trt: The module of TensorRT, 8.5 to 10.7.
        scales: Of each tensor by name.
    """
    text = cache_text(scales, str(trt.__version__))

    class Scales(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: Any) -> None:  # noqa: ANN401 - a list of str
            """Say that there are no images: TensorRT asks only if it did not take the cache."""
            del names

        def read_calibration_cache(self) -> bytes:
            return text

        def write_calibration_cache(self, cache: Any) -> None:  # noqa: ANN401 - a buffer
            """Keep nothing: what TensorRT would write is what it was given."""
            del cache

    return Scales()


def _digits(scale: float) -> str | None:
    try:
        packed = struct.pack(">f", scale)
    except (OverflowError, struct.error):
        return None
    return packed.hex() if _usable(struct.unpack(">f", packed)[0]) else None


def _scale(digits: str) -> float | None:
    # TensorRT writes them without leading zeros.
    value = float(struct.unpack(">f", bytes.fromhex(digits.zfill(8)))[0])
    return value if _usable(value) else None


def _usable(value: float) -> bool:
    return math.isfinite(value) and value > 0


def main(arguments: list[str] | None = None) -> int:
    """Print an artifact's calibration cache for one version of TensorRT, for ``trtexec``."""
    from erpose_edge.runtime.artifact import read_artifact
    from erpose_edge.runtime.tensorrt.dla import read_plan

    parser = argparse.ArgumentParser(prog=f"python3 -m {__spec__.name if __spec__ else ''}")
    parser.add_argument("artifact", type=Path, help="folder of an artifact that knows DLA")
    parser.add_argument("--tensorrt", required=True, help="its version, such as 10.3.0")
    given = parser.parse_args(arguments)
    try:
        text = cache_text(read_plan(read_artifact(given.artifact)).scales, given.tensorrt)
    except ErposeError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(text.decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
