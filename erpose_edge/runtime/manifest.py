"""The manifest of an artifact: which network it is, for which engine, and the hash of every file.

An artifact comes from somewhere else, so reading trusts nothing: every field is checked for type
and range, file names cannot leave the folder, an unknown field or format version is refused, and
the text itself carries a hash, so that a flipped byte is noticed wherever it is.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from erpose_edge.errors import ConfigError, IntegrityError
from erpose_edge.runtime.decode import CONTRACTS
from erpose_edge.runtime.manifest_fields import Fields
from erpose_edge.skeleton import skeleton_named

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
PRECISIONS = ("fp32", "fp16", "int8")
LAYOUTS = ("NCHW", "NHWC")
_DIGEST = "manifest_sha256"


@dataclass(frozen=True)
class InputSpec:
    """The network's one input.

    Attributes:
        name: Of the tensor in the graph.
        shape: (1, 3, H, W), or (1, H, W, 3) for the other layout.
        layout: Of its memory: "NCHW", or "NHWC" as TFLite has it; RGB. Maps of ``raw`` leave the
            model in the same layout. Whoever runs a `Runner` sees NCHW in any case.
        range: Lowest and highest value, (0, 1).
    """

    name: str
    shape: tuple[int, ...]
    layout: str = "NCHW"
    range: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class OutputSpec:
    """One output of the network.

    Attributes:
        name: Of the tensor in the graph; see `erpose_edge.runtime.decode` for their meaning.
        shape: Static, batch first.
        dtype: As numpy names it.
        unit: "probability", "logit", "input px" or "2 strides".
        range: Lowest and highest value that can occur; None where it is not bounded.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    unit: str
    range: tuple[float, float] | None = None


@dataclass(frozen=True)
class NetworkFacts:
    """Which network was exported: its scale, its activation and its number of parameters."""

    scale: str
    activation: str
    parameters: int


@dataclass(frozen=True)
class SelfTest:
    """Generated pictures and the poses that the artifact must find in them.

    Attributes:
        seeds: One picture each.
        size: (height, width) of the pictures in pixels.
        poses: For every seed what `Poses.to_json` gave.
    """

    seeds: tuple[int, ...]
    size: tuple[int, int]
    poses: tuple[list[dict[str, Any]], ...]


