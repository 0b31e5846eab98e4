"""``erpose-edge trt-check``: parse and build a graph for TensorRT, without TensorRT or a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erpose_edge.cli.output import console, emit_json
from erpose_edge.errors import EXIT_TARGET

if TYPE_CHECKING:
    from erpose_edge.exporters.tensorrt.check import CheckReport, FileCheck

_SHOWN = 10


def command(
    model: Annotated[Path, typer.Argument(help="ONNX file, or the folder of an artifact.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Parse and build a graph for TensorRT, without a GPU."""
    from erpose_edge.exporters.tensorrt.check import check_graphs

    report = check_graphs(model)
    if as_json:
        emit_json(report.to_json())
    else:
        _print(report)
    if not report.passed:
        raise typer.Exit(EXIT_TARGET)


def _print(report: CheckReport) -> None:
    from erpose_edge.exporters.tensorrt.check import DOES_NOT_PROVE, PROVES

    for check in report.files:
        _print_check(check, report.tool)
    for text in PROVES if report.passed else ():
        _say(f"proves: {text}")
    for text in DOES_NOT_PROVE:
        _say(f"does not prove: {text}")


def _print_check(check: FileCheck, tool: str) -> None:
    if check.built:
        did = f"{check.layers} layers, engine {check.engine_mb} MB in {check.seconds} s"
    else:
        did = "parsed, but not built" if check.parsed else "not parsed"
    _say(f"{check.file}: {'pass' if check.passed else 'fail'}; {tool}: {did}")
    for word, lines in (
        ("not in the dialect", [str(finding) for finding in check.violations]),
        ("error", check.errors),
        ("warning", check.warnings),
    ):
        for line in lines[:_SHOWN]:
            _say(f"{word}: {line}")
        if len(lines) > _SHOWN:
            _say(f"{word}: {len(lines) - _SHOWN} more; --json lists all")


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
