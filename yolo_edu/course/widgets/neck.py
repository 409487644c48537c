"""Things to play with in lesson 06."""

__all__: list[str] = []
