"""Wrong answers to the exercises of lesson 11, and what a learner must read."""

WRONG: dict[str, list[tuple[str, str]]] = {}
