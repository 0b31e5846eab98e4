"""The commands of a bundle on a board with TensorRT: stand-ins of its module and of CUDA."""

from __future__ import annotations

import json

import pytest
from tensorrt_board import make_board
from tiny_bundle import tiny_bundle

from erpose_edge.on_device import benchmark
from erpose_edge.on_device.program import main
from erpose_edge.runtime.tensorrt import build as tensorrt_build
from erpose_edge.runtime.tensorrt import cuda_library
from erpose_edge.runtime.tensorrt import runner as tensorrt_runner


@pytest.fixture(params=["8.5.2.2", "10.3.0.30"])
def bundle(request, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    board = make_board(tmp_path / "board", monkeypatch, request.param)
    for module in (tensorrt_build, tensorrt_runner, cuda_library):
        monkeypatch.setattr(module, "CudaLibrary", lambda: board.library)
    return tiny_bundle(tmp_path, "tensorrt"), tmp_path / "cache", request.param


def test_the_engine_is_built_once_and_serves_the_self_test_and_the_benchmark(
    bundle, capfd, monkeypatch
):
    made, cache, version = bundle
    common = ["--json", "--bundle", str(made.folder), "--cache", str(cache)]
    assert main(["build", *common]) == 0
    out, err = capfd.readouterr()
    (engine,) = json.loads(out)["engines"]
    assert engine["engine"] == f"TensorRT {version}"
    assert engine["path"].startswith(str(cache))
    assert "building" in err
    assert main(["selftest", *common]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["passed"] is True
    assert "building" not in err  # found in the cache
    # Another process would not have the stand-in of CUDA.
    monkeypatch.setattr(benchmark, "cold_start_ms", lambda *_: 1.0)
    assert main(["benchmark", *common, "--seconds", "0.1", "--scenes", "1"]) == 0
    certificate = json.loads(capfd.readouterr().out)
    assert certificate["engine"] == f"TensorRT {version}"
    assert certificate["latency"]["fp32"]["turns"]["samples"] > 0
    convolutions = [x for x in certificate["placement"]["fp32"] if x["kind"] == "convolution"]
    assert {x["unit"] for x in convolutions} == {"gpu"}
    assert {x["precision"] for x in convolutions} == {"fp32"}
