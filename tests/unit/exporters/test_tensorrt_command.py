"""What is typed on a board, version by version, to the letter."""

from types import SimpleNamespace

import pytest

onnx = pytest.importorskip("onnx")

from small_qdq import small_network  # noqa: E402

from erpose_edge.errors import TargetError  # noqa: E402
from erpose_edge.exporters.tensorrt.command import (  # noqa: E402
    RELEASES,
    build_command,
    decoding_layers,
    instructions,
    release_of,
    remaining_steps,
)
from erpose_edge.exporters.tensorrt.graphs import flagged  # noqa: E402

DECODING = {"node_flat": "fp32", "node_scores": "fp32+int32"}
KEPT = (
    " --precisionConstraints=obey --layerPrecisions=node_flat:fp32,node_scores:fp32"
    " --layerOutputTypes=node_flat:fp32,node_scores:fp32+int32"
)
COMMON = (
    " --memPoolSize=workspace:1024 --timingCacheFile=pose.timing --profilingVerbosity=detailed"
    " --exportLayerInfo=pose.layers.json --useCudaGraph --percentile=99"
)
START = "/usr/src/tensorrt/bin/trtexec --onnx=pose/model.onnx --saveEngine=pose.engine"
TYPED = "/usr/src/tensorrt/bin/trtexec --onnx=pose/model_typed.onnx --saveEngine=pose.engine"
GOLDEN = {
    ("8.5.2.2", "int8"): f"{START} --fp16 --int8{KEPT}{COMMON}",
    ("8.5.2.2", "fp16"): f"{START} --fp16{KEPT}{COMMON}",
    ("8.5.2.2", "fp32"): f"{START} --noTF32{COMMON}",
    ("8.6.2.3", "int8"): f"{START} --fp16 --int8{KEPT}{COMMON}",
    ("10.3.0.30", "int8"): f"{START} --fp16 --int8{KEPT}{COMMON}",
    ("10.16.1", "fp16"): f"{START} --fp16{KEPT}{COMMON}",
    ("10.3", "fp32"): f"{START} --noTF32{COMMON}",
    ("11.4.1", "int8"): f"{TYPED}{COMMON}",
    ("11.4.1", "fp16"): f"{TYPED}{COMMON}",
    ("11.4.1", "fp32"): f"{START} --noTF32{COMMON}",
}


@pytest.mark.parametrize(("version", "precision"), GOLDEN)
def test_the_command_of_each_version_and_precision(version, precision):
    command = build_command(version, "pose", precision, DECODING)
    assert " ".join(command) == GOLDEN[version, precision]


def test_without_decoding_in_the_graph_nothing_is_constrained():
    command = build_command("10.3", "pose", "int8", {})
    assert " ".join(command) == f"{START} --fp16 --int8{COMMON}"


def test_the_engine_stands_beside_the_artifact_never_in_it():
    command = build_command("10.3", "runs/pose/", "fp16", {}, workspace_mb=256, trtexec="trtexec")
    assert command[:3] == [
        "trtexec", "--onnx=runs/pose/model.onnx", "--saveEngine=runs/pose.engine",
    ]  # fmt: skip
    assert "--memPoolSize=workspace:256" in command


@pytest.mark.parametrize(
    ("version", "since"),
    [("8.5.0", (8, 5)), ("8.6.2.3", (8, 6)), ("8.7", (8, 6)), ("9.3", (8, 6)), ("10.0", (10, 0)),
     ("10.16.1", (10, 0)), ("11.0.0", (11, 0)), ("12.1", (11, 0))],
)  # fmt: skip
def test_a_version_is_in_the_range_that_begins_at_or_below_it(version, since):
    assert release_of(version).since == since


@pytest.mark.parametrize("version", ["8.4.1", "7.1", "", "ten"])
def test_what_is_too_old_or_no_version_is_refused(version):
    with pytest.raises(TargetError) as caught:
        build_command(version, "pose", "fp16", {})
    assert str(caught.value) == (
        f"tensorrt: expected version 8.5 or newer (JetPack 5.1), got {version!r}; update JetPack"
    )


def test_only_float_layers_behind_the_last_convolution_are_decoding():
    assert decoding_layers(flagged(small_network())) == {
        "node_flat": "fp32",
        "node_all_scores": "fp32",
        "node_scores": "fp32+int32",
    }


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_text_has_the_command_of_every_version(precision):
    text = " ".join(instructions(precision, DECODING).replace("\\\n", " ").split())
    for release in RELEASES:
        version = ".".join(map(str, release.since))
        command = build_command(version, "ARTIFACT", precision, DECODING)
        assert " ".join(command) in text
        assert release.jetpack in text
    assert "PYTHONPATH=ARTIFACT/runtime.zip python3 -m erpose_edge.runtime.tensorrt.build" in text


def test_nvidias_own_program_is_named_with_its_versions(tmp_path):
    artifact = SimpleNamespace(folder=tmp_path / "int8")
    board = SimpleNamespace(name="mine", tensorrt_versions={"JetPack 6.2": "10.3.0"})
    folder = tmp_path / "int8"
    assert remaining_steps(board, artifact) == [
        f"or with trtexec, TensorRT 10.3.0 (JetPack 6.2): the commands in {folder}/BUILD.md",
    ]
