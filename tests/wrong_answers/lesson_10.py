"""Wrong answers to the exercises of lesson 10, and what a learner must read."""

SOLUTION = """
def assign_by_hand(targets, rows, columns, anchors, threshold=4.0, rule="r7"):
    in_cells = (targets[:, 2:] * torch.tensor([columns, rows, columns, rows])).tolist()
    heads = targets[:, :2].int().tolist()
    entries = []
    for direction, (dx, dy) in enumerate([(0, 0), (-0.5, 0), (0, -0.5), (0.5, 0), (0, 0.5)]):
        for a, (anchor_w, anchor_h) in enumerate(anchors.tolist()):
            for (image, label), (x, y, w, h) in zip(heads, in_cells):
                if not max(w / anchor_w, anchor_w / w, h / anchor_h, anchor_h / h) < threshold:
                    continue
                right = x % 1 > 0.5 and x < columns - 1
                down = y % 1 > 0.5 and y < rows - 1
                if rule == "r7":
                    right = (columns - x) % 1 < 0.5 and columns - x > 1
                    down = (rows - y) % 1 < 0.5 and rows - y > 1
                chosen = [True, x % 1 < 0.5 and x > 1, y % 1 < 0.5 and y > 1, right, down]
                if not chosen[direction]:
                    continue
                column, row = int(x + dx), int(y + dy)
                if rule == "r7":
                    column, row = min(max(column, 0), columns - 1), min(max(row, 0), rows - 1)
                entries.append((image, a, row, column, label, x - column, y - row, w, h))
    return entries
"""


def by_hand(*changes: tuple[str, str]) -> str:
    """The solution with these pieces of it replaced."""
    code = SOLUTION
    for old, new in changes:
        assert old in code, old
        code = code.replace(old, new)
    return code


def test(result: str) -> str:
    """`anchor_test` that returns this."""
    return f"""def anchor_test(sizes, anchors, threshold=4.0):
    r = sizes[None] / anchors[:, None]
    off = torch.maximum(r, 1 / r)
    return {result}"""


def cells(result: str) -> str:
    """`neighbor_cells` that returns this."""
    return f"""def neighbor_cells(x, y, columns, rows):
    left, up = x % 1 < 0.5 and x > 1, y % 1 < 0.5 and y > 1
    right, down = x % 1 > 0.5 and x < columns - 1, y % 1 > 0.5 and y < rows - 1
    return {result}"""


CLAMP = "column, row = min(max(column, 0), columns - 1), min(max(row, 0), rows - 1)"
SEVEN = """                if rule == "r7":
                    right = (columns - x) % 1 < 0.5 and columns - x > 1
                    down = (rows - y) % 1 < 0.5 and rows - y > 1
"""
ENTRY = "(image, a, row, column, label, x - column, y - row, w, h)"

RIGHT = cells("[True, left, up, right, down]")
IN_CELLS = "torch.tensor([columns, rows, columns, rows])"
CLAMPED = '                if rule == "r7":\n                    column'
GUARDS = (
    " and columns - x > 1", " and rows - y > 1", " and x > 1", " and y > 1", " and x < columns - 1", " and y < rows - 1"
)  # fmt: skip
FAR = (
    "[True, 0.5 < x % 1 and x > 1, 0.5 < y % 1 and y > 1, "
    "x % 1 < 0.5 and x < columns - 1, y % 1 < 0.5 and y < rows - 1]"
)
COMMON = "torch.minimum(sizes[None], anchors[:, None]).prod(-1)"
UNION = f"(sizes.prod(-1)[None] + anchors.prod(-1)[:, None] - {COMMON})"

