"""Which source of a part number decides, and which boards a target's names mean."""

from __future__ import annotations

from pathlib import Path

import machine_files as f
import pytest
from machine_trees import build

from erpose_edge.deploy.registry import load_registry
from erpose_edge.machine.board import Board, read_board
from erpose_edge.machine.power_mode import read_power_modes

REGISTRY = load_registry()
TREE = "sys/firmware/devicetree/base"
SOURCES = {
    "sku": f"{TREE}/chosen/sku",
    "eeprom": "sys/bus/i2c/devices/0-0050",
    "flash": "etc/nv_boot_control.conf",
}


def orin(root: Path, *left_out: str) -> Board:
    """An Orin NX whose device tree, flash and EEPROM each say another part number."""
    build("orin-nx", root, without=(SOURCES["sku"], SOURCES["eeprom"], "proc/device-tree"))
    files = {
        SOURCES["sku"]: b"699-13767-0001-300 H.2\0",
        **f.eeprom(1, "699-13767-0003-300 H.2"),
        **f.boot_control("3767-300-0004-H.2-1-0-recomputer-orin-j401-"),
    }
    for name, content in files.items():
        kind = "eeprom" if "eeprom" in name else "sku" if "sku" in name else "flash"
        if kind not in left_out:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_board(root, REGISTRY)


def test_the_strongest_source_of_a_part_number_decides(tmp_path):
    found = orin(tmp_path / "1")
    assert (found.part_number, found.part_number_from) == (
        "p3767-0001",
        "/proc/device-tree/chosen/sku",
    )
    found = orin(tmp_path / "2", "sku")
    assert (found.part_number, found.part_number_from) == (
        "p3767-0003",
        "/sys/bus/i2c/devices/1-0050/eeprom",
    )
    found = orin(tmp_path / "3", "sku", "eeprom")
    assert (found.part_number, found.part_number_from) == (
        "p3767-0004",
        "/etc/nv_boot_control.conf",
    )
    found = orin(tmp_path / "4", "sku", "eeprom", "flash")
    assert (found.part_number, found.part_number_from) == (
        "p3767-0000",
        "/proc/device-tree/compatible",
    )


def test_the_carrier_s_number_is_not_the_module_s(tmp_path):
    root = build("agx-orin-jetpack5", tmp_path)
    assert read_board(root).part_number == "p3701-0005"
    (root / TREE / "compatible").write_bytes(b"nvidia,p2972-0000\0nvidia,tegra194\0")
    assert read_board(root, REGISTRY).part_number == ""
    (root / TREE / "nvidia,boardids").write_bytes(b"2888:0004\0")
    assert read_board(root, REGISTRY).part_number == "p2888-0004"


def test_a_module_s_own_name_counts_on_a_carrier_of_another_maker(tmp_path):
    root = build("xavier-nx", tmp_path)
    names = b"lenovo,thinkedge-se70\0nvidia,p3668-0001\0nvidia,tegra194\0"
    (root / TREE / "compatible").write_bytes(names)
    assert read_board(root, REGISTRY).part_number == "p3668-0001"


@pytest.mark.parametrize("source", ["compatible", "modes", "flash", "none"])
def test_each_of_three_files_can_say_super(tmp_path, source):
    root = build("orin-nano-super", tmp_path)
    if source != "compatible":
        (root / TREE / "compatible").write_bytes(b"nvidia,p3767-0005\0nvidia,tegra234\0")
    if source != "modes":
        (root / "etc/nvpmodel.conf").write_text("< POWER_MODEL ID=0 NAME=15W >\n")
    if source != "flash":
        spec = "3767-300-0005-S.1-1-1-jetson-orin-nano-devkit-"
        (root / "etc/nv_boot_control.conf").write_text(f"TNSPEC {spec}\n")
    board = read_board(root, REGISTRY, read_power_modes(root))
    assert board.flash == ("original" if source == "none" else "super")


def test_a_module_s_name_in_a_target_means_it_on_every_carrier():
    board = Board(
        compatible=("nvidia,p3737-0000+p3701-0005", "nvidia,tegra234"), part_number="p3701-0005"
    )
    assert board.fits(["nvidia,p3701-0005"])
    assert board.fits(["nvidia,tegra234"])
    assert not board.fits(["nvidia,p3701-0004", "nvidia,tegra194"])
    assert not board.fits([])


def test_the_carrier_in_a_target_s_name_does_not_match_a_module():
    board = Board(compatible=("nvidia,p3768-0000+p3767-0005", "nvidia,tegra234"))
    assert not board.fits(["nvidia,p3768-0000"])
    assert board.fits(["nvidia,p3509-0000+p3767-0005"])


def test_a_super_target_wants_a_board_that_was_flashed_so():
    names = ["nvidia,p3768-0000+p3767-0005-super"]
    board = Board(compatible=("nvidia,tegra234",), part_number="p3767-0005", flash="original")
    assert not board.fits(names)
    assert Board(board.model, board.compatible, board.part_number, flash="super").fits(names)


def test_a_pc_is_named_by_its_firmware(tmp_path):
    assert read_board(build("pc-avx2", tmp_path)) == Board("Intel(R) Client Systems NUC11TNKi5")
