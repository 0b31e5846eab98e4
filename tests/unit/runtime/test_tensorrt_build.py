"""Engines are built in a process of their own, the way that the version at hand wants it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import fake_tensorrt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tensorrt_board import MB, build_in_process, make_board, with_precision
from tiny_pose import INPUT_SIZE, tiny_model, tiny_shapes

from erpose_edge.errors import MissingExtraError, RequestError, TargetError
from erpose_edge.runtime.tensorrt import build as tensorrt_build
from erpose_edge.runtime.tensorrt import process as tensorrt_process
from erpose_edge.runtime.tensorrt.build import BuildOptions, main, tensorrt_module, workspace_bytes
from erpose_edge.runtime.tensorrt.builder import BuildJob, build, decode_layers
from erpose_edge.runtime.tensorrt.cuda import GpuFacts
from erpose_edge.runtime.tensorrt.process import run_builder
from erpose_edge.runtime.tensorrt.versions import MODEL_ONNX, TYPED_ONNX, Abilities, builder_flags

OLD, TEN, ELEVEN = "8.5.2.2", "10.3.0", "11.4.0.106"
TENSORS = {"images": [1, 3, *INPUT_SIZE], **tiny_shapes("compact")}


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A board that builds in this process: what is tested is when, and what comes of it."""
    board = make_board(tmp_path, monkeypatch, TEN)
    build_in_process(monkeypatch, board)
    return board


def job_for(folder: Path, **settings) -> BuildJob:
    (folder / "model.onnx").write_bytes(tiny_model("compact").SerializeToString())
    given = {"module": "tensorrt", "typing": "weak", "flags": [], "workspace_bytes": 64 * MB}
    return BuildJob(
        onnx=str(folder / "model.onnx"),
        engine=str(folder / "model.engine"),
        **{**given, "tensors": TENSORS, **settings},
    )


def build_here(tmp_path, version, **settings):
    """Build in this process and return what the builder was told: network, config, reports."""
    trt, reports = fake_tensorrt.make(version), []
    build(trt, job_for(tmp_path, **settings), reports.append)
    network, config = trt.fake.last_build
    return network, config, reports


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
def test_a_version_says_itself_what_it_can_do(version):
    abilities = Abilities.of(fake_tensorrt.make(version))
    assert abilities.version == version
    assert abilities.explicit_batch == version.startswith("8.")
    assert abilities.strong == (not version.startswith("8."))
    assert abilities.weak == (not version.startswith("11."))
    assert abilities.progress == (not version.startswith("8."))
    assert abilities.optimization_level == (version != OLD)
    assert abilities.typing() == ("strong" if version.startswith("11.") else "weak")


def test_a_version_without_named_tensors_is_refused():
    trt = fake_tensorrt.make(OLD)
    trt.__version__ = "8.4.1"
    del trt.IExecutionContext.execute_async_v3
    with pytest.raises(
        TargetError, match=r"tensorrt: expected 8.5 or newer \(JetPack 5.1\), got 8.4"
    ):
        Abilities.of(trt)


@pytest.mark.parametrize(
    ("version", "asked", "error", "text"),
    [
        (OLD, "strong", TargetError, "expected weak with TensorRT 8.5.2.2, got 'strong'"),
        (ELEVEN, "weak", TargetError, "expected strong with TensorRT 11.4.0.106, got 'weak'"),
        (TEN, "loose", RequestError, "expected weak or strong, got 'loose'"),
    ],
)
def test_a_typing_that_a_version_does_not_have_is_refused(version, asked, error, text):
    with pytest.raises(error, match=f"typing: {text}"):
        Abilities.of(fake_tensorrt.make(version)).typing(asked)