@dataclass(frozen=True)
class Manifest:
    """What an artifact says of itself.

    Attributes:
        target: Name of the device profile it was made for.
        engine: "openvino", "onnxruntime", ...
        precision: "fp32", "fp16" or "int8".
        contract: "raw", "decoded" or "compact"; see `erpose_edge.runtime.decode`.
        input: The network's input; its size is the letterbox's.
        outputs: The network's outputs in the order of the graph.
        skeleton: Name of the keypoints' convention.
        strides: Of the levels, in input pixels, ascending.
        max_poses: At most so many poses are returned.
        score_threshold: Poses with a lower score are left out, unless the user says otherwise.
        nms: Overlap above which the pose with the lower score goes; None, which is not written,
            where the network answers once for a person.
        network: Scale, activation, parameters.
        weights_sha256: Of the weights file it was exported from.
        preprocessing: How the input was made, in words and numbers, for other programs.
        scales: Quantization scale by tensor; empty unless "int8".
        files: sha256 by file name, the manifest left out; `write_artifact` fills it.
        calibration_sha256: Of the calibration set; None unless "int8".
        policy_sha256: Of the quantization policy; None unless "int8".
        tool_versions: Version by tool that had a hand in it.
        licences: Of what is inside.
        self_test: Poses to be found again; None if there is none.
    """

    target: str
    engine: str
    precision: str
    contract: str
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    skeleton: str
    strides: tuple[int, ...]
    max_poses: int
    score_threshold: float
    network: NetworkFacts
    weights_sha256: str
    preprocessing: dict[str, Any]
    scales: dict[str, float]
    files: dict[str, str]
    calibration_sha256: str | None
    policy_sha256: str | None
    tool_versions: dict[str, str]
    licences: tuple[str, ...]
    self_test: SelfTest | None
    nms: float | None = None

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels."""
        first = self.input.layout.index("H")
        return self.input.shape[first], self.input.shape[first + 1]

    def to_bytes(self) -> bytes:
        """Return the one way to write this manifest."""
        document = {"format_version": FORMAT_VERSION, **asdict(self)}
        if self.nms is None:  # as it was before there was such a field
            del document["nms"]
        document[_DIGEST] = _digest(document)
        return _text(document)

    @classmethod
    def from_bytes(cls, content: bytes, where: str = MANIFEST_NAME) -> Manifest:
        """Read what `to_bytes` wrote.

        Args:
            content: The file's bytes.
            where: What errors call it.

        Raises:
            IntegrityError: It is not the text that `to_bytes` writes, byte for byte, or a field
                is missing, unknown, of another type or out of range.
        """
        fields = Fields.parse(content, where)
        version = fields.integer("format_version", 0)
        if version != FORMAT_VERSION:
            raise fields.error("format_version", str(FORMAT_VERSION), version)
        digest = fields.sha256(_DIGEST)
        manifest = _manifest(fields)
        fields.end()
        document = fields.values
        if digest != _digest({key: document[key] for key in document if key != _DIGEST}):
            raise IntegrityError(
                f"{where}: expected the text that was hashed when it was written, got another; "
                "fetch or export the artifact again"
            )
        if manifest.to_bytes() != content:
            raise IntegrityError(
                f"{where}: expected the layout that it was written in, got another; "
                "fetch or export the artifact again"
            )
        return manifest

    def with_files(self, files: dict[str, str]) -> Manifest:
        """Return the same manifest with the sha256 of its files."""
        return replace(self, files=dict(sorted(files.items())))


def _text(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=True)
    return (text + "\n").encode()


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(_text(document)).hexdigest()


def _manifest(fields: Fields) -> Manifest:
    precision = fields.choice("precision", PRECISIONS)
    manifest = Manifest(
        target=fields.text("target"),
        engine=fields.text("engine"),
        precision=precision,
        contract=fields.choice("contract", CONTRACTS),
        input=_input(fields.inner("input")),
        outputs=tuple(_output(entry) for entry in fields.inner_list("outputs")),
        skeleton=fields.text("skeleton"),
        strides=fields.integers("strides", 1, 1024),
        max_poses=fields.integer("max_poses", 1, 100_000),
        score_threshold=fields.fraction("score_threshold"),
        network=_network(fields.inner("network")),
        weights_sha256=fields.sha256("weights_sha256"),
        preprocessing=fields.mapping("preprocessing"),
        scales=fields.numbers_by_name("scales"),
        files=fields.hashes_by_file("files"),
        calibration_sha256=fields.optional("calibration_sha256", fields.sha256),
        policy_sha256=fields.optional("policy_sha256", fields.sha256),
        tool_versions=fields.texts_by_name("tool_versions"),
        licences=fields.texts("licences"),
        self_test=fields.optional("self_test", lambda name: _self_test(fields.inner(name))),
        nms=fields.fraction("nms") if "nms" in fields.values else None,
    )
    try:
        skeleton_named(manifest.skeleton)
    except ConfigError:
        raise fields.error("skeleton", "a known skeleton", manifest.skeleton) from None
    return manifest


def _input(fields: Fields) -> InputSpec:
    spec = InputSpec(
        name=fields.text("name"),
        shape=fields.integers("shape", 1, 8192),
        layout=fields.choice("layout", LAYOUTS),
        range=fields.pair("range"),
    )
    fields.end()
    expected = "[1, 3, height, width]" if spec.layout == "NCHW" else "[1, height, width, 3]"
    if len(spec.shape) != 4 or (spec.shape[0], spec.shape[spec.layout.index("C")]) != (1, 3):
        raise fields.error("shape", expected, list(spec.shape))
    return spec


def _output(fields: Fields) -> OutputSpec:
    spec = OutputSpec(
        name=fields.text("name"),
        shape=fields.integers("shape", 1, 10_000_000),
        dtype=fields.text("dtype"),
        unit=fields.text("unit"),
        range=fields.optional("range", fields.pair),
    )
    fields.end()
    return spec


def _network(fields: Fields) -> NetworkFacts:
    facts = NetworkFacts(
        scale=fields.text("scale"),
        activation=fields.text("activation"),
        parameters=fields.integer("parameters", 0),
    )
    fields.end()
    return facts


def _self_test(fields: Fields) -> SelfTest:
    size = fields.integers("size", 1, 8192)
    test = SelfTest(
        seeds=fields.integers("seeds", 0, 2**63 - 1),
        size=(size[0], size[-1]),
        poses=fields.pose_lists("poses"),
    )
    fields.end()
    if len(size) != 2:
        raise fields.error("size", "[height, width]", list(size))
    if len(test.poses) != len(test.seeds):
        raise fields.error("poses", f"{len(test.seeds)} lists, one a seed", len(test.poses))
    return test
