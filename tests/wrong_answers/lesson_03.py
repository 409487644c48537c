"""Wrong answers to the exercises of lesson 03, and what a learner must read."""

DENSE = """class MyCSPDenseBlock(nn.Module):
    def __init__(self, c_in, layers, growth, bypass=0.5):
        super().__init__()
        around = int(c_in * bypass)
        through = c_in - around
        wide = through + layers * growth
        self.around = around
        self.block = DenseBlock(through, layers, growth)
        self.partial = Transition(wide, wide // 2, pool=False)
        self.transition = Transition(around + wide // 2, (c_in + layers * growth) // 2)

    def forward(self, x):
        around, through = x[:, : self.around], x[:, self.around :]
        mixed = self.partial(self.block(through))
        return self.transition(torch.cat([around, mixed], dim=1))"""

STAGE = """class MyBottleneckCSP(nn.Module):
    def __init__(self, c_in, c_out, n=1, shortcut=True):
        super().__init__()
        hidden = c_out // 2
        self.cv1 = Conv(c_in, hidden, 1)
        self.cv2 = nn.Conv2d(c_in, hidden, 1, bias=False)
        self.cv3 = nn.Conv2d(hidden, hidden, 1, bias=False)
        self.cv4 = Conv(2 * hidden, c_out, 1)
        self.bn = nn.BatchNorm2d(2 * hidden)
        self.act = nn.LeakyReLU(0.1)
        self.m = nn.Sequential(*(Bottleneck(hidden, hidden, shortcut, 1.0) for _ in range(n)))

    def forward(self, x):
        deep = self.cv3(self.m(self.cv1(x)))
        direct = self.cv2(x)
        return self.cv4(self.act(self.bn(torch.cat([deep, direct], dim=1))))"""


def changed(code: str, *edits: tuple[str, str]) -> str:
    """The right answer with some lines done wrong."""
    for old, new in edits:
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    return code


def counted(**wrong: int) -> str:
    """The right counts of exercise 3.3, some of them replaced."""
    right = {"cv1": 2112, "cv2": 2048, "cv3": 1024, "cv4": 4224, "bn": 128, "m": 10368}
    return f"parameters = {right | wrong!r}"


JOINT = "torch.cat([around, mixed], dim=1)"
CAT = "torch.cat([deep, direct], dim=1)"
BOTTLENECKS = "Bottleneck(hidden, hidden, shortcut, 1.0)"

