"""Things to play with in lesson 08."""

__all__: list[str] = []
