"""What recordings come to: means, energy, and signs of throttling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from erpose_edge.errors import RequestError
from erpose_edge.machine.load import CpuTimes
from erpose_edge.machine.telemetry import channels as c
from erpose_edge.machine.telemetry.recording import Recording
from erpose_edge.machine.telemetry.summary import Spread, Summary, summarise

S = 1_000_000_000  # ns
STEP = S // 10
Column = "list[int | CpuTimes | None]"


def recorded(
    columns: dict[tuple[str, str], Column],
    total_from: tuple[str, ...] = (),
    ranges: dict[str, int] | None = None,
    limits: dict[str, float] | None = None,
) -> Recording:
    found = tuple(c.Channel(quantity, name, Path()) for quantity, name in columns)
    layout = c.Layout(found, total_from, ranges or {}, limits or {}, ())
    rows = tuple((n * STEP, values) for n, values in enumerate(zip(*columns.values(), strict=True)))
    return Recording(layout, rows)


def summary(recording: Recording, tolerance: float = 0.1) -> Summary:
    return summarise(recording, 0, recording.times_ns[-1], tolerance)


def gpu(mhz: list[int], load: int | None = 900) -> Recording:
    return recorded(
        {
            (c.GPU_CLOCK, "17000000.gpu"): [value * 10**6 for value in mhz],
            (c.GPU_LOAD, "gpu"): [load] * len(mhz),
        }
    )


def test_power_is_voltage_times_current_of_the_rails_that_make_the_total() -> None:
    rails = {(c.MILLIVOLT, "VDD_IN"): [5000] * 11, (c.MILLIVOLT, "VDD_SOC"): [5000] * 11}
    rails |= {(c.MILLIAMPERE, "VDD_IN"): [1000] * 10 + [3000]}
    rails |= {(c.MILLIAMPERE, "VDD_SOC"): [200] * 11}
    result = summary(recorded(rails, total_from=("VDD_IN",)))
    assert result.power_from == ("VDD_IN",)
    assert result.energy_mj == pytest.approx(5000 + 10000 * 0.1 / 2)
    assert result.mean_power_mw == result.energy_mj
    assert result.max_power_mw == 15000
    assert result.rails_mw["VDD_SOC"] == Spread(1000, 1000, 1000)


def test_a_rail_that_fails_leaves_a_gap_and_a_note() -> None:
    amperes: Column = [1000, 1000, None, 1000, 1000]
    rails = {(c.MILLIVOLT, "IN"): [5000] * 5, (c.MILLIAMPERE, "IN"): amperes}
    result = summary(recorded(rails, total_from=("IN",)))
    assert result.energy_mj == pytest.approx(5000 * 0.4)
    assert result.notes == ("mA IN: no value in 1 of 5 samples",)


def test_a_rail_that_vanishes_makes_energy_unknown_not_wrong() -> None:
    amperes: Column = [1000] * 5 + [None] * 6
    rails = {(c.MILLIVOLT, "IN"): [5000] * 11, (c.MILLIAMPERE, "IN"): amperes}
    result = summary(recorded(rails, total_from=("IN",)))
    assert (result.energy_mj, result.mean_power_mw, result.power_from) == (None, None, ())
    assert result.notes == (
        "energy: unknown, there was no power sample for 0.6 s",
        "mA IN: no value in 6 of 11 samples",
    )


def test_rapl_is_the_energy_of_all_packages() -> None:
    counters = {(c.ENERGY, "package-0"): [n * 10**6 for n in range(11)]}
    counters |= {(c.ENERGY, "package-1"): [(500 + n) % 502 for n in range(11)]}
    ranges = {"package-0": 2**32, "package-1": 501}
    result = summary(recorded(counters, ranges=ranges))
    assert result.energy_mj == pytest.approx(10_000.01)
    assert result.power_from == ("package-0", "package-1")


def test_a_machine_without_sensors_has_no_power_and_no_zero_either() -> None:
    result = summary(recorded({(c.TEMPERATURE, "tj"): [50000, 52000]}))
    assert result.energy_mj is None and result.max_power_mw is None and result.power_from == ()
    assert result.temperatures_c == {"tj": Spread(50, 51, 52)}


def test_load_is_that_between_the_first_and_the_last_sample() -> None:
    times: Column = [CpuTimes(0, 0), None, CpuTimes(60, 100), CpuTimes(150, 200)]
    result = summary(recorded({(c.CPU_TIMES, "cpu"): times, (c.GPU_LOAD, "gpu"): [0, 1, 500, 999]}))
    assert result.cpu_load == 0.75
    assert result.gpu_load == Spread(0, 0.375, 0.999)


def test_only_samples_in_between_count() -> None:
    recording = recorded({(c.TEMPERATURE, "tj"): [n * 1000 for n in range(10)]})
    assert summarise(recording, 2 * STEP, 4 * STEP).temperatures_c["tj"] == Spread(2, 3, 4)
    between_two = summarise(recording, 2 * STEP + 10, 2 * STEP + 20)
    assert between_two.samples == 1 and between_two.temperatures_c["tj"] == Spread(2, 2, 2)


def test_an_end_before_the_beginning_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        summarise(recorded({(c.TEMPERATURE, "tj"): [1]}), 7, 7)
    assert str(caught.value) == (
        "telemetry: expected an end after 7 ns, got 7 ns; take both from time.perf_counter_ns"
    )


def test_a_gpu_clock_that_falls_is_throttling() -> None:
    result = summary(gpu([1020] * 10 + [612] * 10))
    assert result.throttled == (
        "throttled: gpu clock 17000000.gpu fell from 1020 to 612 MHz, "
        "by 40%, more than the 10% allowed",
    )
    assert summary(gpu([1020] * 10 + [612] * 10), tolerance=0.4).throttled == ()


@pytest.mark.parametrize(
    "mhz", [[612] * 10 + [1020] * 10, [1020] * 10 + [612] * 2 + [1020] * 8, [1020] * 10 + [0] * 9]
)
def test_rising_short_dips_and_sleep_are_no_throttling(mhz: list[int]) -> None:
    assert summary(gpu(mhz)).throttled == ()


def test_the_clock_of_an_idle_gpu_may_fall() -> None:
    assert summary(gpu([1020] * 10 + [306] * 10, load=10)).throttled == ()
    assert summary(gpu([1020] * 10 + [306] * 10, load=None)).throttled


def test_only_the_fastest_processor_clock_matters() -> None:
    slow = [729_000] * 20
    steady = {(c.CPU_CLOCK, "policy0"): [2_000_000] * 20}
    falls = {(c.CPU_CLOCK, "policy4"): [1_900_000] * 10 + [700_000] * 10}
    assert summary(recorded({**steady, **falls})).throttled == ()
    assert summary(recorded({**falls, (c.CPU_CLOCK, "policy0"): slow})).throttled == (
        "throttled: fastest cpu clock fell from 1900 to 729 MHz, by 62%, more than the 10% allowed",
    )


def test_counters_that_move_are_throttling_whatever_their_height() -> None:
    counters = {(c.COUNTER, "processor too hot"): [5, 5, 9]}
    counters |= {(c.COUNTER, "cooling by cpufreq-cpu0"): [0, 3, 0]}
    counters |= {(c.COUNTER, "under-voltage events"): [27390] * 3}
    result = summary(recorded(counters))
    assert result.throttled == (
        "throttled: processor too hot went from 5 to 9",
        "throttled: cooling by cpufreq-cpu0 rose from level 0 to 3",
    )


def test_cooling_that_went_on_before_is_noted() -> None:
    result = summary(recorded({(c.COUNTER, "cooling by devfreq-gpu"): [2, 1]}))
    assert result.throttled == ()
    assert result.notes == ("cooling by devfreq-gpu was at level 2 before",)


def test_reaching_the_temperature_at_which_the_kernel_acts_is_throttling() -> None:
    zones = {(c.TEMPERATURE, "cpu-thermal"): [98000, 99100], (c.TEMPERATURE, "tj"): [99900] * 2}
    result = summary(recorded(zones, limits={"cpu-thermal": 99.0}))
    assert result.throttled == (
        "throttled: cpu-thermal reached 99.1 °C; from 99.0 °C on the kernel lowers clocks",
    )


def test_what_a_firmware_says_at_any_moment_is_throttling() -> None:
    result = summary(recorded({(c.FIRMWARE, "throttling"): [0x50000, 0x50004, 0x50000]}))
    assert result.throttled == ("throttled: the firmware throttles",)


def test_lines_name_power_heat_and_clocks_and_pass_over_constant_zones() -> None:
    columns: dict[tuple[str, str], Column] = {
        (c.MICROWATT, "VIN"): [23_000_000, 25_000_000],
        (c.TEMPERATURE, "tj"): [51000, 52500],
        (c.TEMPERATURE, "PMIC-Die"): [100000, 100000],
        (c.CPU_CLOCK, "policy0"): [729_000, 1_984_000],
    }
    result = summary(recorded(columns, total_from=("VIN",)))
    assert result.lines() == [
        "power 24.00 W, at most 25.00 W (VIN)",
        "hottest tj, 52.5 °C",
        "policy0 729 to 1984 MHz",
    ]
    document = json.loads(json.dumps(result.to_json()))
    assert document["cpu_mhz"]["policy0"] == {"lowest": 729, "mean": 1356.5, "highest": 1984}
    assert document["power_from"] == ["VIN"] and document["throttled"] == []
