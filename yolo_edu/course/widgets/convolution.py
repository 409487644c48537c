"""Things to play with in lesson 01."""

__all__: list[str] = []
