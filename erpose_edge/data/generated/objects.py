"""Objects: what stands between and in front of people, some of it shaped a little like a person."""

from __future__ import annotations

from erpose_edge.data.generated.dice import Dice
from erpose_edge.data.generated.paint import PATTERNS, Figure, Material

_SKIN_LIKE = ((150, 182, 224), (104, 140, 194), (62, 90, 140), (170, 196, 235), (36, 50, 84))
_WOOD = ((40, 62, 90), (60, 90, 130), (70, 80, 90), (30, 40, 52), (110, 130, 150))
_LEAF = ((40, 110, 60), (30, 80, 40), (50, 130, 110), (30, 60, 50), (60, 120, 150))

# Things that stand on the ground beside people, and things that mostly hide them.
STANDING = (
    ("tree", 3), ("pole", 2), ("bush", 1.5), ("box", 2), ("rack", 2), ("animal", 2), ("sticks", 3),
    ("balls", 2), ("sign", 1), ("chair", 1.5), ("statue", 2),
)  # fmt: skip
HIDING = (
    ("table", 3), ("box", 3), ("pole", 2), ("bush", 2), ("fence", 1.5), ("tree", 1), ("sign", 1),
    ("balls", 0.7),
)  # fmt: skip


def make_object(dice: Dice, kind: str, x: float, foot: float, size: float) -> Figure:
    """Build one object.

    Args:
        dice: Where shape and colour are drawn from.
        kind: One of STANDING or HIDING.
        x: Middle of the object, px.
        foot: Where it meets the ground, px.
        size: Height that a person would have there, px.
    """
    return _MAKERS[kind](dice, x, foot, size)


def _material(dice: Dice, size: float, plain: float = 0.6) -> Material:
    second = None if dice.chance(plain) else dice.colour()
    axis = dice.pick(((1.0, 0.0), (0.0, 1.0), (0.6, 0.8)))
    return Material(
        dice.colour(), second, dice.pick(PATTERNS), size * dice.skewed(0.02, 0.12), axis,
        dice.between(0.1, 0.9),
    )  # fmt: skip


def _slab(
    figure: Figure, material: int, span: tuple[float, float, float, float], radius: float
) -> None:
    """Add a rectangle with round corners; ``span`` is left, top, right, bottom."""
    left, top, right, bottom = span
    figure.add(
        "object", material,
        (left, top, radius), (right, top, radius), (left, bottom, radius), (right, bottom, radius),
    )  # fmt: skip


def _pole(dice: Dice, x: float, foot: float, size: float) -> Figure:
    figure = Figure(materials=[_material(dice, size, 0.8), _material(dice, size)])
    radius = size * dice.skewed(0.012, 0.06)
    top = foot - size * dice.between(0.5, 2.5)
    tilt = size * dice.between(-0.05, 0.05)
    figure.add("object", 0, (x, foot, radius), (x + tilt, top, radius))
    if dice.chance(0.4):  # A lamp, near to a head on a stick.
        figure.add("object", 1, (x + tilt, top, size * dice.between(0.04, 0.1)))
    return figure


def _tree(dice: Dice, x: float, foot: float, size: float) -> Figure:
    wood, leaf = dice.pick(_WOOD), dice.pick(_LEAF)
    figure = Figure(materials=[Material(wood, rough=0.9), Material(leaf, rough=1.4)])
    trunk = size * dice.between(0.04, 0.12)
    fork = foot - size * dice.between(0.4, 1.0)
    figure.add("object", 0, (x, foot, trunk), (x, fork, trunk * 0.7))
    for _ in range(dice.whole(2, 5)):
        start = fork + size * dice.between(0.0, 0.3)
        elbow = (x + size * dice.between(-0.35, 0.35), start - size * dice.between(0.05, 0.4))
        tip = (elbow[0] + size * dice.between(-0.3, 0.3), elbow[1] - size * dice.between(0.0, 0.4))
        figure.add("object", 0, (x, start, trunk * 0.55), (*elbow, trunk * 0.4))
        figure.add("object", 0, (*elbow, trunk * 0.4), (*tip, trunk * 0.2))
    if dice.chance(0.6):
        for _ in range(dice.whole(3, 9)):
            figure.add(
                "object", 1,
                (x + size * dice.between(-0.5, 0.5), fork - size * dice.between(0.1, 0.8),
                 size * dice.between(0.1, 0.28)),
            )  # fmt: skip
    return figure


