"""Read a certificate that somebody else may have written, or altered."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from erpose_edge.runtime.manifest import PRECISIONS as ARTIFACT_PRECISIONS
from erpose_edge.runtime.manifest_fields import Fields
from erpose_edge.validate.certificate.seal import FORMAT
from erpose_edge.validate.placement import INT8, PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Callable

# Ten minutes at 100 frames a second are 3 MB of samples, 5,000 images 3 MB of outcomes; of these
# there may be a few artifacts and scenarios.
MOST_BYTES = 256 * 1024 * 1024
_REMEDY = "measure again"


def parse_certificate(content: bytes, where: str) -> dict[str, Any]:
    """Return the document of a certificate whose fields are all there and of the right kind.

    Raises:
        IntegrityError: They are not; the message names the first.
    """
    fields = Fields.parse(content, where, MOST_BYTES, _REMEDY)
    version = fields.integer("certificate", 0)
    if version != FORMAT:
        raise fields.error("certificate", f"format {FORMAT}", version)
    for name in ("version", "target", "engine"):
        fields.text(name)
    fields.sha256("code_sha256")
    fields.optional("start_to_first_pose_ms", fields.number)
    names = _artifacts(fields)
    fields.choice("serving", tuple(names))
    _closed(fields.inner("bundle"), name=Fields.text, sha256=Fields.sha256)
    _closed(fields.inner("device"), description=Fields.text, fits=Fields.boolean)
    _data(fields.inner("data"))
    _settings(fields.inner("settings"))
    for name in ("machine", "budget"):
        fields.mapping(name)
    telemetry = fields.inner("telemetry")
    telemetry.texts("throttled")
    telemetry.texts("notes")
    fields.optional("reference", fields.mapping)
    test = fields.inner("self_test")
    test.boolean("passed")
    test.texts("reasons")
    _measured(fields, names, test.values["passed"])
    _closed(
        fields.inner("verdict"),
        **{"pass": Fields.boolean, "reasons": Fields.texts, "notes": Fields.texts},
        exit_code=lambda found, name: found.integer(name, 0, 6),
    )
    raw = fields.inner("raw_sha256")
    for name in raw.values:
        raw.sha256(name)
    fields.sha256("sha256")
    fields.end()
    return fields.values


def _artifacts(fields: Fields) -> list[str]:
    artifacts = fields.inner("artifacts")
    for name in artifacts.values:
        artifact = artifacts.inner(name)
        artifact.choice("precision", ARTIFACT_PRECISIONS)
        for text in ("engine", "contract", "skeleton"):
            artifact.text(text)
        artifact.optional("threads", partial(artifact.integer, low=1))
        artifact.integers("input_size", 1, 1 << 16)
        artifact.number("size_mb")
        for digest in ("manifest_sha256", "weights_sha256"):
            artifact.sha256(digest)
        for digest in ("calibration_sha256", "policy_sha256"):
            artifact.optional(digest, artifact.sha256)
        artifact.hashes_by_file("files")
        artifact.end()
    if not artifacts.values:
        raise fields.error("artifacts", "at least one", {})
    return list(artifacts.values)


def _data(data: Fields) -> None:
    data.text("description")
    data.sha256("sha256")
    data.integer("images", 1)


def _settings(settings: Fields) -> None:
    for moment in ("before", "during", "after"):
        settings.optional(moment, settings.mapping)
    settings.texts("changes")
    settings.boolean("asked")
    settings.end()


def _measured(fields: Fields, names: list[str], passed: bool) -> None:
    """Take what there is of every artifact; after a failed self-test there is nothing."""
    stability = fields.inner("stability")
    for part in ("accuracy", "latency", "placement"):
        found = fields.inner(part)
        expected = names if passed else []
        if list(found.values) != expected and sorted(found.values) != sorted(expected):
            raise fields.error(part, f"one of each artifact ({', '.join(expected)})", found.values)
        for name in found.values:
            if part == "latency":
                latency = found.inner(name)
                latency.mapping("turns")
                scenarios = latency.inner("scenarios")
                for scenario in scenarios.values:
                    scenarios.mapping(scenario)
                latency.end()
            elif part == "placement":
                _layers(found, name)
            else:
                found.inner(name).number("ap")
    for name in stability.values:
        if name not in names:
            raise stability.error(name, "an artifact's name", name)
        stability.mapping(name)


def _layers(placement: Fields, name: str) -> None:
    for layer in placement.inner_list(name):
        layer.text("layer")
        layer.text("kind")
        layer.choice("precision", PRECISIONS)
        layer.text("unit")
        layer.optional("asked", partial(layer.choice, allowed=(INT8,)))
        layer.end()


def _closed(fields: Fields, **kinds: Callable[[Fields, str], object]) -> None:
    """Take fields of these kinds and refuse others."""
    for name, take in kinds.items():
        take(fields, name)
    fields.end()
