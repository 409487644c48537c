"""Exercises of lesson 14: four repairs. The broken code is known, so an answer that still has its fault is told."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from yolo_edu.course.checks.compare import Mistake, error_words, verdict
from yolo_edu.course.checks.functions import ROUNDS, judge_function
from yolo_edu.model.detect import decode_box

__all__ = ["repaired_cell", "repaired_decoding", "repaired_evaluation", "repaired_reading"]

Ask = Callable[[nn.Module, Tensor], Tensor]


# --- 14.1 -----------------------------------------------------------------------------------------------


def _cell(center: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """As in `yolo_edu.assign`."""
    column, row = (center - offset).long().unbind(dim=1)
    return row, column


def repaired_cell(function: Callable[[Tensor, Tensor], Any]) -> Callable[[Tensor, Tensor], Any]:
    """Exercise 14.1: (E, 2) centers x, y and (E, 2) offsets, in cells → rows (E,), columns (E,)."""
    generator = torch.Generator().manual_seed(0)
    steps = torch.tensor([[0, 0], [0.5, 0], [0, 0.5], [-0.5, 0], [0, -0.5]])
    cases = []
    for _ in range(ROUNDS):
        center = 1 + torch.rand(6, 2, generator=generator) * torch.tensor([20.0, 6.0])  # a wide grid
        cases.append((center, steps[torch.randint(5, (6,), generator=generator)]))
    mistakes = [
        Mistake(lambda c, o: (c - o).long().unbind(dim=1), "this is still the patient: you return the columns first."),
        Mistake(
            lambda c, o: _cell(c, -o),
            "the sign of the offset: it is subtracted. With (0.5, 0) the left neighbor is meant, so x gets smaller.",
        ),
        Mistake(
            lambda c, o: _cell(c, torch.zeros_like(o)),
            "you forgot the offset: without it every entry falls into the cell of the center.",
        ),
        Mistake(lambda c, o: _cell((c - o).round(), 0 * o), "a cell begins at a whole number: cut off, do not round."),
        Mistake(
            lambda c, o: (c - o).unbind(dim=1)[::-1], "the order is right. A cell has a whole number: cut off the rest."
        ),
        Mistake(
            lambda c, o: torch.stack(_cell(c, o), dim=1),
            "the numbers are right. Return two tensors, rows and columns, instead of one.",
        ),
        Mistake(lambda c, o: (c - o).long(), "return two tensors, first the rows, then the columns."),
        Mistake(lambda c, o: (_cell(c, o)[0],) * 2, "you return the rows twice."),
        Mistake(lambda c, o: (_cell(c, o)[1],) * 2, "you return the columns twice."),
    ]
    return judge_function(
        "14.1",
        function,
        _cell,
        "yolo_edu's own assignment",
        cases=cases,
        mistakes=mistakes,
        describe=lambda c, o: f"a center x = {c[0, 0]:.2f}, y = {c[0, 1]:.2f} with offset {tuple(o[0].tolist())}",
    )


# --- 14.2 -----------------------------------------------------------------------------------------------


def _decode(
    raw: Tensor, anchors: Tensor, stride: int, *, sigmoids: int = 1, scale: bool = True, turned: bool = False
) -> Tensor:
    """As in `Detect.decode`, or with a fault."""
    h, w = raw.shape[2:4]
    row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    cell = torch.stack([row, column] if turned else [column, row], dim=-1)
    box = decode_box(raw[..., :4], anchors[:, None, None])
    xy, wh = (box[..., :2] + cell) * stride, box[..., 2:] * (stride if scale else 1)
    rest = raw[..., 4:]
    for _ in range(sigmoids):
        rest = rest.sigmoid()
    return torch.cat([xy, wh, rest], dim=-1).flatten(1, 3)


def _right_decode(raw: Tensor, anchors: Tensor, stride: int) -> Tensor:
    return _decode(raw, anchors, stride)


def repaired_decoding(function: Callable[[Tensor, Tensor, int], Tensor]) -> Callable[[Tensor, Tensor, int], Tensor]:
    """Exercise 14.2: (B, A, h, w, 5 + K) raw, (A, 2) anchors in cells, stride → (B, A · h · w, 5 + K) rows."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for index in range(ROUNDS):
        shape = (1 + index % 2, 2, 2 + index % 3, 4, 5 + 2)
        anchors = 1 + 4 * torch.rand(2, 2, generator=generator)
        cases.append((2 * torch.randn(shape, generator=generator), anchors, (8, 16, 32)[index % 3]))

    def variant(**fault: Any) -> Callable[[Tensor, Tensor, int], Tensor]:
        return lambda raw, anchors, stride: _decode(raw, anchors, stride, **fault)

    sigmoid = "objectness and classes still go through a second sigmoid: `probability` already holds probabilities."
    unit = "width and height are still in grid cells. Pixels are asked for: what is one cell in pixels?"
    mistakes = [
        Mistake(variant(sigmoids=2, scale=False), f"this is still the patient. {sigmoid} And {unit}"),
        Mistake(variant(sigmoids=2), f"the sizes are right now; {sigmoid}"),
        Mistake(variant(scale=False), f"the probabilities are right now; {unit}"),
        Mistake(variant(sigmoids=0), "objectness and classes are logits: you took both sigmoids away. One must stay."),
        Mistake(variant(turned=True), "x is counted in columns, y in rows: the first number of a cell is its column."),
        Mistake(
            lambda raw, a, s: _decode(raw, a / s, s),
            "you divide the anchors by the stride. They are in cells already; the result must be multiplied by it.",
        ),
        Mistake(
            lambda raw, a, s: _decode(raw, a * s, s),
            "the sizes are multiplied by the stride twice.",
        ),
    ]
    return judge_function(
        "14.2",
        function,
        _right_decode,
        "yolo_edu's own decoding",
        cases=cases,
        mistakes=mistakes,
        describe=lambda raw, a, s: f"raw {tuple(raw.shape)} at stride {s}",
    )


