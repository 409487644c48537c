"""Wrong answers to the exercises of lesson 00, and what a learner must read."""

RIGHT_ROW = """
def right_row(box, width, height):
    x1, y1, x2, y2 = box.tolist()
    return [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]

"""
COUNTED = """
def counted(scores, correct, objects, threshold):
    kept = scores > threshold
    right = int((kept & correct).sum())
    return right / max(int(kept.sum()), 1), right / objects

"""

WRONG: dict[str, list[tuple[str, str]]] = {
    "0.1": [
        (
            """def label_row(box, width, height):
    x1, y1, x2, y2 = box.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1""",
            r"you forgot to normalize",
        ),
        (
            """def label_row(box, width, height):
    return box / torch.tensor([width, height, width, height])""",
            r"still two corners",
        ),
        (
            """def label_row(box, width, height):
    x1, y1, x2, y2 = box
    return x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height""",
            r"x and y are the top-left corner",
        ),
        (
            RIGHT_ROW
            + """def label_row(box, width, height):
    cx, cy, w, h = right_row(box, width, height)
    return w, h, cx, cy""",
            r"the center comes first",
        ),
        (
            RIGHT_ROW
            + """def label_row(box, width, height):
    cx, cy, w, h = right_row(box, width, height)
    return cy, cx, h, w""",
            r"x before y",
        ),
        (
            RIGHT_ROW
            + """def label_row(box, width, height):
    return right_row(box, height, width)""",
            r"width and height are swapped",
        ),
        (
            RIGHT_ROW
            + """def label_row(box, width, height):
    cx, cy, w, h = right_row(box, width, height)
    return cx, cy, w / 2, h / 2""",
            r"you give half the size",
        ),
        (
            """def label_row(box, width, height):
    box /= torch.tensor([width, height, width, height])
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]""",
            r"changed in the caller's tensor",
        ),
        (
            RIGHT_ROW
            + """def label_row(box, width, height):
    right_row(box, width, height)""",
            r"you returned None",
        ),
        (
            RIGHT_ROW
            + """def label_row(box, width, height):
    return right_row(box, width, height)[:3]""",
            r"expected shape was \(4,\), yours is \(3,\)",
        ),
        (
            """def label_row(box, width, height):
    return "cx cy w h"
""",
            r"of type str; 4 numbers were expected",
        ),
        (
            """def label_row(box, width, height):
    return box.center()""",
            r"stopped with AttributeError",
        ),
        (
            RIGHT_ROW
            + """def label_row(box, width, height):
    return [round(v, 1) for v in right_row(box, width, height)]""",
            r"random inputs come out wrong",
        ),
    ],
    "0.2": [
        (
            COUNTED
            + """def precision_recall(scores, correct, objects, threshold):
    precision, recall = counted(scores, correct, objects, threshold)
    return recall, precision""",
            r"precision first, then recall",
        ),
        (
            """def precision_recall(scores, correct, objects, threshold):
    return float(correct.sum()) / len(scores), float(correct.sum()) / objects""",
            r"the threshold is ignored",
        ),
        (
            """def precision_recall(scores, correct, objects, threshold):
    kept = scores >= threshold
    right = int((kept & correct).sum())
    return right / max(int(kept.sum()), 1), right / objects""",
            r"use `>`",
        ),
        (
            """def precision_recall(scores, correct, objects, threshold):
    right = int(((scores > threshold) & correct).sum())
    return right / len(scores), right / objects""",
            r"a share of the boxes that were kept",
        ),
        (
            """def precision_recall(scores, correct, objects, threshold):
    kept = scores > threshold
    right = int((kept & correct).sum())
    return right / max(int(kept.sum()), 1), right / max(int(correct.sum()), 1)""",
            r"also of those that no box ever found",
        ),
        (
            """def precision_recall(scores, correct, objects, threshold):
    kept = scores > threshold
    right = int((kept & correct).sum())
    return right / int(kept.sum()), right / objects""",
            r"stopped with ZeroDivisionError",
        ),
    ],
}
