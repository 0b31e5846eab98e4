"""The published schemas: sound, and the example documents of each command keep to them."""

from __future__ import annotations

import copy

import pytest

from erpose_edge.metrics.keypoint_ap import KeypointAP
from erpose_edge.schemas import NAMES, load_schema
from erpose_edge.validate.accuracy import Accuracy
from erpose_edge.validate.budget import Budget, Candidate, judge

jsonschema = pytest.importorskip("jsonschema")

MS = {"p50": 1.0, "p90": 2.0, "p99": 3.0}
EXAMPLES = {
    "info": {"parameters": 2_500_000, "gflops": 6.5, "input_size": [640, 640], "stages": [{}]},
    "validate": Accuracy(
        KeypointAP(
            0.5, 0.8, 0.6, -1.0, 0.7, 0.55, {"nose": 0.9, "left_eye": -1.0}, 10, 30, 0.6, -1.0, None
        ),
        {},
        [],
    ).to_json(),
    "bench": {
        "preprocess_ms": MS,
        "infer_ms": MS,
        "decode_ms": MS,
        "end_to_end_ms": MS,
        "fps": 30.5,
        "unstable": False,
        "cpu": {"model": "Some CPU", "flags": ["avx2"], "threads": 2},
    },
    "predict": {
        "images": [
            {"file": "a.jpg", "width": 640, "height": 480, "poses": []},
            {
                "file": "b.jpg",
                "width": 640,
                "height": 480,
                "poses": [{"score": 0.9, "keypoints": [[1.5, -2, 0.5]] * 17}],
            },
        ]
    },
    "deploy": {
        **judge(
            [Candidate("int8", 0.4, 0.8, 10, 12, 3.1, 2), Candidate("fp32", 0.5, 1, 20, 22, 11)],
            Budget(min_retention=0.99),
        ).to_json(),
        "artifact": "runs/deploy/fp32",
        "notes": [],
        "remaining": [],
    },
}


def errors(name, document):
    checker = jsonschema.Draft202012Validator(load_schema(name))
    return [error.message for error in checker.iter_errors(document)]


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_sound(name):
    jsonschema.Draft202012Validator.check_schema(load_schema(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_example_keeps_to_it_also_with_further_keys(name):
    assert errors(name, EXAMPLES[name]) == []
    assert errors(name, {**EXAMPLES[name], "further": [1]}) == []


def test_a_failed_verdict_keeps_to_it():
    verdict = judge([Candidate("fp32", 0, None, 20, 22, 11)], Budget(min_retention=0.99))
    assert errors("deploy", {**verdict.to_json(), "artifact": None, "notes": [], "remaining": []}) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_promised_key_is_required(name):
    for key in load_schema(name)["required"]:
        document = copy.deepcopy(EXAMPLES[name])
        del document[key]
        assert errors(name, document) == [f"{key!r} is a required property"]


WRONG = {
    "AP of 50": ("validate", ("ap",), 50),
    "AP of null": ("validate", ("ap",), None),
    "AP of a subset above 1": ("validate", ("ap_crowd_easy",), 1.5),
    "half an image": ("validate", ("images",), 1.5),
    "size of three": ("info", ("input_size",), [3, 640, 640]),
    "no p99": ("bench", ("infer_ms",), {"p50": 1, "p90": 1}),
    "flags as text": ("bench", ("cpu", "flags"), "avx2"),
    "keypoint of two numbers": ("predict", ("images", 1, "poses", 0, "keypoints"), [[1, 2]]),
    "score of 2": ("predict", ("images", 1, "poses", 0, "score"), 2),
    "verdict of maybe": ("deploy", ("verdict",), "maybe"),
    "precision of int4": ("deploy", ("candidates", 0, "precision"), "int4"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_found(case):
    name, path, value = WRONG[case]
    document = copy.deepcopy(EXAMPLES[name])
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert errors(name, document)
