import builtins

import pytest

from erpose_edge.errors import ExportError, MissingExtraError
from erpose_edge.exporters.openvino import convert, require_int8


def test_a_float_convolution_is_named():
    precisions = {"a.conv": "u8", "b.conv": "i8", "c.conv": "f32"}
    require_int8(precisions, ["a.conv", "b.conv"])
    with pytest.raises(ExportError, match=r"c\.conv: expected int8 execution .* got f32"):
        require_int8(precisions, ["a.conv", "c.conv"])


def test_a_convolution_that_vanished_is_named():
    with pytest.raises(ExportError, match=r"d\.conv: expected int8 .* got no such layer"):
        require_int8({}, ["d.conv"])


def test_the_number_of_further_ones_is_told():
    with pytest.raises(ExportError, match=r"\(and 2 more\)"):
        require_int8({}, ["a", "b", "c"])


def test_missing_package_names_its_extra(monkeypatch):
    real = builtins.__import__

    def without_openvino(name, *args, **kwargs):
        if name == "openvino":
            raise ModuleNotFoundError("No module named 'openvino'", name="openvino")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_openvino)
    with pytest.raises(MissingExtraError, match=r"pip install 'erpose-edge\[openvino\]'"):
        convert(None, half=False)
