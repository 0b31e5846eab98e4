"""What the stand-in of TensorRT does for DLA: read a calibration cache, and say what runs where.

The environment's FAKE_TENSORRT_GPU names layers, with commas, that DLA does not take.
"""

from __future__ import annotations

import os
from typing import Any

NOT_ON_DLA = "FAKE_TENSORRT_GPU"
# NV_TENSORRT_VERSION of each version. Seen in published caches: 8502, 8510, 8600, 100300, 101401.
HEADERS = {"8.5.2.2": 8502, "8.6.2.3": 8602, "10.3.0": 100300, "10.13.3.9": 101303}


def calibrate(logger: Any, trt: Any, network: Any, config: Any) -> bool:
    """Ask the calibrator as TensorRT does: for its cache, and for images if that is of no use.

    The messages are those that a user of TensorRT 10 got for a cache of 8.6; see the tests.
    """
    asked = getattr(config, "int8_calibrator", None)
    if asked is None:
        return True
    cache = asked.read_calibration_cache()
    header = f"TRT-{HEADERS[trt.__version__]}-EntropyCalibration2"
    lines = bytes(cache or b"").decode().splitlines()
    if lines and lines[0] == header:
        config._scales = dict(line.split(": ") for line in lines[1:])
        return True
    logger.log(trt.ILogger.ERROR, "Calibration table does not match calibrator algorithm type.")
    if asked.get_batch([tensor.name for tensor in network._inputs]) is None:
        logger.log(trt.ILogger.ERROR, "Calibration failure occurred with no scaling factors")
        return False
    return True


def list_layers(logger: Any, trt: Any, network: Any, config: Any) -> None:
    """Say which layers are on DLA and which on the GPU, as TensorRT 8.5 to 10.x do."""
    if config.default_device_type != trt.DeviceType.DLA:
        return
    not_taken = set(filter(None, os.environ.get(NOT_ON_DLA, "").split(",")))
    parts: list[list[str]] = [[]]
    on_gpu = []
    for layer in network._layers:
        integers = layer.get_output(0).dtype == trt.DataType.INT32  # DLA has float16 and int8
        if layer.name in not_taken or integers:
            text = f"Layer '{layer.name}' ({layer.type.name}): Unsupported on DLA. Switching this "
            logger.log(trt.ILogger.WARNING, text + "layer's device type to GPU.")
        if (
            layer.name in not_taken
            or integers
            or config.get_device_type(layer) == trt.DeviceType.GPU
        ):
            on_gpu.append(f"{layer.type.name}: {layer.name}")
            parts.append([])
        else:
            parts[-1].append(layer.name)
    logger.log(trt.ILogger.INFO, "---------- Layers Running on DLA ----------")
    for names in filter(None, parts):
        both = names[0] if len(names) == 1 else f"{names[0]}...{names[-1]}"
        logger.log(trt.ILogger.INFO, f"[DlaLayer] {{ForeignNode[{both}]}}")
    logger.log(trt.ILogger.INFO, "---------- Layers Running on GPU ----------")
    for line in on_gpu:
        logger.log(trt.ILogger.INFO, f"[GpuLayer] {line}")
