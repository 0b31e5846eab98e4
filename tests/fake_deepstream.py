"""A stand-in of DeepStream's Python bindings: the part of pyds that a probe behind nvinfer uses.

Lists end as in the bindings: older ones raise StopIteration from ``next``, newer ones give None.

Ref: https://docs.nvidia.com/metropolis/deepstream/python-api/PYTHON_API/NvDsInfer/NvDsInferTensorMetaDoc.html
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np


class Cast:
    """A type of pyds: what is cast to it is already it."""

    @staticmethod
    def cast(data: Any) -> Any:
        return data


class NvDsMetaType:
    NVDSINFER_TENSOR_OUTPUT_META = 12


class Entry:
    """An entry of a GList."""

    def __init__(self, items: list[Any], raises: bool) -> None:
        self.data, self._rest, self._raises = items[0], items[1:], raises

    @property
    def next(self) -> Entry | None:
        if self._rest:
            return Entry(self._rest, self._raises)
        if self._raises:
            raise StopIteration
        return None


def glist(items: list[Any], raises: bool = False) -> Entry | None:
    return Entry(items, raises) if items else None


class FakePyds:
    """The module; ``batch`` is what every buffer carries."""

    NvDsFrameMeta = NvDsUserMeta = NvDsInferTensorMeta = Cast
    NvDsMetaType = NvDsMetaType

    def __init__(self, frames: list[Any], raises: bool = False) -> None:
        self.batch = SimpleNamespace(frame_meta_list=glist(frames, raises))

    def gst_buffer_get_nvds_batch_meta(self, address: int) -> Any:
        if not isinstance(address, int):
            raise TypeError("the bindings take hash(buffer)")
        return self.batch

    @staticmethod
    def get_nvds_LayerInfo(meta: Any, index: int) -> Any:  # noqa: N802 - as in pyds
        return meta.layers[index]

    @staticmethod
    def get_ptr(buffer: np.ndarray) -> int:
        return buffer.ctypes.data


def layer(name: str, array: np.ndarray) -> Any:
    """Return an output without its batch dimension, as nvinfer describes it."""
    dims = SimpleNamespace(numDims=array.ndim - 1, d=array.shape[1:], numElements=array.size)
    buffer = np.ascontiguousarray(array)
    return SimpleNamespace(
        layerName=name, inferDims=dims, buffer=buffer, dataType=0 if array.dtype == "f4" else 3
    )


def tensor_meta(outputs: dict[str, np.ndarray], unique_id: int = 1) -> Any:
    layers = [layer(name, array) for name, array in outputs.items()]
    meta = SimpleNamespace(num_output_layers=len(layers), layers=layers, unique_id=unique_id)
    kind = SimpleNamespace(meta_type=NvDsMetaType.NVDSINFER_TENSOR_OUTPUT_META)
    return SimpleNamespace(base_meta=kind, user_meta_data=meta)


def frame(
    metas: list[Any],
    source: tuple[int, int],
    muxed: tuple[int, int] | None = None,
    number: int = 0,
    raises: bool = False,
) -> Any:
    """Return a frame of ``source`` (height, width) that the muxer scaled to ``muxed``."""
    facts = {"pipeline_height": muxed[0], "pipeline_width": muxed[1]} if muxed else {}
    return SimpleNamespace(
        source_id=3,
        frame_num=number,
        source_frame_height=source[0],
        source_frame_width=source[1],
        frame_user_meta_list=glist(metas, raises),
        **facts,
    )
