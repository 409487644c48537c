"""Exercises of lesson 13."""

__all__: list[str] = []
