"""Wrong answers to the exercises of lesson 15, and what a learner must read."""


def row(result: str, *, clip: bool = True) -> str:
    """`corners_to_row` that returns this."""
    lines = "    x1, x2 = min(max(x1, 0), width), min(max(x2, 0), width)\n"
    lines += "    y1, y2 = min(max(y1, 0), height), min(max(y2, 0), height)\n"
    return f"def corners_to_row(x1, y1, x2, y2, width, height):\n{lines if clip else ''}    return {result}"


RIGHT_ROW = "(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height"


def groups(loop: str, result: str = "group") -> str:
    """`scene_groups` with this in its loop."""
    return f"""def scene_groups(count, pairs):
    group = list(range(count))
    for i, j in pairs:
        {loop}
    return {result}"""


JOINED = "low, high = sorted((group[i], group[j])); group = [low if g == high else g for g in group]"


def shared(
    here: str = "a * (5 + len(new))",
    there: str = "a * (5 + len(old))",
    boxes: str = "pairs += [(here + i, there + i) for i in range(5)]",
    classes: str = "[(here + 5 + k, there + 5 + old.index(n)) for k, n in enumerate(new) if n in old]",
    count: str = "anchors",
    result: str = "pairs",
) -> str:
    """`shared_rows` with other parts in it."""
    return f"""def shared_rows(new, old, anchors):
    pairs = []
    for a in range({count}):
        here, there = {here}, {there}
        {boxes}
        pairs += {classes}
    return {result}"""


WRONG: dict[str, list[tuple[str, str]]] = {
    "15.1": [
        (row(RIGHT_ROW, clip=False), r"clip the corners to 0"),
        (
            row(f"tuple(min(max(v, 0), 1) for v in ({RIGHT_ROW}))", clip=False),
            r"clip the \*corners\*, before",
        ),
        (row("x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height"), r"The format wants the \*center\*"),
        (row("x1 / width, y1 / height, x2 / width, y2 / height"), r"they are still corners"),
        (row("(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1"), r"in pixels\. Divide"),
        (
            row("(x1 + x2) / 2 / height, (y1 + y2) / 2 / width, (x2 - x1) / height, (y2 - y1) / width"),
            r"width and height are exchanged",
        ),
        (
            row("tuple(v / max(width, height) for v in ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1))"),
            r"by the long side",
        ),
        (
            row("(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1 + 1) / width, (y2 - y1 + 1) / height"),
            r"one pixel too wide",
        ),
        (
            row("(y1 + y2) / 2 / height, (x1 + x2) / 2 / width, (y2 - y1) / height, (x2 - x1) / width"),
            r"the order is cx, cy, w, h",
        ),
        (
            row("(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / 2 / width, (y2 - y1) / 2 / height"),
            r"half of the sides",
        ),
        (row("(x1 + x2) / 2 / width, (y1 + y2) / 2 / height"), r"expected shape was \(4,\)"),
        (row("None"), r"you returned None"),
    ],
    "15.2": [
        (
            "def scene_groups(count, pairs):\n"
            "    return [min([i] + [a for a, b in pairs if b == i] + [b for a, b in pairs if a == i]) "
            "for i in range(count)]",
            r"direct partners only",
        ),
        (groups("group[i] = group[j] = min(group[i], group[j])"), r"those that were joined with them before"),
        (groups("group[j] = group[i]"), r"leaves the group it was in"),
        (groups("group = [group[i] if g == group[j] else g for g in group]"), r"called by its \*lowest\* index"),
        (groups(JOINED, "[sorted(set(group)).index(g) for g in group]"), r"you counted them 0, 1, 2"),
        (groups(JOINED, "len(set(group))"), r"how many groups there are"),
        (groups(JOINED, "group[1:]"), r"expected shape"),
    ],
    "15.3": [
        (
            shared(classes="[(here + 5 + k, there + 5 + k) for k, n in enumerate(new) if k < len(old)]"),
            r"known by its \*name\*",
        ),
        (shared(there="a * (5 + len(new))"), r"5 \+ len\(old\) rows an anchor"),
        (shared(count="1"), r"Every anchor has 5 \+ K rows"),
        (shared(boxes="pass"), r"Box and objectness, the first five rows"),
        (
            shared(classes="[(here + 4 + k, there + 4 + old.index(n)) for k, n in enumerate(new) if n in old]"),
            r"the classes begin at row 5",
        ),
        (shared(result="[(j, i) for i, j in pairs]"), r"the \*new\* row comes first"),
        (
            shared(
                result="[(i * anchors + a, j * anchors + a) for i, j in pairs[: len(pairs) // anchors] "
                "for a in range(anchors)]"
            ),
            r"one anchor after the other",
        ),
        (shared(result="[i for i, _ in pairs]"), r"Asked for: pairs"),
    ],
}
