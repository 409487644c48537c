"""Figures of lesson 09."""

from collections.abc import Callable

from matplotlib.figure import Figure

__all__: list[str] = []

# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {}
