"""Wrong answers to the exercises of lesson 05, and what a learner must read."""

WRONG: dict[str, list[tuple[str, str]]] = {}