@pytest.mark.parametrize(
    ("precision", "typing", "flags"),
    [
        ("fp32", "weak", ["-TF32"]),
        ("fp32", "strong", ["-TF32"]),
        ("fp16", "weak", ["FP16", "OBEY_PRECISION_CONSTRAINTS"]),
        ("int8", "weak", ["FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"]),
        ("fp16", "strong", []),
        ("int8", "strong", []),
    ],
)
def test_the_precision_is_asked_of_the_builder_only_where_the_graph_does_not_say_it(
    precision, typing, flags
):
    assert list(builder_flags(precision, typing, dla=False)) == flags
    assert list(builder_flags(precision, typing, dla=True)) == [*flags, "GPU_FALLBACK"]


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_version_builds_every_precision_with_its_own_names_only(tmp_path, version, precision):
    typing = Abilities.of(fake_tensorrt.make(version)).typing()
    flags = list(builder_flags(precision, typing, dla=False))
    network, config, reports = build_here(tmp_path, version, typing=typing, flags=flags)
    kinds = fake_tensorrt.make(version).NetworkDefinitionCreationFlag
    expected = {"8": "EXPLICIT_BATCH", "1": None}[version[0]]
    if version.startswith("11."):
        expected = "STRONGLY_TYPED"
    assert network._flags == (1 << int(kinds[expected]) if expected else 0)
    assert config._flags == set(flags)
    assert list(config._pools.values()) == [64 * MB]
    assert bool(reports) == (not version.startswith("8."))
    assert getattr(config, "int8_calibrator", None) is None


def test_a_strongly_typed_network_can_be_asked_of_version_10(tmp_path):
    network, config, _ = build_here(tmp_path, TEN, typing="strong")
    kinds = fake_tensorrt.make(TEN).NetworkDefinitionCreationFlag
    assert network._flags == 1 << int(kinds.STRONGLY_TYPED)
    assert config._flags == set()


def test_progress_names_phase_and_step(tmp_path):
    _, _, reports = build_here(tmp_path, TEN)
    assert reports == [
        {"phase": "Building Engine", "done": 0, "of": 2},
        {"phase": "Building Engine", "done": 1, "of": 2},
    ]


@pytest.mark.parametrize("version", [OLD, TEN])
def test_decoding_stays_float32_in_weakly_typed_networks(tmp_path, version):
    network, _, _ = build_here(tmp_path, version, flags=["FP16", "OBEY_PRECISION_CONSTRAINTS"])
    trt_float = network.get_layer(0).get_output(0).dtype
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    asked = {layer.get_output(0).name for layer in layers if layer.precision == trt_float}
    # Everything but pooling, the convolutions, and the indices of the best.
    assert {"scores", "keypoints", "visibility", "a_8", "m_32", "scores_all"} <= asked
    assert not asked & {"pool_8", "pool_16", "scores_8", "keypoints_16", "visibility_32", "index"}
    best = next(layer for layer in layers if layer.num_outputs == 2)
    assert best._types == {0: trt_float}  # the indices keep their type


@pytest.mark.parametrize("backwards", [False, True])
def test_decoding_is_found_in_whatever_order_the_layers_stand(backwards):
    chain = ["Relu", "Sigmoid", "Neg", "Conv", "Abs", "Exp"]
    nodes = [
        helper.make_node(kind, [f"t{i}", "w"] if kind == "Conv" else [f"t{i}"], [f"t{i + 1}"])
        for i, kind in enumerate(chain)
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 4, 4])
        for name in ("t0", "t6")
    ]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 1, 1], [1.0])
    model = helper.make_model(helper.make_graph(nodes, "chain", values[:1], values[1:], [weight]))
    trt = fake_tensorrt.make(TEN)
    network = trt.INetworkDefinition(0)
    trt.OnnxParser(network, None).parse(model.SerializeToString())
    if backwards:
        network._layers.reverse()
    found = {layer.get_output(0).name for layer in decode_layers(trt, network)}
    assert found == {"t5", "t6"}


def test_the_optimization_level_and_the_dla_core_are_passed_on(tmp_path):
    _, config, _ = build_here(tmp_path, TEN, dla_core=1, optimization_level=2)
    assert (config.DLA_core, config.default_device_type.name) == (1, "DLA")
    assert config.builder_optimization_level == 2
    with pytest.raises(TargetError, match="dla_core: expected one of 2, got 2; leave it out"):
        build_here(tmp_path, TEN, dla_core=2)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"scores": [1, 4]},
            r"scores: expected float32 \(1, 4\) as the manifest says, got float32",
        ),
        ({"boxes": [1, 4]}, r"boxes: expected float32 \(1, 4\) as the manifest says, got none"),
    ],
)
def test_a_graph_with_other_tensors_than_the_manifests_is_refused(tmp_path, change, text):
    with pytest.raises(TargetError, match=text):
        build_here(tmp_path, TEN, tensors={**TENSORS, **change})
    tensors = {name: shape for name, shape in TENSORS.items() if name != "visibility"}
    with pytest.raises(TargetError, match="visibility: expected no such tensor as the manifest"):
        build_here(tmp_path, TEN, tensors=tensors)


