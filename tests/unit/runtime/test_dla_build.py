"""A build for DLA takes the graph, the scales and the limits that the artifact has for it."""

import json
from dataclasses import replace

import fake_dla
import fake_tensorrt
import pytest
from tensorrt_board import build_in_process, make_board, with_precision
from tiny_pose import tiny_model

from erpose_edge.errors import IntegrityError, TargetError
from erpose_edge.runtime.tensorrt import build as tensorrt_build
from erpose_edge.runtime.tensorrt.build import engine_for
from erpose_edge.runtime.tensorrt.builder import build
from erpose_edge.runtime.tensorrt.dla import (
    DLA_ONNX,
    DLA_PLAN,
    DlaPlan,
    Layer,
    dla_way,
    plan_from_bytes,
    require_way,
)
from erpose_edge.runtime.tensorrt.runner import TensorrtRunner
from erpose_edge.runtime.tensorrt.versions import TYPED_ONNX

OLD, TEN, NONE, ELEVEN = "8.5.2.2", "10.3.0", "10.13.3.9", "11.4.0.106"


def graph_for_dla():
    """Return the tiny model with a name for every node, and its layers."""
    model = tiny_model("compact")
    model.producer_name = "for dla"
    made, layers = {}, []
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"
        sources = tuple(sorted({made[name] for name in node.input if name in made}))
        macs = 100 if node.op_type == "Conv" else 0
        layers.append(Layer(node.name, node.op_type, macs, sources))
        made.update(dict.fromkeys(node.output, index))
    return model, tuple(layers)


@pytest.fixture
def board(tmp_path, monkeypatch):
    return board_with(tmp_path, monkeypatch, TEN)


def board_with(tmp_path, monkeypatch, version, limit=2, precision="int8"):
    board = make_board(tmp_path, monkeypatch, version)
    monkeypatch.delenv(fake_dla.NOT_ON_DLA, raising=False)
    model, layers = graph_for_dla()
    first = next(layer.name for layer in layers if layer.kind == "Conv")
    plan = DlaPlan(DLA_ONNX, {"images": 1 / 127, "pool_8": 0.5}, (first,), layers, limit, {})
    files = {DLA_ONNX: model.SerializeToString(), DLA_PLAN: plan.to_bytes()}
    files[TYPED_ONNX] = tiny_model("compact").SerializeToString()
    with_precision(board, precision, files)
    return board


@pytest.mark.slow
def test_another_process_builds_with_the_scales_and_the_report_stands_beside_the_engine(board):
    path = board.build(replace(board.options, dla_core=1))
    assert path.read_bytes().endswith((board.artifact.folder / DLA_ONNX).read_bytes())
    report = json.loads(path.with_suffix(".placement.json").read_bytes())
    assert report["dla_percent_of_macs"] == 100.0
    assert (report["transitions"], report["max_transitions"], report["forced"]) == (1, 2, False)
    assert report["layers"]["unknown"] == 0
    assert any(line.startswith("DLA: ") for line in board.said)
    said = len(board.said)
    assert board.build(replace(board.options, dla_core=1)) == path  # the report is no engine's
    assert len(board.said) == said
    assert board.build(replace(board.options, dla_core=0)) != path
    assert board.build(board.options) != path


@pytest.mark.slow
def test_too_many_changes_are_refused_unless_forced(tmp_path, monkeypatch):
    board = board_with(tmp_path, monkeypatch, TEN, limit=1)
    _, layers = graph_for_dla()
    convolution = [layer.name for layer in layers if layer.kind == "Conv"]
    monkeypatch.setenv(fake_dla.NOT_ON_DLA, ",".join(layer.name for layer in layers[:1]))
    options = replace(board.options, dla_core=0)
    with pytest.raises(TargetError) as caught:
        board.build(options)
    assert caught.value.exit_code == 5
    assert str(caught.value) == (
        "dla: expected at most 1 changes between GPU and DLA, got 2; leave --dla-core out, or take "
        "this engine with --force"
    )
    assert not list((board.root / "cache").rglob("*.engine"))
    assert len(list((board.root / "cache").rglob("*.placement.json"))) == 1
    path = board.build(replace(options, force=True))
    report = json.loads(path.with_suffix(".placement.json").read_bytes())
    assert (report["forced"], report["transitions"]) == (True, 2)
    assert report["moved_to_gpu"][0] == layers[0].name
    assert set(convolution) <= {n for n, where in report["devices"].items() if where == "dla"}
    assert board.build(options) == path  # who forced it has it


