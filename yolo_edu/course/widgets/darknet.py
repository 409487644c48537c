"""Things to play with in lesson 04."""

__all__: list[str] = []