def test_timings_are_kept_and_used_by_the_next_build(tmp_path):
    kept = tmp_path / "timing.cache"
    build_here(tmp_path, TEN, timing_cache=str(kept))
    assert kept.read_bytes() == b"timings."
    build_here(tmp_path, TEN, timing_cache=str(kept))
    assert kept.read_bytes() == b"timings.."


def test_timings_that_tensorrt_refuses_are_begun_anew(tmp_path):
    kept = tmp_path / "timing.cache"
    kept.write_bytes(b"of another version")
    build_here(tmp_path, TEN, timing_cache=str(kept))
    assert kept.read_bytes() == b"timings."


@given(free=st.integers(0, 1 << 40))
def test_the_workspace_is_a_share_of_what_is_free_within_its_limits(free):
    gpu = GpuFacts("RTX", (8, 9), 46, False, free, 1 << 41)
    found = workspace_bytes(gpu)
    assert 64 * MB <= found <= 2048 * MB
    assert found % MB == 0
    if 256 * MB <= free <= 8192 * MB:
        assert free // 4 - MB < found <= free // 4
    assert workspace_bytes(gpu, 5) == 5 * MB


def test_on_a_jetson_free_memory_is_what_the_system_could_give(board):
    assert board.gpu.integrated  # 2 GB available, of which CUDA would count 3
    assert workspace_bytes(board.gpu, root=board.root) == 512 * MB
    assert workspace_bytes(replace(board.gpu, integrated=False), root=board.root) == 768 * MB
    assert workspace_bytes(board.gpu, root=board.root / "nowhere") == 768 * MB


def test_an_engine_is_built_once_and_found_again(board):
    path = board.build()
    assert path.read_bytes().startswith(fake_tensorrt.HEADER)
    assert re.fullmatch(r"engine \S+: none was built on this device yet: .*", board.said[0])
    assert re.fullmatch(
        r"building \S+ with TensorRT 10.3.0, workspace 512 MB; log: .*", board.said[1]
    )
    assert re.fullmatch(r"built in \d+ s: .*\.engine \(0\.0 MB\)", board.said[-1])
    names = sorted(p.suffix for p in path.parent.iterdir())
    assert names == [".engine", ".json"]  # no temporary name is left
    board.said.clear()
    stamp = path.stat().st_mtime_ns
    assert board.build() == path
    assert path.stat().st_mtime_ns == stamp
    assert board.said == []


def test_building_again_can_be_asked_for(board):
    path = board.build()
    stamp = path.stat().st_mtime_ns
    board.said.clear()
    assert board.build(replace(board.options, again=True)) == path
    assert path.stat().st_mtime_ns > stamp
    assert board.said[0].endswith("building it again")


def test_an_update_of_jetpack_rebuilds_with_one_line(board):
    board.build()
    release = board.root / "etc" / "nv_tegra_release"
    release.write_text("# R36 (release), REVISION: 5.0, GCID: 1\n")
    board.said.clear()
    board.build()
    assert board.said[0] == (
        "engine tiny-test-fp32-compact-64x96: L4T was 36.4, is 36.5: building it anew"
    )


def test_an_asked_workspace_is_part_of_the_key_and_a_free_one_is_not(board):
    first = board.build()
    (board.root / "proc" / "meminfo").write_text("MemAvailable: 4194304 kB\n")
    assert board.build() == first
    assert board.build(replace(board.options, workspace_mb=100)) != first
    assert "workspace 100 MB" in board.said[-2]


@pytest.mark.parametrize(
    ("version", "typing", "graph"),
    [(OLD, None, MODEL_ONNX), (TEN, None, MODEL_ONNX), (TEN, "strong", TYPED_ONNX),
     (ELEVEN, None, TYPED_ONNX)],
)  # fmt: skip
def test_the_graph_that_says_all_types_is_taken_for_strongly_typed_networks(
    tmp_path, monkeypatch, version, typing, graph
):
    board = make_board(tmp_path, monkeypatch, version)
    build_in_process(monkeypatch, board)
    typed = tiny_model("compact")
    typed.producer_name = "typed"
    with_precision(board, "fp16", {TYPED_ONNX: typed.SerializeToString()})
    path = board.build(replace(board.options, typing=typing))
    assert path.read_bytes().endswith((board.artifact.folder / graph).read_bytes())


