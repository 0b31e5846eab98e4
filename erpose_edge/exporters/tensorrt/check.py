"""What can be known of a graph for TensorRT without TensorRT: our own rules, and TensorRT-RTX.

TensorRT itself does not come from the public package index and needs a GPU to build; TensorRT-RTX
does and does not. It reads ONNX with the same parser and has the same type system, but it is
another product: what a pass proves, and what not, is part of the report.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import erpose_edge
from erpose_edge.errors import ExportError, MissingExtraError, RequestError
from erpose_edge.exporters.lint.linter import read_model
from erpose_edge.exporters.tensorrt.dialect import Finding, find_violations

_BUILD = "erpose_edge.exporters.tensorrt.rtx_build"
_TIMEOUT_S = 900
_MB = 1e6

PROVES = (
    "every rule of the dialect holds: int8 with zero point 0, one scale where tensors meet, scales "
    "per output channel, no plugin",
    "TensorRT-RTX parses the graph, finds its types consistent and builds an engine ahead of time "
    "(compute capability 8.6)",
)
DOES_NOT_PROVE = (
    "that a board's TensorRT takes it: TensorRT-RTX is another product with other kernels, and "
    "builds for compute capability 7.5 to 12.1 without Xavier (7.2), Orin (8.7) and Thor (11.0)",
    "which layers run in int8 or float16 there, how fast, and how accurately: nothing was run",
)


@dataclass(frozen=True)
class FileCheck:
    """What was found out about one graph.

    Attributes:
        file: The graph.
        violations: Where it is not in the dialect.
        parsed: TensorRT-RTX takes it.
        built: And builds it.
        layers: Of the parsed network.
        engine_mb: Size of what was built, 10^6 bytes.
        seconds: To parse and to build.
        errors: Of TensorRT-RTX, with the names of the nodes.
        warnings: The same.
    """

    file: Path
    violations: tuple[Finding, ...]
    parsed: bool
    built: bool
    layers: int | None
    engine_mb: float | None
    seconds: float
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it is in the dialect and was built."""
        return self.built and not self.violations


@dataclass(frozen=True)
class CheckReport:
    """What was found out about the graphs of one artifact, or one graph.

    Attributes:
        tool: TensorRT-RTX and its version.
        files: One check each.
    """

    tool: str
    files: tuple[FileCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether all did."""
        return all(check.passed for check in self.files)

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "tool": self.tool,
            "passed": self.passed,
            "files": [{**asdict(check), "passed": check.passed} for check in self.files],
            "proves": list(PROVES) if self.passed else [],
            "does_not_prove": list(DOES_NOT_PROVE),
        }


def check_graphs(place: Path) -> CheckReport:
    """Check one ONNX file, or every one of an artifact.

    Args:
        place: A file ``*.onnx`` or an artifact's folder.

    Raises:
        RequestError: There is no such file, or no ONNX graph in it.
        IntegrityError: The artifact is damaged.
        MissingExtraError: onnx or TensorRT-RTX is not installed.
        ExportError: TensorRT-RTX ended without an answer.
    """
    files = _graphs(place)
    _require_packages()
    checked = []
    version = ""
    for file in files:
        violations = tuple(find_violations(read_model(file)))
        answer = _build(file)
        version = answer["version"]
        size = answer["engine_bytes"]
        checked.append(
            FileCheck(
                file,
                violations,
                answer["parsed"],
                answer["built"],
                answer["layers"],
                None if size is None else round(size / _MB, 3),
                round(answer["seconds"], 2),
                tuple(answer["errors"]),
                tuple(answer["warnings"]),
            )
        )
    return CheckReport(f"tensorrt-rtx {version}", tuple(checked))


def _graphs(place: Path) -> list[Path]:
    from erpose_edge.runtime.artifact import read_artifact

    if not place.is_dir():
        if place.exists():
            return [place]
        raise RequestError(
            f"{place}: expected an ONNX file or an artifact's folder, got no such file; "
            "check the path"
        )
    artifact = read_artifact(place)
    found = sorted(place / name for name in artifact.manifest.files if name.endswith(".onnx"))
    if not found:
        raise RequestError(
            f"{place}: expected an artifact with an ONNX graph, got one for "
            f"{artifact.manifest.engine}; export it for a TensorRT target"
        )
    return found


def _build(file: Path) -> dict[str, Any]:
    root = str(Path(erpose_edge.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-m", _BUILD, str(file)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired as error:
        raise _no_answer(file, f"nothing for {_TIMEOUT_S} s") from error
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer
    if done.returncode < 0:
        raise _no_answer(file, f"the end of its process by {signal.Signals(-done.returncode).name}")
    said = [line for line in done.stderr.splitlines() if line.strip()]
    raise _no_answer(file, said[-1] if said else f"exit code {done.returncode}")


def _no_answer(file: Path, got: str) -> ExportError:
    return ExportError(
        f"trt-check {file}: expected tensorrt-rtx to parse and build the graph, got {got}; "
        "reinstall 'erpose-edge[trt-check]' or report the graph to NVIDIA"
    )


def _require_packages() -> None:
    for package, extra in (("onnx", "export"), ("tensorrt_rtx", "trt-check")):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                f"trt-check: expected the package {package}, got none; "
                f"run `pip install 'erpose-edge[{extra}]'`"
            )
