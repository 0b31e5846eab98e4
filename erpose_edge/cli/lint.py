"""``erpose-edge lint``: what makes a quantized ONNX graph slow or inexact, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erpose_edge.cli.output import console, emit_json
from erpose_edge.errors import EXIT_TARGET, RequestError

if TYPE_CHECKING:
    from erpose_edge.exporters.lint.report import Finding, Report

_SHOWN = 3  # findings of one rule on a screen; --all and --json list all


def command(
    model: Annotated[Path, typer.Argument(help="ONNX file, of this program or of any other.")],
    engine: Annotated[
        str | None,
        typer.Option(help="tensorrt, openvino, onnxruntime or tflite; by default none of them."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy that says what is meant to be float.")
    ] = None,
    tolerance_px: Annotated[
        float, typer.Option(min=0, help="Largest int8 step of a coordinate, in input pixels.")
    ] = 0.5,
    output: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=UNIT[*FACTOR][:TOLERANCE]",
            help="What an output carries: px, score or logit. Inferred by default.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option(help="Fail on warnings too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Show every finding.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find what makes a quantized ONNX graph slow or inexact."""
    import onnx  # noqa: F401 - named first where it is missing

    from erpose_edge.exporters.lint.contract import LintOptions, parse_output
    from erpose_edge.exporters.lint.linter import ENGINES, lint, read_model
    from erpose_edge.quantization.recipe import load_policy

    if engine is not None and engine not in ENGINES:
        raise RequestError(
            f"--engine: expected {' or '.join(ENGINES)}, got {engine!r}; choose one of these"
        )
    outputs = dict(parse_output(text) for text in output or [])
    graph = read_model(model)
    unknown = sorted(outputs.keys() - {o.name for o in graph.graph.output})
    if unknown:
        names = ", ".join(o.name for o in graph.graph.output)
        raise RequestError(f"--output: expected one of {names}, got {unknown[0]}; check its name")
    options = LintOptions(
        engine=engine,
        policy=None if policy is None else load_policy(policy),
        tolerance_px=tolerance_px,
        outputs=outputs,
    )
    report = lint(graph, options)
    if as_json:
        emit_json({"model": str(model), **report.to_json()})
    else:
        _print(model, report, everything)
    if report.of("error") or (strict and report.of("warning")):
        raise typer.Exit(EXIT_TARGET)


def _print(model: Path, report: Report, everything: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    engine = f" for {report.engine}" if report.engine else ""
    if report.findings:
        table = Table(
            "severity", "rule, node", "what, cost, mend",
            title=escape(f"{model.name}{engine}"), show_lines=True,
        )  # fmt: skip
        for finding, further in _shortened(report, everything):
            if further:
                table.add_row(finding.severity, finding.rule, f"and {further} more: see --all")
                continue
            where = f"{finding.rule}\n{finding.op} {finding.node}"
            text = f"{finding.what}\ncosts {finding.cost}\n{finding.mend}"
            table.add_row(finding.severity, escape(where), escape(text))
        console.print(table)
    counts = ", ".join(f"{s}s: {len(report.of(s))}" for s in ("error", "warning", "note"))
    console.print(f"{report.summary.line}\n{counts}", markup=False, soft_wrap=True)


def _shortened(report: Report, everything: bool) -> list[tuple[Finding, int]]:
    """Return the findings to show, with 0, or one of those left out and how many there are."""
    rows: list[tuple[Finding, int]] = []
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault((finding.severity, finding.rule), []).append(finding)
    for found in groups.values():
        shown = len(found) if everything or len(found) == _SHOWN + 1 else _SHOWN
        rows += [(finding, 0) for finding in found[:shown]]
        if found[shown:]:
            rows.append((found[shown], len(found) - shown))
    return rows