@pytest.mark.parametrize("version", [OLD, TEN])
def test_the_builder_gets_core_flags_devices_precisions_and_scales(tmp_path, monkeypatch, version):
    board = board_with(tmp_path, monkeypatch, version)
    build_in_process(monkeypatch, board)
    with pytest.raises(FileNotFoundError):  # nothing writes the log here
        board.build(replace(board.options, dla_core=1))
    network, config = board.trt.fake.last_build
    assert (config.DLA_core, config.default_device_type.name) == (1, "DLA")
    assert config._flags == {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS", "GPU_FALLBACK"}
    assert config._scales == {"images": "3c010204", "pool_8": "3f000000"}
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    half = [layer.name for layer in layers if layer.precision == board.trt.DataType.HALF]
    assert half == [next(layer.name for layer in layers if layer.type.name == "CONVOLUTION")]
    on_gpu = {n for n, device in config._devices.items() if device.name == "GPU"}
    kept = {layer.name for layer in layers if layer.precision == board.trt.DataType.FLOAT}
    assert on_gpu == kept
    assert on_gpu


def test_a_cache_of_another_version_ends_the_build(board, monkeypatch):
    build_in_process(monkeypatch, board)
    monkeypatch.setattr(
        "erpose_edge.runtime.tensorrt.calibration.cache_header",
        lambda version: "TRT-8602-EntropyCalibration2",
    )
    with pytest.raises(
        TargetError, match=r"Calibration table does not match .* no scaling factors"
    ):
        board.build(replace(board.options, dla_core=0))


def test_an_update_of_tensorrt_or_of_the_scales_is_another_engine(tmp_path, monkeypatch):
    keys = []
    for number, (version, precision) in enumerate(((TEN, "int8"), (OLD, "int8"))):
        board = board_with(tmp_path / str(number), monkeypatch, version, precision=precision)
        monkeypatch.setattr(tensorrt_build, "_make", lambda *_: None)
        keys.append(board.build(replace(board.options, dla_core=0)).name)
        plan = plan_from_bytes((board.artifact.folder / DLA_PLAN).read_bytes())
        other = replace(plan, scales={**plan.scales, "pool_8": 0.25})
        with_precision(board, precision, {DLA_PLAN: other.to_bytes()})
        keys.append(board.build(replace(board.options, dla_core=0)).name)
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("version", "how"),
    [
        ("8.5.2.2", "implicit"), ("8.6.2", "implicit"), ("10.3.0.30", "implicit"),
        ("10.7.0", "implicit"), ("10.8.0", None), ("10.13.3.9", None), ("10.16", None),
        ("11.0.0", None), ("11.3.1", None), ("11.4.0.106", None), ("11.4.1", "explicit"),
        ("11.5.0", "explicit"), ("7.1.3", None), ("", None),
    ],
)  # fmt: skip
def test_which_versions_reach_dla_and_how(version, how):
    way = dla_way(version)
    assert way.how == how
    assert way.reason
    if how:
        assert require_way(version) == how
    else:
        with pytest.raises(TargetError, match=r"dla: expected TensorRT 8\.5 to 10\.7, or 11\.4\.1"):
            require_way(version)


