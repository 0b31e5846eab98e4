"""What makes a run unstable is caught and named; a steady run is not called unstable."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scripted_latency import (
    FRAMES,
    IDLE,
    SERIES,
    SUMMARY,
    document,
    scripted,
    scripted_run,
    steady,
)

from erpose_edge.machine.telemetry.channels import CPU_CLOCK, Channel, Layout
from erpose_edge.machine.telemetry.recording import Recording
from erpose_edge.machine.telemetry.summary import summarise
from erpose_edge.validate.latency.background import Background, BackgroundWatch
from erpose_edge.validate.latency.measure import measure, series_of
from erpose_edge.validate.latency.memory import memory_peak
from erpose_edge.validate.latency.scenario import Request
from erpose_edge.validate.latency.steadiness import (
    background_reasons,
    clock_reasons,
    rank_sum_deviation,
    steadiness,
)


def reasons(script, **watched):
    return document(scripted_run("single-stream", script), **watched)["unstable"]


def test_a_steady_run_has_no_reason():
    assert reasons(steady) == []


def test_a_slowdown_that_stays_is_called_drift():
    found = reasons(lambda n: steady(n) * (1.08 if n > 300 else 1.0))
    assert (
        "drift: frames of the last third took 8.0% longer than those of the first" in found
        and found[0].startswith("variation: slices of the run differ by 3.")
    )


def test_a_slow_drift_is_caught_and_a_machine_that_warms_up_too():
    assert any("took 3.2% longer" in r for r in reasons(lambda n: steady(n) * (1 + 1e-4 * n)))
    assert any("shorter than those" in r for r in reasons(lambda n: steady(n) * (1.2 - 4e-4 * n)))


def test_a_slow_spell_is_caught_with_its_seconds():
    found = reasons(lambda n: steady(n) * (1.6 if 210 <= n < 260 else 1.0))
    (spell,) = [reason for reason in found if reason.startswith("slow spell")]
    assert spell == (
        "slow spell: from second 4.0 to 5.7 frames took 1.60 times the median; 1 such in the run"
    )


def test_outliers_are_caught():
    found = reasons(lambda n: 100.0 if n % 40 == 0 else steady(n))
    assert found == [
        "outliers: 2.4% of the frames took more than 1.5 times the median, allowed is 1%"
    ]
    assert reasons(lambda n: 100.0 if n == 200 else steady(n)) == []


def test_pictures_of_different_sizes_are_no_unsteadiness():
    pictures = np.random.default_rng(0).integers(0, 4, 400)
    marks = marks_of((10 + 10 * pictures) * 1_000_000)
    assert steadiness(marks, pictures).reasons() == []
    assert steadiness(marks, np.zeros(400, np.int64)).reasons()


def test_the_test_of_drift_is_mann_and_whitneys():
    rng = np.random.default_rng(1)
    for shift in (0.0, 0.3, 2.0):
        first = rng.integers(0, 12, 40).astype(float)  # many ties
        last = rng.integers(0, 12, 30) + shift
        theirs = stats.mannwhitneyu(last, first, method="asymptotic", use_continuity=False)
        ours = rank_sum_deviation(first, last)
        assert 2 * stats.norm.sf(abs(ours)) == pytest.approx(theirs.pvalue, abs=1e-12)
    assert rank_sum_deviation(np.ones(5), np.ones(5)) == 0.0


def marks_of(times_ns):
    ends = np.cumsum(times_ns.astype(np.int64))
    return np.stack([ends - times_ns, ends - times_ns, ends, ends], axis=1).astype(np.int64)


def test_chance_is_seldom_called_drift():
    rng = np.random.default_rng(2)
    times = (2e7 * rng.lognormal(0, 0.05, (400, 60))).astype(np.int64)  # few and noisy frames
    one = np.zeros(60, np.int64)
    certain = [steadiness(marks_of(row), one).drift_certain for row in times]
    assert 0 < np.mean(certain) < 0.025
    times[:, 40:] *= 2
    assert all(steadiness(marks_of(row), one).drift_certain for row in times)


def test_a_single_late_frame_is_no_reason_however_short_the_run():
    times = np.full(20, 20_000_000)
    times[7] *= 2
    found = steadiness(marks_of(times), np.zeros(20, np.int64))
    assert (found.outliers, found.outlier_frames, found.reasons()) == (0.05, 1, [])


def recording(khz):
    """Ten samples a second of a fast group of processors, beside one that sleeps."""
    groups = tuple(Channel(CPU_CLOCK, f"policy{n}", Path("none")) for n in (0, 4))
    layout = Layout(groups, (), {}, {}, ())
    rows = enumerate(khz)
    return Recording(layout, tuple((100_000_000 * n, (value, 300_000)) for n, value in rows))


def test_a_clock_that_falls_is_caught_and_named():
    falls = recording([1_900_000] * 20 + [1_300_000] * 20)
    summary = summarise(falls, 0, 3_900_000_000).to_json()
    telemetry = {"summary": summary, "series": series_of(falls)}
    found = reasons(steady, telemetry=telemetry)
    assert found == [
        "throttled: fastest cpu clock fell from 1900 to 1300 MHz, by 32%, more than the 10% "
        "allowed",
        "clock: fastest cpu clock fell from 1900 to 1300 MHz",
    ]


def test_a_clock_that_rises_is_caught_and_one_that_holds_is_not():
    rises = series_of(recording([1_200_000] * 20 + [1_900_000] * 20))["clocks_mhz"]
    assert clock_reasons(rises) == ["clock: fastest cpu clock rose from 1200 to 1900 MHz"]
    assert clock_reasons(series_of(recording([1_900_000, 1_880_000] * 20))["clocks_mhz"]) == []
    assert clock_reasons({"gpu": [0, None, 900.0, 1200.0]}) == []  # asleep, or too few to tell


def test_a_series_is_thinned_out():
    series = series_of(recording([1_000_000] * 1300))
    assert len(series["at_ns"]) == len(series["clocks_mhz"]["fastest cpu clock"]) == 434
    assert series["power_mw"] == [None] * 434


def test_heat_and_settings_that_changed_are_reasons():
    hot = {**SUMMARY, "throttled": ["throttled: tj reached 99.0 °C"]}
    found = reasons(
        steady,
        telemetry={"summary": hot, "series": SERIES},
        settings_changes=["policy0 governor: performance, then powersave, then powersave"],
    )
    assert found == [
        "throttled: tj reached 99.0 °C",
        "settings: policy0 governor: performance, then powersave, then powersave",
    ]


def test_others_may_take_a_tenth_of_a_core_or_a_fortieth_of_a_large_machine():
    def told(others, cores, host=0.0):
        return background_reasons({**IDLE, "others_s": others, "cores": cores, "host_s": host})

    assert told(0.9, 2) == []
    assert told(1.2, 2) == [
        "background load: other processes used 0.12 of 2 cores, allowed is 0.10"
    ]
    assert told(1.2, 64) == []
    assert told(20.0, 64) == [
        "background load: other processes used 2.00 of 64 cores, allowed is 1.60"
    ]
    assert told(0.0, 2, 5.0) == [
        "host: the host of this virtual machine took 0.50 of 2 cores, allowed is 0.10"
    ]
    assert background_reasons({**IDLE, "wall_s": 0.1, "others_s": 9.0}) == []
    assert background_reasons({**IDLE, "cores": None, "others_s": None}) == []


@pytest.mark.slow
@pytest.mark.alone
def test_a_real_process_that_burns_a_core_makes_a_real_run_unstable():
    spin = "import time\nend = time.time() + 20\nwhile time.time() < end: pass"
    burner = subprocess.Popen([sys.executable, "-c", spin])
    estimator, _ = scripted(lambda n: 0.0)
    try:
        time.sleep(0.3)
        made = measure(estimator, FRAMES, Request("camera", 1.0, fps=50.0))
    finally:
        burner.kill()
        burner.wait()
    if made["background"]["others_s"] is None:
        pytest.skip("this system has no /proc/stat")
    assert any(r.startswith("background load: other processes used") for r in made["unstable"])
    assert made["background"]["others_s"] > 0.5 * made["background"]["wall_s"]


def test_ticks_are_told_apart(tmp_path: Path):
    stat = tmp_path / "proc/stat"
    stat.parent.mkdir()
    stat.write_text("cpu  100 0 100 700 100 0 0 50 0 0\ncpu0 1\ncpu1 1\nintr 5\n")
    watch = BackgroundWatch(tmp_path)
    until = time.process_time() + 0.25
    while time.process_time() < until:
        pass
    stat.write_text("cpu  300 0 100 900 100 0 0 80 0 0\ncpu0 1\ncpu1 1\nintr 5\n")
    found = watch.over()
    assert found.own_s >= 0.25
    assert found.others_s == pytest.approx(2.0 - found.own_s, abs=1e-3)  # of 200 ticks of user
    assert (found.host_s, found.cores, found.load) == (0.3, 2, ())


def test_a_system_that_tells_nothing_is_no_reason_and_is_noted(tmp_path: Path):
    found = BackgroundWatch(tmp_path).over()
    assert isinstance(found, Background)
    assert (found.others_s, found.cores) == (None, None)
    made = document(scripted_run("offline", steady), "offline", background=found.to_json())
    assert "background load: unknown, this system does not tell" in made["notes"]
    assert made["unstable"] == []


def test_the_memory_peak_is_the_kernels_and_the_gpus_is_the_runners(tmp_path: Path):
    class Runner:
        gpu_bytes = 25_000_000

    status = tmp_path / "proc/self/status"
    status.parent.mkdir(parents=True)
    status.write_text("Name:\tpython\nVmHWM:\t  125000 kB\nVmRSS:\t 1 kB\n")
    assert memory_peak(Runner(), tmp_path) == {"peak_mb": 128.0, "gpu_mb": 25.0}
    assert memory_peak(object(), tmp_path / "none") == {"peak_mb": None, "gpu_mb": None}
