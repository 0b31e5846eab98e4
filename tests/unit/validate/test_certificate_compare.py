"""What two certificates may be compared in, what not, and the words for it."""

from __future__ import annotations

import json

import pytest
from small_certificate import latency, small_certificate, two_accuracies

from erpose_edge.schemas import load_schema
from erpose_edge.validate.certificate.compare import compare
from erpose_edge.validate.certificate.parts import generated_data


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    return lambda **changes: small_certificate(folder, **changes)


def pair(document, name="int8"):
    return next(p for p in document["pairs"] if p["a"] == name)


def test_a_certificate_against_itself_is_the_same(make):
    one = make()
    found = compare(one, one)
    assert found["reasons"] == []
    assert pair(found)["latency"]["turns"] == {"p50": 1.0, "p90": 1.0, "p99": 1.0}
    assert pair(found)["accuracy"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_twice_as_slow_is_a_ratio_of_two_of_b_over_a(make):
    slow = make(latency={name: latency(2.0) for name in ("int8", "fp32")})
    found = compare(make(), slow)
    assert pair(found)["latency"]["turns"]["p50"] == pytest.approx(2.0, rel=0.01)
    assert pair(compare(slow, make()))["latency"]["turns"]["p50"] == pytest.approx(0.5, rel=0.01)


def test_ap_on_the_same_images_is_a_paired_difference_with_its_interval(make):
    both = two_accuracies()
    swapped = {"int8": {**both["fp32"], "against": None}, "fp32": both["fp32"]}
    found = pair(compare(make(), make(accuracy=swapped)))["accuracy"]
    difference = found["difference"]
    assert difference["value"] == pytest.approx(both["fp32"]["ap"] - both["int8"]["ap"])
    assert difference["value"] > 0
    assert difference["low"] <= difference["value"] <= difference["high"]


MACHINE = {"architecture": "x86_64", "cpu": {"model": "Some CPU", "threads": 2}}
MODES = {"during": {"power_mode": "MAXN"}, "before": None, "after": None}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"machine": {**MACHINE, "cpu": {"model": "Other CPU", "threads": 2}}},
            "int8, latency: processor: Some CPU, and Other CPU",
        ),
        (
            {"machine": {**MACHINE, "architecture": "aarch64"}},
            "int8, latency: architecture: x86_64, and aarch64",
        ),
        (
            {"settings": {**MODES, "changes": [], "asked": False}},
            "int8, latency: power mode: 15W, and MAXN",
        ),
    ],
)
def test_latencies_of_unlike_machines_are_not_compared_but_their_accuracy_is(make, changes, reason):
    found = compare(make(), make(**changes))
    assert reason in found["reasons"]
    assert pair(found)["latency"] is None
    assert pair(found)["accuracy"] is not None


def test_another_engine_version_or_input_size_or_other_data_is_named(make):
    one, other = make(), make()
    other["artifacts"]["int8"]["engine"] = "OpenVINO 2027.0"
    other["artifacts"]["fp32"]["input_size"] = [320, 320]
    found = compare(one, other)
    assert "int8, latency: engine: OpenVINO 2026.1, and OpenVINO 2027.0" in found["reasons"]
    assert "fp32, accuracy: input size: 64x96, and 320x320" in found["reasons"]
    assert pair(found, "fp32")["accuracy"] is pair(found, "fp32")["latency"] is None
    elsewhere = make(data=generated_data(6, 1, (480, 640)))
    found = compare(one, elsewhere)
    assert pair(found)["accuracy"] is None
    assert "6 generated scenes of seed 0" in found["reasons"][0]
    assert "6 generated scenes of seed 1" in found["reasons"][0]
    assert pair(found)["latency"] is not None


def test_scenarios_are_compared_where_both_have_them(make):
    both = {name: latency(1.0) for name in ("int8", "fp32")}
    lacking = json.loads(json.dumps(both))
    lacking["int8"]["scenarios"] = {}
    found = compare(make(latency=both), make(latency=lacking))
    assert (
        "int8, latency: single-stream: only one of the two was measured in it" in found["reasons"]
    )
    assert pair(found)["latency"]["scenarios"] == {}
    assert pair(found, "fp32")["latency"]["scenarios"]["single-stream"]["p50"] == 1.0


def test_it_keeps_to_the_published_schema(make):
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.Draft202012Validator(load_schema("certificate-compare"))
    document = {"a": "a.json", "b": "b.json", **compare(make(), make())}
    assert [error.message for error in checker.iter_errors(document)] == []
