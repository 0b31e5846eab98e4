"""What a machine's files say about power, heat, clocks and load."""

from __future__ import annotations

from pathlib import Path

import machine_trees
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.machine.clocks import find_emc, find_gpus, read_clocks
from erpose_edge.machine.load import (
    CpuTimes,
    cpu_load,
    find_gpu_load,
    parse_cpu_times,
)
from erpose_edge.machine.rails import total_rails
from erpose_edge.machine.rapl import energy_uj, find_rapl
from erpose_edge.machine.telemetry.recording import Recording
from erpose_edge.machine.telemetry.sampler import Sampler
from erpose_edge.machine.thermal import (
    TripPoint,
    find_throttle_counters,
    firmware_reasons,
    passive_limits,
    read_temperatures,
    read_trip_points,
)


def write(root: Path, files: dict[str, object]) -> Path:
    for place, content in files.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(f"{content}\n")
    return root


def recorded(root: Path) -> Recording:
    """Sample a machine once or twice."""
    with Sampler(root) as sampler:
        pass
    return sampler.recording()


@pytest.mark.parametrize("board", machine_trees.BOARDS)
def test_rails_and_total_of_every_board(board: str, tmp_path: Path) -> None:
    expected = machine_trees.BOARDS[board]
    sample = recorded(machine_trees.build(board, tmp_path)).samples()[0]
    assert {name: mw / 1e3 for name, mw in sample.rails_mw.items()} == pytest.approx(expected.rails)
    assert (sample.power_mw or 0) / 1e3 == pytest.approx(expected.total_w or 0)


def test_the_input_is_the_total_and_else_the_sum() -> None:
    assert total_rails(["VDD_SOC", "VDD_IN", "VDD_CPU"]) == ("VDD_IN",)
    assert total_rails(["POM_5V_GPU", "POM_5V_IN"]) == ("POM_5V_IN",)
    assert total_rails(["GPU", "CPU", "SYS5V"]) == ("GPU", "CPU", "SYS5V")
    assert total_rails([]) == ()


def test_channels_that_are_not_connected_or_sums_are_no_rails(tmp_path: Path) -> None:
    chip = "sys/bus/i2c/devices/1-0041/hwmon/hwmon4"
    files: dict[str, object] = {"sys/bus/i2c/devices/1-0041/name": "ina3221"}
    for channel, label in ((1, "NC"), (2, "CV"), (7, "sum of shunt voltages")):
        files[f"{chip}/in{channel}_label"] = label
        files[f"{chip}/in{channel}_input"] = 5000
        files[f"{chip}/curr{channel}_input"] = 300
    assert recorded(write(tmp_path, files)).samples()[0].rails_mw == {"CV": 1500.0}


def test_a_total_is_unknown_when_one_of_its_rails_is(tmp_path: Path) -> None:
    root = machine_trees.build("agx-orin-jetpack5", tmp_path)
    next(root.glob("sys/bus/i2c/devices/*/hwmon/hwmon*/curr1_input")).write_text("")
    recording = recorded(root)
    sample, total_from = recording.samples()[0], recording.layout.total_from
    assert sample.power_mw is None and len(total_from) == len(sample.rails_mw) + 1


def test_zones_that_are_switched_off_have_no_temperature(tmp_path: Path) -> None:
    zones = {"CPU-therm": 44562, "CV0-therm": -256000, "GPU-therm": "", "tj": -5000}
    files: dict[str, object] = {}
    for number, (name, value) in enumerate(zones.items()):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = name
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = value
    assert read_temperatures(write(tmp_path, files)) == {"CPU-therm": 44.562, "tj": -5.0}


def test_zones_are_found_where_only_devices_show_them_and_keep_their_names(tmp_path: Path) -> None:
    base = "sys/devices/virtual/thermal/thermal_zone"
    files = {f"{base}{n}/{key}": v for n in (0, 1) for key, v in (("type", "soc"), ("temp", n))}
    assert read_temperatures(write(tmp_path, files)) == {"soc": 0.0, "soc-2": 0.001}


_TRIPS = [("critical", 104500), ("passive", 99000), ("passive", 101000), ("active", 50000)]


def test_trip_points_belong_to_their_zone(tmp_path: Path) -> None:
    zone = "sys/class/thermal/thermal_zone0"
    files = {f"{zone}/type": "cpu-thermal", f"{zone}/temp": 50000}
    for number, (kind, limit) in enumerate(_TRIPS):
        files |= {f"{zone}/trip_point_{number}_type": kind}
        files |= {f"{zone}/trip_point_{number}_temp": limit}
    root = write(tmp_path, files)
    points = tuple(TripPoint(kind, limit / 1e3) for kind, limit in _TRIPS)
    assert read_trip_points(root) == {"cpu-thermal": points}
    assert passive_limits(root) == {"cpu-thermal": 99.0}


