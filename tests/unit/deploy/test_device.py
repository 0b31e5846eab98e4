"""A time is judged only on the device that a profile means."""

from __future__ import annotations

import pytest

from erpose_edge.deploy import device
from erpose_edge.deploy.device import is_device
from erpose_edge.deploy.profile import load_profile

PI5 = b"raspberrypi,5-model-b\0brcm,bcm2712\0"


def board(tmp_path, compatible):
    file = tmp_path / "proc/device-tree/compatible"
    file.parent.mkdir(parents=True)
    file.write_bytes(compatible)
    return tmp_path


def profile(**changes):
    return load_profile("openvino-cpu").model_copy(update=changes)


def test_without_a_device_tree_any_machine_is_the_device(tmp_path):
    assert is_device(profile(device_tree=None), tmp_path)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["raspberrypi,5-model-b"], True),
        (["nvidia,p3768-0000+p3767-0005", "brcm,bcm2712"], True),
        (["raspberrypi,5"], False),  # the whole name, not its beginning
        ([], False),
    ],
)
def test_a_board_is_known_by_a_whole_name_of_its_device_tree(tmp_path, names, found):
    assert is_device(profile(device_tree=names), board(tmp_path, PI5)) is found


def test_a_pc_is_no_board(tmp_path):
    assert not is_device(profile(device_tree=["raspberrypi,5-model-b"]), tmp_path)


def test_a_machine_without_tensorrt_is_no_device_of_a_tensorrt_profile(tmp_path, monkeypatch):
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda _: None)
    assert not is_device(profile(engine="tensorrt"), tmp_path)
    assert is_device(profile(engine="tflite"), tmp_path)  # its absence is an error, not a detour
