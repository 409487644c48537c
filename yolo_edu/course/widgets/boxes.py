"""Things to play with in lesson 09."""

__all__: list[str] = []
