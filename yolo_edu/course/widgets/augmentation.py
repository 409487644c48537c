"""Things to play with in lesson 12."""

__all__: list[str] = []
