"""Wrong answers to the exercises of lesson 09, and what a learner must read."""

IOU = """
def iou_pairs(a, b):
    low = torch.maximum(a[:, :2], b[:, :2])
    high = torch.minimum(a[:, 2:], b[:, 2:])
    side = SIDE
    inside = INSIDE
    areas = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1)
    return RESULT
"""


def overlap(
    result: str = "inside / (areas - inside)",
    *,
    side: str = "(high - low).clamp(min=0)",
    inside: str = "side.prod(dim=1)",
) -> str:
    """`iou_pairs` with other formulas in it."""
    return IOU.replace("SIDE", side, 1).replace("INSIDE", inside).replace("RESULT", result)


GREEDY = """
def suppress(boxes, scores, threshold):
    overlap = pairwise_iou(boxes, boxes)
    kept = []
    for i in ORDER:
        if not kept or not (GONE):
            kept.append(i)
    return RESULT
"""
ORDER = "scores.argsort(descending=True).tolist()"


def greedy(gone: str = "(overlap[i, kept] > threshold).any()", *, order: str = ORDER, result: str = "kept") -> str:
    """`suppress` with another rule in it."""
    return GREEDY.replace("ORDER", order).replace("GONE", gone).replace("RESULT", result)


AREA = """
def average_precision(scores, correct, objects):
    hits = correct[ORDER].double().cumsum(dim=0)
    precision = hits / torch.arange(1, len(hits) + 1)
    recall = hits / objects
    envelope = precision.flip(0).cummax(dim=0).values.flip(0)
    readings = []
    for r in torch.linspace(0, 1, 101, dtype=torch.float64):
        reached = CURVE[recall >= r]
        readings.append(float(reached[0]) if len(reached) else 0.0)
    return RESULT
"""


def area(
    result: str = "sum(readings) / 101", *, curve: str = "envelope", order: str = "scores.argsort(descending=True)"
) -> str:
    """`average_precision` with another rule in it."""
    return AREA.replace("ORDER", order).replace("CURVE", curve).replace("RESULT", result)


WRONG: dict[str, list[tuple[str, str]]] = {
    "9.1": [
        (overlap(side="high - low"), r"a negative side must become 0"),
        (overlap(side="high - low", inside="side.prod(dim=1).clamp(min=0)"), r"not their product"),
        (overlap("inside / areas"), r"counts the overlap twice"),
        (overlap("2 * inside / areas"), r"Dice coefficient"),
        (
            overlap(
                "inside / ((a[:, 2:] - a[:, :2] + 1).prod(dim=1) + (b[:, 2:] - b[:, :2] + 1).prod(dim=1) - inside)",
                side="(high - low + 1).clamp(min=0)",
            ),
            r"a pixel more on each side",
        ),
        (
            "def iou_pairs(a, b):\n    return iou(cxcywh_to_xyxy(a), cxcywh_to_xyxy(b))",
            r"you read the boxes as cx, cy, w, h",
        ),
        (overlap("inside / (a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3] - inside)"), r"not width and height"),
        (overlap("inside"), r"the area of the intersection\. Divide"),
        (overlap("areas - inside"), r"this is the area of the union"),
        (
            overlap("inside / (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)"),
            r"the hull\. The union is smaller",
        ),
        (overlap("inside / (a[:, 2:] - a[:, :2]).prod(dim=1)"), r"the area of the first box"),
        (
            overlap()
            .replace("torch.maximum", "torch.m")
            .replace("torch.minimum", "torch.maximum")
            .replace("torch.m(", "torch.minimum("),
            r"maximum and minimum are exchanged",
        ),
        (overlap("1 - inside / (areas - inside)"), r"this is the loss"),
        ("def iou_pairs(a, b):\n    return pairwise_iou(a, b)", r"row i with row i"),
        (overlap("(inside / (areas - inside)).mean()"), r"one number for each pair"),
        (overlap("inside / (areas - inside) + 0.1"), r"20 random inputs come out wrong"),
        (overlap("(inside / (areas - inside)).detach()"), r"no gradient flows back"),
        (overlap("torch.tensor([float(v) for v in inside / (areas - inside)])"), r"no gradient flows back"),
        (
            overlap(side="(high - low).clamp_(min=0)").replace(
                "a[:, 2:], b[:, 2:]", "a[:, 2:].clamp_(max=50), b[:, 2:]"
            ),
            r"changed in the caller's tensor",
        ),
    ],
    "9.2": [
        (greedy("(overlap[i, kept] >= threshold).any()"), r"Use `>`"),
        (greedy(order="range(len(boxes))"), r"sort by score"),
        (greedy(order="scores.argsort().tolist()"), r"`argsort` is ascending"),
        (greedy("overlap[i, kept[-1]] > threshold"), r"only with the last one you kept"),
        (
            "def suppress(boxes, scores, threshold):\n    order = scores.argsort(descending=True)\n"
            "    close = (pairwise_iou(boxes[order], boxes[order]) > threshold).tril(-1)\n"
            "    return order[~close.any(dim=1)]",
            r"suppressed boxes still suppress others",
        ),
        (greedy("(overlap[i, kept] <= threshold).any()"), r"the comparison is turned round"),
        (greedy(result="[i in kept for i in range(len(boxes))]"), r"you return a mask"),
        (greedy(result="sorted(kept)"), r"sorted by index"),
        (greedy(result="kept[::-1]"), r"the least sure first"),
        (greedy(result="[scores.argsort(descending=True).tolist().index(i) for i in kept]"), r"Translate them back"),
        (greedy(result="boxes[kept]"), r"as boxes\. Return their indices"),
        (greedy(result="scores[kept]"), r"you return their scores"),
        (
            greedy(result="[i for i in scores.argsort(descending=True).tolist() if i not in kept]"),
            r"these are the suppressed boxes",
        ),
        (greedy(result="scores.argsort(descending=True)"), r"nothing is suppressed"),
        (greedy("(overlap[i, kept] > 0.45).any()"), r"random inputs come out wrong|the expected shape"),
    ],
    "9.3": [
        (area(curve="precision"), r"the envelope is missing|The envelope is missing"),
        (area(curve="precision.cummax(dim=0).values"), r"from left to right"),
        (area("precision.mean()"), r"mean of the precisions over the detections"),
        (area().replace("hits / objects", "hits / hits[-1]"), r"ends at 1 although objects were missed"),
        (area().replace("hits / objects", "hits / len(hits)"), r"Recall is right detections over objects"),
        (area(order="torch.arange(len(scores))"), r"Sort them by score first"),
        (area(order="scores.argsort()"), r"but ascending"),
        (area("torch.trapezoid(precision, recall)"), r"begin at the first detection's recall.*follow the zigzag"),
        (area("torch.trapezoid(envelope, recall)"), r"the curve's start is missing"),
        (area("sum(readings) / len([r for r in readings if r])"), r"only over recalls that were reached"),
        (
            area("sum(readings) / 11").replace("linspace(0, 1, 101", "linspace(0, 1, 11"),
            r"11 recalls, as the VOC challenge",
        ),
        (
            area("(torch.diff(recall, prepend=torch.zeros(1)) * envelope).sum()"),
            r"the exact area under the envelope",
        ),
        (area("(torch.diff(recall, prepend=torch.zeros(1)) * precision).sum()"), r"at each right detection"),
        (area("precision[-1]"), r"one point of the curve"),
        (area("sum(readings)"), r"20 random inputs come out wrong"),
        (area("None"), r"you returned None"),
    ],
}
