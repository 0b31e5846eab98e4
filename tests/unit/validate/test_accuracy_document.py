"""The accuracy document: what it says follows from the outcomes that it holds."""

from __future__ import annotations

import base64
import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_people import crowd, noisy_poses

from erpose_edge.errors import DataError, IntegrityError
from erpose_edge.metrics.keypoint_ap import evaluate, match_poses
from erpose_edge.metrics.outcomes import Outcomes
from erpose_edge.metrics.per_keypoint import ap_per_keypoint
from erpose_edge.metrics.resampling import ResampledAP
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.accuracy import Accuracy
from erpose_edge.validate.accuracy_document import accuracy_document, check_accuracy
from erpose_edge.validate.retention import measure_retention

DRAWS = 40


@pytest.fixture(scope="module")
def pair():
    """Accuracy of a reference and of a network that finds less."""
    rng = np.random.default_rng(1)
    images = [crowd(i, rng) for i in range(12)]

    def measured(noise_px, seed):
        noise = np.random.default_rng(seed)
        poses = {i.image_id: noisy_poses(i, noise, noise_px) for i in images}
        return Accuracy(evaluate(images, poses, COCO_17), poses, [], images)

    return measured(5, 1), measured(8, 2)


@pytest.fixture(scope="module")
def documents(pair):
    reference, other = pair
    return (
        accuracy_document(reference, COCO_17, draws=DRAWS),
        accuracy_document(other, COCO_17, reference, draws=DRAWS),
    )


def test_it_is_plain_json_and_the_same_every_time(pair, documents):
    assert json.loads(json.dumps(documents[1], allow_nan=False)) == documents[1]
    assert accuracy_document(pair[1], COCO_17, pair[0], draws=DRAWS) == documents[1]


def test_its_numbers_are_those_of_the_metrics(pair, documents):
    reference, other = pair
    document = documents[1]
    assert document["ap"] == other.metrics.ap
    matched = match_poses(other.images, other.poses, COCO_17)
    assert document["per_keypoint_ap"] == ap_per_keypoint(matched, COCO_17)
    expected = measure_retention(other.images, reference.poses, other.poses, COCO_17, draws=DRAWS)
    kept, difference = (document["against"][name]["ap"] for name in ("retention", "difference"))
    assert (kept["value"], kept["low"], kept["high"]) == (
        expected.value,
        expected.low,
        expected.high,
    )
    assert difference["value"] == other.metrics.ap - reference.metrics.ap
    low, high = document["intervals"]["ap"]
    assert low < document["ap"] < high


def test_nobody_of_a_size_has_neither_interval_nor_retention(documents):
    document = documents[1]  # every person is large
    assert document["ap_medium"] == -1
    assert document["intervals"]["ap_medium"] is None
    assert document["against"]["retention"]["ap_medium"] is None
    assert document["against"]["difference"]["ap_medium"] is None


def test_outcomes_are_read_back_as_they_were(pair):
    other = pair[1]
    written = Outcomes.of(match_poses(other.images, other.poses, COCO_17))
    read = Outcomes.from_json(json.loads(json.dumps(written.to_json())))
    for name in ("image", "scores", "right", "ignored", "people"):
        assert np.array_equal(getattr(read, name), getattr(written, name))
    everything = np.ones(len(other.images), np.int64)
    assert ResampledAP(read)(everything) == other.metrics.ap


def test_a_document_as_it_was_written_is_confirmed(documents):
    reference, document = documents
    assert check_accuracy(reference) == []
    assert check_accuracy(document, reference) == []


NUMBERS = [
    ("ap",),
    ("ap_large",),
    ("ap_medium",),
    ("intervals", "ap", 0),
    ("intervals", "ap_large", 1),
    ("against", "ap"),
    ("against", "retention", "ap", "value"),
    ("against", "retention", "ap", "low"),
    ("against", "retention", "ap_large", "high"),
    ("against", "difference", "ap", "value"),
    ("against", "difference", "ap", "low"),
]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(NUMBERS), st.floats(-0.5, 0.5).filter(lambda x: abs(x) > 1e-6))
def test_a_changed_number_is_named(documents, place, change):
    reference, document = documents
    altered = copy.deepcopy(document)
    at = altered
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] += change
    (line,) = check_accuracy(altered, reference)
    assert line.startswith(".".join(str(k) for k in place if not isinstance(k, int))[:14])
    assert ": expected " in line
    assert " from the outcomes, got " in line


def test_a_changed_outcome_changes_what_follows(documents):
    reference, document = documents
    altered = {**document, "outcomes": reference["outcomes"]}
    wrong = check_accuracy(altered, reference)
    assert any(line.startswith("ap: expected ") for line in wrong)
    assert any(line.startswith("against.retention.ap: expected ") for line in wrong)


BROKEN = {
    "no outcomes": (lambda d: d.pop("outcomes"), r"accuracy: expected a document as .*'outcomes'"),
    "no base64": (
        lambda d: d["outcomes"]["score"].update(base64="?"),
        r"outcomes\.score: expected an array of <f8 in base64, got .*; measure again",
    ),
    "another kind": (
        lambda d: d["outcomes"]["image"].update(dtype="<i8"),
        r"outcomes\.image: expected an array of <i4 in base64, got dtype <i8",
    ),
    "endless draws": (lambda d: d["bootstrap"].update(draws=10**12), r"got .*1000000000000 draws"),
    "people below 0": (
        lambda d: d["outcomes"]["people"].update(
            base64=base64.b64encode(np.full((12, 3), -1, "<i4").tobytes()).decode()
        ),
        r"outcomes: expected arrays of 48 poses in 12 images",
    ),
    "fewer images": (
        lambda d: d["outcomes"].update(people={"shape": [0, 3], "dtype": "<i4", "base64": ""}),
        r"outcomes: expected arrays of 48 poses in 0 images, got shapes",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_outcomes_that_cannot_be_read_are_one_line(documents, case):
    change, reason = BROKEN[case]
    altered = copy.deepcopy(documents[0])
    change(altered)
    with pytest.raises(IntegrityError, match=reason):
        check_accuracy(altered)


def test_a_reference_on_other_images_is_refused(pair):
    reference, other = pair
    fewer = Accuracy(reference.metrics, dict(list(reference.poses.items())[1:]), [])
    with pytest.raises(
        DataError, match=r"accuracy: expected fp32 on the same 12 images, got 11, some of them"
    ):
        accuracy_document(other, COCO_17, fewer, draws=DRAWS)
