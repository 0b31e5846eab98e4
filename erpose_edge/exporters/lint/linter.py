"""The Q/DQ linter: what keeps a quantized graph from being fast or exact, found without running it.

It reads ONNX, ours and others': Q/DQ graphs, graphs of integer operators, and float ones. What an
engine makes of a graph is the engine's secret; where it would have to fall back to float, or round
once more than the network was trained for, can be seen in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.errors import ExportError, RequestError
from erpose_edge.exporters.lint import rules_outputs as outputs
from erpose_edge.exporters.lint import rules_placement as placement
from erpose_edge.exporters.lint import rules_scales as scales
from erpose_edge.exporters.lint.contract import LintOptions
from erpose_edge.exporters.lint.report import ERROR, Finding, Report, ranked
from erpose_edge.exporters.lint.subject import Subject

if TYPE_CHECKING:
    import onnx

    from erpose_edge.quantization.recipe import Policy

ENGINES = ("tensorrt", "openvino", "onnxruntime", "tflite")
# By the ids of what they find.
RULES: dict[tuple[str, ...], Callable[[Subject], Iterator[Finding]]] = {
    ("float-island",): placement.float_islands,
    ("unquantized-input",): placement.unquantized_inputs,
    ("split-activation",): placement.split_activations,
    ("requantization", "dead-pair"): placement.requantizations,
    ("dead-pair",): placement.dead_pairs,
    ("unfolded-batch-norm",): placement.batch_norm,
    ("against-policy",): placement.against_policy,
    ("transpose",): placement.transposes,
    ("dynamic-range",): placement.dynamic_ranges,
    ("unequal-scales",): scales.unequal_scales,
    ("mismatched-pair",): scales.mismatched_pairs,
    ("asymmetric-zero-point",): scales.zero_points,
    ("unsigned",): scales.unsigned_integers,
    ("saturation",): scales.saturation,
    ("per-tensor-weights", "dead-channels"): scales.weight_scales,
    ("broken-scale", "tiny-scale"): scales.broken_scales,
    ("quantized-decoding",): outputs.quantized_decoding,
    ("coarse-step",): outputs.coarse_steps,
    ("mixed-output",): outputs.mixed_outputs,
    ("no-quantization",): outputs.no_quantization,
}


def lint(model: onnx.ModelProto, options: LintOptions | None = None) -> Report:
    """Return what is wrong with ``model``, and the numbers of all of it.

    Args:
        model: Any ONNX graph; left as it is.
        options: How to judge; by default for no engine in particular, and without a policy.
    """
    options = options or LintOptions()
    subject = Subject(model, options)
    findings = [finding for rule in RULES.values() for finding in rule(subject)]
    return Report(options.engine, ranked(findings), subject.summary)


def require_clean(engine: str, model: onnx.ModelProto, policy: Policy | None) -> Report:
    """Return the report on ``model``, which has to be without errors.

    Args:
        engine: That it was spelled for.
        model: As it goes to the engine.
        policy: That it was quantized with; None for a float graph.

    Raises:
        ExportError: The linter finds an error; the message names the worst one.
    """
    report = lint(model, LintOptions(engine=engine, policy=policy))
    errors = report.of(ERROR)
    if errors:
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise ExportError(
            f"lint for {engine}, {first.node}: expected no {first.rule}, got {first.op}: "
            f"{first.what}, which costs {first.cost}{more}; {first.mend}"
        )
    return report


def read_model(path: Path) -> onnx.ModelProto:
    """Return the ONNX graph of a file, without weights where their own file is missing.

    Raises:
        RequestError: There is no such file, or it is not ONNX.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx.external_data_helper import load_external_data_for_model

    if not path.is_file():
        raise RequestError(f"{path}: expected an ONNX file, got none; check the path")
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise RequestError(
            f"{path}: expected an ONNX file, got something else; pass the .onnx"
        ) from error
    if not model.graph.node:
        raise RequestError(f"{path}: expected an ONNX file with nodes, got none; pass the .onnx")
    try:
        load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError):
        return onnx.load(path, load_external_data=False)
    return model
