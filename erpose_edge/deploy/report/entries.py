"""What a report is about: each artifact of each certificate, with a name of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import RequestError
from erpose_edge.validate.certificate.verify import Reach, require_genuine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Document = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One artifact of a certificate.

    Attributes:
        label: Its name in the report; no other has it.
        series: Place in the report, which is also its colour and mark.
        name: In the certificate.
        document: The certificate.
    """

    label: str
    series: int
    name: str
    document: Document

    @property
    def artifact(self) -> Document:
        """Facts of the artifact."""
        return dict(self.document["artifacts"][self.name])

    @property
    def accuracy(self) -> Document | None:
        """Its accuracy; None after a failed self-test."""
        return self.document["accuracy"].get(self.name)

    @property
    def latency(self) -> Document | None:
        """``turns`` and ``scenarios``; None after a failed self-test."""
        return self.document["latency"].get(self.name)

    @property
    def stability(self) -> Document | None:
        """Its stability; None where no clip was measured."""
        return self.document["stability"].get(self.name)

    @property
    def layers(self) -> list[Document]:
        """Where each layer ran."""
        return list(self.document["placement"].get(self.name, []))


@dataclass(frozen=True)
class Certificate:
    """A certificate with its artifacts, the one that serves first.

    Attributes:
        title: Its name in the report; no other has it.
        path: Of the file.
        document: What it says.
        entries: Its artifacts.
    """

    title: str
    path: Path
    document: Document
    entries: tuple[Entry, ...]


def read_certificates(paths: Sequence[Path], key: bytes | None = None) -> list[Certificate]:
    """Read and verify certificates.

    Args:
        paths: Of the files, in the order of the report.
        key: Public key that must have signed every one, 32 bytes.

    Raises:
        RequestError: A file is not there, or a certificate was given twice.
        IntegrityError: One was altered; the message names it and the field.
    """
    documents = [require_genuine(path, Reach(key=key)) for path in paths]
    seen: dict[str, Path] = {}
    for path, document in zip(paths, documents, strict=True):
        first = seen.setdefault(document["sha256"], path)
        if first is not path:
            raise RequestError(
                f"{path}: expected another certificate, got that of {first}; name each once"
            )
    targets = _unique([document["target"] for document in documents], paths)
    found: list[Certificate] = []
    series = 0
    for title, path, document in zip(targets, paths, documents, strict=True):
        serving = document["serving"]
        names = [serving, *sorted(name for name in document["artifacts"] if name != serving)]
        entries = []
        for name in names:
            label = name if len(documents) == 1 else f"{title} {name}"
            entries.append(Entry(label, series, name, document))
            series += 1
        found.append(Certificate(title, path, document, tuple(entries)))
    return found


def _unique(titles: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return titles, each with its file's name where others have it too, or with its number."""
    again = Counter(titles)
    named = [
        title if again[title] == 1 else f"{title} ({path.stem})"
        for title, path in zip(titles, paths, strict=True)
    ]
    again = Counter(named)
    return [
        title if again[title] == 1 else f"{title} {number}"
        for number, title in enumerate(named, start=1)
    ]
