"""Wrong answers to the exercises of lesson 07, and what a learner must read."""

DECODE = """
def decode_level(raw, anchors, stride):
    h, w = raw.shape[2:4]
    row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    cell = torch.stack([column, row], dim=-1)
    shapes = anchors[:, None, None]
    t, s = raw, raw.sigmoid()
    return torch.cat([CENTER, SIZE], dim=-1)
"""
CENTER, SIZE = "(2 * s[..., :2] - 0.5 + cell) * stride", "(2 * s[..., 2:]) ** 2 * shapes * stride"


def decoded(center: str = CENTER, size: str = SIZE) -> str:
    """The decoding with other formulas in it."""
    return DECODE.replace("CENTER", center).replace("SIZE", size)


def rows(result: str) -> str:
    """`numbers_last` that returns this."""
    return f"""def numbers_last(x, anchors):
    b, c, h, w = x.shape
    return {result}"""


def recall(result: str) -> str:
    """`best_possible_recall` that returns this."""
    return f"""def best_possible_recall(sizes, anchors, threshold=4.0):
    r = sizes[:, None] / anchors
    off = torch.maximum(r, 1 / r)
    return {result}"""


WRONG: dict[str, list[tuple[str, str]]] = {
    "7.1": [
        (rows("x.view(b, c // anchors, anchors, h, w).permute(0, 2, 3, 4, 1)"), r"channels are ordered by anchor"),
        (rows("x.reshape(b, anchors, h, w, c // anchors)"), r"they move nothing"),
        (rows("x.permute(0, 2, 3, 1).reshape(b, anchors, h, w, c // anchors)"), r"before you move any axis"),
        (rows("x.view(b, anchors, c // anchors, h, w)"), r"must become the last axis: permute"),
        (rows("x.view(b, anchors, c // anchors, h, w).permute(0, 1, 4, 3, 2)"), r"rows and columns are exchanged"),
        (rows("x.permute(0, 2, 3, 1).reshape(b, h, w, anchors, -1)"), r"the anchors come before the rows"),
        (rows("x.view(b, anchors, 10, h, w).permute(0, 1, 3, 4, 2)"), r"stopped with RuntimeError"),
        (rows("x.view(b, anchors, c // anchors, h, w).permute(0, 1, 3, 4, 2).detach()"), r"no gradient flows back"),
    ],
    "7.2": [
        (decoded("(2 * s[..., :2] - 0.5 + cell.flip(-1)) * stride"), r"row and column are swapped"),
        (decoded(size="t[..., 2:].exp() * shapes * stride"), r"YOLOv3's size"),
        (decoded("(2 * s[..., :2] + cell) * stride"), r"forgot to subtract 0\.5"),
        (decoded("(s[..., :2] + cell) * stride"), r"YOLOv3's offset"),
        (
            decoded("(2 * t[..., :2] - 0.5 + cell) * stride", "(2 * t[..., 2:]) ** 2 * shapes * stride"),
            r"forgot the sigmoid",
        ),
        (decoded(size="2 * s[..., 2:] * shapes * stride"), r"forgot the square"),
        (decoded(size="2 * s[..., 2:] ** 2 * shapes * stride"), r"not 2σ²"),
        (decoded(size="(2 * s[..., 2:]) ** 2 * shapes"), r"width and height are still in cells"),
        (decoded("2 * s[..., :2] - 0.5 + cell"), r"the center is still in cells"),
        (decoded("2 * s[..., :2] - 0.5 + cell", "(2 * s[..., 2:]) ** 2 * shapes"), r"in the wrong unit"),
        (decoded("(2 * s[..., :2] - 0.5) * stride + cell"), r"add first"),
        (decoded("(2 * s[..., :2] - 0.5) * stride"), r"forgot to add column and row"),
        (decoded().replace("anchors[:, None, None]", "anchors"), r"`anchors\[:, None, None\]` is \(A, 1, 1, 2\)"),
        (
            decoded().replace("torch.arange(h), torch.arange(w)", "torch.arange(w), torch.arange(h)"),
            r"laid out \(w, h\)",
        ),
        (
            decoded() + "    return None\n\nwrong = decode_level\n\ndef decode_level(raw, anchors, stride):\n"
            "    return cxcywh_to_xyxy(wrong(raw, anchors, stride))",
            r"you return two corners",
        ),
        (decoded().replace("t, s = raw,", "t, s = raw.mul_(1.5),"), r"changed in the caller's tensor"),
        (decoded().replace("raw.sigmoid()", "raw.detach().sigmoid()"), r"no gradient flows|the gradient is not"),
    ],
    "7.3": [
        (recall("(r.amax(dim=2) < threshold).any(dim=1).float().mean()"), r"too small for an anchor"),
        (recall("((1 / r).amax(dim=2) < threshold).any(dim=1).float().mean()"), r"too large for an anchor"),
        (recall("(off[..., 0] < threshold).any(dim=1).float().mean()"), r"the widths only"),
        (recall("(off[..., 1] < threshold).any(dim=1).float().mean()"), r"the heights only"),
        (recall("(off.mean(dim=2) < threshold).any(dim=1).float().mean()"), r"you average width and height"),
        (recall("(off.amin(dim=2) < threshold).any(dim=1).float().mean()"), r"one fitting side is not enough"),
        (recall("(off.amax(dim=2) <= threshold).any(dim=1).float().mean()"), r"use `<`"),
        (recall("(off.amax(dim=2) < threshold).all(dim=1).float().mean()"), r"`any` over the anchors"),
        (recall("(off.amax(dim=2).mean(dim=1) < threshold).float().mean()"), r"you average over the anchors"),
        (recall("(off.amax(dim=2) < threshold).sum(dim=1).float().mean()"), r"mean number of anchors"),
        (recall("(off.amax(dim=2) < threshold).any(dim=1).sum()"), r"their share, between 0 and 1"),
        (recall("(off.amax(dim=2) < 4).any(dim=1).float().mean()"), r"random inputs come out wrong"),
    ],
}
