"""Picture of a sensitivity run: every layer in the order of the network, and the worst by name."""

from __future__ import annotations

from pathlib import Path

from erpose_edge.quantization.sensitivity.measure import LayerEffect, Sensitivity

_COLOURS = {"backbone": "#4477aa", "neck": "#228833", "head": "#cc6677"}
_OTHER = "#777777"
_SHOWN = 20  # layers by name


def plot_sensitivity(result: Sensitivity, path: Path) -> None:
    """Draw what every layer costs in OKS when only it is int8.

    Args:
        result: What was measured.
        path: PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(13, 9.5), layout="constrained")
    FigureCanvasAgg(figure)
    ordered, ranked = figure.subplots(2, 1, height_ratios=(2, 3))
    losses = [row.alone.oks_loss for row in result.layers]
    colours = [_colour(row) for row in result.layers]
    ordered.bar(range(len(losses)), losses, color=colours, width=0.8)
    starts = _starts([row.layer for row in result.layers])
    ordered.set_xticks(list(starts), list(starts.values()), rotation=90, fontsize=8)
    ordered.set(
        title="OKS lost when only this layer is int8, in the order of the network",
        ylabel="OKS lost",
        xlim=(-0.7, len(losses) - 0.3),
    )
    parts = [part for part in _COLOURS if any(row.layer.startswith(part) for row in result.layers)]
    ordered.legend(handles=[Patch(color=_COLOURS[part], label=part) for part in parts])
    worst = result.ranked()[:_SHOWN]
    places = range(len(worst))
    values = [row.alone.oks_loss for row in worst]
    ranked.barh(places, values, color=[_colour(row) for row in worst])
    ranked.set_yticks(places, [row.layer.removesuffix(".conv") for row in worst], fontsize=9)
    for place, row in zip(places, worst, strict=True):
        note = f"  {row.alone.oks_loss:.4f}, AP {row.alone.ap_change:+.4f}"
        ranked.text(row.alone.oks_loss, place, note, va="center", fontsize=8)
    ranked.invert_yaxis()
    ranked.set(
        title=f"the {len(worst)} worst of {len(losses)}; all together in int8: "
        f"OKS lost {result.int8.oks_loss:.4f}, AP {result.int8.ap_change:+.4f}",
        xlabel="OKS lost",
        xlim=(0, 1.25 * max(values, default=0.0) or 1.0),
    )
    for axes, axis in ((ordered, "y"), (ranked, "x")):
        axes.grid(alpha=0.3, axis=axis)
        axes.set_axisbelow(True)
    part_file = path.with_name(path.name + ".part")
    figure.savefig(part_file, dpi=100, format="png")
    part_file.replace(path)


def _colour(row: LayerEffect) -> str:
    return _COLOURS.get(row.layer.split(".")[0], _OTHER)


def _starts(layers: list[str]) -> dict[int, str]:
    """Return the first position of every stage, block or tower, and its name."""
    found: dict[int, str] = {}
    for position, layer in enumerate(layers):
        parts = layer.split(".")
        name = ".".join(parts[: 3 if parts[1:2] == ["stages"] else 2])
        if name not in found.values():
            found[position] = name
    return found
