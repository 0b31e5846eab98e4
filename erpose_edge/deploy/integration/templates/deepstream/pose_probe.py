#!/usr/bin/env python3
"""People's keypoints from a DeepStream pipeline, one line of JSON a frame.

nvinfer runs the engine and hands its outputs on as they are; they are decoded here by the bundle's
own runtime, the same code as everywhere. Needs DeepStream with its Python bindings (pyds)::

    python3 integration/deepstream/pose_probe.py --source file:///home/me/video.mp4
    python3 integration/deepstream/pose_probe.py --source csi --size 1920x1080

In a pipeline of your own: `PoseProbe`, added to the source pad of nvinfer.

Never run in DeepStream: the decoding was tested on tensors of real networks, and what is asked of
pyds on a stand-in with its names.

Ref: letterbox: gst-nvinfer/gstnvinfer.cpp, get_converted_buffer, in https://github.com/NVIDIA/DeepStream
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

BUNDLE = Path(__file__).resolve().parents[2]
if str(BUNDLE) not in sys.path:
    sys.path.insert(0, str(BUNDLE))

from erpose_edge.errors import ErposeError, RequestError, TargetError  # noqa: E402
from erpose_edge.on_device.opened import open_bundle  # noqa: E402
from erpose_edge.runtime.artifact import Artifact  # noqa: E402
from erpose_edge.runtime.decode import decode  # noqa: E402
from erpose_edge.runtime.estimator import PoseContract  # noqa: E402
from erpose_edge.runtime.poses import Poses  # noqa: E402
from erpose_edge.runtime.preprocess import Letterbox  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CONFIG = Path(__file__).resolve().parent / "config_infer.txt"


def nvinfer_letterbox(
    muxed_size: tuple[int, int],
    input_size: tuple[int, int],
    source_size: tuple[int, int] | None = None,
) -> Letterbox:
    """Return how nvinfer lays a frame into the input: with an even size, cut off, not rounded.

    Args:
        muxed_size: (height, width) of the frames that nvstreammux gives, in pixels.
        input_size: (height, width) of the network's input.
        source_size: (height, width) of the frames before nvstreammux scaled them to
            ``muxed_size``; the same by default. Poses are given in these pixels.
    """
    height, width = (side // 2 * 2 for side in muxed_size)
    scaled_h = input_size[1] * height / width
    scaled_w = input_size[0] * width / height
    if scaled_h <= input_size[0]:
        used = (int(scaled_h), input_size[1])
    else:
        used = (input_size[0], int(scaled_w))
    source_size = source_size or muxed_size
    return Letterbox(
        scale_x=used[1] / width * muxed_size[1] / source_size[1],
        scale_y=used[0] / height * muxed_size[0] / source_size[0],
        pad_x=(input_size[1] - used[1]) // 2,
        pad_y=(input_size[0] - used[0]) // 2,
        source_size=source_size,
        input_size=input_size,
    )


def poses_of_tensors(
    tensors: Mapping[str, Any], contract: PoseContract, letterbox: Letterbox
) -> Poses:
    """Return the poses in a network's outputs.

    Args:
        tensors: Outputs by name, float32, batch first, as the contract says.
        contract: Of the artifact.
        letterbox: How the frame lies in the input.
    """
    return decode(
        tensors,
        contract.outputs,
        letterbox,
        contract.strides,
        contract.score_threshold,
        contract.max_poses,
        contract.nms,
    )


def tensors_of_meta(
    pyds: Any,  # noqa: ANN401 - the module
    meta: Any,  # noqa: ANN401 - NvDsInferTensorMeta
    shapes: Mapping[str, Sequence[int]],
) -> dict[str, Any]:
    """Return nvinfer's outputs by name; they are nvinfer's memory, valid as long as the frame.

    Args:
        pyds: DeepStream's bindings.
        meta: Outputs of one frame.
        shapes: Of every output that the manifest lists, batch first.

    Raises:
        TargetError: An output is missing, not float32, or of another size: the engine is another
            network's.
    """
    tensors = {}
    for index in range(meta.num_output_layers):
        layer = pyds.get_nvds_LayerInfo(meta, index)
        shape = shapes.get(layer.layerName)
        if shape is None:
            continue
        expected, got = int(np.prod(shape)), int(layer.inferDims.numElements)
        if expected != got or int(layer.dataType) != 0:  # 0: FLOAT
            raise TargetError(
                f"output {layer.layerName}: expected {expected} float32, got {got} of type "
                f"{int(layer.dataType)}; build the engine of this bundle"
            )
        pointer = ctypes.cast(pyds.get_ptr(layer.buffer), ctypes.POINTER(ctypes.c_float))
        tensors[layer.layerName] = np.ctypeslib.as_array(pointer, shape=tuple(shape))
    missing = sorted(set(shapes) - set(tensors))
    if missing:
        raise TargetError(
            f"nvinfer: expected the outputs {', '.join(sorted(shapes))}, got none of the name "
            f"{', '.join(missing)}; check output-blob-names in {CONFIG.name}"
        )
    return tensors


class PoseProbe:
    """What is done with every frame behind nvinfer.

    Args:
        artifact: Whose engine nvinfer runs.
        pyds: DeepStream's bindings.
        found: Called with the number of the source, of the frame, and the poses in its pixels.
        unique_id: ``gie-unique-id`` of that nvinfer.
    """

    def __init__(
        self,
        artifact: Artifact,
        pyds: Any,  # noqa: ANN401 - the module
        found: Callable[[int, int, Poses], None],
        unique_id: int = 1,
    ) -> None:
        self._contract = PoseContract.of(artifact)
        self._shapes = {spec.name: spec.shape for spec in artifact.manifest.outputs}
        self._pyds = pyds
        self._found = found
        self._unique_id = unique_id

    def on_buffer(self, buffer: Any) -> None:  # noqa: ANN401 - Gst.Buffer
        """Report the poses of every frame in a buffer.

        Raises:
            TargetError: The engine is not this bundle's.
        """
        pyds = self._pyds
        batch = pyds.gst_buffer_get_nvds_batch_meta(hash(buffer))
        for frame in _items(batch.frame_meta_list, pyds.NvDsFrameMeta.cast):
            for user in _items(frame.frame_user_meta_list, pyds.NvDsUserMeta.cast):
                if user.base_meta.meta_type != pyds.NvDsMetaType.NVDSINFER_TENSOR_OUTPUT_META:
                    continue
                meta = pyds.NvDsInferTensorMeta.cast(user.user_meta_data)
                if meta.unique_id != self._unique_id:
                    continue
                source = (frame.source_frame_height, frame.source_frame_width)
                # Before DeepStream 6.1 the muxer's size was not told: then it is the source's.
                muxed = (
                    getattr(frame, "pipeline_height", 0) or source[0],
                    getattr(frame, "pipeline_width", 0) or source[1],
                )
                letterbox = nvinfer_letterbox(muxed, self._contract.input_size, source)
                tensors = tensors_of_meta(pyds, meta, self._shapes)
                poses = poses_of_tensors(tensors, self._contract, letterbox)
                self._found(frame.source_id, frame.frame_num, poses)


def _items(entry: Any, cast: Callable[[Any], Any]) -> Iterator[Any]:  # noqa: ANN401 - a GList
    while entry is not None:
        yield cast(entry.data)
        try:
            entry = entry.next
        except StopIteration:  # how older bindings say that there are no more
            return


def pipeline_text(source: str, size: tuple[int, int]) -> str:
    """Return the pipeline in GStreamer's notation, without anything of the user's text in it.

    Args:
        source: ``csi``, ``/dev/video0`` or the like, or a URI; the element ``source`` gets it.
        size: (height, width) that frames are brought to.
    """
    height, width = size
    memory = "video/x-raw(memory:NVMM),format=NV12"
    if source == "csi":
        head = f"nvarguscamerasrc name=source ! {memory},width={width},height={height}"
    elif source.startswith("/dev/"):
        head = f"v4l2src name=source ! videoconvert ! nvvideoconvert ! {memory}"
    else:
        head = f"uridecodebin name=source ! nvvideoconvert ! {memory}"
    live = 0 if source.startswith("file://") else 1
    return (
        f"{head} ! mux.sink_0 nvstreammux name=mux batch-size=1 width={width} height={height} "
        f"live-source={live} batched-push-timeout=40000 ! nvinfer name=poses ! "
        "fakesink name=end sync=false"
    )


def serving_artifact(bundle: Path = BUNDLE) -> Artifact:
    """Return the bundle's artifact that serves; every file of the bundle is verified.

    Raises:
        IntegrityError: The bundle is damaged.
    """
    opened = open_bundle(bundle)
    return opened.artifacts[opened.serving]


def engine_of(artifact: Artifact) -> Path:
    """Return the engine of an artifact on this board; it is built if it is not there yet."""
    from erpose_edge.runtime.tensorrt.build import engine_for, tensorrt_module
    from erpose_edge.runtime.tensorrt.cuda import gpu_facts
    from erpose_edge.runtime.tensorrt.cuda_library import CudaLibrary

    return engine_for(artifact, tensorrt_module(), gpu_facts(CudaLibrary()))


def with_engine(config: str, engine: Path) -> str:
    """Return nvinfer's configuration with the engine in it, for `deepstream-app` and others."""
    return config.replace("[property]\n", f"[property]\nmodel-engine-file={engine}\n", 1)


