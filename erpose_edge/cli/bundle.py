"""``erpose-edge bundle``: make, verify, unpack and show what goes to a board."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erpose_edge.cli.output import console, emit_json, messages

if TYPE_CHECKING:
    from erpose_edge.runtime.bundle import Bundle

command = typer.Typer(
    name="bundle",
    help="Make, verify, unpack and show what goes to a board.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
BundlePath = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder, .tar or .tar.zst of a bundle.")
]
Key = Annotated[
    Path | None,
    typer.Option(metavar="PUB", help="Public key that must have signed it (PEM or ssh-keygen's)."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse a bundle that nobody signed.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@command.command()
def create(
    artifacts: Annotated[
        list[Path], typer.Argument(help="Folders of artifacts; the first one serves.")
    ],
    out: Annotated[Path, typer.Option(help="New folder, or a file .tar or .tar.zst.")],
    target: Annotated[
        str | None, typer.Option(help="Target; that of the first artifact by default.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Of the first artifact, to export the ONNX graph from if it has none."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Its policy, where that is not the one of the weights.")
    ] = None,
    sign: Annotated[
        Path | None, typer.Option(metavar="KEY", help="Ed25519 private key to sign with.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write artifacts and all that a board needs with them as one folder or file."""
    from erpose_edge.deploy.bundle.archive import is_archive, pack
    from erpose_edge.deploy.bundle.export import Source, extra_files, read_artifacts
    from erpose_edge.deploy.bundle.signature import load_private_key, sign_bundle
    from erpose_edge.deploy.bundle.write import write_bundle
    from erpose_edge.deploy.profile import load_profile

    key = None if sign is None else load_private_key(sign, ask_passphrase)
    found = read_artifacts(artifacts)
    profile = load_profile(target or next(iter(found.values())).manifest.target)
    messages.print(f"bundle for {profile.name}", markup=False)
    extra = extra_files(found, profile, Source(weights, policy).weights_of)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle" if is_archive(out) else out
        bundle = write_bundle(folder, found, profile, extra)
        if key is not None:
            bundle = sign_bundle(bundle, key)
        if is_archive(out):
            pack(folder, out)
        _print(bundle, out, as_json=as_json)


@command.command()
def verify(
    path: BundlePath, key: Key = None, strict: Strict = False, as_json: Json = False
) -> None:
    """Verify every byte of a bundle, and who signed it."""
    from erpose_edge.deploy.bundle.archive import opened

    with opened(path) as bundle:
        checked = _check(bundle, key, strict=strict)
        _print(bundle, path, checked=checked, as_json=as_json)


@command.command()
def unpack(
    path: BundlePath,
    out: Annotated[Path, typer.Option(help="New folder.")],
    key: Key = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Unpack a bundle into a new folder, once every byte of it is verified."""
    from erpose_edge.deploy.bundle.archive import unpack as unpack_archive

    bundle = unpack_archive(path, out, lambda found: _check(found, key, strict=strict))
    _print(bundle, out, checked=key is not None, as_json=as_json)


@command.command()
def show(path: BundlePath, as_json: Json = False) -> None:
    """Show what is in a bundle, once every byte of it is verified."""
    from erpose_edge.deploy.bundle.archive import opened

    with opened(path) as bundle:
        _print(bundle, path, as_json=as_json)
        if not as_json:
            _print_files(bundle)


def ask_passphrase() -> str:
    """Ask for the passphrase of a private key on the terminal."""
    return str(typer.prompt("passphrase of the key", hide_input=True, err=True))


def _check(bundle: Bundle, key: Path | None, *, strict: bool) -> bool:
    from erpose_edge.runtime.bundle_signature import check_signature, read_public_key

    return check_signature(bundle, None if key is None else read_public_key(key), strict=strict)


def _print(bundle: Bundle, path: Path, *, checked: bool = False, as_json: bool) -> None:
    document = _document(bundle, path, checked=checked)
    if as_json:
        emit_json(document)
        return
    signed = "not signed"
    if bundle.signature is not None:
        signed = f"signed by {bundle.signature.key_name}"
        signed += "" if checked else " (not checked: no --key)"
    console.print(
        f"{path}: release {bundle.name} for {bundle.target}, {document['files']} files, "
        f"{document['size_mb']} MB, {signed}",
        markup=False,
        soft_wrap=True,
    )
    for artifact in document["artifacts"]:
        height, width = artifact["input_size"]
        console.print(
            f"  {artifact['folder']}: {artifact['engine']} {artifact['precision']}, "
            f"{artifact['contract']}, {height}x{width}",
            markup=False,
            soft_wrap=True,
        )


def _print_files(bundle: Bundle) -> None:
    for path, file in bundle.document.files.items():
        console.print(f"{file.size:>10}  {path}", markup=False, soft_wrap=True)


def _document(bundle: Bundle, path: Path, *, checked: bool) -> dict[str, Any]:
    signature = bundle.signature
    artifacts = []
    for name, artifact in zip(bundle.document.artifacts, bundle.opened().values(), strict=True):
        manifest = artifact.manifest
        artifacts.append(
            {
                "folder": name,
                "engine": manifest.engine,
                "precision": manifest.precision,
                "contract": manifest.contract,
                "input_size": list(manifest.input_size),
            }
        )
    return {
        "bundle": path,
        "release": bundle.name,
        "target": bundle.target,
        "artifacts": artifacts,
        "files": len(bundle.document.files),
        "size_mb": round(bundle.size_bytes / 1e6, 3),
        "licences": list(bundle.document.licences),
        "tool_versions": bundle.document.tool_versions,
        "signed_by": None if signature is None else signature.key_name,
        "signature_checked": checked,
    }
