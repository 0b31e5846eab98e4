"""A teacher that is none is refused by name."""

from __future__ import annotations

import sys

import pytest

from erpose_edge.errors import MissingExtraError, WeightsError
from erpose_edge.training.teacher import Teacher


def test_a_file_that_is_no_network_is_named(tmp_path):
    pytest.importorskip("openvino")
    path = tmp_path / "teacher.tflite"
    path.write_bytes(b"nothing")
    with pytest.raises(
        WeightsError, match=r"training\.teacher\.weights .*teacher\.tflite"
    ) as error:
        Teacher(path, bf16=False)
    assert "\n" not in str(error.value)


def test_without_openvino_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"erpose-edge\[train,openvino\]"):
        Teacher(tmp_path / "teacher.tflite", bf16=False)
