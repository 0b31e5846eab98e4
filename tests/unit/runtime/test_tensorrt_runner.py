"""The runner of TensorRT against stand-ins of CUDA and TensorRT; the numbers are ONNX Runtime's."""

from __future__ import annotations

import gc
from dataclasses import replace

import fake_tensorrt
import numpy as np
import pytest
from fake_cuda import COMPUTE_MS, COPY_MS
from tensorrt_board import build_in_process, make_board
from tiny_pose import INPUT_SIZE, write_tiny_artifact

from erpose_edge.errors import ImageError, IntegrityError, RequestError, TargetError
from erpose_edge.runtime.artifact import read_artifact
from erpose_edge.runtime.onnx_runner import OnnxRunner
from erpose_edge.runtime.runner import open_runner
from erpose_edge.runtime.tensorrt.runner import TensorrtRunner

IMAGES = np.random.default_rng(0).random((1, 3, *INPUT_SIZE), np.float32)
RUN = ["event", "h2d", "event", "compute", "event", "d2h", "d2h", "d2h", "event"]


@pytest.fixture
def board(tmp_path, monkeypatch):
    board = make_board(tmp_path, monkeypatch, "10.3.0")
    build_in_process(monkeypatch, board)
    return board


def open_on(board, **settings) -> TensorrtRunner:
    given = {"options": board.options, "library": board.library, "tell": board.said.append}
    return TensorrtRunner(board.artifact, **{**given, **settings})


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
@pytest.mark.parametrize("contract", ["raw", "compact"])
def test_every_version_gives_what_the_reference_gives(tmp_path, monkeypatch, version, contract):
    board = make_board(tmp_path, monkeypatch, version, contract)
    build_in_process(monkeypatch, board)
    expected = OnnxRunner(
        read_artifact(write_tiny_artifact(tmp_path / "reference", contract, "onnxruntime"))
    ).run(IMAGES)
    runner = open_on(board)
    assert (runner.engine, runner.threads) == (f"TensorRT {version}", 1)
    for images in (IMAGES, IMAGES[..., ::-1], IMAGES):  # the last one again as the first
        found = runner.run(images)
    assert set(found) == set(expected)
    for name, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-5)


def test_a_run_copies_in_computes_copies_out_and_waits(board):
    runner = open_on(board, cuda_graph=False)
    runner.run(IMAGES)
    assert not runner.graphed
    assert board.fake.steps == RUN
    assert board.fake.calls[-1] == "cudaStreamSynchronize"


def test_with_a_graph_the_steps_are_the_same(board):
    runner = open_on(board)
    assert runner.graphed
    assert board.fake.steps == ["compute"]  # the one before recording
    board.fake.steps.clear()
    runner.run(IMAGES)
    assert board.fake.steps == [step.replace("compute", "graph compute") for step in RUN]
    assert board.said[-1].startswith("built in ")  # nothing is said of the graph


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
def test_memory_on_the_gpu_is_tensors_activations_and_the_engine(tmp_path, monkeypatch, version):
    board = make_board(tmp_path, monkeypatch, version)
    build_in_process(monkeypatch, board)
    runner = open_on(board)
    values = IMAGES.size + sum(array.size for array in runner.run(IMAGES).values())
    assert runner.gpu_bytes == 4 * values + 5000 + runner.engine_path.stat().st_size


def test_copies_and_computing_are_timed_apart(board):
    runner = open_on(board)
    with pytest.raises(RequestError, match="timings_ms: expected a run before, got none; call run"):
        _ = runner.timings_ms
    runner.run(IMAGES)
    assert runner.timings_ms == {"h2d": COPY_MS, "compute": COMPUTE_MS, "d2h": 3 * COPY_MS}


def test_a_graph_that_cannot_be_recorded_is_done_without_and_said(board):
    board.fake.fail["cudaStreamEndCapture"] = 901
    runner = open_on(board)
    assert not runner.graphed
    assert board.said[-1] == (
        "CUDA graph: not used, each kernel is launched by itself: cudaStreamEndCapture: "
        "expected success, got CUDA error 901: capture is invalid; "
        "look for the driver's own message in dmesg"
    )
    board.fake.fail.clear()
    assert runner.run(IMAGES)["scores"].any()


@pytest.mark.parametrize(
    "call", ["cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags", "cudaEventCreateWithFlags",
             "cudaSetDevice", "cudaStreamSynchronize"]
)  # fmt: skip
def test_a_failure_while_opening_is_an_error_and_frees_what_there_was(board, call):
    board.fake.fail[call] = 2
    with pytest.raises(TargetError, match=f"{call}: expected success, got CUDA error 2"):
        open_on(board)
    gc.collect(1)
    assert not any(board.fake.alive.values())


@pytest.mark.parametrize("call", ["cudaMemcpyAsync", "cudaGraphLaunch", "cudaEventRecord"])
def test_a_failure_while_running_is_an_error(board, call):
    runner = open_on(board)
    board.fake.fail[call] = 719
    with pytest.raises(TargetError, match=f"{call}: expected success, got CUDA error 719"):
        runner.run(IMAGES)


