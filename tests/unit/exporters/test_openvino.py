import builtins

import pytest

from erpose_edge.errors import MissingExtraError
from erpose_edge.exporters.openvino import convert


def test_missing_package_names_its_extra(monkeypatch):
    real = builtins.__import__

    def without_openvino(name, *args, **kwargs):
        if name == "openvino":
            raise ModuleNotFoundError("No module named 'openvino'", name="openvino")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_openvino)
    with pytest.raises(MissingExtraError, match=r"pip install 'erpose-edge\[openvino\]'"):
        convert(None, half=False)
