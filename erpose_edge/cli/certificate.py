"""``erpose-edge certificate``: verify, compare, show and sign what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erpose_edge.cli.output import console, emit_json, messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from erpose_edge.validate.certificate.verify import Check

command = typer.Typer(
    name="certificate",
    help="Verify, compare, show and sign certificates.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
File = Annotated[Path, typer.Argument(metavar="FILE", help="Certificate that `benchmark` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@command.command()
def verify(
    path: File,
    artifact: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Artifact that was measured; may be repeated."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Bundle that was measured.")
    ] = None,
    weights: Annotated[
        list[Path] | None, typer.Option(help="Weights that it was exported from.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="PUB", help="Public key that must have signed it.")
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Also fail where its budget was missed.")
    ] = False,
    min_retention: Annotated[
        float | None, typer.Option(min=0, help="Judge with this; implies --gate.")
    ] = None,
    max_p99_ms: Annotated[
        float | None, typer.Option(min=0, help="Judge with this; implies --gate.")
    ] = None,
    max_jitter: Annotated[
        float | None, typer.Option(min=0, help="Judge with this; implies --gate.")
    ] = None,
    min_int8_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Judge with this; implies --gate.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="XML", help="Also write the checks as JUnit XML.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute every statistic again from the samples, and compare every hash at hand."""
    from erpose_edge.errors import EXIT_INTEGRITY
    from erpose_edge.runtime.bundle_signature import read_public_key
    from erpose_edge.validate.certificate.gate import budget_of
    from erpose_edge.validate.certificate.gate import gate as judge
    from erpose_edge.validate.certificate.verify import Reach
    from erpose_edge.validate.certificate.verify import verify as verify_file
    from erpose_edge.validate.junit import write_junit

    limits = {
        "min_retention": min_retention,
        "max_p99_ms": max_p99_ms,
        "max_jitter": max_jitter,
        "min_int8_share": min_int8_share,
    }
    signer = None if key is None else read_public_key(key)
    document, checks = verify_file(path, Reach(artifact or (), bundle, weights or (), signer))
    genuine = all(check.error is None for check in checks)
    verdict = document["verdict"]
    if genuine and (gate or any(limit is not None for limit in limits.values())):
        gate = True
        verdict, judged = judge(document, budget_of(document, limits))
        checks = [*checks, *judged]
    if junit is not None:
        write_junit(junit, f"certificate {path.name}", checks, verdict["notes"])
    code = EXIT_INTEGRITY if not genuine else verdict["exit_code"] if gate else 0
    if as_json:
        emit_json(_verified(path, checks, verdict, code, genuine=genuine))
    elif genuine:
        _print(path, checks, verdict, judged=gate)
    first = next((check.error for check in checks if check.error is not None), None)
    if not genuine and first is not None:
        messages.print(f"error: {first}", markup=False, soft_wrap=True)
    raise typer.Exit(code)


@command.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="One certificate.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The other one.")],
    as_json: Json = False,
) -> None:
    """Compare what can be compared, once both are verified, and say why the rest cannot."""
    from erpose_edge.validate.certificate.compare import compare as compared
    from erpose_edge.validate.certificate.verify import require_genuine

    document = {
        "a": first,
        "b": second,
        **compared(require_genuine(first), require_genuine(second)),
    }
    if as_json:
        emit_json(document)
    else:
        for line in _comparison(document):
            console.print(line, markup=False, soft_wrap=True)


@command.command()
def show(path: File, as_json: Json = False) -> None:
    """Show what a certificate says, once it is verified."""
    from erpose_edge.validate.certificate.show import lines_of
    from erpose_edge.validate.certificate.verify import require_genuine

    document = require_genuine(path)
    if as_json:
        emit_json(document)
        return
    for line in lines_of(document):
        console.print(line, markup=False, soft_wrap=True)


@command.command()
def sign(
    path: File,
    key: Annotated[Path, typer.Option(metavar="KEY", help="Ed25519 private key to sign with.")],
) -> None:
    """Write the signature of a verified certificate beside it."""
    from erpose_edge.cli.bundle import ask_passphrase
    from erpose_edge.deploy.bundle.signature import load_private_key, sign_text
    from erpose_edge.runtime.files import write_whole
    from erpose_edge.validate.certificate.seal import canonical_bytes
    from erpose_edge.validate.certificate.signature import signature_path
    from erpose_edge.validate.certificate.verify import require_genuine

    private = load_private_key(key, ask_passphrase)
    signed = canonical_bytes(require_genuine(path))
    signature = sign_text(signed, private)
    file = signature_path(path)
    write_whole(file, signature.to_bytes(signed))
    console.print(f"{file}: signed by {signature.key_name}", markup=False, soft_wrap=True)


def _verified(
    path: Path, checks: Sequence[Check], verdict: dict[str, Any], code: int, *, genuine: bool
) -> dict[str, Any]:
    return {
        "certificate": path,
        "genuine": genuine,
        "exit_code": code,
        "checks": [{"name": check.name, "error": check.error} for check in checks],
        "verdict": verdict,
    }


def _print(path: Path, checks: Sequence[Check], verdict: dict[str, Any], *, judged: bool) -> None:
    lines = [f"{path}: genuine as far as it can be told, {len(checks)} checks"]
    if judged:
        lines += verdict["notes"] + verdict["reasons"]
        lines.append(f"verdict: {'pass' if verdict['pass'] else 'fail'}")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _comparison(document: dict[str, Any]) -> list[str]:
    lines = []
    for pair in document["pairs"]:
        title = pair["a"] if pair["a"] == pair["b"] else f"{pair['a']} with {pair['b']}"
        accuracy, latency = pair["accuracy"], pair["latency"]
        if accuracy is not None:
            words = f"{title}: AP {accuracy['a_ap']:.4f}, then {accuracy['b_ap']:.4f}"
            found = accuracy["difference"]
            if found is not None:
                words += f": {found['value']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
            lines.append(words)
        if latency is not None:
            for name, ratios in {"in turns": latency["turns"], **latency["scenarios"]}.items():
                if ratios is not None:
                    each = ", ".join(f"{part} {ratio:.3f} x" for part, ratio in ratios.items())
                    lines.append(f"{title}, {name}: {each}")
    lines += [f"not compared: {reason}" for reason in document["reasons"]]
    return [*lines, *(f"note: {note}" for note in document["notes"])]