def test_an_artifact_without_onnx_is_refused(board):
    files = {"model.tflite": "0" * 64}
    board.artifact = replace(board.artifact, manifest=replace(board.artifact.manifest, files=files))
    with pytest.raises(
        TargetError, match=r"expected model\.onnx for a weakly typed network, got mod"
    ):
        board.build()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (BuildOptions(workspace_mb=0), RequestError, "workspace-mb: expected at least 1, got 0"),
        (BuildOptions(optimization_level=6), RequestError, "level: expected 0 to 5, got 6"),
        (BuildOptions(typing="strong"), TargetError, "typing: expected weak with TensorRT 8.5"),
        (BuildOptions(optimization_level=3), TargetError, "level: expected TensorRT 8.6 or newer"),
    ],
)
def test_options_out_of_range_are_refused_before_anything_is_built(
    tmp_path, monkeypatch, options, error, text
):
    board = make_board(tmp_path, monkeypatch, OLD)
    with pytest.raises(error, match=text):
        board.build(replace(options, cache=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "texts"),
    [
        ("killed", ["expected its engine, got the process killed in phase 'Building Engine', as "
                    "the system does when memory runs out", "a smaller --workspace-mb than 512"]),
        ("memory", ["expected TensorRT 10.3.0 to build the engine, got: [virtualMemoryBuffer.cpp] "
                    "Cuda Runtime (out of memory)", "add swap, or give a smaller --workspace-mb"]),
        ("refused", ["to build the engine, got: Could not find any implementation for node conv; "
                     "read the log"]),
        ("unparsed", ["expected TensorRT 10.3.0 to parse the graph, got: Abacus: Assertion failed: "
                      "no importer; read the log"]),
        ("crashed", ["got exit code 7 from the building process in phase 'Building Engine': "
                     "'double free or corruption'; read the log"]),
    ],
)  # fmt: skip
def test_a_failed_build_is_one_line_that_names_the_log_and_leaves_nothing(
    tmp_path, monkeypatch, how, texts
):
    board = make_board(tmp_path, monkeypatch, TEN)
    monkeypatch.setenv(fake_tensorrt.END, how)
    with pytest.raises(TargetError) as caught:
        board.build()
    line = str(caught.value)
    assert "\n" not in line
    for text in texts:
        assert text in line
    (log,) = (board.root / "cache").rglob("*.log")
    assert line.endswith(f"log: {log}")
    assert [path.name for path in log.parent.iterdir()] == [log.name]


def test_a_failed_rebuild_keeps_the_engine_that_was_there(board, monkeypatch):
    path = board.build()
    content = path.read_bytes()
    monkeypatch.setenv(fake_tensorrt.END, "refused")
    with pytest.raises(TargetError):
        board.build(replace(board.options, again=True))
    assert path.read_bytes() == content
    assert board.build() == path


@pytest.mark.slow
def test_a_process_builds_keeps_its_log_and_shows_that_it_lives(tmp_path, monkeypatch):
    make_board(tmp_path, monkeypatch, TEN)
    said, job = [], job_for(tmp_path)
    run_builder(job, tmp_path / "log", said.append, heartbeat_s=0.01)
    assert re.fullmatch(r"building for \d+ s", said[0])
    assert "[VERBOSE] choosing kernels" in (tmp_path / "log").read_text()
    assert Path(job.engine).read_bytes().startswith(fake_tensorrt.HEADER)