# --- 14.3 -----------------------------------------------------------------------------------------------


def _from_coco(boxes: Tensor, width: int, height: int) -> Tensor:
    size = boxes.new_tensor([width, height])
    return torch.cat([(boxes[:, :2] + boxes[:, 2:] / 2) / size, boxes[:, 2:] / size], dim=1)


def repaired_reading(function: Callable[[Tensor, int, int], Tensor]) -> Callable[[Tensor, int, int], Tensor]:
    """Exercise 14.3: (N, 4) left, top, width, height in pixels of the image → (N, 4) cx, cy, w, h, normalized."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for index in range(ROUNDS):
        width, height = (torch.randint(100, 600, (2,), generator=generator)).tolist()
        share = 0.05 + 0.45 * torch.rand(1 + index % 3, 4, generator=generator)
        cases.append((share * torch.tensor([width, height, width, height]), width, height))

    def scaled(boxes: Tensor, w: int, h: int) -> Tensor:
        return boxes / boxes.new_tensor([w, h, w, h])

    mistakes = [
        Mistake(
            scaled, "this is still the patient: the first two numbers are the left and the top edge, not the center."
        ),
        Mistake(
            lambda b, w, h: torch.cat([_from_coco(b, w, h)[:, :2], scaled(b, w, h)[:, 2:] / 2], dim=1),
            "the center is right, but you halve width and height too.",
        ),
        Mistake(
            lambda b, w, h: scaled(torch.cat([b[:, :2] - b[:, 2:] / 2, b[:, 2:]], dim=1), w, h),
            "the sign: from the left edge the center lies half a width to the right.",
        ),
        Mistake(
            lambda b, w, h: scaled(torch.cat([b[:, :2] + b[:, 2:], b[:, 2:]], dim=1), w, h),
            "that is the right bottom corner: from the left edge to the center it is half a width.",
        ),
        Mistake(
            lambda b, w, h: scaled(torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], dim=1), w, h),
            "you read the last two numbers as the right bottom corner. They are width and height.",
        ),
        Mistake(
            lambda b, w, h: _from_coco(b, h, w),
            "x and width belong to the image's width, y and height to its height: you divide by the other one.",
        ),
        Mistake(
            lambda b, w, h: _from_coco(b, 1, 1),
            "the box is right, in pixels. The label file wants shares of the image: divide by its width and height.",
        ),
    ]
    return judge_function(
        "14.3",
        function,
        _from_coco,
        "yolo_edu's own conversion",
        cases=cases,
        mistakes=mistakes,
        describe=lambda b, w, h: f"{[round(x) for x in b[0].tolist()]} in an image {w} wide and {h} high",
    )


# --- 14.4 -----------------------------------------------------------------------------------------------


def _ask(network: nn.Module, images: Tensor) -> Tensor:
    """Evaluation mode inside, each module's own mode afterwards, no graph."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    with torch.no_grad():
        answer = network(images)
    for module, mode in modes:
        module.training = mode
    return answer


def repaired_evaluation(function: Ask) -> Ask:
    """Exercise 14.4: a network in any mode and images (B, 3, H, W) → its answer in evaluation mode."""
    reference = "yolo_edu's own way to ask"
    try:
        problem = next(filter(None, (_asking_problem(function, frozen) for frozen in (False, True))), "")
    except NotImplementedError:
        result: Ask = verdict("14.4", None, reference, function, _ask)
        return result
    result = verdict("14.4", problem, reference, function, _ask, tried="two networks, photos alone and together")
    return result


def _asking_problem(function: Ask, frozen: bool) -> str | None:
    """What is wrong with a way to ask; with `frozen` one BatchNorm of the network was in evaluation mode."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5))
    network(torch.rand(4, 3, 8, 8))
    network[1].train(not frozen)
    modes = {name: module.training for name, module in network.named_modules()}
    images = torch.rand(3, 3, 8, 8)
    twin, wanted = copy.deepcopy(network), _ask(copy.deepcopy(network), images)
    try:
        answer = function(twin, images)
    except NotImplementedError:
        raise
    except Exception as error:  # whatever the learner's code raises, the lesson goes on
        return f"your code stopped with {error_words(error)}"
    if not isinstance(answer, Tensor) or answer.shape != wanted.shape:
        return f"the network's answer is expected, a tensor {tuple(wanted.shape)}; you returned {_words(answer)}."
    if any(not torch.equal(a, b) for a, b in zip(network.buffers(), twin.buffers(), strict=True)):
        return (
            "this is still the patient: BatchNorm's running statistics are others after your call. In evaluation mode "
            "they are used and stay as they are."
        )
    if not torch.allclose(answer, wanted, atol=1e-6):
        return "the answer is not that of evaluation mode."
    if answer.requires_grad:
        return (
            "the answer is right, but it still holds the graph of the whole network: evaluation needs no gradients, "
            "and the graph fills the memory. Ask inside `with torch.no_grad():`."
        )
    wrong = [name or "the network" for name, module in twin.named_modules() if module.training != modes[name]]
    if wrong and not frozen:
        return "the answer is right, but you leave the network in evaluation mode: a training would go on in it."
    if wrong:
        return (
            f"afterwards module {wrong[0]!r} is in training mode, and it was in evaluation mode before: somebody had "
            "frozen it. Remember the mode of every module, and give each its own back."
        )
    return None


def _words(answer: Any) -> str:
    return f"a tensor {tuple(answer.shape)}" if isinstance(answer, Tensor) else repr(answer)
