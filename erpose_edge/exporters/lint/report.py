"""What the linter reports: findings, how bad they are, and the numbers of the whole graph."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """One fault of a graph.

    Attributes:
        rule: Its id, as in `erpose_edge.exporters.lint.linter.RULES`.
        severity: ``error``, ``warning`` or ``note``.
        node: The node, or for outputs the tensor, that it is about; the worst of ``nodes``.
        op: Operator of the node.
        what: The measured fact, with its number.
        cost: What it costs.
        mend: What to do.
        nodes: All that have a part in it.
        weight: Larger is worse, among findings of one rule; in a unit of the rule.
    """

    rule: str
    severity: str
    node: str
    op: str
    what: str
    cost: str
    mend: str
    nodes: tuple[str, ...] = ()
    weight: float = 0.0

    @property
    def line(self) -> str:
        """All of it in one line."""
        return f"{self.op} {self.node}: {self.what}; costs {self.cost}; {self.mend}"


@dataclass(frozen=True)
class Summary:
    """Numbers of the whole graph.

    Attributes:
        nodes: How many.
        quantize: QuantizeLinear on activations, or operators that end in one.
        dequantize: DequantizeLinear on activations, or operators that begin with one.
        convolutions: Convolutions and matrix products.
        int8_convolutions: Those whose data and weights are both quantized.
        macs: Multiply-accumulates of one inference.
        float_macs: Those that are not in int8.
        islands: Groups of float nodes between int8 ones.
    """

    nodes: int
    quantize: int
    dequantize: int
    convolutions: int
    int8_convolutions: int
    macs: int
    float_macs: int
    islands: int

    @property
    def float_share(self) -> float:
        """Share of the multiply-accumulates that are computed in float, in [0, 1]."""
        return self.float_macs / self.macs if self.macs else 0.0

    @property
    def line(self) -> str:
        """All of it in one line."""
        return (
            f"{self.nodes} nodes, {self.quantize} Q, {self.dequantize} DQ; "
            f"{self.int8_convolutions} of {self.convolutions} convolutions in int8; "
            f"{self.float_share:.1%} of {self.macs / 1e6:.4g} M MACs in float; "
            f"float islands: {self.islands}"
        )


@dataclass(frozen=True)
class Report:
    """What the linter found.

    Attributes:
        engine: It was judged for; None for what holds for any.
        findings: Worst first.
        summary: Of the whole graph.
    """

    engine: str | None
    findings: tuple[Finding, ...]
    summary: Summary

    def of(self, severity: str) -> list[Finding]:
        """Return the findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``lint --json``, without the file's name."""
        summary = {**asdict(self.summary), "float_share": round(self.summary.float_share, 6)}
        return {
            "engine": self.engine,
            **{f"{severity}s": len(self.of(severity)) for severity in SEVERITIES},
            "summary": summary,
            "findings": [_plain(finding) for finding in self.findings],
        }


def ranked(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return ``findings`` by severity, then rule, then weight, the worst first."""
    return tuple(
        sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.rule, -f.weight, f.node))
    )


def _plain(finding: Finding) -> dict[str, Any]:
    return {k: v for k, v in asdict(finding).items() if k != "weight"}
