from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_pose import tiny_manifest

from erpose_edge.errors import IntegrityError
from erpose_edge.runtime.manifest import InputSpec, Manifest
from erpose_edge.runtime.manifest_fields import is_plain_name

MANIFEST = tiny_manifest("compact", "openvino").with_files({"model.onnx": "a" * 64})
CONTENT = MANIFEST.to_bytes()

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def _signed(document: dict) -> bytes:
    """Write a document as a manifest is written, with a hash that fits."""

    def text(d: dict) -> bytes:
        return (json.dumps(d, indent=1, sort_keys=True) + "\n").encode()

    document = {k: v for k, v in document.items() if k != "manifest_sha256"}
    return text({**document, "manifest_sha256": hashlib.sha256(text(document)).hexdigest()})


def _changed(path: tuple, value: object) -> bytes:
    document = json.loads(CONTENT)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return _signed(document)


def test_what_is_written_is_read_back():
    assert Manifest.from_bytes(CONTENT) == MANIFEST
    assert _signed(json.loads(CONTENT)) == CONTENT


def test_suppression_is_written_only_where_there_is_any():
    # Manifests from before the field was known are read as they are.
    assert "nms" not in json.loads(CONTENT)
    dense = replace(MANIFEST, nms=0.65)
    assert json.loads(dense.to_bytes())["nms"] == 0.65
    assert Manifest.from_bytes(dense.to_bytes()) == dense


@settings(max_examples=300)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed_wherever_it_is(at, change):
    damaged = bytearray(CONTENT)
    damaged[at] ^= change
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(bytes(damaged))


@given(st.integers(0, len(CONTENT) - 1))
def test_a_cut_manifest_is_noticed(size):
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(CONTENT[:size])


@settings(max_examples=300)
@example("scales", {"": 0})  # an integer where a float is written
@example("scales", {"\n": None})
@given(st.sampled_from(sorted(json.loads(CONTENT))), json_values)
def test_any_value_in_any_field_is_taken_or_refused_in_one_line(field, value):
    try:
        manifest = Manifest.from_bytes(_changed((field,), value), "here/manifest.json")
    except IntegrityError as error:
        assert "here/manifest.json" in str(error)
        assert "\n" not in str(error)
    else:
        assert manifest.to_bytes() == _changed((field,), value)


@pytest.mark.parametrize(("layout", "shape"), [("NCHW", (1, 3, 64, 96)), ("NHWC", (1, 64, 96, 3))])
def test_the_input_size_follows_the_layout(layout, shape):
    spec = InputSpec("images", shape, layout)
    manifest = replace(Manifest.from_bytes(CONTENT), input=spec)
    assert Manifest.from_bytes(manifest.to_bytes()).input == spec
    assert manifest.input_size == (64, 96)


@given(st.binary(max_size=200) | json_values.map(lambda v: json.dumps(v).encode()))
def test_other_content_is_refused(content):
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(content)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format_version",), 2, "format_version: expected 1, got 2"),
        (("format_version",), True, "format_version: expected an integer"),
        (("precision",), "int4", "precision: expected fp32 or fp16 or int8, got 'int4'"),
        (("contract",), "boxes", "contract: expected raw or decoded or compact, got 'boxes'"),
        (("skeleton",), "coco-16", "skeleton: expected a known skeleton, got 'coco-16'"),
        (("input", "shape"), [1, 1, 64, 96], "input.shape: expected [1, 3, height, width]"),
        (("input", "layout"), "CHWN", "input.layout: expected NCHW or NHWC, got 'CHWN'"),
        (("input", "layout"), "NHWC", "input.shape: expected [1, height, width, 3], got [1, 3"),
        (("input", "more"), 1, "input.more: expected no such field, got 1"),
        (("outputs", 0, "dtype"), None, "outputs[0].dtype: expected text, got None"),
        (("outputs", 0), 3, "outputs[0]: expected an object, got 3"),
        (("max_poses",), 0, "max_poses: expected an integer from 1 to 100000, got 0"),
        (("score_threshold",), 1.5, "score_threshold: expected a number from 0 to 1, got 1.5"),
        (("nms",), 1.5, "nms: expected a number from 0 to 1, got 1.5"),
        (("nms",), None, "nms: expected a number, got None"),
        (("max_poses",), 5.0, "max_poses: expected an integer from 1 to 100000, got 5.0"),
        (("strides",), [], "strides: expected at least one integer"),
        (("scales",), {"a": "b"}, "scales.a: expected a number, got 'b'"),
        (("weights_sha256",), "A" * 64, "weights_sha256: expected 64 hex digits"),
        (("policy_sha256",), 5, "policy_sha256: expected 64 hex digits, got 5"),
        (("self_test", "seeds"), [1, 2], "self_test.poses: expected 2 lists, one a seed, got 1"),
        (("self_test", "poses"), [[{"score": 1}]], "poses of score and keypoints"),
        (("licences",), ["a", 1], "licences: expected a list of texts, got 1"),
        (("surprise",), 1, "surprise: expected no such field, got 1"),
    ],
)
def test_errors_name_file_and_field(path, value, message):
    with pytest.raises(IntegrityError) as caught:
        Manifest.from_bytes(_changed(path, value), "a/manifest.json")
    assert str(caught.value).startswith("a/manifest.json: ")
    assert message in str(caught.value)


def test_a_missing_field_is_named():
    document = json.loads(CONTENT)
    del document["strides"]
    with pytest.raises(IntegrityError, match=r"m: strides: expected the field, got none"):
        Manifest.from_bytes(_signed(document), "m")


@pytest.mark.parametrize(
    "name",
    ["../model.onnx", "a/b", "a\\b", "/etc/passwd", "..", ".", "", ".hidden", "a\n", "a\0", "C:a",
     "ä", "x" * 200],
)  # fmt: skip
def test_file_names_cannot_leave_the_folder(name):
    assert not is_plain_name(name)
    with pytest.raises(IntegrityError, match="files: expected plain file names without a path"):
        Manifest.from_bytes(_changed(("files",), {name: "a" * 64}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1, "a": 2}', "a field that stands twice"),
        (b'{"a": NaN}', "NaN, which is no number of JSON"),
        (b"[" * 100_000, "expected JSON, got"),
        (b"[]", "expected a JSON object, got list"),
        (b" " * (16 * 1024 * 1024 + 1), "expected at most 16777216 bytes"),
    ],
)
def test_tricks_of_json_are_refused(content, message):
    with pytest.raises(IntegrityError) as caught:
        Manifest.from_bytes(content)
    assert message in str(caught.value)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400])
def test_numbers_that_are_not_finite_are_refused(number):
    content = CONTENT.replace(b"0.0078125", number.encode())
    with pytest.raises(IntegrityError, match="finite number"):
        Manifest.from_bytes(content)
