"""nvinfer's configuration, and the probe that decodes what nvinfer gives."""

from __future__ import annotations

import configparser
import json
import re
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from fake_deepstream import FakePyds, frame, tensor_meta
from gstreamer_text import parts
from hypothesis import given
from hypothesis import strategies as st
from tiny_pose import write_tiny_artifact

from erpose_edge.deploy.integration.files import integration_files
from erpose_edge.deploy.profile import load_profile
from erpose_edge.errors import RequestError, TargetError
from erpose_edge.runtime.artifact import read_artifact
from erpose_edge.runtime.estimator import PoseContract, PoseEstimator
from erpose_edge.runtime.preprocess import letterbox as our_letterbox

CONFIG = "integration/deepstream/config_infer.txt"
PROBE = "integration/deepstream/pose_probe.py"

# Keys of the group [property] and how nvinfer reads them.
# Ref: gst-nvinfer/gstnvinfer_property_parser.cpp in https://github.com/NVIDIA/DeepStream
BOOLEAN, INTEGER, DOUBLE, INTEGERS, TEXT, TEXTS = (
    r"[01]", r"-?\d+", r"-?\d+(\.\d+)?", r"\d+(;\d+)*", r"[^;]+", r"[^;]+(;[^;]+)*",
)  # fmt: skip
KEYS = {
    "gpu-id": INTEGER, "gie-unique-id": r"[1-9]\d*", "process-mode": r"[12]", "interval": INTEGER,
    "batch-size": r"[1-9]\d*", "network-mode": r"[0-3]", "network-type": r"0|1|2|3|100",
    "output-tensor-meta": BOOLEAN, "cluster-mode": r"[0-4]", "infer-dims": r"\d+;\d+;\d+",
    "network-input-order": r"[01]", "model-color-format": r"[012]", "net-scale-factor": DOUBLE,
    "maintain-aspect-ratio": BOOLEAN, "symmetric-padding": BOOLEAN, "scaling-filter": r"[0-6]",
    "output-blob-names": TEXTS, "model-engine-file": TEXT, "onnx-file": TEXT, "offsets": INTEGERS,
    "enable-dla": BOOLEAN, "use-dla-core": INTEGER, "int8-calib-file": TEXT,
}  # fmt: skip


def properties(text):
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string(text)
    assert parser.sections() == ["property"]
    return dict(parser["property"])


@pytest.fixture
def probe(jetson, load):
    return load(jetson / PROBE)


def test_every_key_of_the_configuration_is_nvinfers_and_of_its_type(jetson):
    found = properties((jetson / CONFIG).read_text())
    for key, value in found.items():
        assert re.fullmatch(KEYS[key], value), (key, value)


def test_the_configuration_says_what_the_manifest_says(jetson):
    found = properties((jetson / CONFIG).read_text())
    assert found["infer-dims"] == "3;64;96"
    assert found["output-blob-names"] == "scores;keypoints;visibility"
    assert float(found["net-scale-factor"]) == pytest.approx(1 / 255, rel=1e-12)
    expected = {"model-color-format": "0", "network-type": "100", "output-tensor-meta": "1"}
    expected.update({"maintain-aspect-ratio": "1", "symmetric-padding": "1", "batch-size": "1"})
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(("precision", "mode"), [("fp32", "0"), ("int8", "1"), ("fp16", "2")])
def test_the_mode_is_nvinfers_number_of_the_precision(precision, mode, tmp_path):
    from dataclasses import replace

    artifact = read_artifact(write_tiny_artifact(tmp_path / "a", "compact", "tensorrt"))
    artifact = replace(artifact, manifest=replace(artifact.manifest, precision=precision))
    files = integration_files(artifact, load_profile("jetson-orin"))
    assert properties(files[CONFIG].decode())["network-mode"] == mode


def test_nvinfer_is_never_given_the_graph_to_build_by_itself(jetson):
    # Without a calibration file it would take fp16 for int8.
    assert not {"onnx-file", "model-engine-file"} & properties((jetson / CONFIG).read_text()).keys()


