"""Wrong answers to the exercises of lesson 04, and what a learner must read."""


def stage(
    *,
    down: str = "Conv(c_in, c_out, 3, 2, activation=mish)",
    part: str = "c_out // 2",
    conv: str = "activation=mish",
    block: str = "Bottleneck(part, part, expansion=1.0, activation=mish)",
    last: str = "Conv(part, part, activation=mish)",
    transition: str = "Conv(2 * part, c_out, activation=mish)",
    result: str = "self.transition(torch.cat([self.through(x), self.around(x)], dim=1))",
) -> str:
    """A right answer to 4.1, but for what is changed."""
    return f"""class MyCSPStage(nn.Module):
    def __init__(self, c_in, c_out, repeats):
        super().__init__()
        part = {part}
        self.down = {down}
        self.around = Conv(c_out, part, {conv})
        self.through = nn.Sequential(
            Conv(c_out, part, {conv}), *({block} for _ in range(repeats)), {last}
        )
        self.transition = {transition}

    def forward(self, x):
        x = self.down(x)
        return {result}"""


def depth(body: str) -> str:
    return f"def space_to_depth(x):\n    {body}"


def phases(order: str, dim: int = 1) -> str:
    """Phases at these (row, column) starts."""
    return depth(f"return torch.cat([x[..., r::2, c::2] for r, c in [{order}]], dim={dim})")


RIGHT = "(0, 0), (1, 0), (0, 1), (1, 1)"


def counts(**change: str) -> str:
    right = {
        "down": "64 * 128 * 9 + 2 * 128",
        "around": "128 * 64 + 2 * 64",
        "through": "128 * 64 + 2 * (64 * 64 + 64 * 64 * 9) + 64 * 64 + 6 * 2 * 64",
        "transition": "128 * 128 + 2 * 128",
    }
    return "mine = {" + ", ".join(f'"{name}": {value}' for name, value in (right | change).items()) + "}"


