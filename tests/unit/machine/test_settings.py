"""Settings before, during and after a measurement."""

from __future__ import annotations

import json
from pathlib import Path

import machine_trees

from erpose_edge.machine.settings import SettingsRecord, read_settings


def test_settings_name_mode_governors_and_limits(tmp_path: Path) -> None:
    settings = read_settings(machine_trees.build("orin-nano-super", tmp_path))
    assert settings.power_mode == "25W"
    facts = settings.facts()
    assert facts["power mode"] == "25W" and "17000000.gpu governor" in facts
    assert json.loads(json.dumps(settings.to_json()))["clocks"]["gpu"][0]["name"] == "17000000.gpu"


def test_clocks_that_move_within_their_limits_are_no_change(tmp_path: Path) -> None:
    root = machine_trees.build("orin-nano-super", tmp_path)
    before = read_settings(root)
    clock = next(root.glob("sys/devices/system/cpu/cpu*/cpufreq"))
    (clock / "scaling_cur_freq").write_text("100\n")
    assert SettingsRecord(before, read_settings(root), before).changes() == ()


def test_changes_are_told_in_order(tmp_path: Path) -> None:
    root = machine_trees.build("orin-nano-super", tmp_path)
    before = read_settings(root)
    (root / "var/lib/nvpmodel/status").write_text("pmode:0002\n")
    next(root.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")).write_text("userspace")
    during = read_settings(root)
    record = SettingsRecord(before, during, before)
    name, governor = before.clocks.cpu[0].name, before.clocks.cpu[0].governor
    assert record.changes() == (
        "power mode: 25W, then MAXN_SUPER, then 25W",
        f"{name} governor: {governor}, then userspace, then {governor}",
    )
    assert record.to_json()["changes"] == list(record.changes())


def test_a_machine_without_modes_says_unknown(tmp_path: Path) -> None:
    assert read_settings(tmp_path).facts() == {"power mode": "unknown"}
