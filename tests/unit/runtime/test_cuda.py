"""CUDA through ctypes: a stand-in behind real C calls, and the real library where there is one."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from fake_cuda import COMPUTE_MS, COPY_MS, FakeCuda
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.errors import TargetError
from erpose_edge.runtime.tensorrt import cuda_library
from erpose_edge.runtime.tensorrt.cuda import DeviceMemory, Event, Stream, gpu_facts, pinned_array
from erpose_edge.runtime.tensorrt.cuda_library import SIGNATURES, CudaLibrary, find_library


@pytest.fixture
def fake() -> FakeCuda:
    return FakeCuda()


@pytest.fixture
def library(fake) -> CudaLibrary:
    return CudaLibrary(fake)


def test_the_facts_of_a_gpu_are_read(library):
    facts = gpu_facts(library)
    assert (facts.name, facts.compute_capability, facts.multiprocessors) == ("Orin", (8, 7), 8)
    assert facts.integrated
    assert (facts.free_bytes, facts.total_bytes) == (3 << 30, 8 << 30)
    assert library.version == (12, 6)


def test_a_gpu_that_is_not_there_is_refused(library, fake):
    with pytest.raises(TargetError, match="gpu: expected one of 1, got number 1; choose another"):
        gpu_facts(library, 1)
    fake.devices = 0
    with pytest.raises(TargetError, match="gpu: expected one of 0, got number 0"):
        gpu_facts(library)


@given(name=st.sampled_from(sorted(set(SIGNATURES) - {"cudaGetLastError"})), status=st.just(2))
def test_every_status_but_success_is_an_error_with_the_name_of_the_call(name, status):
    fake = FakeCuda()
    library = CudaLibrary(fake)
    fake.fail[name] = status
    arguments = [None if "LP_" in t.__name__ else 0 for t in SIGNATURES[name]]
    with pytest.raises(TargetError) as caught:
        library.call(name, *arguments)
    assert str(caught.value) == (
        f"{name}: expected success, got CUDA error 2: out of memory; "
        "close other programs that use the GPU's memory"
    )


def test_an_unknown_status_keeps_its_number_and_text(library, fake):
    fake.fail["cudaMalloc"] = 719
    with pytest.raises(TargetError, match=r"cudaMalloc: .*got CUDA error 719: unknown error; look"):
        DeviceMemory(library, 4)


def test_copies_are_done_in_order_when_the_stream_is_waited_for(library, fake):
    source, target = (pinned_array(library, (2, 3), np.float32) for _ in range(2))
    memory, stream = DeviceMemory(library, source.nbytes), Stream(library)
    source[:] = np.arange(6).reshape(2, 3)
    stream.to_device(memory, source)
    stream.to_host(target, memory)
    assert not target.any()
    stream.synchronize()
    assert fake.steps == ["h2d", "d2h"]
    np.testing.assert_array_equal(target, source)


def test_events_measure_what_is_between_them(library):
    array, stream = pinned_array(library, (4,), np.float32), Stream(library)
    memory, begin, end = DeviceMemory(library, 16), Event(library), Event(library)
    stream.record(begin)
    stream.to_device(memory, array)
    stream.to_device(memory, array)
    stream.record(end)
    with pytest.raises(TargetError, match="cudaEventElapsedTime: expected success, got CUDA error"):
        end.elapsed_ms(begin)
    stream.synchronize()
    assert end.elapsed_ms(begin) == 2 * COPY_MS


@pytest.mark.parametrize("array", [np.zeros(5, np.float32), np.zeros((4, 2), np.float32)[:, 0]])
def test_a_copy_of_another_size_or_with_gaps_is_refused(library, array):
    with pytest.raises(TargetError, match="copy: expected 16 bytes one after the other, got"):
        Stream(library).to_device(DeviceMemory(library, 16), array)


def test_a_graph_does_its_work_when_it_is_launched_and_not_when_it_is_recorded(library, fake):
    stream = Stream(library)
    graph = stream.capture(lambda: fake.enqueue(stream.handle, "compute", lambda: None))
    stream.synchronize()
    assert fake.steps == []
    for _ in range(2):
        graph.launch(stream)
    stream.synchronize()
    assert fake.steps == ["graph compute", "graph compute"]
    assert not fake.alive["cudaGraphDestroy"]
    assert COMPUTE_MS > 0


@pytest.mark.parametrize("name", ["cudaStreamEndCapture", "cudaGraphInstantiateWithFlags"])
def test_a_failed_recording_leaves_nothing_behind_and_the_stream_usable(library, fake, name):
    stream = Stream(library)
    fake.fail[name] = 901
    with pytest.raises(TargetError, match=f"{name}: .*capture is invalid"):
        stream.capture(lambda: None)
    assert not fake.alive.get("cudaGraphDestroy")
    assert fake.calls[-1] != name  # the error was taken away, for the next call
    assert "cudaGetLastError" in fake.calls


def test_an_error_while_recording_ends_the_recording(library, fake):
    stream = Stream(library)

    def work() -> None:
        raise TargetError("network: said no")

    with pytest.raises(TargetError, match="network: said no"):
        stream.capture(work)
    assert "cudaStreamEndCapture" in fake.calls
    assert not fake.alive["cudaGraphDestroy"]


def test_everything_is_freed_once_however_often_it_is_closed(library, fake):
    owned = [DeviceMemory(library, 8), Event(library), Stream(library)]
    owned.append(owned[-1].capture(lambda: None))
    for _ in range(2):
        for each in owned:
            each.close()
    del owned
    gc.collect(1)
    assert not any(fake.alive.values())
    assert set(fake.freed.values()) == {1}


def test_what_is_not_closed_is_freed_with_its_owner(library, fake):
    memory = DeviceMemory(library, 8)
    with Stream(library):
        assert fake.alive["cudaStreamDestroy"]
    assert not fake.alive["cudaStreamDestroy"]
    del memory
    gc.collect(1)
    assert not fake.alive["cudaFree"]


def test_pinned_memory_lives_as_long_as_the_last_view_of_it(library, fake):
    view = pinned_array(library, (3, 4), np.float32)[1, 2:]
    gc.collect(1)
    view[:] = 7
    assert fake.alive["cudaFreeHost"]
    del view
    gc.collect(1)
    assert not fake.alive["cudaFreeHost"]


def test_freeing_never_raises(library, fake):
    memory = DeviceMemory(library, 8)
    fake.fail["cudaFree"] = 4  # the library is being unloaded: the process ends
    memory.close()


def test_no_library_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr(cuda_library, "_candidates", lambda: iter(["libno-such-cuda.so"]))
    with pytest.raises(TargetError) as caught:
        CudaLibrary()
    assert str(caught.value).startswith("libcudart: expected NVIDIA's CUDA runtime (libcudart.so, ")
    assert str(caught.value).count("\n") == 0


def test_a_library_that_is_too_old_is_refused():
    fake = FakeCuda()
    del fake.cudaGraphInstantiateWithFlags
    with pytest.raises(
        TargetError, match=r"expected CUDA 11\.4 or newer, got one without cudaGraph"
    ):
        CudaLibrary(fake)


def test_the_real_library_has_every_function_and_says_why_it_cannot_work():
    # Without a GPU this is all that the real one can show; the layout of its arguments it cannot.
    try:
        library = CudaLibrary(find_library())
    except TargetError:
        pytest.skip("no libcudart on this machine")
    assert library.version >= (11, 4)
    try:
        facts = gpu_facts(library)
    except TargetError as error:
        assert str(error).startswith("cudaGetDeviceCount: expected success, got CUDA error ")
    else:
        assert facts.total_bytes > 0
