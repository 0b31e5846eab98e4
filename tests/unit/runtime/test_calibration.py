"""A calibration cache says the scales of the graph, for one version of TensorRT and no other."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.errors import IntegrityError, TargetError
from erpose_edge.runtime.tensorrt.calibration import cache_header, cache_text, read_cache

NAMES = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n"), min_size=1
)
SCALES = st.floats(
    float(np.float32(1e-30)), float(np.float32(1e30)), width=32, allow_subnormal=False
)


@pytest.mark.parametrize(
    ("version", "number"),
    [
        # Headers of published caches, and of NvInferVersion.h for the versions that we know.
        ("8.5.2.2", 8502), ("8.5.10", 8510), ("8.6.0", 8600), ("10.3.0", 100300),
        ("10.3.0.30", 100300), ("10.14.1", 101401),
    ],
)  # fmt: skip
def test_the_header_is_the_number_of_tensorrt(version, number):
    assert cache_header(version) == f"TRT-{number}-EntropyCalibration2"


@pytest.mark.parametrize("version", ["", "10", "10.3", "ten"])
def test_a_version_without_three_numbers_has_no_header(version):
    with pytest.raises(TargetError, match=r"expected a version of TensorRT as 10\.3\.0, got"):
        cache_header(version)


@pytest.mark.parametrize(
    ("scale", "digits"),
    [
        (1 / 127, "3c010204"),  # images in [0, 1]; in a published cache of TensorRT 10.3
        (255 / 127, "40008102"),
        (1.0, "3f800000"),
    ],
)
def test_a_scale_is_a_big_endian_float32(scale, digits):
    assert cache_text({"images": scale}, "10.3.0") == (
        f"TRT-100300-EntropyCalibration2\nimages: {digits}\n".encode()
    )


def test_a_published_cache_is_read():
    text = (
        b"TRT-8510-EntropyCalibration2\nx: 4000890a\n/conv1/Conv_output_0: 3f9db09c\n"
        b"(Unnamed Layer* 8) [Constant]_output: 3c010a14\n"
    )
    scales = read_cache(text, "8.5.10")
    assert list(scales) == ["x", "/conv1/Conv_output_0", "(Unnamed Layer* 8) [Constant]_output"]
    assert scales["x"] * 127 == pytest.approx(255, abs=0.2)  # an image of 8 bits


@given(st.dictionaries(NAMES, SCALES, max_size=8), st.sampled_from(["8.5.2", "8.6.2.3", "10.3.0"]))
def test_what_is_written_is_read_to_the_bit(scales, version):
    assert read_cache(cache_text(scales, version), version) == scales


@given(st.dictionaries(NAMES, SCALES, max_size=3))
def test_a_cache_of_another_version_is_refused(scales):
    with pytest.raises(IntegrityError, match=r"expected TRT-8502-EntropyCalibration2, got 'TRT-10"):
        read_cache(cache_text(scales, "10.3.0"), "8.5.2")


@given(st.binary(max_size=60))
def test_what_is_no_cache_is_refused_in_one_line(content):
    try:
        scales = read_cache(b"TRT-100300-EntropyCalibration2\n" + content, "10.3.0")
    except IntegrityError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(np.isfinite(scale) and scale > 0 for scale in scales.values())


@pytest.mark.parametrize(
    "line", ["a: 00000000", "a: ff800000", "a: 7fc00000", "a:3c010204", "a: 3C01", "3c010204", ""]
)
def test_a_line_that_is_no_scale_is_named(line):
    text = f"TRT-100300-EntropyCalibration2\nb: 3c010204\n{line}\nc: 3c010204\n"
    with pytest.raises(IntegrityError, match="line 3: expected a name and a scale above 0"):
        read_cache(text.encode(), "10.3.0")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e39, 1e-46])
def test_a_scale_that_float32_does_not_hold_is_refused(scale):
    with pytest.raises(TargetError, match="calibration: a: expected a scale above 0 that float32"):
        cache_text({"a": scale}, "10.3.0")


def test_a_name_that_breaks_the_line_is_refused():
    with pytest.raises(TargetError, match=r"expected names of one line, got 'a\\nb'"):
        cache_text({"a\nb": 1.0}, "10.3.0")


def test_digits_without_leading_zeros_are_read():
    digits = struct.pack(">f", 1e-38).hex().lstrip("0")
    assert len(digits) < 8
    text = f"TRT-100300-EntropyCalibration2\na: {digits}\n".encode()
    assert read_cache(text, "10.3.0")["a"] == pytest.approx(1e-38)
