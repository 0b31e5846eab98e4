"""Memory, container, desktop, and what slows a machine."""

from __future__ import annotations

from pathlib import Path

import machine_files as f
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine_trees import build

from erpose_edge.machine.slowed import parse_throttled, read_slowed
from erpose_edge.machine.surroundings import (
    Memory,
    parse_meminfo,
    parse_root_kind,
    read_surroundings,
)


def test_memory_is_in_units_of_2_to_the_20(tmp_path):
    text = f.meminfo(8388608, 4194304, 1048576)["proc/meminfo"]
    assert isinstance(text, str)
    assert parse_meminfo(text) == Memory(8192, 4096, 1024)
    assert parse_meminfo("MemTotal: many kB\n") == Memory(None, None, None)


def test_the_last_mount_of_the_root_counts():
    text = "rootfs / rootfs rw 0 0\n/dev/sda1 /home ext4 rw 0 0\noverlay / overlay rw 0 0\n/\n"
    assert parse_root_kind(text) == "overlay"
    assert parse_root_kind("") == ""


def test_a_root_in_memory_is_volatile_and_a_container_s_is_not(tmp_path):
    root = build("orin-nx", tmp_path)
    assert not read_surroundings(root).volatile
    (root / "proc/mounts").write_text("overlay / overlay rw 0 0\n")
    assert read_surroundings(root).volatile
    (root / ".dockerenv").touch()
    found = read_surroundings(root)
    assert found.container
    assert not found.volatile


@pytest.mark.parametrize(("kind", "bits"), [(1, 32), (2, 64), (7, None)])
def test_the_shell_says_how_wide_the_system_is(tmp_path, kind, bits):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").write_bytes(b"\x7fELF" + bytes([kind, 1, 1]))
    assert read_surroundings(tmp_path).userland_bits == bits


def test_bits_of_the_firmware_are_words():
    assert parse_throttled("0\n") == ()
    assert parse_throttled("50005") == (
        "the supply's voltage is too low",
        "the firmware throttles",
    )
    assert parse_throttled("80000") == ("the soft temperature limit is reached, since the start",)
    assert parse_throttled("throttled=0x5") == ()
    assert parse_throttled("-1") == ()


def test_counters_and_cooling_devices_are_told_where_they_are_not_zero(tmp_path):
    files = {
        "sys/class/hwmon/hwmon1/name": "soctherm_oc",
        "sys/class/hwmon/hwmon1/oc1_event_cnt": "0",
        "sys/class/hwmon/hwmon1/oc3_event_cnt": "12",
        "sys/class/thermal/cooling_device0/type": "cpufreq-cpu0",
        "sys/class/thermal/cooling_device0/cur_state": "3",
        "sys/class/thermal/cooling_device1/type": "LCD",
        "sys/class/thermal/cooling_device1/cur_state": "7",
    }
    for name, content in files.items():
        place: Path = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{content}\n")
    assert read_slowed(tmp_path) == (
        "instantaneous over-current events: 12 since the start",
        "cooling by cpufreq-cpu0: step 3 now",
    )


@given(st.text(max_size=200))
def test_any_text_is_read(text):
    parse_meminfo(text)
    parse_root_kind(text)
    assert isinstance(parse_throttled(text), tuple)
