"""Exercises of lesson 12."""

__all__: list[str] = []
