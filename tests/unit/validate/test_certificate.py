"""What a certificate proves by itself: each alteration of one value is found, and named."""

from __future__ import annotations

import base64
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from small_certificate import small_certificate, two_accuracies, write_certificate

from erpose_edge.errors import IntegrityError, RequestError
from erpose_edge.runtime.artifact import file_sha256
from erpose_edge.schemas import load_schema
from erpose_edge.validate.certificate.parts import generated_data
from erpose_edge.validate.certificate.read import parse_certificate
from erpose_edge.validate.certificate.seal import digest, raw_hashes, require_sealed
from erpose_edge.validate.certificate.verify import Reach, require_genuine, verify

CASES = 500
# Numbers that need the poses themselves; `docs/certificate.md` says so.
NOT_COMPUTED_AGAIN = re.compile(
    r"per_keypoint|worst_images|bootstrap|rejected|crowd|samples_ns|turn_frames|frame_size|cpu|"
    r"\.engine|outcomes|shape"
)
STATISTICS = re.compile(r"accuracy\.|latency\.\w+\.turns|scenarios\.[\w-]+\.statistics")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("certificate")
    path = write_certificate(folder)
    return path, json.loads(path.read_text())


@pytest.fixture(scope="module")
def reach(whole) -> Reach:
    folder = whole[0].parent
    return Reach(artifacts=(folder / "int8", folder / "fp32"))


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for k, v in value.items() for leaf in leaves(v, f"{path}.{k}" if path else k)]
    if isinstance(value, list):
        return [leaf for i, v in enumerate(value) for leaf in leaves(v, f"{path}[{i}]")]
    return [(path, value)]


def change(document: dict[str, Any], at: Any, value: Any, *, seal: bool) -> dict[str, Any]:
    """Return a copy with one leaf changed, found by its place among the leaves."""
    copy = json.loads(json.dumps(document))
    count = -1

    def walk(part: Any) -> None:
        nonlocal count
        for key, inner in part.items() if isinstance(part, dict) else enumerate(part):
            if isinstance(inner, (dict, list)):
                walk(inner)
            else:
                count += 1
                if count == at:
                    part[key] = value

    walk(copy)
    if seal:
        copy["sha256"] = digest({k: v for k, v in copy.items() if k != "sha256"})
    return copy


