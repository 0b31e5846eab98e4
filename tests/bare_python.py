"""A Python that has a few packages and nothing else: what a board has."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

BOARD = ("numpy", "opencv-python-headless")
ENGINES = {
    "openvino": ("openvino",),
    "tflite": ("ai-edge-litert", "backports-strenum", "flatbuffers"),
}


def bare_python(folder: Path, engine: str) -> Path:
    """Make a virtual environment with numpy, cv2 and one engine; return its interpreter.

    The packages are links to those of this environment, so that nothing is installed.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in (*BOARD, *ENGINES[engine]):
        for file in distribution(name).files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(distribution(name).locate_file(top))
    return folder / "bin" / "python3"
