"""Things to play with in lesson 10."""

__all__: list[str] = []
