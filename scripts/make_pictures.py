#!/usr/bin/env python3
"""Make the pictures of the README with ``erpose-edge predict``.

A generated scene, and the photograph in docs/images/sources (astronaut Eileen Collins; NASA, public
domain; as scikit-image ships it).

    python scripts/make_pictures.py [--model WEIGHTS_OR_ARTIFACT] [--threshold SCORE] [--seed 4]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_IMAGES = ROOT / "docs" / "images"
_PHOTOGRAPH = _IMAGES / "sources" / "astronaut.jpg"


def main(arguments: list[str] | None = None) -> None:
    """Render, predict, and write into docs/images."""
    parser = argparse.ArgumentParser(description="Make the pictures of the README.")
    parser.add_argument("--model", help="weights or artifact; the bundled weights by default")
    parser.add_argument("--threshold", help="least score that is drawn; the model's by default")
    parser.add_argument("--seed", default="4", help="of the generated scene")
    parser.add_argument("--out", type=Path, default=_IMAGES)
    options = parser.parse_args(arguments)
    model = ["--model", options.model] if options.model else []
    threshold = ["--threshold", options.threshold] if options.threshold else []
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        _erpose("data", "generate", "--out", str(data), "--count", "1", "--seed", options.seed)
        (scene,) = (data / "images").iterdir()
        scene = scene.rename(Path(name) / "generated.png")
        found = _erpose(
            "predict", str(scene), str(_PHOTOGRAPH), *model, *threshold, "--json",
            "--out", str(options.out),
        )  # fmt: skip
    for image in json.loads(found)["images"]:
        name = Path(image["file"]).stem
        print(f"{options.out / name}.jpg: {len(image['poses'])} poses")
        if not image["poses"]:
            print(f"warning: {name}: expected poses to show, got none", file=sys.stderr)


def _erpose(*arguments: str) -> str:
    command = [sys.executable, "-m", "erpose_edge", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)  # the command has said why
    return done.stdout


if __name__ == "__main__":
    main()
