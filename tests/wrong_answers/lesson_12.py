"""Wrong answers to the exercises of lesson 12, and what a learner must read."""


def box(
    scale: str = "min(size / width, size / height)",
    side: str = "round",
    left: str = "round((size - w) / 2 - 0.1)",
    top: str = "round((size - h) / 2 - 0.1)",
    result: str = "scale, left, top",
) -> str:
    """`letterbox_numbers` with other rules in it."""
    return f"""def letterbox_numbers(width, height, size):
    scale = {scale}
    w, h = {side}(width * scale), {side}(height * scale)
    left, top = {left}, {top}
    return {result}"""


def flip(result: str) -> str:
    """`flip_boxes` that returns this."""
    return f"""def flip_boxes(boxes, width):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return {result}"""


def stack(columns: str) -> str:
    return flip(f"torch.stack([{columns}], dim=-1)")


def keep(
    area: str = "new / (old * zoom) > 0.1",
    sides: str = "(w > 2) & (h > 2)",
    aspect: str = "torch.maximum(w / h, h / w) < 100",
    result: str = "mask",
) -> str:
    """`keep_boxes` with other rules in it."""
    return f"""def keep_boxes(before, after, zoom):
    w, h = (after[:, 2:] - after[:, :2]).unbind(-1)
    old = (before[:, 2] - before[:, 0]) * (before[:, 3] - before[:, 1])
    new = w * h
    mask = ({sides}) & ({area}) & ({aspect})
    return {result}"""


WRONG: dict[str, list[tuple[str, str]]] = {
    "12.1": [
        (box(scale="max(size / width, size / height)"), r"the larger of the two scales"),
        (box(result="scale, top, left"), r"left and top are exchanged"),
        (box(left="0", top="0").replace("min(size / width, size / height)", "size / width"), r"stretches the photo"),
        (box(left="round((size - w) / 2)", top="round((size - h) / 2)"), r"Subtract 0\.1 before you round"),
        (box(left="round((size - w) / 2 + 0.1)", top="round((size - h) / 2 + 0.1)"), r"do not add it"),
        (box(left="size - w", top="size - h"), r"your pad is all of the gray"),
        (box(side="float"), r"before rounding the photo"),
        (box(side="int"), r"`int` cuts them off"),
        (box(scale="min(size / width, size / height, 1)"), r"Smaller ones are enlarged"),
        (box(result="1 / scale, left, top"), r"upside down"),
        (
            box(result="(h / height if width > height else w / width), left, top"),
            r"the exact one, size over the long side",
        ),
        (box(result="scale, left"), r"expected shape was \(3,\)"),
    ],
    "12.2": [
        (stack("width - x1, y1, width - x2, y2"), r"inside out: x1 > x2"),
        (stack("width - 1 - x2, y1, width - 1 - x1, y2"), r"one pixel off"),
        (stack("x1, width - y2, x2, width - y1"), r"you mirrored y"),
        (stack("width - x2, width - y2, width - x1, width - y1"), r"180 degrees"),
        (stack("1 - x2, y1, 1 - x1, y2"), r"between 0 and 1"),
        (stack("x2, y1, x1, y2"), r"without mirroring them"),
        (stack("width - x1, y1, x2, y2"), r"center and size\. It is xyxy"),
        (
            stack("width - (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1"),
            r"you return center and size",
        ),
        (
            "def flip_boxes(boxes, width):\n    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]\n    return boxes",
            r"changes its input",
        ),
        (flip("torch.stack([width - x2, y1, width - x1, y2], dim=0)"), r"expected shape"),
        (flip("torch.stack([width - x2, y1, width - x1, y2], dim=-1).detach()"), r"no gradient flows back"),
    ],
    "12.3": [
        (keep(area="new / old > 0.1"), r"The warp itself changes areas"),
        (keep(area="new * zoom / old > 0.1"), r"zoom is on the wrong side"),
        (keep(area="new / (old * zoom ** 2) > 0.1"), r"do not square it"),
        (keep(area="new / (old * zoom) < 0.1"), r"\*more\* than a tenth"),
        (keep(area="w > 0"), r"the second rule is missing"),
        (keep(sides="(w > 2) | (h > 2)"), r"Both sides: `&`"),
        (keep(sides="w > 2"), r"the width only"),
        (keep(sides="h > 2"), r"the height only"),
        (keep(sides="(w >= 2) & (h >= 2)"), r"`>`, not `>=`"),
        (keep(aspect="torch.maximum(w / h, h / w) <= 100"), r"`<`, not `<=`"),
        (keep(aspect="w / h < 100"), r"not those that are too high"),
        (keep(aspect="h / w < 100"), r"not those that are too wide"),
        (keep(aspect="w > 0"), r"the third rule is missing"),
        (keep(result="after[mask]"), r"these are the boxes that stay"),
        (keep(result="mask.nonzero().flatten()"), r"these are the numbers of the boxes"),
        (keep(result="~mask"), r"True must mean"),
        (keep().replace("before, after, zoom)", "after, before, zoom)"), r"before and after are exchanged"),
    ],
}
