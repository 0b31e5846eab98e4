"""The verdict: which candidate is chosen, why the others are not, and the exit code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from erpose_edge.validate.budget import SAME_WITHIN, Budget, Candidate, judge, retention

FP32 = Candidate("fp32", ap=0.5, retention=1.0, p50_ms=40, p99_ms=45, size_mb=11)
INT8 = Candidate(
    "int8", ap=0.498, retention=0.996, p50_ms=20, p99_ms=24, size_mb=3, speedup_vs_fp32=2.0
)
BUDGET = Budget(min_retention=0.99, max_p99_ms=50, min_speedup_vs_fp32=1.2)
NAN = float("nan")


def test_the_first_candidate_within_budget_is_chosen():
    verdict = judge([INT8, FP32], BUDGET)
    assert (verdict.chosen, verdict.exit_code, verdict.passed) == ("int8", 0, True)
    assert verdict.rejected == (None, None)


def test_a_lossy_candidate_is_passed_over():
    verdict = judge([replace(INT8, retention=0.97), FP32], BUDGET)
    assert (verdict.chosen, verdict.exit_code) == ("fp32", 0)
    assert verdict.rejected[0] == "retention: expected at least 99.00% of fp32's AP, got 97.00%"


def test_a_lower_precision_that_is_not_faster_is_passed_over():
    verdict = judge([replace(INT8, speedup_vs_fp32=1.1), FP32], BUDGET)
    assert verdict.chosen == "fp32"
    assert verdict.rejected[0] == "speed: expected at least 1.2 x fp32's, got 1.10 x"


def test_accurate_but_slow_is_exit_4_and_names_the_time():
    verdict = judge([INT8, FP32], replace(BUDGET, max_p99_ms=10))
    assert (verdict.chosen, verdict.exit_code, verdict.passed) == (None, 4, False)
    assert verdict.rejected[0] == "p99: expected at most 10 ms, got 24.00 ms"


def test_lossy_everywhere_is_exit_3():
    assert judge([replace(INT8, retention=0.5)], BUDGET).exit_code == 3


def test_one_lossy_and_one_slow_is_exit_4():
    slow = replace(FP32, p99_ms=60)
    assert judge([replace(INT8, retention=0.5), slow], BUDGET).exit_code == 4


def test_accuracy_is_named_before_time():
    verdict = judge([replace(INT8, retention=0.5, p99_ms=99)], BUDGET)
    assert verdict.rejected[0].startswith("retention:")


def test_the_bounds_themselves_are_within_budget():
    edge = replace(INT8, retention=0.99, p99_ms=50, speedup_vs_fp32=1.2)
    assert judge([edge], BUDGET).passed


def test_no_budget_asks_for_nothing():
    assert judge([replace(INT8, retention=None)], Budget()).passed


@pytest.mark.parametrize("field", ["retention", "p99_ms", "speedup_vs_fp32"])
def test_a_number_that_is_none_at_all_never_passes(field):
    assert not judge([replace(INT8, **{field: NAN})], BUDGET).passed


def test_weights_that_find_nobody_have_no_retention_and_fail():
    assert retention(0.0, 0.0) is None
    assert retention(-1.0, -1.0) is None
    verdict = judge([replace(INT8, retention=None)], BUDGET)
    assert verdict.exit_code == 3
    assert "train the weights" in verdict.rejected[0]


def test_retention_is_the_ratio_of_ap():
    assert retention(0.495, 0.5) == pytest.approx(0.99)
    assert retention(-1.0, 0.5) == 0


def test_no_candidate_is_no_pass():
    assert judge([], BUDGET).exit_code == 3


FP16 = Candidate("fp16", 0.5, 1.0, 30, 35, 6, speedup_vs_fp32=1.5)
NO_SPEED = replace(BUDGET, min_speedup_vs_fp32=None)


def test_a_rung_that_is_slower_than_a_later_one_within_budget_is_rejected_with_the_ratio():
    verdict = judge([replace(INT8, speedup_vs_fp32=1.5 / 1.04), FP16, FP32], NO_SPEED)
    assert verdict.chosen == "fp16"
    assert verdict.rejected == ("1.04x slower than fp16", None, None)


def test_the_fastest_of_the_later_rungs_is_named():
    verdict = judge([replace(INT8, speedup_vs_fp32=0.5), FP32, FP16], NO_SPEED)
    assert verdict.rejected[0] == "3.00x slower than fp16"


def test_being_slower_than_a_rung_that_misses_the_budget_is_no_reason():
    slower = replace(INT8, speedup_vs_fp32=1.2)
    assert judge([slower, replace(FP16, retention=0.5), FP32], NO_SPEED).chosen == "int8"


def test_a_difference_within_noise_is_none():
    same = replace(INT8, speedup_vs_fp32=1.5 / (1 + SAME_WITHIN))
    assert judge([same, FP16], NO_SPEED).chosen == "int8"
    assert judge([replace(same, speedup_vs_fp32=1.46), FP16], NO_SPEED).chosen == "fp16"


def test_the_last_rung_is_slower_than_nobody():
    verdict = judge([FP16, FP32], NO_SPEED)
    assert verdict.rejected == (None, None)


def test_the_time_of_another_machine_is_not_judged():
    slow = replace(INT8, speedup_vs_fp32=0.5, p99_ms=1000)
    verdict = judge([slow, FP32], BUDGET, time=False)
    assert (verdict.chosen, verdict.judged_time) == ("int8", False)
    lossy = judge([replace(slow, retention=0.5)], BUDGET, time=False)
    assert (lossy.chosen, lossy.exit_code) == (None, 3)


def test_candidates_without_a_time_are_judged_by_accuracy():
    untimed = [replace(c, p50_ms=None, p99_ms=None, speedup_vs_fp32=None) for c in (INT8, FP32)]
    assert judge(untimed, BUDGET, time=False).chosen == "int8"


def measured(**changes):
    values = {"precision": "int8", "ap": 0.5, "retention": 1.0, "p50_ms": 8.0, "p99_ms": 9.0}
    return Candidate(**{**values, "size_mb": 3.0, **changes})


def test_a_share_of_int8_below_the_limit_ends_with_5_and_one_at_it_passes():
    verdict = judge([measured(int8_share=0.94)], Budget(min_int8_share=0.95))
    assert verdict.exit_code == 5
    assert verdict.rejected == (
        "int8 share: expected at least 95.0% of the int8 convolutions to run in int8, got 94.0%",
    )
    assert judge([measured(int8_share=0.95)], Budget(min_int8_share=0.95)).passed
    assert judge([measured(int8_share=None)], Budget(min_int8_share=0.95)).passed


def test_jitter_above_the_limit_or_of_nobody_is_a_miss_of_accuracy():
    verdict = judge([measured(jitter=0.31)], Budget(max_jitter=0.3))
    assert verdict.exit_code == 3
    assert "jitter: expected at most 0.3 % of a person's diagonal, got 0.310 %" in verdict.rejected
    assert judge([measured(jitter=0.3)], Budget(max_jitter=0.3)).passed
    nobody = judge([measured(jitter=float("nan"))], Budget(max_jitter=0.3))
    assert nobody.rejected == (
        "jitter: expected at most 0.3 % of a person's diagonal, got nobody found long enough",
    )


def test_the_exit_code_is_the_nearest_miss():
    slow, elsewhere = measured(p99_ms=40.0), measured(int8_share=0.1)
    wrong = measured(retention=0.1)
    budget = Budget(min_retention=0.9, max_p99_ms=30.0, min_int8_share=0.5)
    assert judge([wrong], budget).exit_code == 3
    assert judge([wrong, elsewhere], budget).exit_code == 5
    assert judge([wrong, elsewhere, slow], budget).exit_code == 4
