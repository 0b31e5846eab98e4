import pytest

from erpose_edge.errors import ExportError
from erpose_edge.exporters.read_back import require_int8


def test_a_float_convolution_is_named():
    precisions = {"a.conv": "u8", "b.conv": "i8", "c.conv": "f32"}
    require_int8("engine", precisions, ["a.conv", "b.conv"])
    with pytest.raises(ExportError, match=r"engine: c\.conv: expected int8 execution .* got f32"):
        require_int8("engine", precisions, ["a.conv", "c.conv"])


def test_a_convolution_that_vanished_is_named():
    with pytest.raises(ExportError, match=r"d\.conv: expected int8 .* got no such layer"):
        require_int8("engine", {}, ["d.conv"])


def test_the_number_of_further_ones_is_told():
    with pytest.raises(ExportError, match=r"\(and 2 more\)"):
        require_int8("engine", {}, ["a", "b", "c"])