WRONG: dict[str, list[tuple[str, str]]] = {
    "10.1": [
        (test("off[..., 0] < threshold"), r"the widths only"),
        (test("off[..., 1] < threshold"), r"the heights only"),
        (test("r.amax(dim=-1) < threshold"), r"forgot the other direction"),
        (test("(1 / r).amax(dim=-1) < threshold"), r"divide the anchor by the object only"),
        (test("off.amax(dim=-1) <= threshold"), r"Use `<`"),
        (test("off.mean(dim=-1) < threshold"), r"you average width and height"),
        (test("off.amin(dim=-1) < threshold"), r"one fitting side is not enough"),
        (test("off.amax(dim=-1) < 4"), r"whatever the threshold is"),
        (test("(off.amax(dim=-1) < threshold).T"), r"anchors first"),
        (test("off.amax(dim=-1)"), r"These are the ratios|these are the ratios"),
        (test("off.amax(dim=-1) > threshold"), r"turned around"),
        (test(f"{COMMON} / {UNION} > 1 / threshold"), r"test by overlap \(IoU\)"),
        (test("off").replace("sizes[None] / anchors[:, None]", "sizes / anchors"), r"do not line up"),
    ],
    "10.2": [
        (cells("[True, False, False, False, False]"), r"only the cell under the center"),
        (cells("[True] * 5"), r"you choose all four neighbors"),
        (cells("[True, x > 1, y > 1, x < columns - 1, y < rows - 1]"), r"all four neighbors that the grid has"),
        (cells("[True, x % 1 < 0.5, y % 1 < 0.5, x % 1 > 0.5, y % 1 > 0.5]"), r"forgot the border of the grid"),
        (cells("[True, up, left, down, right]"), r"x and y are exchanged"),
        (cells("[True, left, right, up, down]"), r"in another order"),
        (RIGHT.replace("(x, y, columns, rows)", "(x, y, rows, columns)"), r"columns and rows are"),
        (cells(FAR), r"on the far side"),
        (RIGHT.replace("< 0.5", "<= 0.5").replace("> 0.5", ">= 0.5"), r"no nearer side"),
        (RIGHT.replace("> 1", ">= 1"), r"`> 1`, not `>= 1`"),
        (RIGHT.replace("> 1", "> 0").replace(" - 1", ""), r"one cell off"),
        (cells("chosen_cells(torch.tensor([[x, y]]), rows, columns, 'r7')[:, 0].tolist()"), r"rule of release 7\.0"),
    ],
    "10.3": [
        (by_hand((ENTRY, ENTRY.replace("row, column", "column, row"))), r"row and column are exchanged"),
        (by_hand(("[columns, rows, columns, rows]", "[rows, columns, rows, columns]")), r"multiplied by the columns"),
        (by_hand((ENTRY, ENTRY.replace("x - column, y - row", "x, y"))), r"subtract column and row"),
        (by_hand((ENTRY, ENTRY.replace("x - column, y - row", "x % 1, y % 1"))), r"its own\* cell"),
        (by_hand((ENTRY, ENTRY.replace("w, h", "w / anchor_w, h / anchor_h"))), r"divide the box's size by the anchor"),
        (by_hand((IN_CELLS, "torch.tensor([columns, rows, 1, 1])")), r"multiply them by columns"),
        (by_hand((ENTRY, ENTRY.replace("w, h", "w / columns, h / rows"))), r"width and height are still normalized"),
        (by_hand(("int(x + dx), int(y + dy)", "round(x + dx), round(y + dy)")), r"rounding down"),
        (by_hand((CLAMP, "pass")), r"keeps cells inside the grid"),
        (by_hand((CLAMPED, "                if True:\n                    column")), r"you clamp for the June 2020"),
        (by_hand((SEVEN, "")), r"measured from the far side"),
        (by_hand((SEVEN, ""), (CLAMP, "pass")), r"the June 2020 rule for both"),
        (by_hand(('rule == "r7"', "True")), r"release 7\.0 for both"),
        (by_hand((SEVEN, SEVEN.replace('rule == "r7"', "True"))), r"in release 7\.0 only"),
        (by_hand(("< threshold", "<= threshold")), r"use `<`"),
        (by_hand(("if not chosen[direction]", "if direction")), r"neighbors are missing"),
        (by_hand(*((guard, "") for guard in GUARDS)), r"forgot the border of the grid"),
        (by_hand(("return entries", "return sorted(entries)")), r"in another order"),
        (by_hand(("return entries", "return list(dict.fromkeys(entries))")), r"entries that occur twice"),
        (by_hand(("label, x", "0, x")), r"class is missing"),
        (by_hand((ENTRY, "(image, a, row, column)")), r"expected shape"),
        (by_hand(("return entries", "return None")), r"you returned None"),
    ],
}  # fmt: skip