WRONG: dict[str, list[tuple[str, str]]] = {
    "4.1": [
        (
            stage(result="self.transition(torch.cat([self.around(x), self.through(x)], dim=1))"),
            r"`through` first, then `around`",
        ),
        (
            stage(block="Bottleneck(part, part, False, 1.0, activation=mish)"),
            r"do not add their input",
        ),
        (
            stage(
                down="Conv(c_in, c_out, 3, 2)",
                conv="1",
                block="Bottleneck(part, part, expansion=1.0)",
                last="Conv(part, part)",
                transition="Conv(2 * part, c_out)",
            ),
            r"the activation is LeakyReLU, Conv's default",
        ),
        (stage(block="Bottleneck(part, part, expansion=1.0)"), r"`activation=mish` to Bottleneck too"),
        (stage(down="Conv(c_in, c_out, 3, activation=mish)"), r"`down` needs stride 2"),
        (stage(last=""), r"`through` ends without its last Conv"),
        (stage(block="Bottleneck(part, part, activation=mish)"), r"squeeze their channels to half"),
        (
            stage(
                transition="Conv(part, c_out, activation=mish)",
                result="self.transition(self.through(x) + self.around(x))",
            ),
            r"the paths are added",
        ),
        (
            stage(part="c_out", block="Bottleneck(part, part, activation=mish)"),
            r"the first stage of CSPDarknet53 only",
        ),
        (stage(part="c_out"), r"c_out // 2 in each path"),
        (
            stage(result="torch.cat([self.through(x), self.around(x)], dim=1)"),
            r"`transition` is built and never used",
        ),
        (
            stage(result="self.transition(torch.cat([self.through(x), self.around(x)]))"),
            r"stopped with RuntimeError",
        ),
    ],
    "4.2": [
        (counts(down="64 * 128 * 9"), r"down: 73,728 is too small\. You forgot BatchNorm"),
        (counts(down="64 * 128 + 2 * 128"), r"You forgot the kernel's area"),
        (counts(around="128 * 128 + 2 * 128"), r"around: 16,640 is too large\. This path is too wide"),
        (
            counts(through="128 * 64 + (64 * 64 + 64 * 64 * 9) + 64 * 64 + 4 * 2 * 64"),
            r"You counted one residual block",
        ),
        (counts(through="128 * 64 + 2 * (64 * 64 + 64 * 64 * 9) + 5 * 2 * 64"), r"The last Conv is missing"),
        (counts(through="2 * (64 * 64 + 64 * 64 * 9 + 4 * 64)"), r"These are the residual blocks alone"),
        (
            counts(through="128 * 64 + 2 * (64 * 32 + 32 * 64 * 9) + 64 * 64 + 2 * (64 + 2 * 96 + 64)"),
            r"keeps all 64 channels",
        ),
        (counts(through="2 * (64 * 64 + 64 * 64 * 9) + 64 * 64 + 5 * 2 * 64"), r"The first Conv is missing"),
        (
            counts(through="64 * 64 + 2 * (64 * 64 + 64 * 64 * 9) + 64 * 64 + 6 * 2 * 64"),
            r"reads what `down` gives, 128 channels",
        ),
        (
            counts(through="128 * 64 + 2 * (64 * 64 + 64 * 64 * 9) + 128 * 64 + 6 * 2 * 64"),
            r"The last Conv reads the path's 64",
        ),
        (counts(through="128 * 64 + 2 * 64 * 64 * 9 + 64 * 64 + 4 * 2 * 64"), r"you counted the second"),
        (counts(through="128 * 64 + 2 * 64 * 64 + 64 * 64 + 4 * 2 * 64"), r"you counted the first"),
        (counts(through="128 * 64 + 4 * 64 * 64 * 9 + 64 * 64 + 6 * 2 * 64"), r"only the second is 3×3"),
        (
            counts(through="128 * 64 + 2 * (64 * 64 + 64 * 64 * 9) + 64 * 64 + 2 * 64"),
            r"6 Convs, and each has a BatchNorm; you counted 1\.",
        ),
        (counts(transition="64 * 128 + 2 * 128"), r"both paths side by side"),
    ],
    "4.3": [
        (phases("(0, 0), (0, 1), (1, 0), (1, 1)"), r"row and column are swapped"),
        (depth("return nn.functional.pixel_unshuffle(x, 2)"), r"the order of pixel_unshuffle"),
        (
            depth("return torch.stack([x[..., r::2, c::2] for c in (0, 1) for r in (0, 1)], dim=2).flatten(1, 2)"),
            r"the four of one color stand side by side",
        ),
        (
            depth("return x.reshape(x.shape[0], 4 * x.shape[1], x.shape[2] // 2, x.shape[3] // 2)"),
            r"with other line breaks",
        ),
        (
            depth(
                "h, w = x.shape[2] // 2, x.shape[3] // 2\n    "
                "return torch.cat([x[..., :h, :w], x[..., h:, :w], x[..., :h, w:], x[..., h:, w:]], dim=1)"
            ),
            r"four quarters",
        ),
        (phases(RIGHT, dim=0), r"along the batch: dim=0"),
        (phases(RIGHT, dim=2), r"along the height: dim=2"),
        (phases(RIGHT, dim=3), r"along the width: dim=3"),
        (depth("return torch.cat([x[r::2, c::2] for c in (0, 1) for r in (0, 1)], dim=1)"), r"sliced the wrong axes"),
        (
            depth("return torch.cat([x[:, r::2, c::2] for c in (0, 1) for r in (0, 1)], dim=1)"),
            r"sliced the wrong axes, channels and rows",
        ),
        (depth("return x[..., ::2, ::2]"), r"three quarters of the pixels are lost"),
        (phases("(1, 0), (0, 0), (1, 1), (0, 1)"), r"even and odd rows are swapped"),
        (phases("(1, 1), (0, 1), (1, 0), (0, 0)"), r"even and odd are swapped"),
        (
            depth("return torch.cat([x.detach()[..., r::2, c::2] for c in (0, 1) for r in (0, 1)], dim=1)"),
            r"no gradient flows back",
        ),
    ],
}