def test_a_computation_that_does_not_start_is_an_error(board, monkeypatch):
    runner = open_on(board, cuda_graph=False)
    monkeypatch.setattr(board.trt.IExecutionContext, "execute_async_v3", lambda *_: False)
    with pytest.raises(TargetError, match="expected it to start the computation, got: no reason"):
        runner.run(IMAGES)


@pytest.mark.parametrize("shape", [(3, *INPUT_SIZE), (1, 3, 32, 32), (1, 1, *INPUT_SIZE), (1,)])
def test_images_of_another_shape_are_refused_and_not_stretched(board, shape):
    runner = open_on(board)
    with pytest.raises(
        ImageError, match=r"images: expected float32 \(1, 3, 64, 96\), got float32 \("
    ):
        runner.run(np.zeros(shape, np.float32))


def test_images_with_gaps_between_their_rows_are_taken(board):
    runner = open_on(board)
    expected = runner.run(IMAGES)["scores"].copy()
    wide = np.repeat(IMAGES, 2, axis=3)[..., ::2]
    assert not wide.flags.c_contiguous
    np.testing.assert_array_equal(runner.run(wide)["scores"], expected)


def test_everything_is_freed_once_and_outputs_outlive_the_runner(board):
    with open_on(board) as runner:
        scores = runner.run(IMAGES)["scores"]
    runner.close()
    expected = scores.copy()
    assert [name for name, alive in board.fake.alive.items() if alive] == ["cudaFreeHost"]
    del runner
    gc.collect(1)
    np.testing.assert_array_equal(scores, expected)
    del scores
    gc.collect(1)
    assert not any(board.fake.alive.values())
    assert set(board.fake.freed.values()) == {1}


def test_the_engine_of_the_cache_is_used_and_a_refused_one_is_built_anew(board):
    path = open_on(board).engine_path
    board.said.clear()
    assert open_on(board).engine_path == path
    assert board.said == []
    # An engine whose facts are all right, but which TensorRT does not load.
    stranger = path.with_name(".stranger")
    stranger.write_bytes(b"an engine of another driver")
    from erpose_edge.runtime.tensorrt.cache import CacheEntry

    facts = _facts(path)
    entry = CacheEntry(facts, path.parent, path.parent / "timing")
    assert entry.engine == path
    entry.store(stranger, {})
    assert open_on(board).run(IMAGES)["scores"].any()
    assert board.said[0] == f"engine {path}: TensorRT 10.3.0 does not load it any more"
    assert board.said[1].endswith("building it again")


def test_an_engine_that_is_never_loaded_is_an_error(board, monkeypatch):
    monkeypatch.setattr(fake_tensorrt, "HEADER", b"another header ")
    runtime = board.trt.Runtime

    def refuse(self, content):
        self._logger.log(board.trt.ILogger.ERROR, "magicTag assertion failed")

    monkeypatch.setattr(runtime, "deserialize_cuda_engine", refuse)
    with pytest.raises(TargetError) as caught:
        open_on(board)
    assert (
        "TensorRT 10.3.0: expected it to load the engine, got: magicTag assertion failed; "
        in str(caught.value)
    )


@pytest.mark.parametrize("change", ["shape", "dtype", "name"])
def test_an_engine_with_other_tensors_than_the_manifests_is_refused(board, monkeypatch, change):
    engine = board.trt.ICudaEngine
    wrong = {
        "shape": ("get_tensor_shape", lambda self, name: (1, 7)),
        "dtype": ("get_tensor_dtype", lambda self, name: board.trt.DataType.HALF),
        "name": ("get_tensor_name", lambda self, index: f"tensor_{index}"),
    }[change]
    if change == "name":
        monkeypatch.setattr(engine, "get_tensor_mode", lambda self, name: 0)
    monkeypatch.setattr(engine, *wrong)
    error = IntegrityError if change == "name" else TargetError
    with pytest.raises(error, match="as the manifest says, got"):
        open_on(board)


def test_threads_are_refused_because_there_are_none(board):
    with pytest.raises(RequestError, match="threads: expected none for TensorRT, got 2; leave it"):
        open_on(board, threads=2)


def test_the_estimators_way_of_opening_finds_the_runner(board, monkeypatch):
    from erpose_edge.runtime.tensorrt import runner as tensorrt_runner

    monkeypatch.setattr(tensorrt_runner, "CudaLibrary", lambda: board.library)
    monkeypatch.setenv("XDG_CACHE_HOME", str(board.root))
    assert isinstance(open_runner(board.artifact), TensorrtRunner)
    odd = replace(board.artifact, manifest=replace(board.artifact.manifest, engine="abacus"))
    with pytest.raises(TargetError, match="got 'abacus'"):
        open_runner(odd)


def _facts(path) -> dict[str, str]:
    import json

    return json.loads(path.with_suffix(".json").read_bytes())["facts"]
