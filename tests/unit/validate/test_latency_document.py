"""A scenario's document: everything computed comes from its raw samples alone."""

from __future__ import annotations

import base64
import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scripted_latency import (
    FRAMES,
    MACHINE,
    SERIES,
    SUMMARY,
    WATCHED,
    document,
    scripted,
    scripted_run,
    steady,
)

from erpose_edge.errors import IntegrityError
from erpose_edge.validate.latency.document import recompute, scenario_document
from erpose_edge.validate.latency.measure import measure
from erpose_edge.validate.latency.packing import packed, unpacked
from erpose_edge.validate.latency.scenario import SCENARIOS, Request

RUNS = {
    name: scripted_run(name, steady, fps=60.0 if name == "camera" else None) for name in SCENARIOS
}
DOCUMENTS = {name: document(run, name) for name, run in RUNS.items()}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_document_that_was_not_altered_comes_back_equal_also_through_a_file(name):
    made = DOCUMENTS[name]
    assert recompute(made) == made
    read = json.loads(json.dumps(made, allow_nan=False))
    assert read == made
    assert recompute(read) == made


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SCENARIOS), st.data())
def test_a_changed_sample_changes_what_is_computed_or_is_refused(name, data):
    made = DOCUMENTS[name]
    marks = RUNS[name].marks_ns.copy()
    row = data.draw(st.integers(0, len(marks) - 1))
    column = data.draw(st.integers(0, 3))
    marks[row, column] += data.draw(st.integers(1, 10**9).map(lambda v: v * 10**6))
    altered = {**made, "samples_ns": packed(marks)}
    try:
        assert recompute(altered) != made  # at least the samples
        assert recompute(altered)["statistics"] != made["statistics"]
    except IntegrityError:
        pass


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SCENARIOS), st.data())
def test_a_changed_statistic_is_set_right(name, data):
    made = copy.deepcopy(DOCUMENTS[name])
    place, key = made["statistics"], data.draw(st.sampled_from(["samples", "fps", "stages"]))
    if key == "stages":
        place = place[key][data.draw(st.sampled_from(sorted(place[key])))]
        key = data.draw(st.sampled_from(sorted(place)))
    place[key] += data.draw(st.sampled_from([-1e-4, 1e-4, 1, -1]))
    assert recompute(made) == DOCUMENTS[name] != made


def test_an_unstable_run_cannot_be_called_steady():
    made = document(scripted_run("single-stream", lambda n: 20 + 0.05 * n))
    assert made["unstable"]
    assert recompute({**made, "unstable": []}) == made


def test_energy_and_cold_start_are_computed_from_what_was_read():
    run = RUNS["offline"]
    telemetry = {"summary": {**SUMMARY, "energy_mj": 5000.0}, "series": SERIES}
    made = scenario_document(
        Request("offline"),
        run,
        FRAMES.to_json(),
        MACHINE,
        {**WATCHED, "telemetry": telemetry},
        np.array([10, 400_000_010, 450_000_010], np.int64),
    )
    assert made["statistics"]["frame_mj"] == round(5000.0 / len(run.marks_ns), 3)
    assert made["statistics"]["cold_start"] == {"load_ms": 400.0, "first_pose_ms": 50.0}
    assert recompute(json.loads(json.dumps(made))) == made
    assert DOCUMENTS["offline"]["statistics"]["frame_mj"] is None
    assert DOCUMENTS["offline"]["statistics"]["cold_start"] is None


def test_the_curve_shows_each_second():
    made = document(scripted_run("offline", lambda n: 20.0 if n < 260 else 40.0), "offline")
    curve = made["statistics"]["curve"]
    assert curve["second"] == list(range(10))
    assert curve["frames"] == [50] * 5 + [25] * 5
    assert curve["p50_ms"] == [20.0] * 5 + [40.0] * 5


def test_few_samples_and_missing_sensors_are_noted():
    short = scripted_run("multi-stream", steady, seconds=1.0)
    made = document(short, "multi-stream", telemetry=None)
    assert made["notes"] == [
        "p99: of 7 queries only, it is nearly the longest; measure longer",
        "telemetry: none",
    ]
    assert DOCUMENTS["offline"]["notes"] == []


def without(name):
    return lambda made: made.pop(name)


def backwards(made):
    marks = RUNS["camera"].marks_ns.copy()
    marks[5] -= 10**12
    made["samples_ns"] = packed(marks)


def early(made):
    arrivals = RUNS["camera"].arrivals.copy()
    arrivals[:, 1] += 10**9
    made["arrivals"] = packed(arrivals)


