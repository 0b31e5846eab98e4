"""Decoded training images in memory that every loader process of a machine shares.

Decoding a photograph takes longer than augmenting it, and mosaics draw an image several times an
epoch. So whichever process reads an image first leaves it here, uint8, for all others. The memory
belongs to a file without a name: it is gone with the last process that uses it, however that ends.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from dataclasses import dataclass
from multiprocessing import reduction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erpose_edge.data.sample import Sample

_ALIGNMENT = 64  # bytes; a place begins on a cache line
_COUNT_BYTES = 8  # the number of people, in front of them


@dataclass(frozen=True)
class CachePlan:
    """Where every image of a training set lies, as offsets into the shared memory.

    Attributes:
        sizes: Height, width and most people of every image (N, 3) int64.
        offsets: First byte of every image (N,) int64; -1 for those that found no room.
        keypoints: Of a person.
        total: Bytes in all.
    """

    sizes: NDArray[np.int64]
    offsets: NDArray[np.int64]
    keypoints: int
    total: int

    @property
    def kept(self) -> int:
        """Number of images that have a place."""
        return int((self.offsets >= 0).sum())


def plan_cache(
    sizes: NDArray[np.int64], weights: NDArray[np.float64], keypoints: int, budget: int
) -> CachePlan:
    """Give a place to as many images as fit, those that are drawn most often first.

    Args:
        sizes: Height, width and most people of every image (N, 3).
        weights: How often each is drawn (N,).
        keypoints: Of a person.
        budget: Bytes to use at most.
    """
    count = len(sizes)
    height, width, people = sizes.T
    needed = height * width * 3 + _COUNT_BYTES + people * _row(keypoints).itemsize
    needed = -(-needed // _ALIGNMENT) * _ALIGNMENT
    start = -(-count // _ALIGNMENT) * _ALIGNMENT  # in front: a byte an image, 1 once it is there
    order = np.argsort(-weights, kind="stable")
    ends = start + np.cumsum(needed[order])
    fitting = ends <= budget
    offsets = np.full(count, -1, np.int64)
    offsets[order[fitting]] = (ends - needed[order])[fitting]
    total = int(ends[fitting][-1]) if fitting.any() else 0
    return CachePlan(sizes, offsets, keypoints, total)


class SampleCache:
    """Samples by index, in shared memory.

    It travels to loader processes by pickling (their start passes the open file on), and to other
    processes of the same user by `address`.

    Args:
        plan: The same in all processes.
        descriptor: Open file of ``plan.total`` bytes, from here on owned by the cache; None
            makes a new one.
    """

    def __init__(self, plan: CachePlan, descriptor: int | None = None) -> None:
        self.plan = plan
        self._descriptor = _nameless_file(plan.total) if descriptor is None else descriptor
        weakref.finalize(self, os.close, self._descriptor)
        self._bytes = np.frombuffer(mmap.mmap(self._descriptor, plan.total), np.uint8)
        self._row = _row(plan.keypoints)

    @classmethod
    def of(cls, plan: CachePlan, address: tuple[int, int]) -> SampleCache:
        """Open the cache that another process of this machine made.

        Raises:
            OSError: That process is gone, is somebody else's, or this is not Linux.
        """
        process, descriptor = address
        return cls(plan, os.open(f"/proc/{process}/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC))

    @property
    def address(self) -> tuple[int, int]:
        """This process and its open file, for `of`."""
        return os.getpid(), self._descriptor

    def get(self, index: int) -> Sample | None:
        """Return a sample, or None if it is not there; its image must not be written to."""
        start = int(self.plan.offsets[index])
        if start < 0 or not self._bytes[index]:
            return None
        height, width, _ = (int(side) for side in self.plan.sizes[index])
        count = int(self._bytes[start : start + _COUNT_BYTES].view(np.int64)[0])
        people_end = start + _COUNT_BYTES + count * self._row.itemsize
        people = self._bytes[start + _COUNT_BYTES : people_end].view(self._row)
        image = self._bytes[people_end : people_end + height * width * 3]
        image = image.reshape(height, width, 3)
        image.flags.writeable = False
        return Sample(
            image=image,
            keypoints=people["keypoints"].copy(),
            flags=people["flags"].copy(),
            boxes=people["box"].copy(),
            areas=people["area"].copy(),
            ignored=people["ignored"].copy(),
        )

    def put(self, index: int, sample: Sample) -> None:
        """Keep a sample, if it has a place and fits into it.

        Processes may do so at the same time: what they write is the same.
        """
        start, count = int(self.plan.offsets[index]), len(sample.areas)
        height, width, most = (int(side) for side in self.plan.sizes[index])
        if start < 0 or count > most or sample.image.shape != (height, width, 3):
            return
        people = np.zeros(count, self._row)
        people["keypoints"], people["flags"] = sample.keypoints, sample.flags
        people["box"], people["area"] = sample.boxes, sample.areas
        people["ignored"] = sample.ignored
        content = [np.array([count], np.int64), people, np.ascontiguousarray(sample.image)]
        for part in content:
            end = start + part.nbytes
            self._bytes[start:end] = part.reshape(-1).view(np.uint8)
            start = end
        self._bytes[index] = 1  # last: until then, others read the image themselves

    def __getstate__(self) -> dict[str, Any]:
        return {"plan": self.plan, "descriptor": reduction.DupFd(self._descriptor)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["plan"], state["descriptor"].detach())  # type: ignore[misc]


def _row(keypoints: int) -> np.dtype[np.void]:
    """Return how a person is stored."""
    return np.dtype([
        ("keypoints", np.float32, (keypoints, 2)),
        ("box", np.float32, (4,)),
        ("area", np.float32),
        ("flags", np.int8, (keypoints,)),
        ("ignored", np.bool_),
    ])  # fmt: skip


def _nameless_file(size: int) -> int:
    """Return the descriptor of a new file of zeros that lives in memory, where there is such."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("erpose-samples", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def free_memory_bytes(root: Path = Path("/")) -> int:
    """Return the memory that this process may still use; 0 where the system does not say.

    Args:
        root: Where ``proc`` and ``sys`` are, for tests.

    Ref: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
    """
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    groups = root / "sys/fs/cgroup"
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),  # version 1
    ):
        try:
            texts = [(groups / name).read_text(encoding="ascii") for name in (limit, used)]
        except OSError:
            continue  # no container, or one without a limit of its own
        if all(text.strip().isdigit() for text in texts):  # "max" is no limit
            free.append(max(0, int(texts[0]) - int(texts[1])))
    return min(free, default=0)
