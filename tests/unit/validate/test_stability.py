"""Stability of an estimator on a clip: identities, the document, its budget, its seal."""

from __future__ import annotations

import copy
import json

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erpose_edge.data.generated.clip import GeneratedClip
from erpose_edge.errors import DataError, IntegrityError
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.poses import Poses
from erpose_edge.schemas import load_schema
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.stability import measure_stability, stability_misses
from erpose_edge.validate.stability_record import check_statistics, stability_document

SIZE = (96, 128)


class Knowing:
    """Answers with the labels of the clip, with noise, and without some people in some frames."""

    def __init__(self, clip, noise=0.0, dropped=()):
        self._answers = iter([self._poses(labels) for _, labels in clip])
        self._rng, self._noise, self._dropped = np.random.default_rng(0), noise, set(dropped)
        self._frame = -1

    def _poses(self, labels):
        keep = (labels.keypoints[:, :, 2] == 2).sum(axis=1) >= 5
        points = labels.keypoints[keep]
        count = len(points)
        flags = (points[:, :, 2] > 0).astype(np.float32)
        return Poses(np.linspace(1, 0.5, count, dtype=np.float32), points[:, :, :2], flags)

    def __call__(self, frame):
        self._frame += 1
        found = next(self._answers)
        rows = slice(1, None) if self._frame in self._dropped else slice(None)
        noise = self._noise * self._rng.standard_normal(found.keypoints.shape)
        points = (found.keypoints + noise).astype(np.float32)
        return Poses(found.scores[rows], points[rows], found.visibility[rows])


def clip(frames=12, **more):
    return GeneratedClip(frames, 5, SIZE, **more)


def measured(noise=0.0, dropped=(), against=None, labelled=True, frames=12):
    shown = clip(frames)
    frames = [(image, labels if labelled else None) for image, labels in shown]
    other = None if against is None else Knowing(shown, against)
    return measure_stability(Knowing(shown, noise, dropped), frames, 30.0, COCO_17, other)


def document(*args, **more):
    return stability_document(
        measured(*args, **more), "a clip", "fp32" if "against" in more else None
    )


def test_a_perfect_estimator_is_perfectly_steady():
    found = document()
    assert found["people_from"] == "labels"
    assert found["jitter"]["value"] == found["jitter"]["typical"] == 0
    assert found["flicker"]["value"] == 0
    assert found["found"] == 1
    assert found["others_per_frame"] == 0
    assert stability_misses(found, max_jitter=0, max_flicker=0) == []


def test_noise_is_jitter_of_its_size():
    shown = measured(noise=0.4, frames=40)
    sizes = shown.tracks["labels"].diagonals
    expected = 100 * 0.4 * np.sqrt(np.nanmean(1 / sizes**2))
    found = stability_document(shown, "a clip")["jitter"]
    assert found["value"] == pytest.approx(expected, rel=0.15)  # samples and people are few


def test_a_person_who_is_dropped_in_one_frame_changes_twice():
    steady, dropped = document(), document(dropped=[6])
    assert dropped["flicker"]["changes"] == steady["flicker"]["changes"] + 2
    seconds = dropped["flicker"]["person_seconds"]
    assert dropped["flicker"]["value"] == pytest.approx(2 / seconds, rel=1e-5)
    assert dropped["found"] < 1


def test_without_labels_the_reference_says_who_is_who():
    found = document(noise=0.3, against=0.0, labelled=False)
    assert found["people_from"] == "reference"
    against = found["against"]
    assert against["found"] == 1
    assert against["found_of_reference"] > 0.9
    assert against["added_jitter"] > 0 and against["distance"] > 0
    assert found["jitter"]["value"] > against["jitter"]["value"]
    assert against["jitter_ratio"] == pytest.approx(
        found["jitter"]["value"] / against["jitter"]["value"], rel=1e-4
    )


def test_without_labels_and_reference_the_answers_do():
    found = document(labelled=False)
    assert (found["people_from"], found["found"], found["against"]) == ("answers", None, None)


def test_a_network_against_itself_differs_in_nothing():
    against = document(noise=0.0, against=0.0)["against"]
    assert against["added_jitter"] == against["distance"] == 0
    assert against["found_of_reference"] == 1
    assert against["order_difference"]["swapped"] == 0


