"""Keypoint-driven dynamic assignment: which grid points learn which person.

A grid point is as good for a person as its score and the OKS of its pose say; no box and no IoU
enter. Everything is ranked in log space, since OKS to the sixth power underflows for every grid
point of an untrained network. While the network knows nothing, a prior takes over (close to the
person's centre, on the level of the person's size) and fades away.

Ref: task alignment: Feng et al., "TOOD", 2021, https://arxiv.org/abs/2108.07755; OKS in place of
IoU over every grid point: the abstract of ER-Pose, https://arxiv.org/abs/2603.08681. Prior,
temperature and log space are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from erpose_edge.network.pose_network import Predictions
from erpose_edge.training.people import People

_PRIOR_TEMPERATURE = 3.0  # sigmas are this much wider while the prior rules alone
_PRIOR_SPREAD = 0.3  # fall-off of the prior around the centre, in person sizes
_STRIDES_PER_PERSON = 12.0  # the prior's level: a person is about this many grid cells high
_LOWEST = -1e9  # below every metric, but finite: softmax and exp stay clean


@dataclass(frozen=True)
class AssignmentRule:
    """How one branch assigns.

    Attributes:
        topk: Grid points per person.
        alpha: Weight of the log score.
        beta: Weight of the log OKS.
        prior: Share of the cold-start prior, from 1 (it rules alone) to 0 (gone).
    """

    topk: int
    alpha: float = 0.5
    beta: float = 6.0
    prior: float = 0.0


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


def log_oks(
    predictions: Predictions, people: People, sigmas: Tensor, temperature: float = 1.0
) -> Tensor:
    """Return the log of the OKS between every person and every grid point's pose.

    One keypoint is added at a time, so memory is (B, N, G) whatever K is.

    Args:
        predictions: Poses of G grid points.
        people: Labels of N people.
        sigmas: (K,).
        temperature: Factor on the sigmas; above 1 tells bad poses apart.

    Returns:
        (B, N, G), at most 0; very low for people without a labelled keypoint.
    """
    total = torch.full(
        (*people.present.shape, predictions.scores.shape[1]), _LOWEST, device=sigmas.device
    )
    ours_x, ours_y = predictions.keypoints.unbind(-1)  # (B, G, K)
    theirs_x, theirs_y = people.keypoints.unbind(-1)  # (B, N, K)
    unlabelled = torch.where(people.labelled, 0.0, -_LOWEST)  # (B, N, K)
    spread = 2 * people.areas[..., None] * (2 * temperature * sigmas).square()  # (B, N, K)
    for k in range(len(sigmas)):
        squared = (ours_x[:, None, :, k] - theirs_x[:, :, None, k]).square_()
        squared += (ours_y[:, None, :, k] - theirs_y[:, :, None, k]).square_()
        squared /= spread[:, :, None, k]
        squared += unlabelled[:, :, None, k]
        total = torch.logaddexp(total, squared.neg_())
    count = people.labelled.sum(-1).clamp(min=1)
    return total - count.log()[..., None]


def _log_prior(people: People, points: Tensor, strides: Tensor) -> Tensor:
    """Return the cold-start prior (B, N, G): high near the person, on the level of its size."""
    labelled = people.labelled[..., None].float()
    centre = (people.keypoints * labelled).sum(2) / labelled.sum(2).clamp(min=1)  # (B, N, 2)
    size = people.areas.sqrt()[..., None]
    distance = torch.cdist(centre, points.expand(len(centre), -1, -1))  # (B, N, G)
    level = (size / (strides * _STRIDES_PER_PERSON / math.sqrt(2))).log2()
    return -(distance / (size * _PRIOR_SPREAD)).square() / 2 - level.square()


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
        rule: Top-k, weights of score and OKS, share of the prior.

    Returns:
        Targets of every grid point. A grid point wanted by several people goes to the one whose
        pose it meets best.
    """
    quality = log_oks(predictions, people, sigmas)
    metric = rule.alpha * functional.logsigmoid(predictions.scores)[:, None] + rule.beta * quality
    if rule.prior > 0:
        soft = log_oks(predictions, people, sigmas, 1 + (_PRIOR_TEMPERATURE - 1) * rule.prior)
        learnt = metric + rule.beta * (soft - quality)
        prior = rule.beta * _log_prior(people, points, strides)
        metric = (1 - rule.prior) * learnt + rule.prior * prior
    metric = metric.masked_fill(~people.present[..., None], _LOWEST)

    topk = min(rule.topk, metric.shape[-1])
    best = metric.topk(topk, -1).indices  # (B, N, topk)
    claimed = torch.zeros_like(metric, dtype=torch.bool).scatter_(-1, best, True)
    claimed &= people.present[..., None]
    winner = quality.masked_fill(~claimed, 2 * _LOWEST).argmax(1)  # (B, G)
    claimed &= functional.one_hot(winner, metric.shape[1]).transpose(1, 2).bool()

    held = metric.masked_fill(~claimed, _LOWEST)
    share = (held - held.amax(-1, keepdim=True)).exp() * claimed  # (B, N, G), 1 for the best
    top_quality = quality.masked_fill(~claimed, _LOWEST).amax(-1, keepdim=True).exp()
    score = share * top_quality.clamp(min=rule.prior)
    positive = claimed.any(1)
    return Assignment(
        person=winner * positive,
        positive=positive,
        score=score.sum(1),
        weight=share.sum(1),
        counted=positive | ~_inside_any(points, people.ignored),
    )


def _inside_any(points: Tensor, boxes: Tensor) -> Tensor:
    """Return (B, G): True where a grid point (G, 2) lies in one of the boxes (B, M, 4)."""
    after = (points[None, :, None] >= boxes[:, None, :, :2]).all(-1)
    before = (points[None, :, None] < boxes[:, None, :, 2:]).all(-1)
    return (after & before).any(-1)
