"""The batches of a training run: their order, their chance, and how they get to the device.

Everything follows from (seed, epoch, batch), so a resumed run sees what the uninterrupted one would have, with
any number of threads and on any number of processes.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import torch

from yolo_edu.augment import AugmentSettings, Plan, draw_plan, render
from yolo_edu.data import Batch, DetectionData, Pool
from yolo_edu.errors import UserError
from yolo_edu.hardware import free_memory
from yolo_edu.recipe import Recipe, size_at
from yolo_edu.shapes import by_shape, crop, draw_size, resized, smallest_rectangle
from yolo_edu.threads import ahead


class Batches:
    """Augmented batches of a data set, epoch by epoch.

    Args:
        data: where the samples come from. If they are cached, they move to the device once, all of them, unless
            a GPU has too little memory; if not, threads read the files of the next batches ahead.
        recipe: batch size, augmentation, sizes.
        seed: decides order and augmentation.
        device: where images are put together; the targets stay on the CPU.
        rank, ranks: this process makes every `ranks`-th image of each batch, from `rank` on.
        workers: threads that read ahead when the data is not cached.

    Raises:
        UserError: a batch would have fewer images than there are processes.
    """

    def __init__(
        self,
        data: DetectionData,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        *,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 2,
    ) -> None:
        self.data, self.recipe, self.seed, self.device = data, recipe, seed, device
        self.rank, self.ranks, self.workers = rank, ranks, workers
        free = None if device.type == "cpu" else free_memory(device)  # what is cached is in main memory already
        fits = free is None or data.bytes < free / 2  # the other half is for the network
        self._keep = data.cached and fits
        self._kept: dict[int, Pool] = {}  # all samples, by their size
        if min(recipe.batch, len(data)) < ranks:
            raise UserError(
                f"{len(data)} image(s) in batches of {recipe.batch} cannot be shared by {ranks} processes. "
                f"Use fewer processes, or {'more images' if len(data) < ranks else 'a larger --batch-size'}."
            )
        self.starts = range(0, len(data), recipe.batch)
        if len(data) - self.starts[-1] < ranks:
            self.starts = self.starts[:-1]  # every process needs an image of each batch
        self._shapes = data.shapes() if recipe.rectangular else torch.empty(0, 2)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.starts)

    @property
    def fewest(self) -> int:
        """Images in the smallest share of a batch that a process gets."""
        return min(self.recipe.batch, len(self.data) - self.starts[-1]) // self.ranks

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, both counted from 0; the first `start` of them are not made at all.

        Raises:
            UserError: an image file has become unreadable since the data set was opened.
        """
        order = self._order(epoch)
        settings, size = augmentation(self.recipe, epoch), size_at(self.recipe, epoch)
        kept = self.samples(size) if self._keep else None

        def make(number: int) -> tuple[Plan, Pool]:
            indices = order[self.starts[number] :][: self.recipe.batch]
            chance = seeded(self.seed, epoch, number)
            plan = draw_plan(indices, len(self.data), settings, size, chance)
            plan = plan.rows(slice(self.rank, None, self.ranks))
            return (plan, kept) if kept is not None else self._read(plan, size)

        numbers = range(start, len(self))
        ready = map(make, numbers) if kept is not None else ahead(make, numbers, self.workers)
        for number, (plan, pool) in zip(numbers, ready, strict=True):
            batch = render(plan, pool.to(self.device), settings)
            if self.recipe.rectangular:
                shared = self._shapes[order[self.starts[number] :][: self.recipe.batch]]
                batch = crop(batch, smallest_rectangle(shared, size), settings.min_side)
            if self.recipe.multi_scale:
                batch = resized(batch, draw_size(size, seeded(self.seed, epoch, number, 1)))
            yield batch

    def _order(self, epoch: int) -> list[int]:
        """The samples in the order of an epoch."""
        chance = seeded(self.seed, epoch)
        if self.recipe.rectangular:
            return by_shape(self._shapes, self.recipe.batch, chance)
        return torch.randperm(len(self.data), generator=chance).tolist()

    def samples(self, size: int) -> Pool:
        """All samples on the device; the smaller they are, the less there is to move in the first epochs."""
        if size not in self._kept:
            self._kept = {size: self.data.pool().shrink(size).to(self.device)}
        return self._kept[size]

    def _read(self, plan: Plan, size: int) -> tuple[Plan, Pool]:
        """A pool of the samples that the plan needs, and the plan with their numbers in it."""
        needed = plan.members[plan.members >= 0].unique()  # sorted
        numbers = torch.searchsorted(needed, plan.members)
        members = torch.where(plan.members >= 0, numbers, -1)
        return plan._replace(members=members), self.data.pool(needed.tolist()).shrink(size)


def augmentation(recipe: Recipe, epoch: int) -> AugmentSettings:
    """The recipe's; without anything that puts several photos together in its plain last epochs and in rectangles."""
    plain = recipe.rectangular or epoch >= recipe.epochs - min(recipe.plain_epochs, recipe.epochs // 5)
    return replace(recipe.augment, mosaic=0.0, mixup=0.0, cutmix=0.0) if plain else recipe.augment


def seeded(*numbers: int) -> torch.Generator:
    """A generator that all the numbers decide together; neighboring numbers give unrelated ones."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
