"""A pose network of a few numbers whose answer is known: it finds bright squares.

At every grid point the score's logit is 20 x mean brightness - 10, keypoint k lies at
(0.1 k, -0.05 k) times two strides from the grid point, and its visibility's logit is
4 x green - k. The graph is real ONNX and runs in every engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from erpose_edge.runtime.artifact import write_artifact
from erpose_edge.runtime.decode import output_names
from erpose_edge.runtime.manifest import InputSpec, Manifest, NetworkFacts, OutputSpec, SelfTest

INPUT_SIZE = (64, 96)
STRIDES = (8, 16, 32)
K = 17
MAX_POSES = 5
GRID_POINTS = sum((INPUT_SIZE[0] // s) * (INPUT_SIZE[1] // s) for s in STRIDES)
OFFSETS = np.stack([0.1 * np.arange(K), -0.05 * np.arange(K)], axis=1).astype(np.float32)
_UNITS = {"scores": "probability", "keypoints": "input px", "visibility": "probability"}


def tiny_model(contract: str) -> onnx.ModelProto:
    """Return the network with the outputs of ``contract``."""
    graph = _Graph()
    for stride in STRIDES:
        graph.add("AveragePool", ["images"], f"pool_{stride}", kernel_shape=[stride] * 2,
                  strides=[stride] * 2)  # fmt: skip
        weights = {
            "scores": (np.full((1, 3), 20 / 3), np.full(1, -10.0)),
            "keypoints": (np.zeros((2 * K, 3)), OFFSETS.ravel()),
            "visibility": (np.tile([0.0, 4.0, 0.0], (K, 1)), -np.arange(K)),
        }
        for name, (weight, bias) in weights.items():
            inputs = [f"pool_{stride}", graph.constant(weight[:, :, None, None], np.float32),
                      graph.constant(bias, np.float32)]  # fmt: skip
            graph.add("Conv", inputs, f"{name}_{stride}")
    if contract != "raw":
        _decode(graph, contract)
    names = output_names(contract, STRIDES)
    shapes = tiny_shapes(contract)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "tiny",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *INPUT_SIZE])],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, shapes[n]) for n in names],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def tiny_shapes(contract: str) -> dict[str, list[int]]:
    """Return the shape of every output."""
    if contract == "raw":
        size = {s: [INPUT_SIZE[0] // s, INPUT_SIZE[1] // s] for s in STRIDES}
        channels = {"scores": 1, "keypoints": 2 * K, "visibility": K}
        return {f"{n}_{s}": [1, c, *size[s]] for s in STRIDES for n, c in channels.items()}
    count = GRID_POINTS if contract == "decoded" else MAX_POSES
    return {"scores": [1, count], "keypoints": [1, count, K, 2], "visibility": [1, count, K]}


def tiny_manifest(contract: str, engine: str) -> Manifest:
    """Return the manifest of the network; its hashes are made up."""
    return Manifest(
        target="tiny-test",
        engine=engine,
        precision="fp32",
        contract=contract,
        input=InputSpec("images", (1, 3, *INPUT_SIZE)),
        outputs=tuple(
            OutputSpec(name, tuple(shape), "float32", _UNITS.get(name, "logit"))
            for name, shape in tiny_shapes(contract).items()
        ),
        skeleton="coco-17",
        strides=STRIDES,
        max_poses=MAX_POSES,
        score_threshold=0.3,
        network=NetworkFacts("n", "relu", 123),
        weights_sha256="0" * 64,
        preprocessing={"padding": 114, "colour": "RGB"},
        scales={"pool_8": 0.0078125},
        files={},
        calibration_sha256=None,
        policy_sha256=None,
        tool_versions={"onnx": onnx.__version__},
        licences=("Apache-2.0",),
        self_test=SelfTest((7,), (48, 64), ([{"score": 0.5, "keypoints": [[1, 2.5, 1.0]] * K}],)),
    )


def write_tiny_artifact(
    folder: Path, contract: str, engine: str, more: Mapping[str, bytes] = MappingProxyType({})
) -> Path:
    """Write an artifact of the network, with ``more`` files in it, and return its folder."""
    content = tiny_model(contract).SerializeToString()
    write_artifact(folder, tiny_manifest(contract, engine), {"model.onnx": content, **more})
    return folder


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(
        self, kind: str, inputs: list[str], outputs: str | list[str], **settings: object
    ) -> str:
        outputs = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(kind, inputs, outputs, **settings))
        return outputs[0]

    def constant(self, values: object, dtype: type) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name


def _decode(graph: _Graph, contract: str) -> None:
    parts: dict[str, list[str]] = {"scores": [], "keypoints": [], "visibility": []}
    for stride in STRIDES:
        rows, columns = INPUT_SIZE[0] // stride, INPUT_SIZE[1] // stride
        y, x = np.mgrid[:rows, :columns]
        grid = (np.stack([x, y], axis=-1).reshape(1, -1, 1, 2) + 0.5) * stride

        def reshaped(name: str, *shape: int, stride: int = stride) -> str:
            inputs = [f"{name}_{stride}", graph.constant(shape, np.int64)]
            return graph.add("Reshape", inputs, f"{name}_{stride}_flat")

        parts["scores"].append(reshaped("scores", 1, -1))
        keypoints = graph.add("Transpose", [reshaped("keypoints", 1, K, 2, -1)], f"k_{stride}",
                              perm=[0, 3, 1, 2])  # fmt: skip
        scaled = graph.add(
            "Mul", [keypoints, graph.constant(2 * stride, np.float32)], f"m_{stride}"
        )
        moved = graph.add("Add", [scaled, graph.constant(grid, np.float32)], f"a_{stride}")
        parts["keypoints"].append(moved)
        parts["visibility"].append(
            graph.add(
                "Transpose", [reshaped("visibility", 1, K, -1)], f"v_{stride}", perm=[0, 2, 1]
            )
        )
    dense = contract == "decoded"
    joined = {
        name: graph.add(
            "Concat", names, f"{name}_all" if name != "keypoints" or not dense else name, axis=1
        )
        for name, names in parts.items()
    }
    for name in ("scores", "visibility"):
        joined[name] = graph.add("Sigmoid", [joined[name]], name if dense else f"{name}_sigmoid")
    if not dense:
        count = graph.constant([MAX_POSES], np.int64)
        graph.add("TopK", [joined["scores"], count], ["scores", "best"], axis=1)
        index = graph.add("Squeeze", ["best", graph.constant([0], np.int64)], "index")
        for name in ("keypoints", "visibility"):
            graph.add("Gather", [joined[name], index], name, axis=1)
