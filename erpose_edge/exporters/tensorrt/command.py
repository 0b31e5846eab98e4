"""What has to be typed on a board: ``trtexec`` by version, and the steps around it.

The flags are those that ``trtexec --help`` of 8.5 and 8.6 lists and that NVIDIA's guide from 10.x
to 11.x leaves; no command here was run on a board.

Ref: https://docs.nvidia.com/deeplearning/tensorrt/11.4.1/api/migration/tensorrt-10x-to-11x-trtexec.html
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from erpose_edge.errors import TargetError
from erpose_edge.exporters.onnx_graph import Graph
from erpose_edge.exporters.runtime_archive import ARCHIVE_NAME
from erpose_edge.exporters.tensorrt.half import last_stage
from erpose_edge.runtime.tensorrt.versions import MODEL_ONNX, TYPED_ONNX

if TYPE_CHECKING:
    import onnx

    from erpose_edge.runtime.artifact import Artifact

JETSON_TRTEXEC = "/usr/src/tensorrt/bin/trtexec"
WORKSPACE_MB = 1024
BUILD_TEXT = "BUILD.md"
BUILD_MODULE = "erpose_edge.runtime.tensorrt.build"
_VERSION = re.compile(r"^(\d+)\.(\d+)")


@dataclass(frozen=True)
class Release:
    """What the TensorRT versions of one range have in common.

    Attributes:
        since: Oldest version, (major, minor); the next entry of `RELEASES` ends the range.
        typed: The graph says every type; there are no precision flags.
        jetpack: Where boards get it.
    """

    since: tuple[int, int]
    typed: bool
    jetpack: str


RELEASES = (
    Release((8, 5), typed=False, jetpack="JetPack 5.1"),
    Release((8, 6), typed=False, jetpack="JetPack 6.0"),
    Release((10, 0), typed=False, jetpack="JetPack 6.1 to 7.2"),
    Release((11, 0), typed=True, jetpack="JetPack 7.2.2 and later"),
)


class Device(Protocol):
    """What a target profile says of TensorRT's devices."""

    @property
    def name(self) -> str:
        """Of the target."""

    @property
    def tensorrt_versions(self) -> Mapping[str, str]:
        """Version of TensorRT by what brings it, such as ``JetPack 6.2``."""


def release_of(version: str) -> Release:
    """Return the range that ``version`` (as ``tensorrt.__version__`` says it) is in.

    Raises:
        TargetError: It is older than 8.5, or no version.
    """
    found = _VERSION.match(version)
    number = (int(found[1]), int(found[2])) if found else (0, 0)
    fitting = [release for release in RELEASES if release.since <= number]
    if not fitting:
        raise TargetError(
            f"tensorrt: expected version 8.5 or newer (JetPack 5.1), got {version!r}; "
            "update JetPack"
        )
    return fitting[-1]


def build_command(
    version: str,
    folder: str,
    precision: str,
    decoding: Mapping[str, str],
    *,
    workspace_mb: int = WORKSPACE_MB,
    trtexec: str = JETSON_TRTEXEC,
) -> list[str]:
    """Return the ``trtexec`` command that builds and times an engine on the device.

    The engine and its side files get the folder's name and stand beside it, since an artifact
    holds what its manifest lists and nothing else.

    Args:
        version: Of TensorRT on the device, such as ``10.3``.
        folder: The artifact, as the device's shell names it.
        precision: Of the artifact: ``fp32``, ``fp16`` or ``int8``.
        decoding: As `decoding_layers` returns it; they stay float32 where a builder may choose.
        workspace_mb: That kernels may take for themselves.
        trtexec: The program.

    Raises:
        TargetError: There is no way for this version.
    """
    release = release_of(version)
    model = TYPED_ONNX if release.typed and precision != "fp32" else MODEL_ONNX
    name = folder.rstrip("/")
    command = [trtexec, f"--onnx={name}/{model}", f"--saveEngine={name}.engine"]
    if precision == "fp32":
        command.append("--noTF32")
    elif not release.typed:
        command += ["--fp16", "--int8"] if precision == "int8" else ["--fp16"]
        if decoding:
            command.append("--precisionConstraints=obey")
            command.append("--layerPrecisions=" + ",".join(f"{n}:fp32" for n in decoding))
            command.append(
                "--layerOutputTypes=" + ",".join(f"{n}:{t}" for n, t in decoding.items())
            )
    return [
        *command,
        f"--memPoolSize=workspace:{workspace_mb}",
        f"--timingCacheFile={name}.timing",
        "--profilingVerbosity=detailed",
        f"--exportLayerInfo={name}.layers.json",
        "--useCudaGraph",
        "--percentile=99",
    ]


def decoding_layers(model: onnx.ModelProto) -> dict[str, str]:
    """Return the float layers behind the last convolutions and the types of their outputs.

    Half precision has steps of half a pixel at 640, so a builder that chooses types must not
    choose it there.

    Args:
        model: The flagged graph.

    Returns:
        ``fp32``, or ``fp32+int32`` for TopK, by name; in the order of the graph.
    """
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model)
    values = (*inferred.graph.value_info, *inferred.graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    last = last_stage(Graph(model))
    names = {onnx.TensorProto.FLOAT: "fp32", onnx.TensorProto.INT64: "int32"}
    return {
        node.name: "+".join(names[kinds[output]] for output in node.output)
        for node in model.graph.node
        if node.output[0] in last
        and node.op_type != "Conv"
        and kinds[node.output[0]] == onnx.TensorProto.FLOAT
    }


def remaining_steps(device: Device, artifact: Artifact) -> list[str]:
    """Return the way to an engine with NVIDIA's own program, for people.

    Args:
        device: The target's profile.
        artifact: Exported for it.
    """
    versions = ", ".join(f"{v} ({source})" for source, v in device.tensorrt_versions.items())
    return [f"or with trtexec, TensorRT {versions}: the commands in {artifact.folder}/{BUILD_TEXT}"]


def instructions(precision: str, decoding: Mapping[str, str]) -> str:
    """Return the text ``BUILD.md`` of an artifact.

    Args:
        precision: Of the artifact.
        decoding: As `decoding_layers` returns it.
    """
    ranges: dict[str, list[Release]] = {}
    for release in RELEASES:
        version = ".".join(map(str, release.since))
        command = _wrapped(build_command(version, "ARTIFACT", precision, decoding))
        ranges.setdefault(command, []).append(release)
    parts = [_HEAD.format(archive=ARCHIVE_NAME, module=BUILD_MODULE)]
    for command, releases in ranges.items():
        since = ".".join(map(str, releases[0].since))
        sources = ", ".join(release.jetpack for release in releases)
        parts.append(f"TensorRT {since} and later ({sources}):\n\n{command}")
    return "\n\n".join([*parts, _TAIL]) + "\n"


def _wrapped(command: Sequence[str]) -> str:
    return "    " + " \\\n        ".join(shlex.quote(part) for part in command)


_HEAD = """# Build the engine on the board

An engine is good for one version of TensorRT and one board, so it is built there. `ARTIFACT` stands
for the name of this folder; run the commands beside it.

With Python, which also caches the engine, keeps the log and guards the memory:

    PYTHONPATH=ARTIFACT/{archive} python3 -m {module} ARTIFACT

Or with NVIDIA's own program, which prints the times as well. The engine and its side files stand
beside the folder, never in it."""

_TAIL = """\
What remains to be measured on the board: accuracy, latency in the power mode that will be used, and
whether fp16 is faster than int8. Nothing of this was measured where the artifact was exported."""
