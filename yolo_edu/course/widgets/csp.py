"""Things to play with in lesson 03."""

__all__: list[str] = []
