"""The program of a bundle: parses, calls, prints; no logic.

Results go to standard output, with ``--json`` one document; progress goes to standard error.
Exit codes: 0 pass, 2 mistake in the request, 3 accuracy or self-test missed, 4 latency missed, 5
this device cannot serve the bundle, 6 damaged files.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import ErposeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Outcome = tuple[dict[str, Any], list[str], int]

# Every command: also the name of a script in the bundle.
COMMANDS = {
    "verify": "Check every file of the bundle against its hash.",
    "doctor": "Say what this device is, what is missing, and what mends it.",
    "build": "Build the engine for this device, or find the one that was built before.",
    "selftest": "Find the poses that the bundle says must be found.",
    "benchmark": "Measure accuracy, latency and energy here, and give a verdict.",
    "run": "Find people in pictures, videos or a camera; refuses if the self-test fails.",
}


# Limits of the budget, which may be given instead of the profile's.
LIMITS = {
    "min-retention": "smallest AP as a fraction of fp32's",
    "max-p99-ms": "largest 99th percentile of the latency, ms",
    "max-jitter": "largest jitter of keypoints, percent of a person's diagonal",
    "min-int8-share": "smallest part of the int8 convolutions that run in int8",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "run":
            from erpose_edge.on_device.run import run

            return run(options)
        document, lines, code = _outcome(options)
    except ErposeError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    text = json.dumps(document, indent=2, allow_nan=False) if options.json else "\n".join(lines)
    sys.stdout.write(text + "\n")
    return code


def _outcome(options: argparse.Namespace) -> Outcome:
    if options.command == "benchmark":
        from erpose_edge.on_device.benchmark import benchmark

        return benchmark(options)
    if options.command == "doctor":
        from erpose_edge.on_device.doctor import doctor

        return doctor(options)
    from erpose_edge.on_device import checks

    command: Any = getattr(checks, options.command)
    outcome: Outcome = command(options)
    return outcome


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m erpose_runtime",
        description="Pose estimation from this bundle.",
        epilog="Exit codes: 0 pass, 2 mistake in the request, 3 accuracy or self-test missed, "
        "4 latency missed, 5 this device cannot serve the bundle, 6 damaged files.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    made = {}
    for name, what in COMMANDS.items():
        made[name] = command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--bundle", type=Path, help="folder; the one of this program")
        command.add_argument("--json", action="store_true", help="print JSON")
    made["verify"].add_argument("--key", type=Path, help="public key that signed the bundle")
    made["verify"].add_argument("--strict", action="store_true", help="refuse without a signature")
    for name in ("build", "selftest", "benchmark", "run"):
        made[name].add_argument("--threads", type=int, help="of the engine; the profile's")
        made[name].add_argument("--cache", type=Path, help="TensorRT: folder of all engines")
        made[name].add_argument("--dla-core", type=int, help="TensorRT: number of the DLA core")
        made[name].add_argument("--gpu", action="store_true", help="TensorRT: leave DLA alone")
    _add_build(made["build"])
    _add_benchmark(made["benchmark"])
    _add_run(made["run"])
    return parser


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workspace-mb", type=int, help="TensorRT: memory that kernels may take")
    parser.add_argument("--level", type=int, help="TensorRT: 0 built fast, 5 runs fast")
    parser.add_argument("--again", action="store_true", help="TensorRT: build even what is there")
    parser.add_argument("--force", action="store_true", help="DLA: however often it changes")


def _add_benchmark(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing (default: 10)")
    parser.add_argument("--image", type=Path, help="picture to time with; a pattern by default")
    parser.add_argument("--scenes", type=int, help="generated scenes; as many as fp32 had at home")
    parser.add_argument("--set-power-mode", metavar="NAME", help="of nvpmodel, while measuring")
    parser.add_argument("--out", type=Path, help="file to write the certificate to")
    parser.add_argument("--clip", type=Path, help="video to measure jitter on")
    parser.add_argument("--clip-frames", type=int, help="at most so many; of generated people")
    parser.add_argument("--junit", type=Path, help="file to write the verdict to, as JUnit XML")
    for name, what in LIMITS.items():
        parser.add_argument(f"--{name}", type=float, help=f"{what}; the profile's")


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        action="append",
        required=True,
        help="picture, folder, video, camera (0), stream (rtsp://...) or gst:PIPELINE",
    )
    parser.add_argument("--threshold", type=float, help="leave out poses with a lower score")
    parser.add_argument("--limit", type=int, help="stop after so many frames")
    parser.add_argument("--out", type=Path, help="folder for drawn pictures")


if __name__ == "__main__":
    sys.exit(main())
