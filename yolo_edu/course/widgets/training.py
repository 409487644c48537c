"""Things to play with in lesson 13."""

__all__: list[str] = []
