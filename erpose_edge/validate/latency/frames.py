"""The pictures that a scenario is measured with, and the order in which they come."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from erpose_edge.errors import RequestError
from erpose_edge.runtime.images import IMAGE_SUFFIXES, read_image
from erpose_edge.validate.latency.turns import example_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

MOST_PICTURES = 64  # decoded, and all in memory, they stay below 100 MB at 640x480
_EXAMPLES = 8
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class FrameSet:
    """Pictures as files hold them.

    Attributes:
        description: In words.
        contents: The bytes of each file, as a decoder of pictures takes them.
        sizes: (height, width) of each in pixels.
    """

    description: str
    contents: tuple[bytes, ...]
    sizes: tuple[tuple[int, int], ...]

    @classmethod
    def of_pictures(cls, pictures: Iterable[NDArray[np.uint8]], description: str) -> FrameSet:
        """Make a set of pictures, BGR (H, W, 3), as JPEG.

        Raises:
            RequestError: There is none.
        """
        contents, sizes = [], []
        for picture in pictures:
            _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            contents.append(content.tobytes())
            sizes.append((picture.shape[0], picture.shape[1]))
        if not contents:
            raise RequestError("pictures: expected at least one to measure with, got none")
        return cls(f"{description}, as JPEG", tuple(contents), tuple(sizes))

    @classmethod
    def of_files(cls, path: Path) -> FrameSet:
        """Read a picture, or the first 64 by name of a folder.

        Raises:
            ImageError: A file is missing, or no picture.
            RequestError: The folder has none.
        """
        files, there = [path], 1
        if path.is_dir():
            found = sorted(f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
            files, there = found[:MOST_PICTURES], len(found)
        if not files:
            raise RequestError(f"{path}: expected pictures in the folder, got none; name another")
        shapes = [read_image(file).shape for file in files]
        return cls(
            f"{len(files)} of {there} pictures of the user",
            tuple(file.read_bytes() for file in files),
            tuple((height, width) for height, width, _ in shapes),
        )

    @classmethod
    def examples(cls) -> FrameSet:
        """Return patterns with content at every scale: where people cannot be drawn."""
        pictures = [example_frame(seed=2026 + number) for number in range(_EXAMPLES)]
        return cls.of_pictures(pictures, f"{_EXAMPLES} patterns of 640x480")

    def __len__(self) -> int:
        return len(self.contents)

    @property
    def sha256(self) -> str:
        """Of the files' hashes, one after the other."""
        digests = [hashlib.sha256(content).digest() for content in self.contents]
        return hashlib.sha256(b"".join(digests)).hexdigest()

    def decode(self, index: int) -> NDArray[np.uint8]:
        """Return a picture, BGR (H, W, 3)."""
        content = np.frombuffer(self.contents[index], np.uint8)
        return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)

    def order(self, seed: int) -> Iterator[int]:
        """Yield indices without end: every picture once, shuffled, then all again otherwise.

        Args:
            seed: The same seed gives the same order on every machine.
        """
        generator = np.random.Generator(np.random.PCG64(seed))
        while True:
            for index in generator.permutation(len(self.contents)):
                yield int(index)

    def to_json(self) -> dict[str, Any]:
        """Return what was measured with as plain values."""
        return {
            "description": self.description,
            "count": len(self),
            "sha256": self.sha256,
            "sizes": [list(size) for size in sorted(set(self.sizes))],
        }