def _bush(dice: Dice, x: float, foot: float, size: float) -> Figure:
    figure = Figure(materials=[Material(dice.pick(_LEAF), rough=1.5) for _ in range(2)])
    for _ in range(dice.whole(4, 10)):
        radius = size * dice.between(0.06, 0.16)
        centre = (x + size * dice.between(-0.35, 0.35), foot - size * dice.between(0.0, 0.35))
        figure.add("object", dice.whole(0, 1), (*centre, radius))
    return figure


def _box(dice: Dice, x: float, foot: float, size: float) -> Figure:
    figure = Figure(materials=[_material(dice, size), _material(dice, size)])
    half, high = size * dice.between(0.1, 0.5), size * dice.between(0.2, 0.8)
    radius = size * dice.between(0.005, 0.05)
    _slab(figure, 0, (x - half, foot - high, x + half, foot), radius)
    if dice.chance(0.5):
        inner = (x - half * 0.8, foot - high * 0.9, x + half * 0.8, foot - high * 0.5)
        _slab(figure, 1, inner, radius * 0.5)
    return figure


def _table(dice: Dice, x: float, foot: float, size: float) -> Figure:
    figure = Figure(materials=[_material(dice, size, 0.8), _material(dice, size)])
    half, high = size * dice.between(0.3, 0.9), size * dice.between(0.3, 0.45)
    leg = size * dice.between(0.012, 0.03)
    for side in (-0.9, 0.9):
        figure.add("object", 0, (x + side * half, foot, leg), (x + side * half, foot - high, leg))
    _slab(figure, 0, (x - half, foot - high, x + half, foot - high * 0.93), leg)
    for _ in range(dice.whole(0, 4)):  # Things on it.
        at, tall = x + half * dice.between(-0.9, 0.9), size * dice.between(0.04, 0.2)
        wide = size * dice.between(0.01, 0.05)
        figure.add("object", 1, (at, foot - high - wide, wide), (at, foot - high - tall, wide))
    return figure


def _fence(dice: Dice, x: float, foot: float, size: float) -> Figure:
    figure = Figure(materials=[_material(dice, size, 0.9)])
    high, gap = size * dice.between(0.3, 0.7), size * dice.between(0.07, 0.2)
    bar = gap * dice.between(0.08, 0.25)
    count = dice.whole(4, 12)
    left = x - gap * count / 2
    for i in range(count + 1):
        figure.add("object", 0, (left + i * gap, foot, bar), (left + i * gap, foot - high, bar))
    for share in (0.25, 0.85):
        y = foot - high * share
        figure.add("object", 0, (left, y, bar), (left + count * gap, y, bar))
    return figure


def _rack(dice: Dice, x: float, foot: float, size: float) -> Figure:
    """Clothes on a stand: a trunk with sleeves and no person in it."""
    figure = Figure(materials=[_material(dice, size, 0.9), _material(dice, size, 0.4)])
    pole, top = size * 0.012, foot - size * dice.between(0.75, 0.95)
    figure.add("object", 0, (x, foot, pole), (x, top - size * 0.05, pole))
    half, low = size * dice.between(0.07, 0.11), top + size * dice.between(0.25, 0.6)
    r = size * 0.035
    figure.add(
        "object", 1,
        (x - half, top + r, r), (x + half, top + r, r), (x - half * 0.9, low, r * 1.4),
        (x + half * 0.9, low, r * 1.4),
    )  # fmt: skip
    for side in (-1, 1):
        if dice.chance(0.7):
            end = (x + side * (half + size * dice.between(0.0, 0.12)), top + size * 0.28, r * 0.7)
            figure.add("object", 1, (x + side * half, top + r, r), end)
    return figure