WRONG: dict[str, list[tuple[str, str]]] = {
    "3.1": [
        (changed(DENSE, (JOINT, "torch.cat([mixed, around], dim=1)")), r"in the wrong order: first x₀′"),
        (
            changed(DENSE, ("x[:, : self.around], x[:, self.around :]", "x[:, -self.around :], x[:, : -self.around]")),
            r"the parts are swapped: the first channels, x₀′, go round",
        ),
        (
            changed(DENSE, ("x[:, : self.around], x[:, self.around :]", "x[:, self.around :], x[:, : self.around]")),
            r"Two usual reasons: .+ the first channels, x₀′, go round",
        ),
        (
            changed(DENSE, ("around = int(c_in * bypass)", "around = c_in - int(c_in * bypass)")),
            r"`bypass` is the share that goes round",
        ),
        (
            changed(
                DENSE,
                ("wide = through + layers", "wide = c_in + layers"),
                ("DenseBlock(through,", "DenseBlock(c_in,"),
                ("self.block(through)", "self.block(x)"),
            ),
            r"your dense block reads all channels",
        ),
        (changed(DENSE, (", pool=False", "")), r"the first transition halves the grid.+pool=False.+Sizes of tensors"),
        (
            changed(
                DENSE,
                ("        self.partial = Transition(wide, wide // 2, pool=False)\n", ""),
                ("around + wide // 2", "around + wide"),
                ("self.partial(self.block(through))", "self.block(through)"),
            ),
            r"there is only one transition",
        ),
        (
            changed(DENSE, ("wide, wide // 2, pool", "wide, wide, pool"), ("around + wide // 2", "around + wide")),
            r"the first transition keeps all channels",
        ),
        (
            changed(DENSE, ("(c_in + layers * growth) // 2", "(around + wide // 2) // 2")),
            r"your output is half of what the joint holds",
        ),
        (
            changed(DENSE, ("(c_in + layers * growth) // 2)", "(c_in + layers * growth) // 2, pool=False)")),
            r"the grid is not halved",
        ),
        (
            changed(DENSE, ("self.transition = Transition(around +", "self.transition = Transition(c_in +")),
            r"transition\.0\.weight has the shape .+ is expected",
        ),
        (changed(DENSE, ("self.partial(self.block(through))", "None")), r"stopped with TypeError"),
        (changed(DENSE, ("self.partial(self.block", "self.partial(self.block.eval()")), r"wrong in training mode"),
    ],
    "3.2": [
        (changed(STAGE, (CAT, "torch.cat([direct, deep], dim=1)")), r"wrong order: the deep one first"),
        (
            changed(STAGE, ("self.bn = nn.BatchNorm2d(2 * hidden)", "pass"), (f"self.bn({CAT})", CAT)),
            r"there is no bn\. BatchNorm stands at the joint",
        ),
        (
            changed(
                STAGE,
                ("nn.BatchNorm2d(2 * hidden)", "nn.BatchNorm2d(hidden)"),
                (f"self.bn({CAT})", "torch.cat([self.bn(deep), direct], dim=1)"),
            ),
            r"your bn is as wide as one path",
        ),
        (changed(STAGE, (f"self.bn({CAT})", CAT)), r"bn is built, and `forward` does not use it"),
        (changed(STAGE, ("nn.Conv2d(c_in, hidden, 1, bias=False)", "Conv(c_in, hidden, 1)")), r"cv2 is a full Conv"),
        (
            changed(
                STAGE,
                ("nn.Conv2d(c_in, hidden, 1, bias=False)", "Conv(c_in, hidden, 1)"),
                ("nn.Conv2d(hidden, hidden, 1, bias=False)", "Conv(hidden, hidden, 1)"),
            ),
            r"cv2 and cv3 are full Convs",
        ),
        (
            changed(
                STAGE,
                ("nn.Conv2d(c_in, hidden, 1, bias=False)", "nn.Conv2d(c_in, hidden, 1)"),
                ("nn.Conv2d(hidden, hidden, 1, bias=False)", "nn.Conv2d(hidden, hidden, 1)"),
            ),
            r"convolutions have a bias",
        ),
        (changed(STAGE, (BOTTLENECKS, "Bottleneck(hidden, hidden, True, 1.0)")), r"`shortcut` is ignored"),
        (changed(STAGE, (BOTTLENECKS, "Bottleneck(hidden, hidden, shortcut)")), r"expansion 1\.0"),
        (changed(STAGE, ("for _ in range(n)", "for _ in range(1)")), r"only one bottleneck"),
        (
            changed(
                STAGE,
                ("        self.cv3 = nn.Conv2d(hidden, hidden, 1, bias=False)\n", ""),
                ("self.cv3(self.m(self.cv1(x)))", "self.m(self.cv1(x))"),
            ),
            r"there is no cv3",
        ),
        (changed(STAGE, ("self.cv3(self.m(self.cv1(x)))", "self.m(self.cv1(x))")), r"cv3 is built"),
        (changed(STAGE, ("self.cv3(self.m(self.cv1(x)))", "self.m(self.cv3(self.cv1(x)))")), r"stands before the bot"),
        (changed(STAGE, ("hidden = c_out // 2", "hidden = c_out")), r"hidden = c_out // 2"),
        (changed(STAGE, ("hidden = c_out // 2", "hidden = c_in // 2")), r"half of the output, c_out // 2"),
        (
            changed(
                STAGE,
                ("nn.Conv2d(c_in, hidden, 1, bias=False)", "nn.Conv2d(hidden, hidden, 1, bias=False) "),
                ("self.cv2(x)", "self.cv2(self.cv1(x))"),
            ),
            r"The direct path starts at x",
        ),
        (changed(STAGE, (f"self.act(self.bn({CAT}))", f"self.bn({CAT})")), r"activation at the joint is missing"),
        (changed(STAGE, ("nn.LeakyReLU(0.1)", "nn.SiLU()")), r"activation at the joint is SiLU"),
        (changed(STAGE, ("nn.LeakyReLU(0.1)", "nn.LeakyReLU()")), r"slope of your LeakyReLU at the joint is 0\.01"),
        (
            changed(STAGE, (f"self.cv4(self.act(self.bn({CAT})))", f"self.act(self.bn(self.cv4({CAT})))")),
            r"your bn follows cv4",
        ),
        (
            changed(STAGE, (f"self.cv4(self.act(self.bn({CAT})))", f"self.bn(self.cv4(self.act({CAT})))")),
            r"your bn follows cv4",
        ),
        (changed(STAGE, ("self.m = nn", "self.bottlenecks = nn"), ("self.m(self", "self.bottlenecks(self")), r"names"),
    ],
    "3.3": [
        (counted(cv1=64 * 32), r"cv1: .+ too small\. You forgot BatchNorm"),
        (counted(cv2=64 * 32 + 64), r"cv2: .+ bare convolution"),
        (counted(cv2=64 * 32 + 32), r"cv2: .+ no bias"),
        (counted(cv3=64 * 32), r"cv3: .+ not x"),
        (counted(cv4=2112), r"cv4: .+ reads both paths"),
        (counted(bn=64), r"bn: .+ spans both paths"),
        (counted(bn=256), r"bn: .+ measured, not trained"),
        (counted(m=10 * 32 * 32), r"m: .+ You forgot BatchNorm"),
        (counted(m=2 * 32 * 32 + 128), r"m: .+ kernel's area"),
        (counted(m=5216), r"m: .+ keeps its width"),
        (counted(cv1=1, m=2), r"cv1: 1 is too small\.\n +m: 2 is too small\."),
    ],
}