def test_explicit_int8_takes_the_graph_that_says_its_types_and_no_calibrator(tmp_path, monkeypatch):
    board = board_with(tmp_path, monkeypatch, "11.4.1")

    def run(job, log, tell):
        build(board.trt, job, lambda _: None)
        log.write_text("---------- Layers Running on DLA ----------\n")

    monkeypatch.setattr(tensorrt_build, "run_builder", run)
    path = board.build(replace(board.options, dla_core=1))
    assert path.read_bytes().endswith((board.artifact.folder / TYPED_ONNX).read_bytes())
    _, config = board.trt.fake.last_build
    assert config._flags == {"GPU_FALLBACK"}
    assert (config.DLA_core, config.default_device_type.name) == (1, "DLA")
    assert {device.name for device in config._devices.values()} == {"GPU"}
    report = json.loads(path.with_suffix(".placement.json").read_bytes())
    assert report["layers"]["unknown"] == len(graph_for_dla()[1])


@pytest.mark.parametrize("version", [NONE, ELEVEN])
def test_a_version_without_dla_is_refused_before_anything_is_built(tmp_path, monkeypatch, version):
    board = board_with(tmp_path, monkeypatch, version)
    with pytest.raises(TargetError, match=f"got {version}: TensorRT .*; leave --dla-core out"):
        board.build(replace(board.options, dla_core=0))
    assert not (board.root / "cache").exists()


def test_strong_typing_has_no_implicit_int8(board):
    with pytest.raises(TargetError, match=r"typing: expected weak for DLA with TensorRT 10\.3\.0"):
        board.build(replace(board.options, dla_core=0, typing="strong"))


def test_an_artifact_that_says_nothing_about_dla_is_refused(tmp_path, monkeypatch):
    board = make_board(tmp_path, monkeypatch, TEN)
    with pytest.raises(TargetError) as caught:
        board.build(replace(board.options, dla_core=0))
    assert str(caught.value) == (
        f"{board.artifact.folder}: expected an artifact that knows DLA, got one without dla.json; "
        "export it with --dla, or leave --dla-core out"
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": 2}, "dla.json: format: expected 1, got 2"),
        ({"more": 1}, "dla.json: more: expected no such field, got 1"),
        ({"scales": {"a": "1"}}, r"dla.json: scales.a: expected a number, got '1'"),
        ({"half": [1]}, "dla.json: half: expected a list of texts, got 1"),
        ({"max_transitions": -1}, "max_transitions: expected an integer from 0"),
        (
            {"layers": [{"name": "a", "kind": "Conv", "macs": 1, "sources": [0], "gpu": None}]},
            r"dla.json: layers\[0\].sources: expected an integer from 0 to -1, got 0",
        ),
    ],
)
def test_a_damaged_plan_names_the_field(change, text):
    plan = DlaPlan(DLA_ONNX, {"a": 1.0}, ("b",), (Layer("a", "Conv", 1, ()),), None, {})
    assert plan_from_bytes(plan.to_bytes()) == plan
    document = {**json.loads(plan.to_bytes()), **change}
    with pytest.raises(IntegrityError, match=text):
        plan_from_bytes(json.dumps(document).encode())


def test_a_plan_whose_graph_is_not_there_is_refused(board):
    content = board.artifact.folder / DLA_PLAN
    plan = replace(plan_from_bytes(content.read_bytes()), graph="../model.onnx")
    with_precision(board, "int8", {DLA_PLAN: plan.to_bytes()})
    with pytest.raises(IntegrityError, match=r"graph: expected one of the artifact's files, got"):
        engine_for(board.artifact, board.trt, board.gpu, replace(board.options, dla_core=0))


@pytest.mark.slow
def test_the_runner_asks_for_the_core_that_the_engine_was_built_for(board):
    options = replace(board.options, dla_core=1)
    runner = TensorrtRunner(
        board.artifact, options=options, library=board.library, tell=board.said.append
    )
    with runner:
        assert runner._runtime.DLA_core == 1
    assert fake_tensorrt.names_of(TEN)["Runtime"] >= {"DLA_core"}