def _animal(dice: Dice, x: float, foot: float, size: float) -> Figure:
    """Four legs, a trunk, a neck and a head."""
    hide = Material(dice.pick(_WOOD + _SKIN_LIKE), rough=0.8)
    if dice.chance(0.4):
        hide.second, hide.pattern, hide.period = dice.colour(), "camouflage", size * 0.1
    figure = Figure(materials=[hide])
    scale = size * dice.between(0.3, 0.9)
    face, back = dice.pick((-1, 1)), foot - scale * dice.between(0.45, 0.7)
    legs = [(end, scale * dice.between(-0.12, 0.12)) for end in (-0.4, -0.32, 0.32, 0.4)]
    for end, step in legs:
        hip, paw = x + end * scale, x + end * scale + step
        figure.add("object", 0, (hip, back, scale * 0.08), (paw, foot, scale * 0.04))
    figure.add(
        "object", 0, (x - 0.38 * scale, back, scale * 0.14), (x + 0.38 * scale, back, scale * 0.15)
    )
    head = (x + face * scale * 0.62, back - scale * dice.between(0.05, 0.45))
    figure.add("object", 0, (x + face * scale * 0.36, back, scale * 0.1), (*head, scale * 0.07))
    snout = (head[0] + face * scale * 0.15, head[1] + scale * 0.05, scale * 0.05)
    figure.add("object", 0, (*head, scale * 0.1), snout)
    tail = (x - face * scale * 0.7, back - scale * dice.between(-0.3, 0.3), scale * 0.02)
    figure.add("object", 0, (x - face * scale * 0.45, back, scale * 0.04), tail)
    return figure


def _sticks(dice: Dice, x: float, foot: float, size: float) -> Figure:
    """Loose limbs: tapered sticks, some coloured like skin, that belong to nobody."""
    figure = Figure(materials=[Material(dice.pick(_SKIN_LIKE), rough=0.2), _material(dice, size)])
    for _ in range(dice.whole(1, 5)):
        x0, y0 = x + size * dice.between(-0.4, 0.4), foot - size * dice.between(0.0, 0.9)
        x1, y1 = x0 + size * dice.between(-0.3, 0.3), y0 + size * dice.between(-0.3, 0.3)
        r = size * dice.between(0.012, 0.05)
        figure.add("object", dice.whole(0, 1), (x0, y0, r), (x1, y1, r * dice.between(0.5, 1.0)))
    return figure


def _balls(dice: Dice, x: float, foot: float, size: float) -> Figure:
    """Balls and balloons, of the size of heads."""
    figure = Figure(materials=[Material(dice.pick(_SKIN_LIKE), rough=0.1), _material(dice, size)])
    for _ in range(dice.whole(1, 4)):
        centre = (x + size * dice.between(-0.4, 0.4), foot - size * dice.between(0.0, 1.0))
        figure.add("object", dice.whole(0, 1), (*centre, size * dice.between(0.03, 0.09)))
    return figure


def _sign(dice: Dice, x: float, foot: float, size: float) -> Figure:
    figure = Figure(materials=[_material(dice, size, 0.9), _material(dice, size, 0.3)])
    top, r = foot - size * dice.between(0.6, 1.4), size * 0.012
    figure.add("object", 0, (x, foot, r), (x, top, r))
    half = size * dice.between(0.08, 0.3)
    _slab(figure, 1, (x - half, top, x + half, top + half * dice.between(0.5, 1.6)), r)
    return figure


def make_chair(dice: Dice, x: float, seat: float, foot: float, size: float) -> Figure:
    """Build a chair or a bench whose seat is at height ``seat`` px."""
    figure = Figure(materials=[_material(dice, size, 0.8)])
    half, leg = size * dice.between(0.11, 0.3), size * dice.between(0.01, 0.025)
    for side in (-0.95, 0.95):
        figure.add("object", 0, (x + side * half, foot, leg), (x + side * half, seat, leg))
    if dice.chance(0.6):
        span = (x - half, seat - size * dice.between(0.15, 0.3), x + half, seat)
        _slab(figure, 0, span, leg)
    _slab(figure, 0, (x - half, seat, x + half, seat + leg), leg)
    return figure


def _chair(dice: Dice, x: float, foot: float, size: float) -> Figure:
    return make_chair(dice, x, foot - size * 0.26, foot, size)


def _statue(dice: Dice, x: float, foot: float, size: float) -> Figure:
    """A snowman, a bowling pin, a bollard: things with a head that are nobody."""
    figure = Figure(materials=[_material(dice, size, 0.7)])
    y, radius = foot, size * dice.between(0.1, 0.22)
    for _ in range(dice.whole(2, 3)):
        figure.add("object", 0, (x, y - radius, radius))
        y -= radius * dice.between(1.4, 1.9)
        radius *= dice.between(0.5, 0.8)
    return figure


_MAKERS = {
    "tree": _tree, "pole": _pole, "bush": _bush, "box": _box, "rack": _rack, "animal": _animal,
    "sticks": _sticks, "balls": _balls, "sign": _sign, "chair": _chair, "statue": _statue,
    "table": _table, "fence": _fence,
}  # fmt: skip
