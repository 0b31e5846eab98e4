"""``erpose-edge deploy``: one command from weights to a verdict, here or on boards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erpose_edge.cli.output import console, emit_json, messages, progress
from erpose_edge.errors import RequestError

if TYPE_CHECKING:
    from rich.table import Table

    from erpose_edge.deploy.ladder import Deployment, EvaluationSet
    from erpose_edge.deploy.profile import Profile
    from erpose_edge.deploy.rungs import WeightsPair
    from erpose_edge.skeleton import Skeleton

_GENERATED_SEED = 0  # disjoint from every seed of the training configs


def command(
    target: Annotated[str, typer.Option(help="Target, or path of a profile; see `targets`.")],
    weights: Annotated[
        Path | None, typer.Option(help="Float or quantized weights; the bundled ones by default.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; runs/deploy/TARGET by default.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="COCO-format label file; generated people by default.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images of --data.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Generated scenes, without --data.")] = 128,
    input_size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="HEIGHT WIDTH", help="Pixels; the target's or the weights' by default."
        ),
    ] = None,
    more_float: Annotated[
        str,
        typer.Option(help="Policy whose float layers `mixed` adds; `sensitivity` writes one."),
    ] = "policies/more-float",
    seconds: Annotated[float, typer.Option(min=0.1, help="Timing of each candidate.")] = 5.0,
    min_retention: Annotated[
        float | None, typer.Option(min=0, max=1, help="Instead of the profile's budget.")
    ] = None,
    max_p99_ms: Annotated[
        float | None, typer.Option(min=0.001, help="Instead of the profile's budget.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Try only this one, beside fp32: fp16, mixed or int8.")
    ] = None,
    dla: Annotated[
        bool, typer.Option("--dla", help="Add what DLA needs (Orin NX, AGX Orin, Xavier).")
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Write what a board needs as a folder, .tar or .tar.zst."),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option(metavar="KEY", help="Ed25519 private key to sign bundles with.")
    ] = None,
    compare: Annotated[
        bool, typer.Option(help="Put fp16 and fp32 into the bundle, to be timed beside it.")
    ] = True,
    host: Annotated[
        str | None, typer.Option(metavar="USER@BOARD", help="Push to this board over ssh.")
    ] = None,
    hosts: Annotated[
        Path | None, typer.Option(metavar="FLEET.YAML", help="Push to all boards of a file.")
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="Folder there; erpose-edge/TARGET by default.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(metavar="KEY", help="Private key for --host, as `ssh -i`.")
    ] = None,
    ssh_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For --host, as `ssh -F`.")
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="Releases that stay on a board.")] = 3,
    accept_slow: Annotated[
        bool, typer.Option("--accept-slow", help="Serve although the latency budget was missed.")
    ] = False,
    set_power_mode: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Measure the board in this mode; restored afterwards."),
    ] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Let the release before serve again; no export.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Export for a target, validate, time, and give a verdict.

    With --host or --hosts the verdict is that of boards, which get a bundle over ssh.
    """
    from erpose_edge.cli import release
    from erpose_edge.cli.validate import checked_size
    from erpose_edge.deploy.dla import dla_request
    from erpose_edge.deploy.ladder import deploy
    from erpose_edge.deploy.pictures import draw_verdict
    from erpose_edge.deploy.profile import load_profile, require_available
    from erpose_edge.deploy.rungs import rungs
    from erpose_edge.quantization.recipe import load_policy
    from erpose_edge.skeleton import skeleton_named

    profile = load_profile(target)
    require_available(profile)
    away = release.Away(host, hosts, path, identity, ssh_config)
    if rollback:
        raise typer.Exit(away.roll_back(profile.name, as_json=as_json))
    release.check_place(bundle)
    away.check(profile)
    wanted = dla_request(profile) if dla else None
    key = release.signing_key(sign)
    profile = _with_budget(profile, min_retention, max_p99_ms)
    if precision is not None:
        profile = _with_precision(profile, precision)
    if input_size is not None:
        profile = profile.model_copy(update={"input_size": checked_size(input_size)})
    folder = out or Path("runs/deploy") / profile.name
    pair = _weights(weights, profile, folder)
    skeleton = skeleton_named(pair.reference.skeleton)
    evaluation = _evaluation(data, images, count, skeleton)
    tried = rungs(profile, pair, load_policy(more_float))
    result = deploy(
        profile,
        tried,
        evaluation,
        folder,
        seconds=None if away.asked else seconds,
        dla=wanted,
        stage=progress,
    )
    pictures = draw_verdict(result, folder / "pictures")
    pushed = as_json and away.asked and result.verdict.passed  # prints a document of its own
    if as_json and not pushed:
        emit_json({**result.to_json(), "pictures": pictures})
    elif not as_json:
        _print(result, pictures)
        if wanted is not None:
            _print_dla(result)
    code = result.verdict.exit_code
    if result.verdict.passed and (away.asked or bundle is not None):
        made = release.Made(result, tried, folder, bundle, key, compare=compare)
        options = release.board_options(seconds, set_power_mode)
        code = made.send(away, keep, options, accept_slow=accept_slow, as_json=as_json)
    raise typer.Exit(code)


