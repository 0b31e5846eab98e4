"""The ``erpose-edge`` program: finds the command, runs it, turns errors into exit codes.

A command's module is imported when the command is called, so that ``--help`` needs nothing but
typer and is instant.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperGroup

from erpose_edge import __version__
from erpose_edge.cli.output import messages
from erpose_edge.errors import ErposeError, MissingExtraError

COMMANDS = {
    "info": "Show parameters, GFLOPs and stages of the deployed network.",
    "data": "Check label files, or write generated or crowded scenes.",
    "train": "Train a network in floating point.",
    "qat": "Fine-tune a network with fake-quantization for int8.",
    "export": "Write a network for an engine as an artifact.",
    "lint": "Find what makes a quantized ONNX graph slow or inexact.",
    "predict": "Draw the people in images, folders and videos.",
    "validate": "Measure keypoint AP of weights or an artifact.",
    "bench": "Measure the latency of an artifact on this machine.",
    "stability": "Measure jitter, flicker and change of order on a clip.",
    "deploy": "Export for a target, validate, time, and give a verdict.",
    "bundle": "Make, verify, unpack and show what goes to a board.",
    "certificate": "Verify, compare, show and sign certificates.",
    "report": "Verify certificates, and write them as one page.",
    "parity": "Name the first stage at which two networks diverge.",
    "sensitivity": "Rank layers by what int8 costs them, and search a mixed policy.",
    "trt-check": "Parse and build a graph for TensorRT, without a GPU.",
    "targets": "List the deployment targets, or explain one.",
    "doctor": "Say what this machine is, and which targets it can serve.",
}

# The extra that brings each package which the base install does not have.
_EXTRAS = {
    "torch": "train",
    "matplotlib": "train",
    "pycocotools": "train",
    "onnx": "export",
    "onnxscript": "export",
    "onnxsim": "export",
    "onnxruntime": "ort",
    "openvino": "openvino",
    "ai_edge_litert": "tflite",
    "litert_quantizer": "tflite-export",
    "litert_torch": "tflite-export",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "trt-check",
    "asyncssh": "push",
    "jinja2": "report",
}

EXIT_INTERRUPTED = 130
Click: TypeAlias = Any


class _LazyGroup(TyperGroup):
    """A group that lists commands from ``COMMANDS`` and imports the one that is called.

    Contexts and commands are click's, of a class that differs between versions of typer.
    """

    def list_commands(self, ctx: Click) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Click, cmd_name: str) -> Click:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Click, formatter: Click) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: Click) -> Click:
        try:
            return super().invoke(ctx)
        except ErposeError as error:
            raise _failed(error) from error
        except ModuleNotFoundError as error:
            extra = _EXTRAS.get((error.name or "").split(".")[0])
            if extra is None:
                raise  # not of an extra, so a bug
            raise _failed(_missing(error.name, ctx.invoked_subcommand, extra)) from error
        except KeyboardInterrupt:
            messages.print("interrupted", markup=False)
            raise typer.Exit(EXIT_INTERRUPTED) from None


app = typer.Typer(
    name="erpose-edge",
    cls=_LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # a bug keeps Python's own traceback
)


def load_command(name: str) -> Click:
    """Return the command ``name``, importing its module."""
    command = importlib.import_module(f"erpose_edge.cli.{name.replace('-', '_')}").command
    if isinstance(command, typer.Typer):
        return typer.main.get_command(command)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name)(command)
    return typer.main.get_command(single)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    Args:
        arguments: Without the program's name; those of the process by default.
    """
    group = typer.main.get_command(app)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        group.main(args=given, prog_name="erpose-edge")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def run() -> None:
    """Run the program and leave the process with its exit code."""
    sys.exit(main())


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"erpose-edge {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Train, quantize, export and validate ER-Pose on edge devices.

    Exit codes: 0 pass, 2 mistake in the request, 3 accuracy budget missed, 4 latency budget
    missed, 5 incompatible or missing target, 6 damaged files.
    """


def _failed(error: ErposeError) -> typer.Exit:
    line = " ".join(str(error).split())
    messages.print(f"error: {line}", markup=False, soft_wrap=True)
    return typer.Exit(error.exit_code)


def _missing(package: str | None, command: str | None, extra: str) -> MissingExtraError:
    return MissingExtraError(
        f"{command}: expected the package {package!r}, got none; "
        f"run `pip install 'erpose-edge[{extra}]'`"
    )
