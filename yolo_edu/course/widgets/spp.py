"""Things to play with in lesson 05."""

__all__: list[str] = []