def test_counters_of_throttling_have_names_that_say_what_they_count(tmp_path: Path) -> None:
    cpus = "sys/devices/system/cpu"
    files = {
        "sys/class/hwmon/hwmon3/name": "soctherm_oc",
        "sys/class/hwmon/hwmon3/oc1_event_cnt": 0,
        "sys/class/hwmon/hwmon3/oc3_event_cnt": 7,
        f"{cpus}/cpu10/thermal_throttle/core_throttle_count": 1,
        f"{cpus}/cpu2/thermal_throttle/core_throttle_count": 1,
        f"{cpus}/cpu2/thermal_throttle/package_throttle_count": 2,
        "sys/class/thermal/cooling_device0/type": "pwm-fan",
        "sys/class/thermal/cooling_device0/cur_state": 3,
        "sys/class/thermal/cooling_device2/type": "TCC Offset",
        "sys/class/thermal/cooling_device2/cur_state": 5,
        "sys/class/thermal/cooling_device1/type": "cpufreq-cpu0",
        "sys/class/thermal/cooling_device1/cur_state": 0,
    }
    assert list(find_throttle_counters(write(tmp_path, files))) == [
        "under-voltage events",
        "instantaneous over-current events",
        "cpu2 too hot",
        "cpu10 too hot",
        "processor too hot",
        "cooling by cpufreq-cpu0",
    ]


def test_a_raspberry_pi_tells_its_present_state_only() -> None:
    assert firmware_reasons(0x50000) == []
    assert firmware_reasons(0x50005) == [
        "the supply's voltage is too low",
        "the firmware throttles",
    ]


@pytest.mark.parametrize("board", machine_trees.BOARDS)
def test_the_computing_clock_of_every_gpu_comes_first(board: str, tmp_path: Path) -> None:
    clocks = read_clocks(machine_trees.build(board, tmp_path))
    assert (clocks.gpu[0].name if clocks.gpu else None) == machine_trees.BOARDS[board].gpu_clock
    assert all((clock.highest_mhz or 0) > 100 for clock in (*clocks.cpu, *clocks.gpu))


def test_other_devfreq_clocks_are_no_gpu(tmp_path: Path) -> None:
    names = ("15340000.vic", "bwmgr", "17000000.ga10b", "gpu-nvd-0", "gpu-gpc-1")
    write(tmp_path, {f"sys/class/devfreq/{name}/cur_freq": 306000000 for name in names})
    found = [folder.name for folder in find_gpus(tmp_path)]
    assert found == ["gpu-gpc-1", "gpu-nvd-0", "17000000.ga10b"]


def test_policies_know_their_processors_and_whether_they_are_pinned(tmp_path: Path) -> None:
    policy = "sys/devices/system/cpu/cpufreq/policy4"
    files = {f"{policy}/scaling_{name}_freq": 1984000 for name in ("cur", "min", "max")}
    files |= {f"{policy}/scaling_governor": "schedutil", f"{policy}/affected_cpus": "4 5 6 7"}
    (clock,) = read_clocks(write(tmp_path, files)).cpu
    assert (clock.name, clock.cpus, clock.current_mhz) == ("policy4", (4, 5, 6, 7), 1984.0)
    assert clock.pinned and clock.governor == "schedutil"


def test_a_memory_clock_that_only_root_may_see_is_said_to_be_unknown(tmp_path: Path) -> None:
    root = machine_trees.build("orin-nano-super", tmp_path, without=("sys/kernel/debug",))
    assert find_emc(root) == (
        None,
        "emc clock: unknown, debugfs shows nothing; run as root to record it",
    )
    write(root, {"sys/kernel/debug/bpmp/debug/clk/emc/rate": 3199000000})
    assert read_clocks(root).emc_mhz == 3199.0


def test_gpu_load_is_per_mille_and_thor_has_none(tmp_path: Path) -> None:
    orin = machine_trees.build("orin-nano-super", tmp_path / "orin")
    thor = machine_trees.build("thor", tmp_path / "thor")
    assert find_gpu_load(orin) is not None and find_gpu_load(thor) is None
    old = write(tmp_path / "old", {"sys/devices/gpu.0/load": 765})
    assert [recorded(root).samples()[0].gpu_load for root in (orin, old)] == [0.842, 0.765]


def test_waiting_for_a_disk_is_not_work(tmp_path: Path) -> None:
    first = "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4 5"
    before = parse_cpu_times(first)
    assert before == CpuTimes(200, 1000)  # guests are part of the 100 already
    after = parse_cpu_times("cpu 150 0 150 800 100 0 0 0 0 0")
    assert before and after and cpu_load(before, after) == 0.5
    assert cpu_load(before, before) is None
    assert recorded(tmp_path).cpu_times() == []


@given(st.text("cpu 0123456789-\n", max_size=80))
def test_no_text_of_proc_stat_is_an_error(text: str) -> None:
    times = parse_cpu_times(text)
    assert times is None or text.split()[0] == "cpu"


def test_packages_are_counted_and_their_parts_are_not(tmp_path: Path) -> None:
    zones = "sys/class/powercap/intel-rapl"
    names = {":0": "package-0", ":0:0": "core", ":1": "psys", ":2": "package-1"}
    files: dict[str, object] = {}
    for place, name in names.items():
        files |= {f"{zones}{place}/name": name, f"{zones}{place}/energy_uj": 5}
        files |= {f"{zones}{place}/max_energy_range_uj": 1000}
    rapl = find_rapl(write(tmp_path, files))
    assert [c.name for c in rapl.counters] == ["package-0", "package-1"] and not rapl.notes
    (tmp_path / f"{zones}:2/energy_uj").unlink()
    assert find_rapl(tmp_path).notes == (
        "power of package-1: unknown, /sys/class/powercap/*/energy_uj cannot be read; "
        "run as root to record it",
    )


@given(st.integers(1, 10**12), st.data())
def test_energy_is_right_when_the_counter_starts_again(limit: int, data: st.DataObject) -> None:
    before = data.draw(st.integers(0, limit))
    used = data.draw(st.integers(0, limit))
    assert energy_uj(before, (before + used) % (limit + 1), limit) == used