BROKEN = {
    "no scenario": (without("scenario"), "scenario: expected one that is known, got None"),
    "no samples": (without("samples_ns"), "camera samples_ns: expected samples of type <i8"),
    "no telemetry": (without("telemetry"), r"camera: expected what was watched .*'telemetry'"),
    "no background": (without("background"), "camera: expected what was watched meanwhile"),
    "no arrivals": (without("arrivals"), "camera: expected moments in the order of a clock"),
    "back in time": (backwards, "camera: expected moments in the order of a clock, got others"),
    "taken before it is there": (early, "camera: expected moments in the order of a clock"),
    "a frame less": (
        lambda made: made.update(pictures=packed(RUNS["camera"].pictures[1:])),
        "camera: expected 499 frames in every array, at least 2, got ",
    ),
    "no query": (
        lambda made: made.update(scenario="multi-stream", arrivals=None),
        "multi-stream: expected queries of 8 frames, got 499 frames",
    ),
    "a text as energy": (
        lambda made: made["telemetry"]["summary"].update(energy_mj="much"),
        "camera: expected what was watched meanwhile",
    ),
    "a start of two moments": (
        lambda made: made.update(cold_start_ns=packed(np.arange(2))),
        "cold_start_ns: expected 3 moments in order, got others",
    ),
}


def test_a_frame_that_begins_before_the_one_before_ended_is_refused():
    marks = RUNS["offline"].marks_ns.copy()
    marks[5] -= 5_000_000
    with pytest.raises(IntegrityError, match="offline: expected moments in the order of a clock"):
        recompute({**DOCUMENTS["offline"], "samples_ns": packed(marks)})
    standing = np.repeat(RUNS["offline"].marks_ns[:, :1], 4, axis=1)  # frames that took no time
    with pytest.raises(IntegrityError, match="offline: expected moments in the order of a clock"):
        recompute({**DOCUMENTS["offline"], "samples_ns": packed(standing)})


@pytest.mark.parametrize("case", BROKEN)
def test_raw_samples_that_cannot_be_are_refused(case):
    breaks, message = BROKEN[case]
    made = copy.deepcopy(DOCUMENTS["camera"])
    breaks(made)
    with pytest.raises(IntegrityError, match=message):
        recompute(made)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_the_samples_are_the_answer_is_json_or_a_refusal(data):
    name = data.draw(st.sampled_from(SCENARIOS))
    made, count = dict(DOCUMENTS[name]), data.draw(st.sampled_from([2, 8]))
    values = st.integers(-2, 5) | st.integers(-(2**63), 2**63 - 1)

    def draw(*shape):
        return data.draw(arrays(np.int64, shape, elements=values))

    marks = draw(count, 4)
    made["samples_ns"] = packed(np.sort(marks.ravel()).reshape(marks.shape))
    made["pictures"], made["picture_ns"] = packed(abs(draw(count) // 2)), packed(draw(count, 2))
    made["cold_start_ns"] = packed(draw(3))
    made["arrivals"] = packed(draw(count, 2)) if name == "camera" else None
    try:
        json.dumps(recompute(made), allow_nan=False)
    except IntegrityError as error:
        assert "expected" in str(error)


@given(arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 5))))
def test_what_is_packed_is_unpacked(values):
    plain = json.loads(json.dumps(packed(values)))
    assert np.array_equal(unpacked(plain, "x", values.shape[1]), values)
    assert base64.b64decode(plain["base64"]) == values.astype("<i8").tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "<f8"}, "x: expected samples of type <i8, got others"),
        ({"shape": [3, 4]}, r"x: expected base64 of 96 bytes, got 64"),
        ({"shape": [2, 3]}, r"x: expected the shape \(N, 4\), got \[2, 3\]"),
        ({"shape": [8]}, r"x: expected the shape \(N, 4\), got \[8\]"),
        ({"shape": [True, 4]}, r"x: expected the shape \(N, 4\), got \[True, 4\]"),
        ({"shape": [1 << 60, 4]}, r"x: expected the shape \(N, 4\)"),
        ({"shape": None}, r"x: expected the shape \(N, 4\), got None"),
        ({"base64": "A" * 43 + "\n" + "A" * 43 + "=="}, "x: expected base64 of 64 bytes, got 0"),
        ({"base64": "!"}, "x: expected base64 of 64 bytes, got 0"),
        ({"base64": None}, "x: expected base64 of 64 bytes, got 0"),
        ({"base64": "\xe4"}, "x: expected base64 of 64 bytes, got 0"),
    ],
)
def test_an_array_that_is_none_is_refused(change, message):
    whole = packed(np.arange(8).reshape(2, 4))
    with pytest.raises(IntegrityError, match=message):
        unpacked({**whole, **change}, "x", 4)


@pytest.mark.alone
def test_a_real_run_is_watched_and_its_document_recomputes():
    estimator, _ = scripted(lambda n: 0.0)
    made = measure(estimator, FRAMES, Request("camera", 0.3, fps=100.0))
    assert recompute(json.loads(json.dumps(made))) == made
    assert made["statistics"]["samples"] >= 20
    assert made["engine"] == "scripted 1.0"
    assert made["memory"]["peak_mb"] is None or made["memory"]["peak_mb"] > 10
    assert made["telemetry"]["series"]["at_ns"]
    assert made["background"]["wall_s"] >= 0.3
