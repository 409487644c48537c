"""Exercises of lesson 07."""

__all__: list[str] = []
