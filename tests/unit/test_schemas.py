"""The published schemas: sound, and the example documents of each command keep to them."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import replace
from pathlib import Path

import machine_trees
import numpy as np
import pytest
from scored_people import crowd, noisy_poses
from scripted_latency import document as scenario_document
from scripted_latency import scripted_run, steady
from small_certificate import small_certificate

from erpose_edge.deploy.doctor import examine
from erpose_edge.deploy.remote.results import PushResult
from erpose_edge.metrics.keypoint_ap import evaluate
from erpose_edge.runtime.poses import Poses
from erpose_edge.schemas import NAMES, load_schema
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.accuracy import Accuracy
from erpose_edge.validate.accuracy_document import accuracy_document
from erpose_edge.validate.budget import Budget, Candidate, judge
from erpose_edge.validate.stability import measure_stability
from erpose_edge.validate.stability_record import stability_document

jsonschema = pytest.importorskip("jsonschema")

MS = {"p50": 1.0, "p90": 2.0, "p99": 3.0}
EFFECT = {
    "oks_loss": 0.02,
    "ap": 0.48,
    "ap_change": -0.02,
    "snr_db": {"scores": 12.5, "keypoints": None},
}


def doctor_document():
    with tempfile.TemporaryDirectory() as folder:
        machine, diagnosis = examine(machine_trees.build("orin-nano-super", Path(folder)))
    return {"machine": machine.to_json(), **diagnosis.to_json()}


def validate_document():
    """An artifact that loses one person of a picture, and has pictures with a crowd index."""
    rng = np.random.default_rng(0)
    images = [replace(crowd(i, rng), crowd_index=0.1 * i) for i in range(4)]
    poses = {i.image_id: noisy_poses(i, rng, 4) for i in images}
    fewer = {**poses, 2: Poses.nobody(17)}
    theirs, ours = (Accuracy(evaluate(images, p, COCO_17), p, [], images) for p in (poses, fewer))
    document = accuracy_document(ours, COCO_17, theirs, draws=10)
    assert document["worst_images"][0]["image_id"] == 2
    return document


SIDE = {
    "source": "a",
    "kind": "artifact",
    "engine": "OpenVINO 2026.0",
    "precision": "int8",
    "contract": "compact",
    "input_size": [640, 640],
}
TARGET = {
    "name": "orin-nx",
    "description": "a board",
    "engine": "tensorrt",
    "status": "available",
    "served": "served",
    "precisions": ["int8", "fp32"],
    "contract": "decoded",
}


def certificate_document():
    with tempfile.TemporaryDirectory() as folder:
        return small_certificate(Path(folder))


EXAMPLES = {
    "targets": {"targets": [TARGET]},
    "target": {
        **TARGET,
        "cases": [
            {
                "devices": ["orin-nx"],
                "software": "JetPack 6.2",
                "tensorrt": "10.3.0",
                "precisions": ["int8", "fp32"],
                "refused": {"fp16": "because"},
                "prefer": "",
                "contract": "decoded",
                "dla": None,
                "not_served": [],
                "rules": ["a-rule"],
            }
        ],
        "rules": [{"name": "a-rule", "says": "So it is.", "source": "here"}],
        "facts": {"modules": [{"name": "orin-nx-8gb"}]},
        "unverified": {"orin-nx-8gb": ["super.int8_tops"]},
        "sources": {"seeed": "product data"},
    },
    "parity": {
        "verdict": {
            "parity": False,
            "stage": "P3",
            "kind": "precision",
            "side": None,
            "layer": "neck.up_8.split.conv",
            "cause": "one layer is wrong by itself",
            "advice": "look at its scales",
            "notes": [],
        },
        "a": SIDE,
        "b": SIDE,
        "pair": "int8",
        "pictures": 4,
        "stages": [
            {
                "name": "P3",
                "ok": False,
                "measured": {"snr_db": 1.5},
                "budget": {"snr_db": 2.0},
                "misses": ["SNR: expected at least 2 dB, got 1.5 dB"],
                "missing": None,
            }
        ],
        "layers": [
            {"name": "backbone.stem.conv", "snr_db": 45.5, "before_db": 30.0, "drop_db": 0.0}
        ],
    },
    "info": {"parameters": 2_500_000, "gflops": 6.5, "input_size": [640, 640], "stages": [{}]},
    "validate": validate_document(),
    "bench": {
        "preprocess_ms": MS,
        "infer_ms": MS,
        "decode_ms": MS,
        "end_to_end_ms": MS,
        "fps": 30.5,
        "unstable": False,
        "cpu": {"model": "Some CPU", "flags": ["avx2"], "threads": 2},
        "scenarios": {
            "camera": scenario_document(
                scripted_run("camera", steady, fps=30.0, seconds=1.0), "camera"
            )
        },
    },
    "bundle": {
        "bundle": "pose.tar.zst",
        "release": "0123456789ab",
        "target": "openvino-cpu",
        "artifacts": [
            {
                "folder": "artifacts/int8",
                "engine": "openvino",
                "precision": "int8",
                "contract": "compact",
                "input_size": [320, 320],
            }
        ],
        "files": 130,
        "size_mb": 7.5,
        "licences": ["Apache-2.0"],
        "tool_versions": {"erpose-edge": "0.1.0"},
        "signed_by": None,
        "signature_checked": False,
    },
    "certificate": certificate_document(),
    "certificate-verify": {
        "certificate": "certificate.json",
        "genuine": True,
        "exit_code": 4,
        "checks": [{"name": "seal", "error": None}, {"name": "max_p99_ms 8", "error": "p99: ..."}],
        "verdict": {"pass": False, "exit_code": 4, "reasons": ["p99: ..."], "notes": []},
    },
    "certificate-compare": {
        "a": "a.json",
        "b": "b.json",
        "pairs": [
            {
                "a": "int8",
                "b": "int8",
                "accuracy": {
                    "a_ap": 0.5,
                    "b_ap": 0.51,
                    "difference": {"value": 0.01, "low": -0.01, "high": 0.02},
                    "retention": {"value": 1.02, "low": 0.99, "high": 1.04},
                },
                "latency": None,
            }
        ],
        "reasons": ["int8, latency: power mode: 15W, and MAXN"],
        "notes": [],
    },
    "lint": {
        "engine": None,
        "errors": 1,
        "warnings": 0,
        "notes": 0,
        "summary": {
            "nodes": 3,
            "quantize": 1,
            "dequantize": 1,
            "convolutions": 1,
            "int8_convolutions": 0,
            "macs": 1000,
            "float_macs": 1000,
            "float_share": 1.0,
            "islands": 0,
        },
        "findings": [
            {
                "rule": "broken-scale",
                "severity": "error",
                "node": "q",
                "op": "QuantizeLinear",
                "what": "scale 0 in 1 of 1 places",
                "cost": "every value becomes 0 or is no number",
                "mend": "calibrate again: the range was empty or not finite",
                "nodes": ["q"],
            }
        ],
    },
    "sensitivity": {
        "images": 10,
        "people": 30,
        "fp32": {"ap": 0.5},
        "int8": EFFECT,
        "layers": [
            {"layer": "neck.up_8.join.conv", "rank": 1, **EFFECT, "without": None},
            {"layer": "neck.up_8.split.conv", "rank": 2, **EFFECT, "without": EFFECT},
        ],
        "search": {
            "met": True,
            "keep_float": ["neck.up_8.join.conv"],
            "retention": 0.993,
            "modelled_ms": 11.5,
            "steps": [
                {
                    "change": "as quantized",
                    "float_layers": 0,
                    "retention": 0.97,
                    "modelled_ms": 11.0,
                    "met": False,
                }
            ],
            "policy": "runs/sensitivity/policy.yaml",
            "fp32_ms": {"neck.up_8.join.conv": 0.8},
            "int8_ms": {"neck.up_8.join.conv": 0.3},
            "boundary_ms": 0.2,
            "rest_ms": [1.0, 0.7],
            "latency_model": {"fp32": {"modelled_ms": 20.0, "measured_ms": 21.0, "error": -0.048}},
        },
    },
    "stability": stability_document(
        measure_stability(
            lambda frame: Poses(
                np.ones(1, np.float32),
                np.arange(34, dtype=np.float32).reshape(1, 17, 2),
                np.ones((1, 17), np.float32),
            ),
            [(np.zeros((4, 4, 3), np.uint8), None)] * 3,
            30.0,
            COCO_17,
        ),
        "three frames",
    ),
    "trt-check": {
        "tool": "tensorrt-rtx 1.7.1.116",
        "passed": False,
        "files": [
            {
                "file": "model.onnx",
                "passed": False,
                "violations": [{"node": "q", "rule": "zero point 0", "got": "3"}],
                "parsed": False,
                "built": False,
                "layers": None,
                "engine_mb": None,
                "seconds": 0.5,
                "errors": ["q (QuantizeLinear): Non-zero zero point is not supported"],
                "warnings": [],
            }
        ],
        "proves": [],
        "does_not_prove": ["speed"],
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
    "doctor": doctor_document(),
    "push": {
        "exit_code": 4,
        "hosts": [
            PushResult("nano@board", "served", release="0123456789ab", certificate={}).to_json(),
            PushResult("board:2222", "kept", 4, "p99: expected at most 8 ms, got 9 ms").to_json(),
        ],
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
    assert (
        errors("deploy", {**verdict.to_json(), "artifact": None, "notes": [], "remaining": []})
        == []
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_promised_key_is_required(name):
    for key in load_schema(name)["required"]:
        document = copy.deepcopy(EXAMPLES[name])
        del document[key]
        assert errors(name, document) == [f"{key!r} is a required property"]


WRONG = {
    "kind of luck": ("parity", ("verdict", "kind"), "luck"),
    "SNR of null": ("parity", ("layers", 0, "snr_db"), None),
    "AP of 50": ("validate", ("ap",), 50),
    "AP of null": ("validate", ("ap",), None),
    "AP of a subset above 1": ("validate", ("ap_crowd_easy",), 1.5),
    "an interval above 1": ("validate", ("intervals", "ap"), [0.5, 1.5]),
    "an interval of one end": ("validate", ("intervals", "ap"), [0.5]),
    "retention without its ends": ("validate", ("against", "retention", "ap"), {"value": 1}),
    "a worst image of nobody": ("validate", ("worst_images", 0, "people"), 0),
    "outcomes of another kind": ("validate", ("outcomes", "score", "dtype"), "<f4"),
    "half an image": ("validate", ("images",), 1.5),
    "size of three": ("info", ("input_size",), [3, 640, 640]),
    "no p99": ("bench", ("infer_ms",), {"p50": 1, "p90": 1}),
    "flags as text": ("bench", ("cpu", "flags"), "avx2"),
    "a scenario of another name": ("bench", ("scenarios",), {"server": {}}),
    "floats as moments": ("bench", ("scenarios", "camera", "samples_ns", "dtype"), "<f8"),
    "unstable without a word": ("bench", ("scenarios", "camera", "unstable"), [""]),
    "keypoint of two numbers": ("predict", ("images", 1, "poses", 0, "keypoints"), [[1, 2]]),
    "score of 2": ("predict", ("images", 1, "poses", 0, "score"), 2),
    "severity of fatal": ("lint", ("findings", 0, "severity"), "fatal"),
    "share above 1": ("lint", ("summary", "float_share"), 1.5),
    "a finding without its node": ("trt-check", ("files", 0, "violations", 0), {"rule": "r"}),
    "no graph at all": ("trt-check", ("files",), []),
    "OKS lost of 2": ("sensitivity", ("layers", 0, "oks_loss"), 2),
    "rank 0": ("sensitivity", ("layers", 1, "rank"), 0),
    "time below zero": ("sensitivity", ("search", "fp32_ms", "neck.up_8.join.conv"), -1),
    "part number in words": ("doctor", ("machine", "board", "part_number"), "Orin Nano"),
    "state of maybe": ("doctor", ("targets", 0, "state"), "maybe"),
    "remedy for nothing": ("doctor", ("to_do", 0, "what"), ""),
    "release of four digits": ("bundle", ("release",), "0123"),
    "a bundle of no artifacts": ("bundle", ("artifacts",), []),
    "a signer without hash": ("bundle", ("signed_by",), "me"),
    "served perhaps": ("targets", ("targets", 0, "served"), "perhaps"),
    "DLA of maybe": ("target", ("cases", 0, "dla"), "maybe"),
    "no case": ("target", ("cases",), []),
    "exit code 1": ("push", ("exit_code",), 1),
    "a host that is maybe served": ("push", ("hosts", 0, "status"), "maybe"),
    "a layer in int4": ("certificate", ("placement", "int8", 0, "precision"), "int4"),
    "format 1": ("certificate", ("certificate",), 1),
    "moments of floats": (
        "certificate",
        ("latency", "int8", "turns", "samples_ns", "dtype"),
        "<f8",
    ),
    "a hash of 63 digits": ("certificate", ("artifacts", "int8", "weights_sha256"), "0" * 63),
    "an error of nothing": ("certificate-verify", ("checks", 1, "error"), ""),
    "an interval without its end": (
        "certificate-compare",
        ("pairs", 0, "accuracy", "difference"),
        {"value": 0},
    ),
    "verdict of maybe": ("deploy", ("verdict",), "maybe"),
    "people from luck": ("stability", ("people_from",), "luck"),
    "jitter below zero": ("stability", ("jitter", "value"), -1),
    "more than everybody found": ("stability", ("found",), 1.5),
    "two frames": ("stability", ("clip", "frames"), 2),
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
