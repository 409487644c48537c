"""Wrong answers to the exercises of lesson 14, and what a learner must read."""


def cell(result: str) -> str:
    return f"def cell_of(center, offset):\n    return {result}"


def decode(sizes: str = "* stride", rest: str = "probability[..., 4:]", cell: str = "[column, row]") -> str:
    return f"""def decode_level(raw, anchors, stride):
    h, w = raw.shape[2:4]
    row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    cell = torch.stack({cell}, dim=-1)
    probability = raw.sigmoid()
    xy = (2 * probability[..., :2] - 0.5 + cell) * stride
    wh = (2 * probability[..., 2:4]) ** 2 * anchors[:, None, None] {sizes}
    return torch.cat([xy, wh, {rest}], dim=-1).flatten(1, 3)"""


def read(center: str, size: str = "boxes[:, 2:]", by: str = "[width, height]") -> str:
    return f"""def from_coco(boxes, width, height):
    whole = torch.tensor({by})
    return torch.cat([({center}) / whole, ({size}) / whole], dim=1)"""


def ask(*lines: str) -> str:
    return "\n    ".join(["def ask(network, images):", *lines])


CENTER = "boxes[:, :2] + boxes[:, 2:] / 2"

WRONG: dict[str, list[tuple[str, str]]] = {
    "14.1": [
        (cell("(center - offset).long().unbind(dim=1)"), r"still the patient"),
        (cell("(center + offset).long().flip(1).unbind(dim=1)"), r"sign of the offset"),
        (cell("center.long().flip(1).unbind(dim=1)"), r"forgot the offset"),
        (cell("(center - offset).round().flip(1).unbind(dim=1)"), r"cut off, do not round"),
        (cell("(center - offset).flip(1).unbind(dim=1)"), r"whole number"),
        (cell("(center - offset).long().flip(1)"), r"Return two tensors"),
        (cell("(center - offset).long()"), r"return two tensors"),
        (cell("((center - offset)[:, 1].long(),) * 2"), r"rows twice"),
        (cell("((center - offset)[:, 0].long(),) * 2"), r"columns twice"),
        (cell("None"), r"you returned None"),
    ],
    "14.2": [
        (decode("", "probability[..., 4:].sigmoid()"), r"still the patient"),
        (decode(rest="probability[..., 4:].sigmoid()"), r"sizes are right now"),
        (decode(""), r"probabilities are right now"),
        (decode(rest="raw[..., 4:]"), r"both sigmoids away"),
        (decode(cell="[row, column]"), r"x is counted in columns"),
        (decode("* stride * stride"), r"twice"),
        (
            decode("/ stride * stride / stride * stride / stride * stride / stride * stride / stride"),
            r"come out wrong|random",
        ),
    ],
    "14.3": [
        (read("boxes[:, :2]"), r"still the patient"),
        (read(CENTER, "boxes[:, 2:] / 2"), r"halve width and height too"),
        (read("boxes[:, :2] - boxes[:, 2:] / 2"), r"the sign"),
        (read("boxes[:, :2] + boxes[:, 2:]"), r"right bottom corner"),
        (read("(boxes[:, :2] + boxes[:, 2:]) / 2", "boxes[:, 2:] - boxes[:, :2]"), r"They are width and height"),
        (read(CENTER, by="[height, width]"), r"by the other one"),
        (read(CENTER, by="[1, 1]"), r"shares of the image"),
    ],
    "14.4": [
        (ask("return network(images)"), r"still the patient"),
        (ask("network.eval()", "return network(images)"), r"holds the graph"),
        (ask("network.eval()", "return network(images).detach()"), r"leave the network in evaluation mode"),
        (
            ask(
                "network.eval()",
                "with torch.no_grad():",
                "    answer = network(images)",
                "network.train()",
                "return answer",
            ),
            r"'1' is in training mode",
        ),
        (ask("with torch.no_grad():", "    return network(images)"), r"still the patient"),
        (ask("return None"), r"you returned None"),
        (ask("return networks(images)"), r"NameError"),
        (ask("network.eval()", "return 2 * network(images)"), r"not that of evaluation mode"),
    ],
}
