"""What each board can serve, what is missing on it, and the command that mends it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from machine_trees import BOARDS, JETSONS, build

from erpose_edge.deploy.profile import list_profiles
from erpose_edge.deploy.registry import load_registry
from erpose_edge.machine.advice import best_mode
from erpose_edge.machine.diagnosis import Target, diagnose
from erpose_edge.machine.facts import read_machine
from erpose_edge.machine.needs import Remedy
from erpose_edge.machine.power_mode import PowerMode, PowerModes
from erpose_edge.machine.report import lines, page

REGISTRY = load_registry()
TARGETS = [Target.from_profile(profile.model_dump(mode="json")) for profile in list_profiles()]
BY_NAME = {target.name: target for target in TARGETS}
# Targets that are this very board, with the state in which its tree leaves them.
OWN = {
    "nano": {"jetson-nano": "not served"},
    "tx2": {"jetson-tx2": "not served"},
    "agx-xavier": {"agx-xavier": "ready"},
    "xavier-nx": {"xavier-nx": "missing"},
    "agx-orin-jetpack5": {"agx-orin": "ready", "jetson-orin": "ready"},
    "orin-nano-super": {"orin-nano-super": "ready", "jetson-orin": "ready"},
    "orin-nx": {"orin-nx": "ready", "jetson-orin": "ready"},
    "agx-orin-jetpack7": {"agx-orin": "ready", "jetson-orin": "ready"},
    "thor": {"thor": "ready"},
    "pc-vnni": {},
    "pc-avx2": {},
    "pc-amx": {},
    "raspberry-pi-5": {"raspberry-pi5": "missing"},
    "raspberry-pi-4": {"raspberry-pi4": "missing"},
}
OPENVINO = "usr/local/lib/python3.12/dist-packages/openvino-2026.0.0.dist-info/METADATA"


def examined(root, **changes):
    return diagnose(replace(read_machine(root, REGISTRY), **changes), TARGETS, REGISTRY)


def commands(diagnosis):
    return [remedy.command for remedy in diagnosis.to_do]


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_serves_the_targets_that_stand_for_it(tmp_path, name):
    found = {each.target.name: each.state for each in examined(build(name, tmp_path)).targets}
    own = {target: state for target, state in found.items() if BY_NAME[target].device_tree}
    assert {t: state for t, state in own.items() if state != "another device"} == OWN[name]
    assert found["android-cpu"] == found["android-gpu"] == "another device"
    assert found["tensorrt-x86"] == "another device"
    assert found["openvino-cpu"] == ("not served" if name in ("nano", "tx2") else "missing")


@pytest.mark.parametrize("name", BOARDS)
def test_the_exit_code_is_0_where_something_is_served_and_else_5(tmp_path, name):
    diagnosis = examined(build(name, tmp_path))
    ready = "ready" in OWN[name].values()
    assert bool(diagnosis.served) == ready
    assert diagnosis.exit_code == (0 if ready else 5)


@pytest.mark.parametrize("name", JETSONS)
def test_no_jetson_is_called_tested(tmp_path, name):
    diagnosis = examined(build(name, tmp_path))
    assert diagnosis.tested == f"untested: nothing was run on L4T {BOARDS[name].l4t}"


@pytest.mark.parametrize("name", JETSONS)
def test_the_mode_with_the_most_power_is_found_by_name(tmp_path, name):
    machine = read_machine(build(name, tmp_path), REGISTRY)
    best = best_mode(machine.power_modes)
    assert best.name == BOARDS[name].best
    asked = f"sudo nvpmodel -m {best.id}" in commands(diagnose(machine, TARGETS, REGISTRY))
    assert asked == (BOARDS[name].best != BOARDS[name].current)


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["15W", "25W", "7W"], "25W"),
        (["MODE_20W_4CORE", "MODE_20W_6CORE", "MODE_15W_6CORE"], "MODE_20W_6CORE"),
        (["MODE_30W_6CORE", "MODE_30W_ALL"], "MODE_30W_ALL"),
        (["MAXN", "MAXN_SUPER", "40W"], "MAXN_SUPER"),
        (["MAXQ", "MAXP_CORE_ARM"], None),
        ([], None),
    ],
)
def test_modes_rank_by_what_their_names_say(names, best):
    modes = tuple(PowerMode(number, name) for number, name in enumerate(names))
    found = best_mode(PowerModes(modes, None))
    assert (found.name if found else None) == best


def test_tensorrt_without_its_python_package_is_mended_by_apt(tmp_path):
    diagnosis = examined(build("xavier-nx", tmp_path))
    assert commands(diagnosis)[:2] == [
        "sudo apt install python3-opencv",
        "sudo apt install python3-libnvinfer",
    ]


def test_a_jetson_without_tensorrt_gets_jetpack(tmp_path):
    left_out = ("var/lib/dpkg", "usr/include", "usr/lib/python3/dist-packages/tensorrt")
    diagnosis = examined(build("orin-nano-super", tmp_path, without=left_out))
    assert Remedy("TensorRT is not installed", "sudo apt install nvidia-jetpack") in diagnosis.to_do


def test_a_python_that_does_not_see_the_system_s_tensorrt_is_named(tmp_path):
    left_out = ("usr/lib/python3/dist-packages/tensorrt",)
    diagnosis = examined(build("orin-nano-super", tmp_path, without=left_out))
    assert "/usr/bin/python3 -m venv --system-site-packages ENV" in commands(diagnosis)


def test_a_container_is_given_nvidia_s_image_and_no_mode(tmp_path):
    left_out = ("usr/lib/python3/dist-packages/tensorrt", "var/lib/dpkg", "usr/include")
    root = build("orin-nano-super", tmp_path, without=left_out)
    (root / ".dockerenv").touch()
    diagnosis = examined(root)
    what = "TensorRT is not in this container: take NVIDIA's l4t-tensorrt or l4t-jetpack image"
    assert diagnosis.to_do == (Remedy(what),)
    assert any(line.startswith("in a container:") for line in diagnosis.warnings)


def test_one_engine_is_enough_for_a_pc(tmp_path):
    root = build("pc-avx2", tmp_path)
    assert commands(examined(root)) == [
        "sudo apt install python3-opencv",
        "python3 -m pip install openvino",
    ]
    (root / OPENVINO).parent.mkdir(parents=True)
    (root / OPENVINO).touch()
    (root / "usr/lib/python3/dist-packages/opencv-4.6.0.egg-info").touch()
    diagnosis = examined(root)
    assert diagnosis.served == ("openvino-cpu",)
    assert diagnosis.to_do == ()


def test_where_the_package_is_installed_extras_bring_engines(tmp_path):
    machine = read_machine(build("pc-vnni", tmp_path), REGISTRY)
    diagnosis = diagnose(machine, TARGETS, REGISTRY, packaged=True)
    assert commands(diagnosis) == [
        "pip install erpose-edge",
        "pip install 'erpose-edge[openvino]'",
    ]


def test_a_card_makes_tensorrt_on_a_pc_possible(tmp_path):
    root = build("pc-vnni", tmp_path)
    card = root / "proc/driver/nvidia/gpus/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 16\n")
    (root / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19\n"
    )
    machine = read_machine(root, REGISTRY)
    assert (machine.gpu.name, machine.gpu.driver) == ("NVIDIA H100", "535.129.03")
    (found,) = diagnose(machine, [BY_NAME["tensorrt-x86"]], REGISTRY).targets
    assert found.state == "missing"
    assert found.remedies[-1].command == "python3 -m pip install tensorrt"


def test_jetpack_4_is_not_served_and_the_way_out_is_said(tmp_path):
    machine = read_machine(build("nano", tmp_path), REGISTRY)
    (found,) = diagnose(machine, [BY_NAME["openvino-cpu"]], REGISTRY).targets
    assert found.state == "not served"
    assert found.reasons[0].startswith("The runtime needs Python 3.8; JetPack 4 has 3.6. Install ")


def test_a_jetpack_that_the_module_does_not_take_is_named(tmp_path):
    root = build("agx-xavier", tmp_path)
    (root / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3\n")
    machine = read_machine(root, REGISTRY)
    (found,) = diagnose(machine, [BY_NAME["agx-xavier"]], REGISTRY).targets
    assert found.state == "not served"
    assert found.reasons[0].endswith("Install JetPack 5.1.1 to 5.1.6.")


def test_a_32_bit_system_on_a_64_bit_kernel_is_not_served_by_litert(tmp_path):
    root = build("raspberry-pi-5", tmp_path)
    (root / "bin").mkdir()
    (root / "bin/sh").write_bytes(b"\x7fELF\x01\x01\x01")
    (found,) = diagnose(read_machine(root, REGISTRY), [BY_NAME["raspberry-pi5"]], REGISTRY).targets
    assert found.state == "not served"
    assert found.reasons == (
        "ai-edge-litert has no wheels for 32-bit ARM. Install a 64-bit system.",
    )


WARNINGS = {
    "pc-avx2": "no VNNI: int8 can saturate and be slower than fp32; ",
    "pc-amx": "AMX: OpenVINO computes fp32 in bf16 unless told not to; ",
    "raspberry-pi-4": "no int8 dot products (asimddp): ",
}


@pytest.mark.parametrize("name", BOARDS)
def test_processors_are_warned_of_by_their_flags(tmp_path, name):
    warnings = examined(build(name, tmp_path)).warnings
    for board, beginning in WARNINGS.items():
        assert any(line.startswith(beginning) for line in warnings) == (board == name)


def test_governor_disk_and_throttling_are_warned_of(tmp_path):
    machine = read_machine(build("raspberry-pi-4", tmp_path), REGISTRY)
    around = replace(machine.surroundings, disk_free_mb=300, root_kind="tmpfs")
    found = diagnose(replace(machine, surroundings=around), TARGETS, REGISTRY).warnings
    assert "CPU governor ondemand: clocks follow the load, and times vary with them" in found
    assert "disk: 300 MB are free at home, where bundles and engines are kept" in found
    assert "slowed: the firmware throttles" in found
    assert "/ is tmpfs: what is written there is gone after a restart" in found
    assert not any(
        "governor" in line for line in examined(build("orin-nx", tmp_path / "b")).warnings
    )


def test_a_small_board_closes_its_desktop_and_gets_swap(tmp_path):
    found = examined(build("nano", tmp_path / "nano"))
    assert "sudo systemctl set-default multi-user.target && sudo reboot" in commands(found)
    found = examined(build("tx2", tmp_path / "tx2"))
    assert any(
        command.startswith("sudo fallocate -l 4G /swapfile &&") for command in commands(found)
    )
    found = examined(build("thor", tmp_path / "thor"))  # no swap, and no need of it
    assert not any("swap" in command for command in commands(found))


def test_a_wheel_of_opencv_is_replaced_on_a_board(tmp_path):
    found = examined(build("orin-nx", tmp_path))
    assert any(
        command.endswith("&& sudo apt install python3-opencv") for command in commands(found)
    )


def test_super_is_named_where_the_module_and_its_jetpack_have_it(tmp_path):
    def names_super(name):
        found = examined(build(name, tmp_path / name)).to_do
        return any(remedy.what.startswith("flashed without Super") for remedy in found)

    assert names_super("orin-nx")
    assert not names_super("orin-nano-super")
    assert not names_super("agx-orin-jetpack5")


def test_a_target_of_one_flash_is_not_the_other_s(tmp_path):
    found = examined(build("orin-nano-super", tmp_path)).targets
    states = {each.target.name: each.state for each in found}
    assert states["orin-nano"] == "another device"
    assert states["orin-nano-super"] == "ready"


def test_a_planned_target_says_its_way_out():
    planned = Target("x", "x", "openvino", None, available=False, way_out="wait")
    (found,) = diagnose(read_machine(registry=REGISTRY), [planned], REGISTRY).targets
    assert (found.state, found.reasons) == ("not served", ("wait",))


def test_without_a_registry_nothing_is_excluded(tmp_path):
    machine = read_machine(build("nano", tmp_path))
    (found,) = diagnose(machine, [BY_NAME["openvino-cpu"]]).targets
    assert found.state == "missing"


@pytest.mark.parametrize("name", BOARDS)
def test_the_page_has_its_headings_and_no_empty_row(tmp_path, name):
    machine = read_machine(build(name, tmp_path), REGISTRY)
    diagnosis = diagnose(machine, TARGETS, REGISTRY)
    found = page(machine, diagnosis)
    assert list(found) == ["Machine", "Software", "Targets", "What to do"]
    assert all(text for rows in found.values() for _, text in rows)
    text = "\n".join(lines(machine, diagnosis))
    assert diagnosis.tested in text
    assert (BOARDS[name].part or machine.board.model) in text
    for remedy in diagnosis.to_do:
        assert f"  {remedy.command}" in text
    json.dumps(diagnosis.to_json())


def test_a_sensor_that_always_says_the_same_is_not_the_hottest(tmp_path):
    machine = read_machine(build("nano", tmp_path), REGISTRY)
    assert machine.temperatures_c["PMIC-Die"] == 100
    rows = dict(page(machine, diagnose(machine, TARGETS, REGISTRY))["Machine"])
    assert rows["temperature"] == "42 C in AO-therm, the hottest of 5"


def test_this_machine_serves_what_its_engines_allow():
    diagnosis = diagnose(read_machine(registry=REGISTRY), TARGETS, REGISTRY, packaged=True)
    states = {each.target.name: each.state for each in diagnosis.targets}
    packages = read_machine().python.packages
    for target, package in (("openvino-cpu", "openvino"), ("onnxruntime-cpu", "onnxruntime")):
        assert states[target] == ("ready" if package in packages else "missing")


def test_the_trees_are_the_boards_of_this_table():
    assert set(OWN) == set(BOARDS)
