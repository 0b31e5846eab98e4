"""``erpose-edge report``: certificates as one page for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from erpose_edge.cli.output import console


def command(
    certificates: Annotated[
        list[Path], typer.Argument(metavar="CERT...", help="Certificates that `benchmark` wrote.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="HTML", help="Page to write.")],
    title: Annotated[str, typer.Option(help="Of the page.")] = "Pose networks on devices",
    key: Annotated[
        Path | None, typer.Option(metavar="PUB", help="Public key that must have signed them.")
    ] = None,
) -> None:
    """Verify certificates, and write them as one page."""
    from erpose_edge.deploy.report import report_of
    from erpose_edge.errors import RequestError
    from erpose_edge.runtime.bundle_signature import read_public_key
    from erpose_edge.runtime.files import write_whole

    page = report_of(certificates, title, None if key is None else read_public_key(key))
    try:
        write_whole(out, page)
    except OSError as error:
        raise RequestError(
            f"{out}: expected to write the report, got {error.strerror}; choose another place"
        ) from None
    console.print(f"{out}: {len(page.encode()) / 1e3:.0f} kB", markup=False, soft_wrap=True)
