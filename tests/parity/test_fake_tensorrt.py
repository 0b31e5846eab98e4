"""The stand-in of TensorRT has no name, and no argument, that the real bindings do not have.

TensorRT itself cannot be had from the package index. ``tensorrt-rtx`` has bindings of the same
source and the names of TensorRT 11; what it lacks is listed here, with the place where it is
documented for TensorRT.
"""

from __future__ import annotations

import inspect
import re

import fake_tensorrt
import pytest

# Names that TensorRT RTX does not have. "Removed in 11": NVIDIA's list of removed names,
# https://docs.nvidia.com/deeplearning/tensorrt/latest/api/migration/tensorrt-10x-to-11x-python-api-reference.html
# "Weak typing": RTX and 11 infer all types from the graph; in TensorRT 8.5 to 10.x they are in
# python/src/infer/pyGraph.cpp of the repository NVIDIA/TensorRT.
NOT_IN_RTX = {
    ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH"),  # 8.x and 10.x: pyCore.cpp; not in 11
    ("BuilderFlag", "FP16"),  # removed in 11
    ("BuilderFlag", "INT8"),  # removed in 11
    ("BuilderFlag", "OBEY_PRECISION_CONSTRAINTS"),  # removed in 11
    ("Builder", "platform_has_fast_fp16"),  # removed in 11
    ("IBuilderConfig", "int8_calibrator"),  # removed in 11
    ("IInt8EntropyCalibrator2", "get_batch_size"),  # removed in 11, as the class
    ("IInt8EntropyCalibrator2", "get_batch"),
    ("IInt8EntropyCalibrator2", "read_calibration_cache"),
    ("IInt8EntropyCalibrator2", "write_calibration_cache"),
    ("ICudaEngine", "device_memory_size"),  # 10.1 and later: device_memory_size_v2
    ("ILayer", "precision"),  # weak typing
    ("ILayer", "set_output_type"),  # weak typing
}


@pytest.fixture(scope="module")
def rtx():
    return pytest.importorskip("tensorrt_rtx")


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
def test_every_name_is_one_of_the_real_bindings_or_listed(rtx, version):
    names = fake_tensorrt.names_of(version)
    for kind, members in names.items():
        for member in members:
            real = hasattr(getattr(rtx, kind, None), member)
            assert real or (kind, member) in NOT_IN_RTX, (kind, member)


def test_the_newest_version_needs_no_list(rtx):
    for kind, members in fake_tensorrt.names_of("11.4.0.106").items():
        assert all(hasattr(getattr(rtx, kind), member) for member in members), kind


def test_the_list_names_nothing_that_is_there(rtx):
    for kind, member in NOT_IN_RTX:
        assert not hasattr(getattr(rtx, kind, None), member), (kind, member)
        assert member in fake_tensorrt.MEMBERS[kind]


def test_arguments_are_called_as_in_the_real_bindings(rtx):
    trt = fake_tensorrt.make("11.4.0.106")
    compared = 0
    for kind, members in fake_tensorrt.names_of("11.4.0.106").items():
        for member in members:
            ours = inspect.getattr_static(getattr(trt, kind), member)
            if not inspect.isfunction(ours):
                continue
            text = getattr(getattr(rtx, kind), member).__doc__ or ""
            found = re.findall(rf"{member}\((self.*?)\) ->", text, re.DOTALL)
            assert list(inspect.signature(ours).parameters) in map(_arguments, found), (
                kind,
                member,
            )
            compared += 1
    assert compared > 15


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
def test_a_version_has_no_name_of_another(version):
    trt = fake_tensorrt.make(version)
    for kind, members in fake_tensorrt.MEMBERS.items():
        has = fake_tensorrt.names_of(version).get(kind, set())
        assert hasattr(trt, kind) == bool(has)
        for member in members:
            assert hasattr(getattr(trt, kind, None), member) == (member in has), (kind, member)


def test_setting_what_a_version_does_not_have_is_an_error():
    config = fake_tensorrt.make("8.5.2.2").IBuilderConfig()
    with pytest.raises(AttributeError, match="progress_monitor"):
        config.progress_monitor = None
    with pytest.raises(AttributeError, match="builder_optimization_level"):
        config.builder_optimization_level = 3


def _arguments(text: str) -> list[str]:
    """Return the names in a signature; types and default values have their commas in brackets."""
    plain = re.sub(r"\[.*?\]|<.*?>", "", text)
    return [part.split(":")[0].strip() for part in plain.split(",")]
