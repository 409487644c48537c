"""Things to play with in lesson 02."""

__all__: list[str] = []
