"""Exercises of lesson 11."""

__all__: list[str] = []