def test_the_engine_is_put_into_a_configuration_for_others(probe, jetson, tmp_path):
    text = probe.with_engine((jetson / CONFIG).read_text(), tmp_path / "x.engine")
    found = properties(text)
    assert found["model-engine-file"] == str(tmp_path / "x.engine")
    assert found["infer-dims"] == "3;64;96"


SIDES = st.integers(16, 4000)


@given(height=SIDES, width=SIDES, input_h=st.integers(32, 640), input_w=st.integers(32, 640))
def test_the_letterbox_is_nvinfers(probe_of_session, height, width, input_h, input_w):
    # Restated from get_converted_buffer: C's integer division and cut-off conversion.
    even_h, even_w = height & ~1, width & ~1
    wanted_h = input_w * even_h / even_w
    if wanted_h <= input_h:
        used_h, used_w = int(wanted_h), input_w
    else:
        used_h, used_w = input_h, int(input_h * even_w / even_h)
    found = probe_of_session.nvinfer_letterbox((height, width), (input_h, input_w))
    assert (found.pad_x, found.pad_y) == ((input_w - used_w) // 2, (input_h - used_h) // 2)
    assert found.scale_x == pytest.approx(used_w / even_w)
    assert found.scale_y == pytest.approx(used_h / even_h)


@pytest.fixture(scope="module")
def probe_of_session(jetson):
    import importlib.util

    before, sys.dont_write_bytecode = (list(sys.path), sys.dont_write_bytecode), True
    spec = importlib.util.spec_from_file_location("pose_probe", jetson / PROBE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path[:], sys.dont_write_bytecode = before
    return module


@pytest.mark.parametrize("size", [(720, 1280), (480, 640), (1280, 720), (320, 320)])
def test_where_sizes_divide_the_letterbox_is_ours(probe, size):
    _, ours = our_letterbox(np.zeros((*size, 3), np.uint8), (320, 320))
    assert probe.nvinfer_letterbox(size, (320, 320)) == ours


def test_a_muxer_that_scales_is_undone(probe):
    # A 1920 x 1080 source, muxed to 960 x 544, which changes its shape.
    found = probe.nvinfer_letterbox((544, 960), (320, 320), (1080, 1920))
    corners = np.array([[-0.5, -0.5], [1919.5, 1079.5]])
    inside = found.to_input(corners)
    assert inside[0] == pytest.approx([-0.5, found.pad_y - 0.5])
    assert inside[1] == pytest.approx([319.5, found.pad_y + 181 - 0.5])


def picture(rng, size=(96, 144)):
    """Return a picture with bright squares, in which the tiny network finds people."""
    image = np.zeros((*size, 3), np.uint8)
    for _ in range(4):
        y, x = rng.integers(0, size[0] - 24), rng.integers(0, size[1] - 24)
        image[y : y + 24, x : x + 24] = 255
    return image


@pytest.mark.parametrize("contract", ["raw", "decoded", "compact"])
@pytest.mark.parametrize("raises", [False, True])
def test_the_probe_finds_what_our_estimator_finds(probe, tmp_path, rng, contract, raises):
    pytest.importorskip("onnxruntime")
    artifact = read_artifact(write_tiny_artifact(tmp_path / "a", contract, "onnxruntime"))
    estimator = PoseEstimator(artifact)
    image = picture(rng)
    images, _ = estimator.preprocess(image)
    outputs = {name: np.array(a) for name, a in estimator.infer(images).items()}
    expected = estimator(image)
    assert len(expected) > 0
    meta = tensor_meta({"more": np.zeros((1, 2), np.float32), **outputs})
    pyds = FakePyds([frame([meta], (96, 144), (96, 144), 7, raises)], raises)
    found = []
    probe.PoseProbe(artifact, pyds, lambda *seen: found.append(seen)).on_buffer(object())
    ((source, number, poses),) = found
    assert (source, number) == (3, 7)
    assert poses.to_json() == expected.to_json()


def test_frames_of_before_deepstream_6_1_and_other_networks_outputs(probe, rng, tmp_path):
    artifact = read_artifact(write_tiny_artifact(tmp_path / "a", "compact", "tensorrt"))
    outputs = random_outputs(artifact, rng)
    other = tensor_meta(outputs, unique_id=2)
    another_kind = SimpleNamespace(base_meta=SimpleNamespace(meta_type=99), user_meta_data=None)
    frames = [frame([other, another_kind, tensor_meta(outputs)], (96, 144)), frame([], (96, 144))]
    found = []
    probe.PoseProbe(artifact, FakePyds(frames), lambda *seen: found.append(seen)).on_buffer(0)
    assert len(found) == 1
    contract = PoseContract.of(artifact)
    letterbox = probe.nvinfer_letterbox((96, 144), contract.input_size)
    expected = probe.poses_of_tensors(outputs, contract, letterbox)
    assert found[0][2].to_json() == expected.to_json()


def random_outputs(artifact, rng):
    specs = artifact.manifest.outputs
    return {s.name: rng.uniform(0, 1, s.shape).astype(np.float32) for s in specs}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda o: o.pop("visibility"),
            "nvinfer: expected the outputs keypoints, scores, visibility, got none of the name "
            "visibility; check output-blob-names in config_infer.txt",
        ),
        (
            lambda o: o.update(scores=o["scores"][:, :-1]),
            "output scores: expected {n} float32, got {m} of type 0; "
            "build the engine of this bundle",
        ),
        (
            lambda o: o.update(scores=o["scores"].astype(np.int32)),
            "output scores: expected {n} float32, got {n} of type 3; "
            "build the engine of this bundle",
        ),
    ],
)
def test_another_networks_engine_is_refused(probe, tmp_path, rng, change, message):
    artifact = read_artifact(write_tiny_artifact(tmp_path / "a", "compact", "tensorrt"))
    outputs = random_outputs(artifact, rng)
    n = outputs["scores"].size
    change(outputs)
    pyds = FakePyds([frame([tensor_meta(outputs)], (96, 144))])
    with pytest.raises(TargetError) as caught:
        probe.PoseProbe(artifact, pyds, print).on_buffer(0)
    assert str(caught.value) == message.format(n=n, m=n - 1)


