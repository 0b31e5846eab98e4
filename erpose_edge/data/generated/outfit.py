"""Outfits: what a generated person wears, and the colours of skin and hair."""

from __future__ import annotations

from dataclasses import dataclass

from erpose_edge.data.generated.dice import Dice
from erpose_edge.data.generated.paint import PATTERNS, Material

# BGR, light to dark.
_SKIN = (
    (196, 214, 245), (170, 196, 235), (150, 182, 224), (128, 160, 208), (104, 140, 194),
    (84, 116, 170), (62, 90, 140), (48, 68, 110), (36, 50, 84), (28, 38, 62),
)  # fmt: skip
_HAIR = (
    (20, 18, 18), (30, 28, 32), (28, 40, 62), (36, 58, 92), (60, 92, 136), (110, 160, 200),
    (150, 195, 220), (130, 130, 134), (205, 205, 205), (40, 60, 150),
)  # fmt: skip

# Index of each material in an outfit's list.
SKIN, HAIR, TOP, BOTTOM, SHOE, SOCK, EYE_WHITE, DARK, LIP, HAT, EXTRA, SHADOW = range(12)


@dataclass(frozen=True)
class Outfit:
    """What one person wears.

    Attributes:
        sleeve: How much of the arm the top covers: 0, or up to 0.5 of the upper arm, or 1 for all.
        leg: How much of the leg is covered: up to 0.9 of the thigh (shorts), or 1 for all.
        skirt: Length of a skirt in thighs; 0 for none.
        loose: Thickness of cloth over the body, as a factor.
        hem: Whether the top hangs over the trousers.
        hair: ``bald``, ``short``, ``full``, ``long``, ``bun`` or ``tail``.
        hat: ``none``, ``cap`` or ``beanie``.
        glasses: Whether the person wears glasses.
        bag: Whether a backpack hangs on the back.
        beard: Whether hair covers the chin.
        materials: By the indices SKIN .. SHADOW.
    """

    sleeve: float
    leg: float
    skirt: float
    loose: float
    hem: bool
    hair: str
    hat: str
    glasses: bool
    bag: bool
    beard: bool
    materials: list[Material]


def sample_outfit(dice: Dice, stature_px: float) -> Outfit:
    """Draw clothes and colours for a person of this height in the picture."""
    skin = _jitter(dice, dice.pick(_SKIN), 10)
    skirt = dice.between(0.7, 1.6) if dice.chance(0.14) else 0.0
    sleeve = dice.weighted(((0.0, 2), (dice.between(0.3, 0.8), 5), (1.0, 6)))
    leg = dice.weighted(((1.0, 7), (dice.between(0.45, 0.95), 3), (0.15, 0.7)))
    hat = dice.weighted((("none", 8), ("cap", 1), ("beanie", 1)))
    hair = dice.weighted(
        (("short", 5), ("full", 2), ("long", 3), ("bun", 1), ("tail", 1.2), ("bald", 0.8))
    )
    top = _cloth(dice, stature_px)
    bottom = _cloth(dice, stature_px, plain=0.85)
    if dice.chance(0.3):  # Jeans.
        shade = dice.whole(50, 120)
        bottom = Material((shade + 40, shade, shade * 3 // 4), rough=0.5)
    if dice.chance(0.08) or (skirt and dice.chance(0.5)):  # A dress, an overall.
        bottom = top
    return Outfit(
        sleeve=sleeve,
        leg=dice.pick((0.15, 0.15, 1.0)) if skirt else leg,
        skirt=skirt,
        loose=1.0 + dice.skewed(0.04, 0.45),
        hem=dice.chance(0.6),
        hair=hair,
        hat=hat,
        glasses=dice.chance(0.12),
        bag=dice.chance(0.07),
        beard=hair in ("short", "bald") and dice.chance(0.2),
        materials=[
            Material(skin, rough=0.12),
            Material(_jitter(dice, dice.pick(_HAIR), 8), rough=0.7),
            top,
            bottom,
            Material(dice.colour(), rough=0.3),
            Material(dice.pick(((230, 230, 230), (40, 40, 40), skin)), rough=0.2),
            Material((220, 225, 228), rough=0.0),
            Material((26, 24, 28), rough=0.1),
            Material((skin[0] * 7 // 10, skin[1] * 6 // 10, min(255, skin[2])), rough=0.1),
            Material(dice.colour(), rough=0.4),
            Material(dice.colour(), rough=0.5),
            Material((skin[0] * 6 // 8, skin[1] * 6 // 8, skin[2] * 7 // 8), rough=0.1),
        ],
    )


def _cloth(dice: Dice, stature_px: float, plain: float = 0.5) -> Material:
    second = None if dice.chance(plain) else dice.colour()
    period = stature_px * dice.skewed(0.015, 0.09)
    return Material(
        dice.colour(8, 250), second, dice.pick(PATTERNS), period, rough=dice.between(0.25, 0.8)
    )


def _jitter(dice: Dice, colour: tuple[int, int, int], by: int) -> tuple[int, int, int]:
    b, g, r = (min(255, max(0, v + dice.whole(-by, by))) for v in colour)
    return b, g, r