def run(artifact: Artifact, engine: Path, source: str, size: tuple[int, int]) -> ErposeError | None:
    """Run the pipeline to the end of the source; poses go to standard output.

    Returns:
        What stopped it, if it was not the end.
    """
    import gi

    gi.require_version("Gst", "1.0")
    import pyds
    from gi.repository import GLib, Gst

    Gst.init(None)
    pipeline = Gst.parse_launch(pipeline_text(source, size))
    if source.startswith("/dev/"):
        pipeline.get_by_name("source").set_property("device", source)
    elif source != "csi":
        pipeline.get_by_name("source").set_property("uri", source)
    nvinfer = pipeline.get_by_name("poses")
    nvinfer.set_property("config-file-path", str(CONFIG))
    nvinfer.set_property("model-engine-file", str(engine))
    loop = GLib.MainLoop()
    stopped: list[ErposeError] = []

    def found(source_id: int, frame: int, poses: Poses) -> None:
        sys.stdout.write(line(source_id, frame, poses))
        sys.stdout.flush()

    probe = PoseProbe(artifact, pyds, found)

    def on_buffer(pad: Any, info: Any) -> Any:  # noqa: ANN401 - GStreamer's
        try:
            probe.on_buffer(info.get_buffer())
        except ErposeError as error:  # raised in GStreamer's thread it would only be printed
            stopped.append(error)
            loop.quit()
            return Gst.PadProbeReturn.REMOVE
        return Gst.PadProbeReturn.OK

    def on_message(bus: Any, message: Any) -> None:  # noqa: ANN401 - GStreamer's
        if message.type == Gst.MessageType.ERROR:
            text = message.parse_error()[0].message
            stopped.append(TargetError(f"deepstream: expected frames, got: {text}; see its log"))
        if message.type in (Gst.MessageType.ERROR, Gst.MessageType.EOS):
            loop.quit()

    nvinfer.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, on_buffer)
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message", on_message)
    pipeline.set_state(Gst.State.PLAYING)
    try:
        loop.run()
    finally:
        pipeline.set_state(Gst.State.NULL)
    return stopped[0] if stopped else None