@pytest.mark.parametrize("text", ["", "1280", "1280x", "x720", "1x720", "1280x720x3", "-1x5"])
def test_a_size_that_is_none_is_refused(probe, text):
    with pytest.raises(RequestError) as caught:
        probe.parsed_size(text)
    assert str(caught.value) == (f"size: expected WIDTHxHEIGHT, got {text!r}; for example 1280x720")


def test_nothing_of_the_users_text_is_in_the_pipeline(probe):
    text = probe.pipeline_text("rtsp://x/ ! filesink location=/etc/passwd", (720, 1280))
    assert "passwd" not in text
    assert [name for name, _ in parts(text)] == [
        "uridecodebin", "nvvideoconvert", "video/x-raw(memory:NVMM)", "mux.sink_0",
        "nvstreammux", "nvinfer", "fakesink",
    ]  # fmt: skip


@pytest.mark.parametrize(("source", "live"), [("csi", "1"), ("rtsp://x", "1"), ("file://x", "0")])
def test_the_muxer_knows_size_and_liveness(probe, source, live):
    muxer = dict(parts(probe.pipeline_text(source, (720, 1280))))["nvstreammux"]
    assert (muxer["width"], muxer["height"], muxer["batch-size"]) == ("1280", "720", "1")
    assert muxer["live-source"] == live


