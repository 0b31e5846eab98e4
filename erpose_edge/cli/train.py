"""``erpose-edge train``: float training, resumable, on one process or many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erpose_edge.cli.output import Advance, console, emit_json, messages, progress

if TYPE_CHECKING:
    from erpose_edge.metrics.image_labels import Rejected
    from erpose_edge.training.loop import StepReport

_SHOWN = 5  # unusable label entries that are named


def command(
    cfg: Annotated[str, typer.Option(help="Config: a path, or the name of a bundled one.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/train"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    validate: Annotated[bool, typer.Option(help="Measure AP on data.val each epoch.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train a network in floating point."""
    import torch  # noqa: F401 - named first where it is missing

    from erpose_edge.config import load_config
    from erpose_edge.training.distributed import join_processes, leave_processes
    from erpose_edge.training.session import WEIGHTS_FILE, Watch, train

    config = load_config(cfg, settings or [])
    processes = join_processes()
    with progress("train") as advance:
        display = _Display(advance)
        watch = Watch(
            on_step=display.step if processes.first else lambda _: None,
            on_validation=display.validation,
            on_rejected=_warn if processes.first else lambda _: None,
        )
        rows = train(config, out, processes, watch, resume=resume, validate=validate)
    leave_processes(processes)
    if not processes.first:
        return
    last = rows[-1]
    if as_json:
        emit_json({"weights": out / WEIGHTS_FILE, "folder": out, "metrics": rows})
        return
    ap = f", AP {last['ap']:.3f}" if "ap" in last else ""
    console.print(
        f"{out / WEIGHTS_FILE}: {last['epoch']} epochs, loss {last['loss']:.3f}{ap}",
        markup=False,
        soft_wrap=True,
    )


class _Display:
    """One bar for the whole run: steps, and validation as a note beside them."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._place = (0, 1)

    def step(self, step: StepReport) -> None:
        self._place = ((step.epoch - 1) * step.batches + step.batch, step.epochs * step.batches)
        note = f"epoch {step.epoch}/{step.epochs}, loss {step.loss:.3f}, {step.rate:.1f} images/s"
        self._advance(*self._place, note)

    def validation(self, done: int, total: int) -> None:
        self._advance(*self._place, f"validate {done}/{total}")


def _warn(rejected: list[Rejected]) -> None:
    for entry in rejected[:_SHOWN]:
        messages.print(f"not used: {entry}", markup=False, soft_wrap=True)
    if len(rejected) > _SHOWN:
        messages.print(f"not used: {len(rejected)} label entries in all", markup=False)
