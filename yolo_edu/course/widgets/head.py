"""Things to play with in lesson 07."""

__all__: list[str] = []