def another(value: Any, dice: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + dice.choice((-1, 1))
    if isinstance(value, float):
        return value + dice.choice((-1, 1)) * dice.uniform(0.001, 0.1) * max(abs(value), 0.01)
    return f"{value} or so"


def another_sample(text: str, dice: random.Random) -> str:
    content = bytearray(base64.b64decode(text))
    content[dice.randrange(len(content))] ^= dice.randrange(1, 256)
    return base64.b64encode(bytes(content)).decode()


def another_hash(text: str, dice: random.Random) -> str:
    at = dice.randrange(len(text))
    return (
        text[:at] + dice.choice([c for c in "0123456789abcdef" if c != text[at]]) + text[at + 1 :]
    )


def kinds_of(document: dict[str, Any]) -> dict[str, list[tuple[int, str, Any]]]:
    found: dict[str, list[tuple[int, str, Any]]] = {}
    for at, (path, value) in enumerate(leaves(document)):
        number = isinstance(value, (int, float))
        if path.endswith("base64"):
            found.setdefault("sample", []).append((at, path, value))
        elif isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
            found.setdefault("hash", []).append((at, path, value))
        elif path.startswith("verdict"):
            found.setdefault("verdict", []).append((at, path, value))
        elif number and STATISTICS.match(path) and not NOT_COMPUTED_AGAIN.search(path):
            found.setdefault("statistic", []).append((at, path, value))
    return found


@pytest.mark.slow
def test_a_certificate_with_one_changed_sample_statistic_hash_or_verdict_is_refused(
    whole, reach, tmp_path
):
    """Also when whoever changed it sealed it again, but for hashes of what is not at hand."""
    path, document = whole
    kinds = kinds_of(document)
    assert min(len(found) for found in kinds.values()) >= 3
    changed = tmp_path / path.name
    changes = {"sample": another_sample, "hash": another_hash}
    for case in range(CASES):
        dice = random.Random(case)
        kind = dice.choice(sorted(kinds))
        at, place, value = dice.choice(kinds[kind])
        # Not at hand: the bundle; code of another version is no fault; scenarios' pictures.
        far = re.match(r"code_sha256|bundle|latency.*frames|data.generator|sha256", place)
        seal = not far and dice.random() < 0.8
        new = changes.get(kind, another)(value, dice)
        changed.write_text(json.dumps(change(document, at, new, seal=seal)))
        with pytest.raises(IntegrityError) as refusal:
            require_genuine(changed, reach)
        assert "\n" not in str(refusal.value), place
        assert str(refusal.value).startswith(str(changed)), place


def test_one_that_nobody_changed_is_genuine(whole, reach):
    path, document = whole
    assert require_genuine(path, reach) == document
    assert document["verdict"]["pass"] is True


def test_how_the_file_is_laid_out_does_not_matter(whole, tmp_path):
    compact = tmp_path / "compact.json"
    compact.write_text(json.dumps(whole[1], sort_keys=True))
    require_genuine(compact)


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        ("latency.int8.turns.end_to_end_ms.p99", 1.0, "end_to_end_ms.p99: expected"),
        ("latency.int8.turns.unstable", True, "unstable: expected False"),
        ("latency.fp32.scenarios.single-stream.statistics.fps", 999.0, "statistics.fps"),
        ("accuracy.int8.ap", 0.99, "accuracy.int8: ap: expected"),
        ("accuracy.int8.ap50", 0.99, "accuracy.int8: ap50: expected"),
        ("accuracy.fp32.intervals.ap[0]", 0.01, "accuracy.fp32: intervals.ap: expected"),
        ("accuracy.int8.against.retention.ap.low", 0.99, "against.retention.ap"),
        ("accuracy.int8.images", 7, "accuracy.int8: images: expected 6"),
        ("verdict.pass", False, "verdict: pass: expected True"),
        ("verdict.exit_code", 4, "verdict: exit_code: expected 0"),
        ("budget.max_p99_ms", 1.0, "verdict: pass: expected False"),
        ("placement.int8[1].precision", "int4", "placement.int8[1].precision: expected fp32 or"),
        ("data.scenes", 5, "data: sha256: expected"),
        ("artifacts.int8.precision", "int4", "artifacts.int8.precision: expected"),
    ],
)
def test_the_altered_field_is_named_in_one_line(whole, tmp_path, place, value, named):
    path, document = whole
    at = [name for name, _ in leaves(document)].index(place)
    changed = tmp_path / path.name
    changed.write_text(json.dumps(change(document, at, value, seal=True)))
    with pytest.raises(IntegrityError, match=re.escape(named)) as refusal:
        require_genuine(changed)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_sample_whose_change_no_statistic_shows_is_found_by_its_hash(whole, tmp_path):
    """One nanosecond is less than what is printed."""
    path, document = whole
    names = [name for name, _ in leaves(document)]
    at = names.index("latency.int8.turns.samples_ns.base64")
    content = bytearray(base64.b64decode(leaves(document)[at][1]))
    content[8 * 4 * 7 + 8] ^= 1
    new = base64.b64encode(bytes(content)).decode()
    changed = tmp_path / path.name
    changed.write_text(json.dumps(change(document, at, new, seal=True)))
    with pytest.raises(IntegrityError, match=r"latency.int8.turns.samples_ns: expected samples"):
        require_genuine(changed)


def test_only_a_signature_refuses_what_was_made_up_as_a_whole(whole, tmp_path):
    """The limit of what a file can prove about itself."""
    faked = small_certificate(whole[0].parent, accuracy=two_accuracies(seed=9))
    path = tmp_path / "faked.json"
    path.write_text(json.dumps(faked))
    require_genuine(path)


