"""Things to play with in lesson 11."""

__all__: list[str] = []
