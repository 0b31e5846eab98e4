"""Every board of `machine_trees` is named for what it is; what cannot be read stays empty."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import machine_trees
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machine_trees import BOARDS, JETSONS, build

from erpose_edge.deploy.registry import load_registry
from erpose_edge.machine.facts import Machine, read_machine

REGISTRY = load_registry()
# Module of the registry by tree; those that are no Jetson have a name instead.
MODULES = {
    "nano": "nano-4gb",
    "tx2": "tx2",
    "agx-xavier": "agx-xavier-32gb",
    "xavier-nx": "xavier-nx-8gb",
    "agx-orin-jetpack5": "agx-orin-64gb",
    "orin-nano-super": "orin-nano-8gb",
    "orin-nx": "orin-nx-16gb",
    "agx-orin-jetpack7": "agx-orin-64gb",
    "thor": "thor-t5000",
}
CPU_CLASSES = {
    "nano": "arm-neon",
    "agx-xavier": "arm-neon",
    "orin-nx": "arm-dotprod",
    "thor": "arm-i8mm",
    "pc-vnni": "x86-avx-vnni",
    "pc-avx2": "x86-avx2",
    "pc-amx": "x86-amx",
    "raspberry-pi-5": "arm-dotprod",
    "raspberry-pi-4": "arm-neon",
}
CAPABILITIES = {"nano": "5.3", "tx2": "6.2", "xavier-nx": "7.2", "orin-nx": "8.7", "thor": "11.0"}


@pytest.fixture(scope="module")
def machines(tmp_path_factory) -> dict[str, Machine]:
    folder = tmp_path_factory.mktemp("boards")
    return {name: read_machine(build(name, folder / name), REGISTRY) for name in BOARDS}


@pytest.mark.parametrize("name", BOARDS)
def test_the_board_is_named_by_its_number(machines, name):
    board = machines[name].board
    assert board.part_number == (BOARDS[name].part or "")
    assert board.modules == ((MODULES[name],) if name in MODULES else ())
    assert board.name == (name if name.startswith("raspberry") else "")
    assert board.is_jetson == (name in JETSONS)
    assert machines[name].notes == ()


@pytest.mark.parametrize("name", BOARDS)
def test_super_is_told_from_original(machines, name):
    expected = "super" if name == "orin-nano-super" else "original" if name in JETSONS else None
    assert machines[name].board.flash == expected


@pytest.mark.parametrize("name", BOARDS)
def test_jetpack_and_versions_are_read(machines, name):
    board, software = BOARDS[name], machines[name].software
    assert software.l4t == (board.l4t or "")
    if board.jetpack is None:
        assert software.jetpack == ""
    else:
        assert software.jetpack.startswith(board.jetpack)
        assert software.cuda.startswith(board.cuda)
    assert software.tensorrt == (board.tensorrt or "")
    assert software.system.startswith(("Ubuntu", "Debian"))


@pytest.mark.parametrize("name", BOARDS)
def test_power_modes_have_their_names(machines, name):
    modes = machines[name].power_modes
    if name not in JETSONS:
        assert modes is None
        return
    assert {mode.id: mode.name for mode in modes.modes} == BOARDS[name].modes
    assert modes.current.name == BOARDS[name].current


@pytest.mark.parametrize("name", BOARDS)
def test_the_processor_is_known_by_its_flags(machines, name):
    machine = machines[name]
    assert set(machine.cpu.flags) >= BOARDS[name].flags
    assert machine.architecture == ("x86_64" if name.startswith("pc-") else "aarch64")
    assert machine.vnni == {"pc-vnni": True, "pc-amx": True, "pc-avx2": False}.get(name)
    if name in CPU_CLASSES:
        assert machine.cpu_class == CPU_CLASSES[name]


@pytest.mark.parametrize("name", BOARDS)
def test_the_gpu_is_the_module_s(machines, name):
    gpu = machines[name].gpu
    assert (gpu is not None) == (name in JETSONS)
    if name in CAPABILITIES:
        assert gpu.compute_capability == CAPABILITIES[name]


@pytest.mark.parametrize("name", BOARDS)
def test_facts_are_plain_values_and_come_from_the_root(machines, name):
    machine = machines[name]
    document = json.loads(json.dumps(machine.to_json(), allow_nan=False))
    assert document["board"]["part_number"] == (BOARDS[name].part or "")
    assert document["surroundings"]["disk_free_mb"] is None
    assert document["cpu"]["load"] == []
    assert not machine.here
    assert machine.clocks.cpu


def test_cameras_on_the_connector_are_told_from_usb(machines):
    first, second = machines["orin-nano-super"].surroundings.cameras
    assert (first.device, first.csi) == ("/dev/video0", True)
    assert (second.name, second.csi) == ("HD Pro Webcam C920", False)


def test_a_running_desktop_is_seen(machines):
    assert machines["nano"].surroundings.desktop == "Xorg"
    assert machines["tx2"].surroundings.desktop == ""


def test_a_wheel_of_opencv_is_told_from_the_system_s(machines):
    assert machines["orin-nx"].python.opencv_from_pip
    assert machines["orin-nx"].python.packages["cv2"] == "4.11.0.86"
    assert not machines["orin-nano-super"].python.opencv_from_pip
    assert "cv2" not in machines["xavier-nx"].python.packages


def test_without_a_registry_numbers_stay_and_names_are_empty(tmp_path):
    machine = read_machine(build("orin-nano-super", tmp_path))
    assert machine.board.part_number == "p3767-0005"
    assert machine.board.modules == ()
    assert (machine.software.jetpack, machine.cpu_class) == ("", "")
    assert machine.gpu.name == "tegra234"


def test_an_empty_root_is_a_machine_of_which_nothing_is_known(tmp_path):
    machine = read_machine(tmp_path, REGISTRY)
    assert machine.board.compatible == ()
    assert (machine.cpu.model, machine.cpu.cores, machine.architecture) == ("unknown", 1, "")
    assert machine.surroundings.memory.total_mb is None
    assert machine.notes == ()


def test_a_release_in_another_form_is_empty_with_a_note(tmp_path):
    root = build("orin-nx", tmp_path, without=("var/lib/dpkg",))
    (root / "etc/nv_tegra_release").write_text("release 36\n")
    machine = read_machine(root, REGISTRY)
    assert machine.l4t == ""
    assert machine.notes == (
        "/etc/nv_tegra_release: expected a line like '# R36 (release), REVISION: 4.3', got "
        "'release 36'; L4T is unknown",
    )


def test_the_package_says_l4t_where_the_release_file_does_not(tmp_path):
    root = build("orin-nano-super", tmp_path, without=("etc/nv_tegra_release",))
    assert read_machine(root, REGISTRY).l4t == "36.4.3"


def test_a_module_that_is_not_known_gets_a_note(tmp_path):
    root = build("thor", tmp_path)
    compatible = root / "sys/firmware/devicetree/base/compatible"
    compatible.write_bytes(b"nvidia,p9999-0000+p9998-0001\0nvidia,tegra999\0")
    machine = read_machine(root, REGISTRY)
    assert machine.board.modules == ()
    assert machine.notes == (
        "module: expected one that the registry knows, got p9998-0001; it is not known here",
    )


@pytest.mark.parametrize("name", ["nano", "orin-nano-super", "thor", "pc-avx2", "raspberry-pi-4"])
def test_no_missing_file_stops_it(tmp_path, name):
    whole = build(name, tmp_path / "whole")
    files = sorted(p.relative_to(whole).as_posix() for p in whole.rglob("*") if p.is_file())
    for number, missing in enumerate(files[::5]):
        root = build(name, tmp_path / str(number), without=(missing,))
        read_machine(root, REGISTRY)
        shutil.rmtree(root)


TEXT = {"proc/cpuinfo", "proc/meminfo", "proc/mounts", "etc/nv_tegra_release", "etc/os-release"}
TEXT |= {"etc/nvpmodel.conf", "var/lib/nvpmodel/status", "etc/nv_boot_control.conf"}
TEXT |= {"var/lib/dpkg/status", "usr/local/cuda-12.6/version.json", "proc/device-tree/compatible"}
TEXT |= {"proc/device-tree/chosen/sku", "sys/class/thermal/thermal_zone0/temp", "bin/sh"}
TEXT |= {"usr/include/aarch64-linux-gnu/NvInferVersion.h", "sys/class/video4linux/video0/name"}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(TEXT)), content=st.binary(max_size=200))
def test_garbage_in_any_file_never_stops_it(tmp_path, name, content):
    root = tmp_path / "board"
    if not root.is_dir():
        build("orin-nano-super", root)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_bytes() if path.is_file() else None
    path.write_bytes(content)
    try:
        json.dumps(read_machine(root, REGISTRY).to_json(), allow_nan=False)
    finally:
        path.unlink() if before is None else path.write_bytes(before)


def test_this_machine_is_named_from_its_own_files():
    machine = read_machine(registry=REGISTRY)
    text = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    if machine.architecture == "x86_64":
        assert machine.cpu.model == names[0]
        flags = next(line for line in text.splitlines() if line.startswith("flags")).split()
        assert machine.vnni == bool({"avx_vnni", "avx512_vnni", "amx_int8"} & set(flags))
    assert machine.here
    assert machine.python.packages["numpy"]
    assert machine.surroundings.memory.total_mb > 0
    assert machine.surroundings.disk_free_mb > 0


def test_every_tree_of_a_jetson_has_modes_and_rails():
    assert set(JETSONS) == set(MODULES)
    for name in machine_trees.JETSONS:
        assert BOARDS[name].modes
        assert BOARDS[name].rails
