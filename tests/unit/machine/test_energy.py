"""Energy between two moments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.machine.telemetry.energy import EnergyCurve, total_curve

S = 1_000_000_000  # ns


def powers(*samples: tuple[float, float]) -> EnergyCurve:
    curve = EnergyCurve.of_powers([(int(seconds * S), mw) for seconds, mw in samples])
    assert curve is not None
    return curve


def test_constant_power_times_time() -> None:
    assert powers((0, 5000), (10, 5000)).energy_mj(2 * S, 5 * S) == pytest.approx(15000)


def test_between_samples_power_is_linear() -> None:
    curve = powers((0, 0), (1, 1000), (3, 0))
    assert curve.energy_mj(0, 3 * S) == pytest.approx(500 + 1000)
    assert curve.energy_mj(0, S // 2) == pytest.approx(125)  # half the time, a quarter of it
    assert curve.energy_mj(S // 2, 2 * S) == pytest.approx(375 + 750)


def test_outside_the_samples_the_nearest_power_holds() -> None:
    curve = powers((1, 100), (2, 100), (3, 300))
    assert curve.energy_mj(0, S) == pytest.approx(100)
    assert curve.energy_mj(3 * S, 5 * S) == pytest.approx(600)


def test_counters_give_the_mean_of_each_step_and_start_again() -> None:
    readings = [(0, 900), (S, 950), (2 * S, 50)]  # microjoules: 50, then 100 over the end
    curve = EnergyCurve.of_counter(readings, 999)
    assert curve is not None
    assert curve.energy_mj(0, 2 * S) == pytest.approx(0.150)
    assert curve.energy_mj(S, S + S // 2) == pytest.approx(0.050)
    assert curve.max_power_mw(0, 2 * S) == pytest.approx(0.1)


def test_readings_next_to_each_other_make_no_peak() -> None:
    readings = [(0, 0), (S, 1000), (S + 1000, 2000)]
    curve = EnergyCurve.of_counter(readings, 10**9)
    assert curve is not None and curve.times_ns == (0, S + 1000)
    assert curve.max_power_mw(0, 2 * S) == pytest.approx(2.0, rel=1e-4)


def test_fewer_than_two_samples_are_no_curve() -> None:
    assert EnergyCurve.of_powers([(5, 1.0)]) is None
    assert EnergyCurve.of_counter([(5, 1)], 10) is None
    assert total_curve([]) is None


def test_packages_are_added() -> None:
    total = total_curve([powers((0, 1), (1, 3)), powers((0, 10), (1, 30))])
    assert total is not None and total.energy_mj(0, S) == pytest.approx(22)


def test_the_highest_power_is_that_of_samples_in_between() -> None:
    curve = powers((0, 900), (1, 100), (2, 300), (3, 800))
    assert curve.max_power_mw(S, 2 * S) == 300
    assert curve.max_power_mw(S + 1, S + 2) is None


def test_gaps_count_in_full_even_if_they_begin_before() -> None:
    curve = powers((0, 1), (1, 1), (9, 1), (10, 1))
    assert curve.longest_gap_ns(0, S) == S
    assert curve.longest_gap_ns(4 * S, 5 * S) == 8 * S
    assert curve.longest_gap_ns(9 * S, 30 * S) == 20 * S
    assert curve.longest_gap_ns(-5 * S, S) == 5 * S


@given(
    st.lists(st.floats(0, 1e5), min_size=2, max_size=20),
    st.lists(st.integers(-S, 21 * S), min_size=3, max_size=3).map(sorted),
)
def test_energy_of_two_parts_is_that_of_the_whole(mw: list[float], moments: list[int]) -> None:
    curve = powers(*((float(second), power) for second, power in enumerate(mw)))
    first, middle, last = moments
    parts = curve.energies_mj([(first, middle), (middle, last)])
    assert sum(parts) == pytest.approx(curve.energy_mj(first, last), abs=1e-3)
    assert all(part >= -1e-3 for part in parts)
    seconds = (last - first) / S
    assert curve.energy_mj(first, last) <= max(mw) * seconds + 1e-3