def test_a_signature_is_checked_with_the_key_that_the_reader_brings(whole, tmp_path):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from erpose_edge.deploy.bundle.signature import sign_text
    from erpose_edge.validate.certificate.seal import canonical_bytes
    from erpose_edge.validate.certificate.signature import signature_path

    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(whole[1]))
    ours, theirs = (ed25519.Ed25519PrivateKey.generate() for _ in range(2))
    public, other = (k.public_key().public_bytes_raw() for k in (ours, theirs))
    with pytest.raises(IntegrityError, match=r"signature: expected certificate.json.sig"):
        require_genuine(path, Reach(key=public))
    signed = canonical_bytes(whole[1])
    signature_path(path).write_bytes(sign_text(signed, ours).to_bytes(signed))
    require_genuine(path, Reach(key=public))
    with pytest.raises(IntegrityError, match=r"signature: expected one by SHA256:.*got one by"):
        require_genuine(path, Reach(key=other))
    faked = small_certificate(whole[0].parent, accuracy=two_accuracies(seed=9))
    path.write_text(json.dumps(faked))
    with pytest.raises(IntegrityError, match="expected the signature of this certificate"):
        require_genuine(path, Reach(key=public))


def test_what_is_at_hand_has_to_be_what_was_measured(whole, tmp_path):
    path, document = whole
    altered = tmp_path / "int8"
    altered.mkdir()
    for file in (path.parent / "fp32").iterdir():
        (altered / file.name).write_bytes(file.read_bytes())
    assert document["artifacts"]["int8"]["manifest_sha256"] != file_sha256(
        altered / "manifest.json"
    )
    checks = verify(path, Reach(artifacts=(altered,)))[1]
    assert [check.name for check in checks if check.error] == []  # it is the other one, renamed
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"others")
    with pytest.raises(
        IntegrityError, match=r"weights.safetensors: artifacts: expected the weights"
    ):
        require_genuine(path, Reach(weights=(weights,)))
    with pytest.raises(RequestError, match="expected a certificate, got no such file"):
        require_genuine(tmp_path / "none.json")


def test_code_and_data_have_hashes_of_what_they_are():
    first, other = generated_data(4, 0, (480, 640)), generated_data(5, 0, (480, 640))
    assert first["sha256"] != other["sha256"]
    assert first == generated_data(4, 0, (480, 640))


def test_an_array_anywhere_is_raw():
    array = {"shape": [1], "dtype": "<i8", "base64": "AAAAAAAAAAA="}
    assert list(raw_hashes({"a": [{"b": array}], "c": array})) == ["a[0].b", "c"]


def test_a_certificate_of_another_format_or_none_is_refused():
    for document in ({"certificate": 1}, [], {"certificate": 2, "sha256": "0" * 64}):
        with pytest.raises(IntegrityError, match="measure again"):
            require_sealed(document, "file")
    for content in (b"", b"[]", b'{"certificate": NaN}', b'{"certificate": 2}'):
        with pytest.raises(IntegrityError, match=r"file: .*; measure again"):
            parse_certificate(content, "file")


def test_every_field_is_needed_and_no_other_is_taken(whole):
    document = whole[1]
    for name in document:
        fewer = {key: value for key, value in document.items() if key != name}
        with pytest.raises(IntegrityError, match=name):
            parse_certificate(json.dumps(fewer).encode(), "file")
    with pytest.raises(IntegrityError, match="file: further: expected no such field"):
        parse_certificate(json.dumps({**document, "further": 1}).encode(), "file")


def test_it_keeps_to_the_published_schema(whole):
    jsonschema = pytest.importorskip("jsonschema")
    schema = load_schema("certificate")
    checker = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in checker.iter_errors(whole[1])] == []
    assert set(schema["required"]) == set(whole[1])
