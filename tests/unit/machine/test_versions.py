"""Versions as boards write them, and ranges as rules write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.errors import ConfigError
from erpose_edge.machine.versions import check_range, in_range, parse_version

VERSIONS = st.lists(st.integers(0, 40), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("8.5.2-1+cuda11.4", (8, 5, 2)),
        ("10.3.0.30", (10, 3, 0, 30)),
        ("36.4.0", (36, 4)),
        (" 7.2 EA", (7, 2)),
        ("v39.2.1", (39, 2, 1)),
        ("", None),
        ("R36", None),
    ],
)
def test_a_version_is_the_numbers_in_front(text, version):
    assert parse_version(text) == version


@given(VERSIONS)
def test_missing_parts_are_zero(numbers):
    text = ".".join(map(str, numbers))
    assert parse_version(text) == parse_version(text + ".0")
    assert in_range(text, f"=={text}.0.0")


@given(VERSIONS, VERSIONS)
def test_signs_compare_number_by_number(one, other):
    left, right = ".".join(map(str, one)), ".".join(map(str, other))
    width = max(len(one), len(other))
    a = one + [0] * (width - len(one))
    b = other + [0] * (width - len(other))
    assert in_range(left, f">={right}") == (a >= b)
    assert in_range(left, f"<={right}") == (a <= b)
    assert in_range(left, f">{right}") == (a > b)
    assert in_range(left, f"<{right}") == (a < b)
    assert in_range(left, f"=={right}") == (a == b)


def test_ten_comes_after_nine():
    assert in_range("10.13", ">=10.8,<11")
    assert not in_range("10.3", ">=10.8,<11")


def test_all_conditions_have_to_hold():
    assert not in_range("11.4", ">=11.0,<11.4")
    assert in_range("11.3.9", ">=11.0,<11.4")


def test_text_that_is_no_version_is_in_no_range():
    assert not in_range("unknown", ">=0")


@pytest.mark.parametrize("wanted", ["", "10.3", ">=", ">=10.3;<11", ">=10.3,", "=10", ">=a"])
def test_what_is_no_range_is_refused(wanted):
    with pytest.raises(ConfigError, match=r"^version range: expected conditions such as '>=10"):
        check_range(wanted)