class FakeGst(ModuleType):
    """What `run` asks of GStreamer; the loop hands one buffer to the probe."""

    def __init__(self) -> None:
        super().__init__("gi.repository.Gst")
        self.set: dict[tuple[str, str], str] = {}
        self.states: list[str] = []
        self.PadProbeReturn = SimpleNamespace(OK="ok", REMOVE="remove")
        self.PadProbeType = SimpleNamespace(BUFFER="buffer")
        self.State = SimpleNamespace(PLAYING="playing", NULL="null")
        self.MessageType = SimpleNamespace(ERROR="error", EOS="eos")
        self.message = SimpleNamespace(type="eos")

    def init(self, arguments):
        assert arguments is None

    def parse_launch(self, text):
        self.elements = [name for name, _ in parts(text)]
        return self

    def get_by_name(self, name):
        pad = SimpleNamespace(add_probe=lambda kind, call: setattr(self, "probe", call))
        return SimpleNamespace(
            set_property=lambda key, value: self.set.update({(name, key): value}),
            get_static_pad=lambda pad_name: pad,
        )

    def get_bus(self):
        connect = lambda name, call: setattr(self, "on_message", call)  # noqa: E731
        return SimpleNamespace(add_signal_watch=lambda: None, connect=connect)

    def set_state(self, state):
        self.states.append(state)


def installed(monkeypatch, gst, pyds):
    class MainLoop:
        def __init__(self) -> None:
            self.stopped = False

        def quit(self) -> None:
            self.stopped = True

        def run(self) -> None:
            info = SimpleNamespace(get_buffer=object)
            gst.answer = gst.probe(None, info)
            if not self.stopped:
                gst.on_message(None, gst.message)
            assert self.stopped

    gi = ModuleType("gi")
    gi.require_version = lambda name, version: None
    repository = ModuleType("gi.repository")
    repository.Gst, repository.GLib = gst, SimpleNamespace(MainLoop=MainLoop)
    for name, module in {"gi": gi, "gi.repository": repository, "pyds": pyds}.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def tensorrt_artifact(tmp_path):
    return read_artifact(write_tiny_artifact(tmp_path / "a", "compact", "tensorrt"))


@pytest.mark.parametrize(
    ("source", "property_"),
    [("csi", None), ("/dev/video2", "device"), ("file:///v.mp4", "uri")],
)
def test_a_run_prints_a_line_a_frame(
    probe, tensorrt_artifact, rng, monkeypatch, capsys, tmp_path, source, property_
):
    gst = FakeGst()
    meta = tensor_meta(random_outputs(tensorrt_artifact, rng))
    installed(monkeypatch, gst, FakePyds([frame([meta], (96, 144), (96, 144), 5)]))
    engine = tmp_path / "x.engine"
    assert probe.run(tensorrt_artifact, engine, source, (720, 1280)) is None
    said = json.loads(capsys.readouterr().out)
    assert (said["source"], said["frame"]) == (3, 5)
    assert len(said["poses"][0]["keypoints"]) == 17
    assert gst.set[("poses", "model-engine-file")] == str(engine)
    assert gst.set[("poses", "config-file-path")].endswith("deepstream/config_infer.txt")
    assert [key for name, key in gst.set if name == "source"] == ([property_] if property_ else [])
    assert gst.states == ["playing", "null"]


def test_what_stops_a_run_is_told(probe, tensorrt_artifact, monkeypatch, tmp_path):
    gst = FakeGst()
    gst.message = SimpleNamespace(
        type="error", parse_error=lambda: (SimpleNamespace(message="no engine"), "")
    )
    installed(monkeypatch, gst, FakePyds([]))
    error = probe.run(tensorrt_artifact, tmp_path / "x", "csi", (720, 1280))
    assert str(error) == "deepstream: expected frames, got: no engine; see its log"
    installed(monkeypatch, gst, FakePyds([frame([tensor_meta({})], (96, 144))]))
    error = probe.run(tensorrt_artifact, tmp_path / "x", "csi", (720, 1280))
    assert "got none of the name" in str(error)
    assert gst.answer == "remove"


def test_the_configuration_for_others_is_written(probe, jetson, tmp_path, capsys):
    config, engine = tmp_path / "config.txt", tmp_path / "x.engine"
    assert probe.main(["--engine", str(engine), "--write-config", str(config)]) == 0
    assert properties(config.read_text())["model-engine-file"] == str(engine)
    assert probe.main(["--size", "nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: size: expected WIDTHxHEIGHT")
