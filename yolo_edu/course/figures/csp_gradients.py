"""Which gradient reaches which tensor from which reader: a ledger that catches the terms, a table that shows them."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from yolo_edu.course.figures.diagram import FONT
from yolo_edu.model.dense import DenseBlock

BEHIND = "#e4e4e4"  # under the column of a reader that stands apart


class GradientLedger:
    """Every reader gets its own copy of each tensor it reads, so that each copy has its own gradient."""

    def __init__(self) -> None:
        self.copies: dict[tuple[str, str], Tensor] = {}

    def read(self, reader: str, sources: Mapping[str, Tensor]) -> Tensor:
        """What `reader` reads: copies of the sources, (B, C, H, W) each, concatenated by channels."""
        for name, tensor in sources.items():
            self.copies[name, reader] = tensor.clone()
            self.copies[name, reader].retain_grad()
        return torch.cat([self.copies[name, reader] for name in sources], dim=1)

    def layers(self, block: DenseBlock, sources: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What DenseBlock does, each layer H1, H2 … reading through the ledger: its input → that, and x1, x2 …"""
        made = dict(sources)
        for i, layer in enumerate(block.layers, 1):
            made[f"x{i}"] = layer(self.read(f"H{i}", made))
        return made

    def terms(self) -> dict[tuple[str, str], Tensor]:
        """(tensor, reader) → the gradient that this reader sends back to that tensor; after `backward`."""
        terms = {}
        for pair, copy in self.copies.items():
            assert copy.grad is not None
            terms[pair] = copy.grad
        return terms


def gradient_terms(
    ledgers: Mapping[str, Mapping[tuple[str, str], Tensor]], *, top: Sequence[str] = (), apart: Sequence[str] = ()
) -> Figure:
    """Which reader sends which gradient to which tensor: one table for each ledger, shaded by the term's norm.

    Args:
        ledgers: title → (tensor, reader) → the gradient that this reader sends back to that tensor.
        top: tensors whose rows stand above all others.
        apart: readers whose columns are gray where no term stands.
    """
    figure, axes = plt.subplots(1, len(ledgers), figsize=(10, 4.2), layout="constrained", squeeze=False)
    most = max(term.norm().item() for terms in ledgers.values() for term in terms.values())  # one scale for all
    for ax, (title, terms) in zip(axes.flat, ledgers.items(), strict=True):
        sources = sorted(dict.fromkeys(source for source, _ in terms), key=lambda name: name not in top)
        readers = list(dict.fromkeys(reader for _, reader in terms))
        for reader in apart:
            if reader in readers:
                corner = (readers.index(reader), 0)
                ax.add_patch(Rectangle(corner, 1, len(sources), facecolor=BEHIND, edgecolor="white", linewidth=2))
        for (source, reader), term in terms.items():
            row, column, norm = sources.index(source), readers.index(reader), term.norm().item()
            shade = plt.get_cmap("cividis")(0.25 + 0.75 * norm / most)
            ax.add_patch(Rectangle((column, row), 1, 1, facecolor=shade, edgecolor="white", linewidth=2))
            ink = "black" if norm > most / 3 else "white"
            ax.text(column + 0.5, row + 0.5, f"{norm:.0f}", ha="center", va="center", fontsize=FONT, color=ink)
        ax.set(xlim=(0, len(readers)), ylim=(len(sources), 0))
        ax.set_title(f"{title}: {len(terms)} terms", fontsize=FONT + 1)
        ax.set_xticks([i + 0.5 for i in range(len(readers))], readers, fontsize=FONT)
        ax.set_yticks([i + 0.5 for i in range(len(sources))], sources, fontsize=FONT)
        ax.xaxis.set_ticks_position("bottom")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_xlabel("sent back by", fontsize=FONT)
        ax.set_ylabel("arrives at", fontsize=FONT)
    plt.close(figure)
    return figure
