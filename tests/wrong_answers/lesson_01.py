"""Wrong answers to the exercises of lesson 01, and what a learner must read."""


def block(
    convolution: str, norm: str = "nn.BatchNorm2d(c_out)", act: str = "nn.LeakyReLU(0.1)", result: str = ""
) -> str:
    """MyConv with these parts; an empty norm leaves BatchNorm out."""
    lines = (
        [f"        self.conv = {convolution}"]
        + [f"        self.bn = {norm}"] * bool(norm)
        + [f"        self.act = {act}"]
    )
    result = result or "self.act(self.bn(self.conv(x)))"
    return (
        "class MyConv(nn.Module):\n"
        "    def __init__(self, c_in, c_out, kernel=1, stride=1):\n"
        "        super().__init__()\n" + "\n".join(lines) + "\n\n"
        "    def forward(self, x):\n"
        f"        return {result}"
    )


RIGHT_CONV = "nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)"
NO_PADDING = "nn.Conv2d(c_in, c_out, kernel, stride, bias=False)"
NO_STRIDE = "nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False)"
BIASED = "nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2)"


def fold(
    scale: str = "gamma / (var + eps).sqrt()", result: str = "weight * s[:, None, None, None], beta - mean * s"
) -> str:
    return f"def fold_batchnorm(weight, gamma, beta, mean, var, eps):\n    s = {scale}\n    return {result}"


def field(*steps: str, start: str = "1, 1", result: str = "field, step", order: str = "layers") -> str:
    lines = "\n".join(f"        {step}" for step in steps or ("field += (kernel - 1) * step", "step *= stride"))
    return (
        f"def receptive_field(layers):\n    field, step = {start}\n    for kernel, stride in {order}:\n{lines}\n"
        f"    return {result}"
    )


WRONG: dict[str, list[tuple[str, str]]] = {
    "1.1": [
        (block(RIGHT_CONV, "", result="self.act(self.conv(x))"), r"BatchNorm is missing: .* missing: bn\.weight"),
        (block(BIASED, "", result="self.act(self.conv(x))"), r"BatchNorm is missing, and the convolution has a bias"),
        (block(BIASED), r"pass `bias=False`"),
        (block(NO_PADDING), r"the padding is missing"),
        (block(RIGHT_CONV.replace("kernel // 2", "1")), r"the padding is 1 for every kernel"),
        (block(NO_STRIDE), r"the stride is ignored"),
        (block(RIGHT_CONV, result="self.bn(self.act(self.conv(x)))"), r"the activation stands before BatchNorm"),
        (block(RIGHT_CONV, result="self.act(self.conv(x))"), r"`bn` is built and never used"),
        (block(RIGHT_CONV, result="self.bn(self.conv(x))"), r"the activation is missing in `forward`"),
        (block(RIGHT_CONV, act="nn.LeakyReLU()"), r"PyTorch's default, 0\.01"),
        (block(RIGHT_CONV, act="nn.ReLU()"), r"this is ReLU"),
        (block(RIGHT_CONV, act="nn.SiLU()"), r"this is SiLU"),
        (block(RIGHT_CONV, "nn.BatchNorm2d(c_in)", result="self.act(self.conv(self.bn(x)))"), r"behind the conv"),
        (block(RIGHT_CONV).replace("self.conv", "self.convolution"), r"The names count too"),
        (block(RIGHT_CONV, result="None"), r"Is there a `return`"),
    ],
    "1.2": [
        (fold("gamma / (var + eps)"), r"you divide by the variance"),
        (fold("gamma / var.sqrt()"), r"you forgot ε"),
        (fold("gamma / (var.sqrt() + eps)"), r"ε stands outside the root"),
        (fold("1 / (var + eps).sqrt()"), r"you forgot γ"),
        (fold(result="weight * s[:, None, None, None], beta"), r"the mean is not subtracted"),
        (fold(result="weight * s[:, None, None, None], beta + mean * s"), r"the sign of the mean's part"),
        (fold(result="weight * s[:, None, None, None], beta - mean"), r"the mean in the bias is scaled too"),
        (fold(result="weight * s[:, None, None, None], -mean * s"), r"the bias lacks β"),
        (fold(result="weight * s[:, None, None, None], (beta - mean) * s"), r"β is not scaled"),
        (fold(result="weight * s[None, :, None, None], beta - mean * s"), r"along the input channels"),
        (fold(result="weight * s, beta - mean * s"), r"along the kernel's columns"),
        (fold(result="beta - mean * s, weight * s[:, None, None, None]"), r"in the wrong order"),
        (fold(result="weight.mul_(s[:, None, None, None]), beta - mean * s"), r"changes its input"),
    ],
    "1.3": [
        (field("field += kernel - 1", "step *= stride"), r"you add k − 1 pixels in every layer"),
        (field("step *= stride", "field += (kernel - 1) * step"), r"a layer's own stride widens nothing yet"),
        (field("field += (kernel - 1) * step", "step = stride"), r"the product of all strides"),
        (field("field += (kernel - 1) * stride", "step *= stride"), r"Take its input's step"),
        (field("field += kernel * step", "step *= stride"), r"a kernel of k adds k − 1 steps"),
        (field("field *= kernel", "step *= stride"), r"kernels do not multiply"),
        (field(start="0, 1"), r"start with 1"),
        (field(order="reversed(layers)"), r"you go from the last layer to the first"),
        (field(result="step, field"), r"in the wrong order"),
        (field(result="field"), r"return the step beside it"),
    ],
}  # fmt: skip
