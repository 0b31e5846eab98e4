"""Keypoint-driven dynamic assignment: which grid points learn which person.

A grid point is as good for a person as its score and the OKS of its pose say; no box and no IoU
enter. Everything is ranked in log space, since OKS to the sixth power underflows for every grid
point of an untrained network. While the network knows nothing, a prior takes over (close to the
person's centre, on the level of the person's size) and fades away. There is no loop over people
or images, and equal values are decided by the lower index, so every platform assigns alike.

Ref: task alignment: Feng et al., "TOOD", 2021, https://arxiv.org/abs/2108.07755; OKS in place of
IoU over every grid point: the abstract of ER-Pose, https://arxiv.org/abs/2603.08681. Prior,
temperature, log space, contrast and second choices are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from erpose_edge.network.pose_network import Predictions
from erpose_edge.training.log_oks import Rows, log_oks, log_oks_at, oks_weights, rows_of
from erpose_edge.training.people import People

FORBIDDEN = -math.inf  # metric of a grid point that may not be claimed; any other is finite
_PRIOR_TEMPERATURE = 3.0  # sigmas are this much wider while the prior rules alone
_PRIOR_SPREAD = 0.3  # fall-off of the prior around the centre, in person sizes
_STRIDES_PER_PERSON = 12.0  # the prior's level: a person is about this many grid cells high
_CONTRASTED = 10  # grid points of a person that OKS has to tell apart
_MOST_CONTRAST = 16.0  # beta is raised at most so many times: beyond, it ranks rounding errors
_SMALLEST_SPREAD = 1e-6
_SECOND_CHOICES = 3  # grid points that a person who lost all its claims may ask for, in turn


@dataclass(frozen=True)
class AssignmentRule:
    """How one branch assigns.

    Attributes:
        topk: Grid points per person.
        alpha: Weight of the log score.
        beta: Weight of the log OKS.
        prior: Share of the cold-start prior, from 1 (it rules alone) to 0 (gone).
        contrast: OKS shall put a person's best grid point at least this many times above its
            tenth; 1 leaves it as it is. See `alignment`.
    """

    topk: int
    alpha: float = 0.5
    beta: float = 6.0
    prior: float = 0.0
    contrast: float = 1.0


@dataclass(frozen=True)
class Assignment:
    """What every grid point is to learn.

    Attributes:
        person: Index of the person of a positive grid point (B, G), 0 elsewhere.
        positive: True where a grid point learns a person (B, G).
        score: Target of the score in [0, 1] (B, G), 0 for background.
        weight: Weight of the pose losses in [0, 1] (B, G), 1 for a person's best grid point.
        counted: False where the score gives no loss: ignored people (B, G).
    """

    person: Tensor
    positive: Tensor
    score: Tensor
    weight: Tensor
    counted: Tensor


@torch.no_grad()
def assign(
    predictions: Predictions,
    people: People,
    points: Tensor,
    strides: Tensor,
    sigmas: Tensor,
    rule: AssignmentRule,
) -> Assignment:
    """Give every person its best grid points.

    Args:
        predictions: One branch's scores and poses, float32.
        people: Labels.
        points: Grid points (G, 2) in input pixels.
        strides: (G,) in pixels.
        sigmas: (K,).
        rule: Top-k, weights of score and OKS, share of the prior, contrast.

    Returns:
        Targets of every grid point; see `claim` for what happens where people compete.
    """
    rows = rows_of(people)
    metric = alignment(predictions, rows, sigmas, rule)
    if rule.prior > 0:
        prior = _log_prior(rows, points, strides).mul_(rule.prior * rule.beta)
        metric = metric.mul_(1 - rule.prior).add_(prior)
    wanted = _best_points(metric, rule.topk + _SECOND_CHOICES)
    quality = log_oks_at(predictions.keypoints, rows, oks_weights(rows.areas, sigmas), wanted)
    return _settle(rows, wanted, metric.gather(1, wanted), quality, people, points, rule)


def alignment(predictions: Predictions, rows: Rows, sigmas: Tensor, rule: AssignmentRule) -> Tensor:
    """Return the log of the alignment metric (P, G) of every person with its image's grid points.

    OKS is relative to a person's area: for a large person that the network meets well it is near
    1 at many grid points, and the score alone would choose among them. So where the ten best are
    closer than ``rule.contrast``, the person's beta is raised until the first is that far above
    the tenth. Their order by OKS stays. While the prior fades, sigmas are wider.
    """
    temperature = 1 + (_PRIOR_TEMPERATURE - 1) * rule.prior
    metric = log_oks(predictions.keypoints, rows, oks_weights(rows.areas, temperature * sigmas))
    metric.mul_(rule.beta)
    if rule.contrast > 1:
        best = metric.topk(min(_CONTRASTED, metric.shape[1])).values
        spread = (best[:, :1] - best[:, -1:]).clamp(min=_SMALLEST_SPREAD)
        metric.mul_((math.log(rule.contrast) / spread).clamp(1, _MOST_CONTRAST))
    return metric.add_((functional.logsigmoid(predictions.scores) * rule.alpha)[rows.image])


def _log_prior(rows: Rows, points: Tensor, strides: Tensor) -> Tensor:
    """Return the cold-start prior (P, G): high near the person, on the level of its size."""
    places = rows.places * rows.labelled
    centre = (places.sum(1) / rows.labelled.sum(0)).T  # (P, 2)
    size = rows.areas.sqrt()[:, None]
    distance = torch.cdist(centre, points, compute_mode="donot_use_mm_for_euclid_dist")
    level = (size / (strides * _STRIDES_PER_PERSON / math.sqrt(2))).log2()
    return -(distance / (size * _PRIOR_SPREAD)).square() / 2 - level.square()


@torch.no_grad()
def claim(
    metric: Tensor, quality: Tensor, people: People, points: Tensor, rule: AssignmentRule
) -> Assignment:
    """Let every person claim the ``rule.topk`` grid points with its highest metric.

    Args:
        metric: Log of how well a grid point suits a person (B, N, G); `FORBIDDEN` where it may
            not be claimed at all.
        quality: Log of how well it meets the person (B, N, G), at most 0: settles conflicts and
            gives the score target.
        people: Labels.
        points: Grid points (G, 2) in input pixels.
        rule: Top-k and share of the prior.

    Returns:
        Targets of every grid point. A grid point claimed by several people goes to the one whom
        it meets best. Whoever then has none asks for its next best, a few times, and gets it if
        it meets this person better than the one who has it.
    """
    rows = rows_of(people)
    wanted = _best_points(metric[rows.image, rows.person], rule.topk + _SECOND_CHOICES)
    place = rows.image[:, None], rows.person[:, None], wanted
    return _settle(rows, wanted, metric[place], quality[place], people, points, rule)


def _best_points(metric: Tensor, count: int) -> Tensor:
    """Return the grid points (P, count) with the highest metric (P, G), best first.

    Of equal ones the lower index comes first; `torch.topk` alone would leave that open.
    """
    count = min(count, metric.shape[1])
    metric = _numbers(metric)
    last = metric.topk(count, -1).values[:, -1:]
    above, equal = metric > last, metric == last
    room = count - above.sum(-1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(-1, dtype=torch.int32) <= room))
    wanted = chosen.nonzero()[:, 1].view(-1, count)
    order = metric.gather(1, wanted).sort(dim=-1, descending=True, stable=True).indices
    return wanted.gather(1, order)


def _numbers(values: Tensor) -> Tensor:
    """Return ``values`` with what is not a number as the best: chosen, it shows in the loss."""
    return values.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)


def _settle(
    rows: Rows,
    wanted: Tensor,
    metric: Tensor,
    quality: Tensor,
    people: People,
    points: Tensor,
    rule: AssignmentRule,
) -> Assignment:
    """Decide who gets which of the ``wanted`` grid points, all (P, L), and make the targets."""
    batch, count = len(people.present), len(points)
    cell = rows.image[:, None] * count + wanted
    rank = torch.arange(wanted.shape[1], device=wanted.device)
    allowed = metric != FORBIDDEN
    quality = _numbers(quality)
    asked = torch.full_like(wanted[:, :1], rule.topk)  # how many each person has asked for
    for _ in range(_SECOND_CHOICES):
        held = _held(allowed & (rank < asked), quality, cell, batch * count)
        asked = asked + ~held.any(-1, keepdim=True)
    held = _held(allowed & (rank < asked), quality, cell, batch * count)

    best = metric.masked_fill(~held, -math.inf).amax(-1, keepdim=True)
    share = (metric - best).exp()  # 1 for the best grid point that a person holds
    top_quality = quality.masked_fill(~held, -math.inf).amax(-1, keepdim=True).exp()
    score = share * top_quality.clamp(min=rule.prior)

    def spread(values: Tensor) -> Tensor:
        grid = values.new_zeros(batch * count)
        grid[cell[held]] = values.expand_as(held)[held]
        return grid.view(batch, count)

    positive = spread(torch.ones_like(held))
    return Assignment(
        person=spread(rows.person[:, None]),
        positive=positive,
        score=spread(score),
        weight=spread(share),
        counted=positive | ~inside(points, people.ignored).any(1),
    )


def _held(asked: Tensor, quality: Tensor, cell: Tensor, cells: int) -> Tensor:
    """Return which of the grid points that it ``asked`` for each person gets, all (P, L).

    The highest quality wins; of equal ones, the person with the lower index.
    """
    offer = quality.masked_fill(~asked, -math.inf)
    best = offer.new_full((cells,), -math.inf)
    best = best.scatter_reduce_(0, cell.flatten(), offer.flatten(), "amax")
    winning = asked & (offer == best[cell])
    row = torch.arange(len(cell), device=cell.device)[:, None]
    nobody = len(cell)
    first = torch.full((cells,), nobody, device=cell.device)
    names = row.expand_as(cell).masked_fill(~winning, nobody)
    first = first.scatter_reduce_(0, cell.flatten(), names.flatten(), "amin")
    return winning & (row == first[cell])


def inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Return (B, N, G): True where a grid point (G, 2) lies in a box x0, y0, x1, y1 (B, N, 4)."""
    after = (points >= boxes[:, :, None, :2]).all(-1)
    return after & (points < boxes[:, :, None, 2:]).all(-1)