def test_a_builder_without_a_parent_ends(tmp_path, monkeypatch):
    make_board(tmp_path, monkeypatch, TEN)
    module = "erpose_edge.runtime.tensorrt.builder"
    done = subprocess.run(
        [sys.executable, "-m", module], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("no job on standard input: start erpose_edge.runtime.tensorrt.b")


def test_the_command_prints_the_path_and_errors_have_their_exit_code(board, monkeypatch, capsys):
    monkeypatch.setattr(tensorrt_build, "CudaLibrary", lambda: board.library)
    folder = str(board.artifact.folder)
    assert main([folder, "--cache", str(board.root / "cache")]) == 0
    out, err = capsys.readouterr()
    assert Path(out.strip()).is_file()
    assert "none was built on this device yet" in err
    assert main([str(board.root / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    board.fake.fail["cudaGetDeviceCount"] = 35
    assert main([folder]) == 5
    assert "install the CUDA runtime that belongs to this driver" in capsys.readouterr().err


def test_a_missing_tensorrt_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingExtraError, match="on Jetson run: sudo apt install python3-libnv"):
        tensorrt_module()


@pytest.mark.slow
def test_the_builder_runs_from_an_archive_with_nothing_else_of_this_project(tmp_path, monkeypatch):
    make_board(tmp_path, monkeypatch, TEN)
    import erpose_edge

    package = Path(erpose_edge.__file__).parent
    archive = tmp_path / "runtime.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for name in ("__init__.py", "errors.py", "skeleton.py", "runtime/**/*.py", "metrics/*.py"):
            for path in package.glob(name):
                stream.write(path, path.relative_to(package.parent))
    job = job_for(tmp_path)
    script = (
        "import json, sys; from pathlib import Path; import erpose_edge; "
        "from erpose_edge.runtime.tensorrt.builder import BuildJob; "
        "from erpose_edge.runtime.tensorrt.process import run_builder; "
        "run_builder(BuildJob(**json.loads(sys.argv[1])), Path(sys.argv[2])); "
        "print(erpose_edge.__file__)"
    )
    path = os.pathsep.join([str(archive), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-S", "-c", SITE + script, job.to_line().decode(), str(tmp_path / "log")],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(archive) in done.stdout
    assert Path(job.engine).read_bytes().startswith(fake_tensorrt.HEADER)


# The archive has to be found before an editable install of the project.
SITE = "import site; site.main(); "


@pytest.mark.slow
def test_the_real_tensorrt_rtx_builds_through_the_same_code(tmp_path, monkeypatch):
    # RTX builds without a GPU. It is not TensorRT: this shows that our calls exist and do what we
    # think in a builder of that family, not that an engine is any good.
    rtx = pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(tensorrt_process, "HEARTBEAT_S", 0.05)
    board = make_board(tmp_path, monkeypatch, TEN)
    board.trt = rtx
    path = board.build(replace(board.options, optimization_level=1))
    assert path.stat().st_size > 1000
    (timings,) = (tmp_path / "cache").glob("timing-*.cache")
    assert timings.stat().st_size > 0
    assert "[VERBOSE]" in path.with_suffix(".log").read_text()
    assert any(re.search(r", Building engine \d/\d", line) for line in board.said), board.said


@pytest.mark.slow
@pytest.mark.parametrize("contract", ["raw", "decoded", "compact"])
def test_the_layers_behind_the_convolutions_are_found_in_real_networks(contract):
    trt = pytest.importorskip("tensorrt_rtx")
    network = parsed(trt, contract)
    found = {layer.name.replace("node_of_", "") for layer in decode_layers(trt, network)}
    network_ends = {"raw": set(), "decoded": {"scores", "keypoints", "a_8", "m_32"}}
    network_ends["compact"] = network_ends["decoded"] | {"visibility_sigmoid"}
    assert network_ends[contract] <= found
    assert not {name for name in found if name.startswith(("pool", "constant"))}
    assert bool(found) == (contract != "raw")


def parsed(trt, contract):
    """Return the small network as a real parser reads it; what it needs is kept alive."""
    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    assert trt.OnnxParser(network, log).parse(tiny_model(contract).SerializeToString())
    return network


@pytest.mark.slow
def test_the_real_tensorrt_rtx_refuses_in_one_line(tmp_path):
    pytest.importorskip("tensorrt_rtx")
    job = job_for(tmp_path, module="tensorrt_rtx", typing="strong")
    model = tiny_model("compact")
    model.graph.node[0].op_type = "Abacus"
    Path(job.onnx).write_bytes(model.SerializeToString())
    with pytest.raises(TargetError, match=r"parse the graph, got: Abacus: .*; read the log: ") as e:
        run_builder(job, tmp_path / "log")
    assert "\n" not in str(e.value)
