"""The thread that samples: it holds its files open, costs little and never stops a run."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import machine_trees
import pytest

from erpose_edge.errors import RequestError
from erpose_edge.machine.telemetry.sampler import Sampler

MOST_OF_A_CPU = 0.01


@pytest.fixture
def root(tmp_path: Path) -> Path:
    board = machine_trees.build("orin-nano-super", tmp_path)
    (board / "proc/stat").write_text("cpu  100 0 100 700 100 0 0 0 0 0\n")
    return board


def current_file(root: Path) -> Path:
    labels = root.glob("sys/bus/i2c/devices/*/hwmon/hwmon*/in*_label")
    label = next(path for path in labels if path.read_text().strip() == "VDD_IN")
    return label.with_name(label.name.replace("in", "curr", 1).replace("label", "input"))


def open_files() -> set[str]:
    return {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.exists()}


def test_a_run_has_samples_at_both_ends_however_short(root: Path) -> None:
    before = time.perf_counter_ns()
    with Sampler(root) as sampler:
        pass
    first, last = sampler.samples()
    assert before < first.at_ns < last.at_ns < time.perf_counter_ns()
    assert first.power_mw == pytest.approx(5980.8)
    assert first.gpu_load == 0.842 and first.emc_mhz == 2133
    assert first.temperatures_c["tj-thermal"] == 54.5
    assert first.gpu_mhz and first.cpu_mhz and first.rails_mw["VDD_IN"] == first.power_mw


def test_what_changes_meanwhile_is_seen_and_nothing_is_looked_for_again(root: Path) -> None:
    path = current_file(root)
    amperes = int(path.read_text())
    with Sampler(root) as sampler:
        handle = os.open(path, os.O_WRONLY)  # as sysfs: the same file, another content
        path.rename(path.with_name("elsewhere"))
        first_ns = time.perf_counter_ns()
        os.pwrite(handle, b"%d\n" % (amperes * 2), 0)
        time.sleep(0.15)
        last_ns = time.perf_counter_ns()
    os.close(handle)
    summary = sampler.summary(first_ns, last_ns)
    assert summary.max_power_mw == pytest.approx(2 * 5980.8)
    assert summary.energy_mj and 5980.8 < summary.energy_mj / 0.15 < 2 * 5980.8 * 1.5
    per_frame = sampler.energy_per_frame_mj([(first_ns, last_ns)] * 2)
    assert per_frame == pytest.approx(summary.energy_mj, abs=1e-3)


def test_a_sensor_that_vanishes_is_noted(root: Path) -> None:
    with Sampler(root) as sampler:
        first_ns = time.perf_counter_ns()
        current_file(root).write_text("")
        time.sleep(0.12)
        last_ns = time.perf_counter_ns()
    notes = sampler.summary(first_ns, last_ns).notes
    assert any(note.startswith("mA VDD_IN: no value in") for note in notes)


def test_an_error_of_the_run_passes_and_the_thread_ends(root: Path) -> None:
    files = open_files()
    with pytest.raises(KeyboardInterrupt), Sampler(root):
        assert any(thread.name == "telemetry" for thread in threading.enumerate())
        raise KeyboardInterrupt
    assert not any(thread.name == "telemetry" for thread in threading.enumerate())
    assert open_files() == files


@pytest.mark.slow
@pytest.mark.alone
def test_a_second_costs_at_most_a_hundredth_of_a_processor(root: Path) -> None:
    for number in range(40):  # more zones than any board has
        zone = root / f"sys/class/thermal/thermal_zone{50 + number}"
        zone.mkdir()
        (zone / "type").write_text(f"zone{number}\n")
        (zone / "temp").write_text("50000\n")
    before = time.process_time_ns()
    with Sampler(root) as sampler:
        time.sleep(1.0)
    process_ns = time.process_time_ns() - before
    assert sampler.cost.cpu_ns <= MOST_OF_A_CPU * sampler.cost.wall_ns
    assert process_ns <= 2 * MOST_OF_A_CPU * 1e9  # with opening the files and both ends
    assert 8 <= len(sampler.samples()) <= 13


@pytest.mark.slow
def test_slow_sensors_are_read_less_often(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = Sampler(root)
    take = sampler._take

    def expensive() -> None:
        until = time.thread_time_ns() + 5_000_000
        while time.thread_time_ns() < until:
            pass
        take()

    monkeypatch.setattr(sampler, "_take", expensive)
    with sampler:
        time.sleep(1.2)
    assert len(sampler.samples()) <= 5  # 5 ms each; ten of them would be a twentieth


def test_a_machine_without_any_sensor_says_so(tmp_path: Path) -> None:
    with Sampler(tmp_path) as sampler:
        first_ns = time.perf_counter_ns()
    summary = sampler.summary(first_ns, time.perf_counter_ns())
    assert summary.notes[0] == "power: unknown, this machine has no sensor"
    assert sampler.energy_per_frame_mj([(0, 1)]) is None


@pytest.mark.parametrize("period_s", [0.05, -1.0, float("nan"), float("inf")])
def test_periods_that_would_disturb_are_refused(period_s: float) -> None:
    with pytest.raises(RequestError) as caught:
        Sampler(period_s=period_s)
    assert str(caught.value) == (
        f"sampling period: expected 0.1 s or more, got {period_s}; "
        "sensors are not faster, and reading them would disturb what is measured"
    )


def test_a_sampler_serves_one_run(root: Path) -> None:
    with Sampler(root) as sampler:
        pass
    with pytest.raises(RequestError) as caught, sampler:
        pass
    assert str(caught.value) == (
        "sampler: expected one that was not used yet, got a used one; make a new one for every run"
    )