def line(source_id: int, frame: int, poses: Poses) -> str:
    """Return the line of JSON for a frame."""
    return json.dumps({"source": source_id, "frame": frame, "poses": poses.to_json()}) + "\n"


def parsed_size(text: str) -> tuple[int, int]:
    """Return (height, width) of ``WIDTHxHEIGHT``.

    Raises:
        RequestError: It is no such text.
    """
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) > 1 and int(height) > 1):
        raise RequestError(f"size: expected WIDTHxHEIGHT, got {text!r}; for example 1280x720")
    return int(height), int(width)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the pipeline, or write the configuration for another one."""
    parser = argparse.ArgumentParser(description="keypoints from DeepStream, a line a frame")
    parser.add_argument(
        "--source", default="csi", help="csi, /dev/video0, or a URI (file://, rtsp://)"
    )
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT of the frames")
    parser.add_argument("--engine", type=Path, help="an engine that is there; built by default")
    parser.add_argument("--write-config", type=Path, help="write it with the engine, and end")
    given = parser.parse_args(arguments)
    try:
        size = parsed_size(given.size)
        artifact = serving_artifact()
        engine = given.engine or engine_of(artifact)
        if given.write_config:
            given.write_config.write_text(with_engine(CONFIG.read_text(), engine.resolve()))
            return 0
        error = run(artifact, engine.resolve(), given.source, size)
        if error:
            raise error
    except ErposeError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
