"""Exercises of lesson 09."""

__all__: list[str] = []