def _with_budget(
    profile: Profile, min_retention: float | None, max_p99_ms: float | None
) -> Profile:
    given = {"min_retention": min_retention, "max_p99_ms": max_p99_ms}
    changed = {name: value for name, value in given.items() if value is not None}
    return profile.model_copy(update={"budget": profile.budget.model_copy(update=changed)})


def _with_precision(profile: Profile, precision: str) -> Profile:
    if precision not in profile.precisions:
        raise RequestError(
            f"--precision: expected {' or '.join(profile.precisions)} for {profile.name}, "
            f"got {precision!r}"
        )
    return profile.model_copy(update={"precisions": [precision]})


def _weights(path: Path | None, profile: Profile, folder: Path) -> WeightsPair:
    """Return the weights to deploy; float ones are calibrated, and it is said."""
    from erpose_edge.deploy.rungs import (
        CALIBRATED_FILE,
        WeightsPair,
        choose_weights,
        quantize_without_training,
    )

    pair = choose_weights(path)
    if not {"int8", "mixed"} & set(profile.precisions) or pair.quantized.kind != "float":
        return pair
    messages.print(
        f"{path} is not quantized: int8 comes from calibration alone; "
        "`erpose-edge qat` fine-tunes and keeps more accuracy",
        markup=False,
        soft_wrap=True,
    )
    with progress("calibrate") as advance:
        quantized = quantize_without_training(pair.reference, folder / CALIBRATED_FILE, advance)
    return WeightsPair(pair.reference, quantized)


def _evaluation(
    data: Path | None, images: Path | None, count: int, skeleton: Skeleton
) -> EvaluationSet:
    from erpose_edge.cli.validate import evaluation_samples
    from erpose_edge.deploy.ladder import EvaluationSet

    samples, rejected, described = evaluation_samples(
        data, images, count, _GENERATED_SEED, skeleton
    )
    if rejected:
        messages.print(
            f"not used: {len(rejected)} label entries; the first: {rejected[0]}",
            markup=False,
            soft_wrap=True,
        )
    return EvaluationSet(samples, skeleton, described)


def _print(result: Deployment, pictures: list[Path]) -> None:
    verdict = result.verdict
    height, width = next(iter(result.artifacts.values())).manifest.input_size
    _say(
        f"{result.profile.name}, on {result.evaluation.description}, "
        f"input {height} x {width} (height x width), {result.engine}"
    )
    console.print(_table(result))
    for row, reason in zip(verdict.candidates, verdict.rejected, strict=True):
        if reason:
            _say(f"{row.precision}: rejected: {reason}")
    for note in result.notes():
        _say(note)
    unstable = [name for name, value in result.latency.items() if value.unstable]
    if unstable:
        messages.print(
            f"unstable: the latency of {', '.join(unstable)} varied by more than 2.5 % between "
            "turns; close other programs and run again",
            markup=False,
            soft_wrap=True,
        )
    if result.chosen is None:
        console.print("verdict: fail", style="bold red")
    else:
        judged = "" if verdict.judged_time else " (accuracy only)"
        console.print(f"verdict: pass, {verdict.chosen}{judged}", style="bold green")
        _say(f"artifact: {result.chosen.folder}")
    for step in result.remaining():
        _say(f"on the device: {step}")
    if pictures:
        shown = ", ".join(("fp32", *(p for p in result.artifacts if p != "fp32")))
        _say(f"pictures ({shown}, side by side): {pictures[0].parent}")


def _print_dla(result: Deployment) -> None:
    """Say what to expect of DLA, if the artifact that was chosen is for it."""
    from erpose_edge.deploy.dla import dla_document, dla_lines

    if result.chosen is not None and result.chosen.manifest.precision != "fp32":
        for line in dla_lines(dla_document(result.profile, result.chosen)):
            _say(line)


def _table(result: Deployment) -> Table:
    from rich.table import Table

    verdict = result.verdict
    table = Table(box=None, pad_edge=False)
    table.add_column("precision")
    for heading in ("AP", "of fp32", "p50 ms", "p99 ms", "speed-up", "MB"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for row, reason in zip(verdict.candidates, verdict.rejected, strict=True):
        chosen = "chosen" if row.precision == verdict.chosen else "within budget"
        table.add_row(
            row.precision,
            "-" if row.ap is None else f"{row.ap:.3f}",
            "-" if row.retention is None else f"{row.retention:.1%}",
            "-" if row.p50_ms is None else f"{row.p50_ms:.2f}",
            "-" if row.p99_ms is None else f"{row.p99_ms:.2f}",
            "-" if row.speedup_vs_fp32 is None else f"{row.speedup_vs_fp32:.2f} x",
            "-" if row.size_mb is None else f"{row.size_mb:.1f}",
            "rejected" if reason else chosen,
        )
    return table


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
