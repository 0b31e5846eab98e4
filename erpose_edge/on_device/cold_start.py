"""How long it takes from starting the program to the first pose: what a restart costs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

import erpose_edge
from erpose_edge.data.generated.scene import render_scene
from erpose_edge.errors import TargetError

if TYPE_CHECKING:
    from erpose_edge.on_device.opened import EngineOptions, OpenedBundle

_SEED, _SIZE = 1, (480, 640)


def cold_start_ms(opened: OpenedBundle, options: EngineOptions) -> float:
    """Start ``run`` in a new process and wait for its first line, ms.

    In it are Python, imports, the hashes of the bundle, loading the network, and the self-test.

    Args:
        opened: The bundle.
        options: Of its engine.

    Raises:
        TargetError: It gave none.
    """
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        cv2.imwrite(str(picture), render_scene(_SEED, _SIZE)[0])
        command = [sys.executable, "-B", "-m", "erpose_edge.on_device.program", "run", "--json"]
        command += ["--bundle", str(opened.bundle.folder), "--source", str(picture)]
        command += options.words()
        path = str(Path(erpose_edge.__file__).resolve().parent.parent)
        started = time.perf_counter()
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
        )
        passed = time.perf_counter() - started
    if done.returncode or not done.stdout:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise TargetError(f"run: expected poses from a new process, got: {said}; run it by hand")
    return round(1e3 * passed, 1)