@pytest.mark.parametrize("more", [{}, {"against": 0.1}, {"against": 0.1, "labelled": False}])
def test_the_document_keeps_to_its_schema_and_is_plain(more):
    found = document(noise=0.2, **more)
    jsonschema.Draft202012Validator(load_schema("stability")).validate(found)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    check_statistics(found)


def test_a_budget_names_what_misses_it():
    found = document(noise=0.5, dropped=[3, 5])
    jitter, flicker = found["jitter"]["value"], found["flicker"]["value"]
    assert stability_misses(found) == []
    assert stability_misses(found, jitter, flicker) == []
    assert stability_misses(found, 0.01, 0.01) == [
        f"jitter: expected at most 0.01 % of a person's diagonal, got {jitter:.3f}",
        f"flicker: expected at most 0.01 changes for each person and second, got {flicker:.3f}",
    ]


def test_finding_nobody_is_no_steadiness():
    shown = clip()
    nobody = measure_stability(lambda frame: Poses.nobody(17), shown, 30.0, COCO_17)
    found = stability_document(nobody, "a clip")
    assert found["flicker"]["value"] == 0
    assert stability_misses(found, 5, 5) == [
        "jitter: expected at most 5 % of a person's diagonal, got nobody found long enough",
        "flicker: expected at most 5 changes for each person and second, got nobody found long "
        "enough",
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_statistic_is_refused(data):
    altered = copy.deepcopy(ALTERED)
    place, key = altered, data.draw(st.sampled_from(["jitter", "flicker", "order", "against"]))
    while isinstance(place[key], dict):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)))
    value = place[key]
    place[key] = (0.0 if value is None else value) + data.draw(st.floats(1e-4, 9))
    with pytest.raises(IntegrityError, match=f"{key}: expected .* as its tracks give"):
        check_statistics(altered)


ALTERED = document(noise=0.3, dropped=[4], against=0.2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("samples"),
        lambda d: d["samples"]["tracks"]["artifact"]["keypoints"].update(base64="AAAA"),
        lambda d: d["samples"]["tracks"]["artifact"]["rank"].update(shape=[3, 4]),
        lambda d: d["samples"]["tracks"]["artifact"]["rank"].update(dtype="<f4"),
        lambda d: d["samples"]["tracks"].pop("labels"),
        lambda d: d["clip"].update(frames=11),
        lambda d: d["clip"].update(rate=0),
        lambda d: d["samples"]["answers"]["artifact"].update(shape=[10**30]),
        lambda d: d.update(people_from="luck"),
        lambda d: d.update(skeleton="squid-8"),
    ],
)
def test_damaged_samples_are_refused(damage):
    altered = copy.deepcopy(ALTERED)
    damage(altered)
    with pytest.raises(IntegrityError, match="stability samples: expected the tracks of a clip"):
        check_statistics(altered)


def test_a_clip_that_says_too_little_is_refused():
    shown = clip(3)
    frames = list(shown)
    with pytest.raises(DataError, match="clip: expected at least 3 frames, got 2; film longer"):
        measure_stability(Knowing(shown), frames[:2], 30.0, COCO_17)
    with pytest.raises(DataError, match="expected labels for all 3 frames or for none, got 2"):
        measure_stability(Knowing(shown), [(frames[0][0], None), *frames[1:]], 30.0, COCO_17)
    with pytest.raises(DataError, match="expected frames a second above 0, got 0"):
        measure_stability(Knowing(shown), frames, 0.0, COCO_17)


def test_a_real_artifact_runs_and_agrees_with_itself(tiny_artifact):
    square = np.zeros((64, 96, 3), np.uint8)
    frames = []
    for t in range(6):
        frame = square.copy()
        frame[16:48, 8 + 4 * t : 40 + 4 * t] = 255
        frames.append((frame, None))
    one, other = PoseEstimator(tiny_artifact), PoseEstimator(tiny_artifact)
    found = measure_stability(one, frames, 10.0, one.skeleton, other)
    described = stability_document(found, "a square", "itself")
    assert described["people"] > 0
    assert described["against"]["distance"] == 0
    assert described["clip"]["frame_size"] == [64, 96]
    changed = [(replace_pixel(frame), None) for frame, _ in frames]
    again = measure_stability(one, changed, 10.0, one.skeleton)
    assert again.sha256 != found.sha256


def replace_pixel(frame):
    frame = frame.copy()
    frame[0, 0] = 1
    return frame
