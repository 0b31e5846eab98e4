"""One cache of decoded images for all training processes of a machine."""

from __future__ import annotations

import os
import socket
import sys
from typing import Literal

from erpose_edge.data.sample_cache import CachePlan, SampleCache, free_memory_bytes
from erpose_edge.data.training_set import TrainingSet
from erpose_edge.training.distributed import Processes

_MB = 1_000_000
_SHARE = 0.5  # of the free memory, for ``auto``: the rest is for networks, batches and labels


def share_cache(
    training_set: TrainingSet, cache_mb: int | Literal["auto"], processes: Processes
) -> None:
    """Give ``training_set`` a cache, the same one in all processes of this machine.

    The first process of the machine decides how large it is and makes it. Where that is impossible
    the images are read every time.

    Args:
        training_set: Gets the cache.
        cache_mb: Of `DataConfig`.
        processes: This process among the others; all of them have to call this.
    """
    machine = socket.gethostname()
    offer: tuple[str, CachePlan, tuple[int, int]] | None = None
    if os.environ.get("LOCAL_RANK", "0") == "0":
        plan = training_set.plan_cache(_budget(cache_mb))
        if plan.kept:
            training_set.cache = SampleCache(plan)
            offer = machine, plan, training_set.cache.address
    if processes.count == 1:
        return
    for found in processes.gather(offer):
        if found is not None and found[0] == machine and training_set.cache is None:
            try:
                training_set.cache = SampleCache.of(*found[1:])
            except OSError:  # not Linux, or a container of its own
                break


def _budget(cache_mb: int | Literal["auto"]) -> int:
    if sys.platform == "win32":  # open files do not travel to other processes there
        return 0
    return int(_SHARE * free_memory_bytes()) if cache_mb == "auto" else cache_mb * _MB
