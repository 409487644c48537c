"""Anchors: how well a set of box shapes suits the labels, and how to find a better set.

The head predicts a box as an anchor times a factor below 4 (`decode_box`), and a label trains only those
anchors that come within the same factor of it (`assign`). A label that no anchor comes near is never learned;
the best possible recall is the share of labels that escape this fate.

Shapes by k-means are from YOLO9000 (Redmon & Farhadi 2016, arXiv:1612.08242, section 2), which measured
distance by IoU. Here k-means runs on whitened sizes and is only the start of a genetic search, which has no
paper. All of it happens on the CPU in double precision, whatever came in: many tiny steps, long sums.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from yolo_edu.model.detect import ANCHORS, STRIDES

SMALLEST = 2.0  # pixels: a label with both sides below it shapes no anchor, and no side of an anchor goes below it
ENOUGH_RECALL = 0.98  # from here on, anchors are left as they are
SEARCHES = 16  # each ends in a local optimum of its own, and the fittest wins
SAMPLE = 5_000  # labels a search looks at: enough for 18 numbers, and its time stops growing with the data set


class AnchorFit(NamedTuple):
    """How well anchors suit labels; all three grow with the fit."""

    best_possible_recall: float  # share of labels that at least one anchor fits
    anchors_above_threshold: float  # mean number of anchors that fit a label
    fitness: float  # mean closeness of a label's best anchor, in [0, 1]; counts 0 where none fits


class Shares(NamedTuple):
    """Which part of the labels each anchor gets, in the order of the anchors; A of them in all levels together."""

    takes: Tensor  # (A,) share of labels that the anchor fits: it is trained by them
    nearest: Tensor  # (A,) share of labels that it is the closest for; they sum to 1


class Proposal(NamedTuple):
    """What `propose` decided."""

    anchors: Tensor  # (L, A, 2) pixels: new ones (float32) or, if these were no better, those that were given
    before: AnchorFit  # of the anchors that were given
    after: AnchorFit  # of `anchors`; equals `before` if they were kept


def default_anchors() -> Tensor:
    """(3, 3, 2) width, height in pixels of the network input, of both releases: chosen for COCO."""
    return torch.tensor(ANCHORS, dtype=torch.float32)


def closeness(sizes: Tensor, anchors: Tensor) -> Tensor:
    """How near every label is to every anchor: the worse of its two sides, 1 if equal, 1/4 if four times off.

    Args:
        sizes: (N, 2) width, height of labels.
        anchors: (A, 2) width, height of anchors, same unit, positive.

    Returns:
        (N, A) in [0, 1]. Only ratios enter, so the unit does not matter.
    """
    width, height = (sizes[:, None] / anchors).unbind(dim=-1)
    return torch.minimum(torch.minimum(width, 1 / width), torch.minimum(height, 1 / height))


def fit(sizes: Tensor, anchors: Tensor, threshold: float = 4.0) -> AnchorFit:
    """Judge anchors by the labels they are to predict.

    Args:
        sizes: (N, 2) label width, height in pixels of the network input, at the training size.
        anchors: (L, A, 2) width, height in pixels of the network input.
        threshold: an anchor fits a label if neither side is off by this factor or more, in either direction.

    Raises:
        ValueError: no labels, a wrong shape, a size that cannot be one, or a threshold not above 1.
    """
    near = closeness(_checked_sizes(sizes), _checked_anchors(anchors))
    fits = near > 1 / _checked_threshold(threshold)
    return AnchorFit(
        best_possible_recall=fits.any(dim=1).double().mean().item(),
        anchors_above_threshold=fits.sum(dim=1).double().mean().item(),
        fitness=_fitness(near, threshold),
    )


def shares(sizes: Tensor, anchors: Tensor, threshold: float = 4.0) -> Shares:
    """What each anchor has to do; arguments and errors as `fit`. Of two equally near anchors the first is nearest."""
    near = closeness(_checked_sizes(sizes), _checked_anchors(anchors))
    nearest = torch.bincount(near.argmax(dim=1), minlength=near.shape[1])
    return Shares((near > 1 / _checked_threshold(threshold)).double().mean(dim=0), nearest / len(near))


def evolve(
    sizes: Tensor,
    *,
    count: int = 9,
    threshold: float = 4.0,
    generations: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Tensor:
    """Find anchors for labels: k-means, then mutations that are kept when the fitness rises.

    K-means minimizes squared distance, so the big boxes pull hardest; what training asks for is a ratio. The
    mutations multiply, and climb that ratio directly. They climb the nearest hill, so the search starts over
    from several k-means solutions and keeps the fittest result.

    Labels of fewer distinct sizes than `count` are fitted exactly, and the spare anchors repeat some of them.

    Args:
        sizes: (N, 2) label width, height in pixels of the network input, at the training size. Labels with
            both sides under 2 pixels are left out; of more than 5,000 others, that many are drawn.
        count: anchors in all, a multiple of the 3 levels.
        threshold: see `fit`.
        generations: mutations tried in each of the 16 searches.
        seed: of everything random; the same seed and labels give the same anchors.
        progress: show a bar.

    Returns:
        (3, count / 3, 2) float32 pixels, on the CPU, sorted by area: the smallest go to P3.

    Raises:
        ValueError: as `fit`; or no label reaches 2 pixels; or `count` does not fill the levels.
    """
    levels = len(STRIDES)
    if count < levels or count % levels:
        raise ValueError(f"{count} anchors cannot be shared out evenly among {levels} levels; use a multiple of it")
    _checked_threshold(threshold)
    sizes = _checked_sizes(sizes)
    sizes = sizes[(sizes >= SMALLEST).any(dim=1)]
    if not len(sizes):
        raise ValueError(f"no label has a side of {SMALLEST:g} pixels or more: nothing to fit anchors to")

    generator = torch.Generator().manual_seed(seed)
    if len(sizes) > SAMPLE:
        sizes = sizes[torch.randperm(len(sizes), generator=generator)[:SAMPLE]]
    spread = sizes.std(dim=0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)  # all labels equally wide (or high): nothing to whiten
    starts = [_kmeans(sizes / spread, count, generator) * spread for _ in range(SEARCHES)]
    with tqdm(total=SEARCHES * generations, desc="anchors", unit="mutation", disable=not progress) as bar:
        found = [_climb(start, sizes, threshold, generations, generator, bar) for start in starts]
    best, _ = max(found, key=lambda result: result[1])
    by_area = best.prod(dim=1).argsort(stable=True)
    return best[by_area].reshape(levels, -1, 2).float()


def propose(
    sizes: Tensor, anchors: Tensor, threshold: float = 4.0, *, seed: int = 0, progress: bool = False
) -> Proposal:
    """Release R7's rule before training: look for better anchors only where they are needed.

    Anchors that already reach a best possible recall of 0.98 stay, since pretrained weights expect them. Below,
    `evolve` searches as many new ones, and they replace the old only if they raise the best possible recall.

    Args:
        sizes: (N, 2) label width, height in pixels of the network input, at the training size.
        anchors: (3, A, 2) width, height in pixels of the network input, as in `model.anchors`.
        threshold: see `fit`.
        seed, progress: see `evolve`.

    Raises:
        ValueError: as `fit` and, where a search is needed, as `evolve`.
    """
    before = fit(sizes, anchors, threshold)
    if before.best_possible_recall < ENOUGH_RECALL:
        count = anchors.shape[0] * anchors.shape[1]
        found = evolve(sizes, count=count, threshold=threshold, seed=seed, progress=progress).to(anchors.device)
        after = fit(sizes, found, threshold)
        if after.best_possible_recall > before.best_possible_recall:
            return Proposal(found, before, after)
    return Proposal(anchors, before, before)


def _climb(
    start: Tensor, sizes: Tensor, threshold: float, generations: int, generator: torch.Generator, bar: tqdm
) -> tuple[Tensor, float]:
    """From `start` (count, 2) by mutations that raise the fitness: the anchors reached, and their fitness."""
    best = start.clamp(min=SMALLEST)
    fitness = _fitness(closeness(sizes, best), threshold)
    for _ in range(generations):
        candidate = (best * _mutation(len(best), generator)).clamp(min=SMALLEST)
        candidate_fitness = _fitness(closeness(sizes, candidate), threshold)
        if candidate_fitness > fitness:
            best, fitness = candidate, candidate_fitness
        bar.update()
    return best, fitness


def _fitness(near: Tensor, threshold: float) -> float:
    best = near.amax(dim=1)
    return torch.where(best > 1 / threshold, best, 0.0).mean().item()


def _mutation(count: int, generator: torch.Generator) -> Tensor:
    """(count, 2) factors around 1: nine sides in ten change, by steps of one common strength."""
    shape = (count, 2)
    chosen = torch.rand(shape, generator=generator, dtype=torch.float64) < 0.9
    strength = 0.1 * torch.rand((), generator=generator, dtype=torch.float64)
    step = strength * torch.randn(shape, generator=generator, dtype=torch.float64)
    return (1 + chosen * step).clamp(0.3, 3.0)


def _spread_start(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """k-means++ (Arthur & Vassilvitskii 2007): a center is drawn by its squared distance to those before it."""
    weights = points.new_ones(len(points))
    nearest = points.new_full((len(points),), math.inf)
    centers = []
    for _ in range(count):
        centers.append(points[torch.multinomial(weights, 1, generator=generator)])
        nearest = torch.minimum(nearest, (points - centers[-1]).square().sum(dim=1))
        # All zero: every point is a center already, and any of them may be drawn again.
        weights = nearest if nearest.any() else torch.ones_like(nearest)
    return torch.cat(centers)


def _kmeans(points: Tensor, count: int, generator: torch.Generator, rounds: int = 100) -> Tensor:
    """Lloyd's algorithm, (N, 2) → (count, 2): centers move to the mean of their points until none moves."""
    centers = _spread_start(points, count, generator)
    for _ in range(rounds):
        owner = (points[:, None] - centers).square().sum(dim=-1).argmin(dim=1)
        owned = torch.bincount(owner, minlength=count)[:, None]
        total = torch.zeros_like(centers).index_add_(0, owner, points)
        moved = torch.where(owned > 0, total / owned.clamp(min=1), centers)  # a center nobody is near stays
        if torch.equal(moved, centers):
            break
        centers = moved
    return centers


def _checked_sizes(sizes: Tensor) -> Tensor:
    if sizes.ndim != 2 or sizes.shape[1] != 2:
        raise ValueError(f"label sizes must be (N, 2) width, height, not {tuple(sizes.shape)}")
    if not len(sizes):
        raise ValueError("no labels: anchors can be neither judged nor fitted")
    if not (sizes.isfinite() & (sizes >= 0)).all():
        raise ValueError("label sizes must be finite and not negative")
    return sizes.detach().cpu().double()


def _checked_anchors(anchors: Tensor) -> Tensor:
    if anchors.ndim != 3 or anchors.shape[2] != 2 or not anchors.numel():
        raise ValueError(f"anchors must be (L, A, 2) width, height, not {tuple(anchors.shape)}")
    if not (anchors.isfinite() & (anchors > 0)).all():
        raise ValueError("anchors must be finite and positive")
    return anchors.detach().cpu().double().reshape(-1, 2)


def _checked_threshold(threshold: float) -> float:
    if not threshold > 1:
        raise ValueError(f"threshold {threshold:g}: must be above 1, the factor between equal sizes")
    return threshold
