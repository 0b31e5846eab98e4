"""Verify a certificate: every statistic from its samples, every hash that can be reached."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import IntegrityError, RequestError
from erpose_edge.runtime.artifact import file_sha256, read_artifact
from erpose_edge.runtime.bundle import read_bundle
from erpose_edge.validate.certificate.judged import REFERENCE, verdict_of
from erpose_edge.validate.certificate.parts import (
    GENERATED,
    artifact_facts,
    facts_sha256,
)
from erpose_edge.validate.certificate.read import parse_certificate
from erpose_edge.validate.certificate.seal import RAW, raw_hashes, require_sealed
from erpose_edge.validate.certificate.signature import require_signature
from erpose_edge.validate.certificate.statistics import (
    check_accuracy_of,
    check_scenario,
    check_stability,
    check_turns,
    require_same,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True)
class Reach:
    """What is at hand to hold a certificate against.

    Attributes:
        artifacts: Folders of artifacts that it is about.
        bundle: Folder of the bundle.
        weights: Weights files that artifacts were exported from.
        key: Public key that must have signed it, 32 bytes.
    """

    artifacts: Sequence[Path] = ()
    bundle: Path | None = None
    weights: Sequence[Path] = ()
    key: bytes | None = None


@dataclass(frozen=True)
class Check:
    """One thing that was verified; ``error`` says in a line what is wrong, or is None."""

    name: str
    error: str | None


NOWHERE = Reach()


def verify(path: Path, reach: Reach = NOWHERE) -> tuple[dict[str, Any], list[Check]]:
    """Verify a certificate in a file.

    Args:
        path: Of the certificate.
        reach: What to hold it against.

    Returns:
        The document, and every check in order; it is genuine where none has an error.

    Raises:
        RequestError: A file or folder is not there.
        IntegrityError: The file is no certificate at all.
    """
    document, checks = _verified(path, reach)
    return document, list(checks)


def require_genuine(path: Path, reach: Reach = NOWHERE) -> dict[str, Any]:
    """Return a certificate once everything in it is verified.

    Raises:
        RequestError: A file or folder is not there.
        IntegrityError: It was altered; the message names the first field that does not fit.
    """
    document, checks = _verified(path, reach)
    for check in checks:
        if check.error is not None:
            raise IntegrityError(check.error)
    return document


def _verified(path: Path, reach: Reach) -> tuple[dict[str, Any], Iterator[Check]]:
    """Return the document, and its checks, each made when it is asked for."""
    if not path.is_file():
        raise RequestError(f"{path}: expected a certificate, got no such file; check the path")
    document = parse_certificate(path.read_bytes(), str(path))
    return document, (
        Check(name, _error(path, name, check)) for name, check in _checks(document, path, reach)
    )


def _error(path: Path, name: str, check: Callable[[], object]) -> str | None:
    try:
        check()
    except IntegrityError as error:
        text = str(error)
        return text if text.startswith(str(path)) else f"{path}: {name}: {text}"
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        # A part that somebody else's hand shortened, or made another kind of.
        got = " ".join(repr(error).split())
        return f"{path}: {name}: expected the fields of format 2, got {got}; measure again"
    return None


def _checks(
    document: dict[str, Any], path: Path, reach: Reach
) -> Iterator[tuple[str, Callable[[], object]]]:
    # The statistics come first: they name the field, where the seal only says that there is one.
    yield RAW, partial(_check_raw, document)
    accuracy = document["accuracy"]
    for name, found in accuracy.items():
        reference = None if name == REFERENCE else accuracy.get(REFERENCE)
        yield f"accuracy.{name}", partial(check_accuracy_of, found, reference)
    for name, found in document["latency"].items():
        yield f"latency.{name}.turns", partial(check_turns, found["turns"])
        for scenario, measured in found["scenarios"].items():
            yield f"latency.{name}.scenarios.{scenario}", partial(check_scenario, measured)
    for name, found in document["stability"].items():
        yield f"stability.{name}", partial(check_stability, found)
    yield "data", partial(_check_data, document)
    yield "verdict", partial(_check_verdict, document)
    yield "seal", partial(require_sealed, document, str(path))
    for folder in reach.artifacts:
        yield f"artifact {folder.name}", partial(_check_artifact, document, folder)
    if reach.bundle is not None:
        yield "bundle", partial(_check_bundle, document, reach.bundle)
    for file in reach.weights:
        yield f"weights {file.name}", partial(_check_weights, document, file)
    if reach.key is not None:
        yield "signature", partial(require_signature, document, path, reach.key)


def _check_raw(document: dict[str, Any]) -> None:
    body = {name: value for name, value in document.items() if name != RAW}
    found, stated = raw_hashes(body), document[RAW]
    for place in sorted({*found, *stated}):
        if found.get(place) != stated.get(place):
            raise IntegrityError(
                f"{place}: expected samples with the sha256 {_short(stated.get(place))}, got "
                f"{_short(found.get(place))}; measure again"
            )


def _check_data(document: dict[str, Any]) -> None:
    data = document["data"]
    if data.get("kind") == GENERATED:
        require_same({"sha256": facts_sha256(data)}, data)
    for name, found in document["accuracy"].items():
        counted = found["images"] + found["rejected"]
        if counted != data["images"]:
            raise IntegrityError(
                f"images: expected {data['images']} as in accuracy.{name}, got {counted}; "
                "measure again"
            )


def _check_verdict(document: dict[str, Any]) -> None:
    require_same(verdict_of(document), document["verdict"])


def _check_artifact(document: dict[str, Any], folder: Path) -> None:
    artifact = read_artifact(folder)
    stated = document["artifacts"]
    facts = artifact_facts(artifact, "", None)
    digest = facts["manifest_sha256"]
    same = [name for name, found in stated.items() if found["manifest_sha256"] == digest]
    if not same and folder.name not in stated:
        raise IntegrityError(
            f"artifacts: expected {folder} to be one of {', '.join(stated)}, got the "
            f"manifest_sha256 {_short(digest)}; name the artifact that was measured"
        )
    name = same[0] if same else folder.name
    _require_facts(facts, name, stated[name])


def _check_bundle(document: dict[str, Any], folder: Path) -> None:
    bundle = read_bundle(folder, in_use=True)
    expected = {"name": bundle.name, "sha256": bundle.document.digest}
    _require(f"bundle of {folder}", expected, document["bundle"])
    for path in bundle.artifacts:
        if path.name in document["artifacts"]:
            facts = artifact_facts(read_artifact(path), "", None)
            _require_facts(facts, path.name, document["artifacts"][path.name])


def _check_weights(document: dict[str, Any], file: Path) -> None:
    if not file.is_file():
        raise RequestError(f"{file}: expected weights, got no such file; check the path")
    digest = file_sha256(file)
    known = {found["weights_sha256"] for found in document["artifacts"].values()}
    if digest not in known:
        raise IntegrityError(
            f"artifacts: expected the weights_sha256 {_short(digest)} of {file}, got "
            f"{', '.join(_short(other) for other in sorted(known))}; name the weights of it"
        )


def _require_facts(facts: dict[str, Any], name: str, stated: dict[str, Any]) -> None:
    own = {key: value for key, value in facts.items() if key not in ("engine", "threads")}
    _require(f"artifacts.{name}", own, stated)


def _require(place: str, expected: dict[str, Any], stated: dict[str, Any]) -> None:
    for field, value in expected.items():
        if stated[field] != value:
            raise IntegrityError(
                f"{place}.{field}: expected {_short(value)}, got {_short(stated[field])}; "
                "it was measured with another"
            )


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else text[:80]
