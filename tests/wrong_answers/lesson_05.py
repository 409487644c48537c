"""Wrong answers to the exercises of lesson 05, and what a learner must read."""


def block(
    forward: str, *, hidden: str = "c_in // 2", reads: str = "hidden * (len(kernels) + 1)", conv: str = "Conv"
) -> str:
    """A class MySPP whose `forward` body is given; `pools(y)` is the list of the pools of y, `self.kernels` theirs."""
    lines = "\n".join(f"        {line}" for line in forward.split("\n"))
    return f"""class MySPP(nn.Module):
    def __init__(self, c_in, c_out, kernels=(5, 9, 13)):
        super().__init__()
        hidden = {hidden}
        self.kernels = kernels
        self.cv1 = {conv}(c_in, hidden, 1)
        self.cv2 = {conv}({reads}, c_out, 1)

    def pools(self, y):
        return [F.max_pool2d(y, k, 1, k // 2) for k in self.kernels]

    def forward(self, x):
{lines}"""


RIGHT = "y = self.cv1(x)\nreturn self.cv2(torch.cat([y, *self.pools(y)], 1))"
COUNTS = 'mine = {{"cv1": {cv1}, "cv2": {cv2}, "m": {m}}}'
ROW = """def chained_pools(x, kernel=5, times=3):
    maps = [x]
    for _ in range(times):
        maps.append({pool})
    return {result}"""
POOL = "F.max_pool2d(maps[-1], kernel, 1, kernel // 2)"
JOINED = "torch.cat(maps, 1)"

WRONG: dict[str, list[tuple[str, str]]] = {
    "5.1": [
        (
            block("return self.cv2(torch.cat([self.cv1(x), *map(self.cv1, self.pools(x))], 1))"),
            r"your pools come before cv1\. What enters the pools\?",
        ),
        (
            block("y = self.cv1(x)\nreturn self.cv2(torch.cat([y, *(nn.MaxPool2d(k)(y) for k in self.kernels)], 1))"),
            r"given no stride steps by its kernel",
        ),
        (
            block(
                "y = self.cv1(x)\n"
                "return self.cv2(torch.cat([y, *(F.max_pool2d(y, k, padding=k // 2) for k in self.kernels)], 1))"
            ),
            r"given no stride steps by its kernel.+Sizes of tensors must match",
        ),
        (
            block("y = self.cv1(x)\nreturn self.cv2(torch.cat([y, *self.pools(y)]))"),
            r"side by side on channels, dim=1",
        ),
        (
            block("y = self.cv1(x)\nreturn self.cv2(torch.cat([y, *self.pools(y)[::-1]], 1))"),
            r"in the reverse order",
        ),
        (block("y = self.cv1(x)\nreturn self.cv2(torch.cat([*self.pools(y), y], 1))"), r"unpooled tensor stands last"),
        (
            block("y = self.cv1(x)\nreturn self.cv2(torch.cat([*self.pools(y)[::-1], y], 1))"),
            r"the order is 13, 9, 5, input",
        ),
        (
            block(
                "y = self.cv1(x)\nreturn self.cv2(torch.cat(self.pools(y), 1))",
                reads="hidden * len(kernels)",
            ),
            r"the three pools only.+cv2\.conv\.weight has the shape",
        ),
        (block(RIGHT, hidden="c_out // 2"), r"half of c_out"),
        (block(RIGHT, hidden="c_in"), r"cv1 halves the channels: c_in // 2"),
        (block(RIGHT, reads="hidden"), r"four tensors, not one"),
        (block(RIGHT, reads="4 * hidden"), r"one more than there are kernels"),
        (
            block("return self.cv2(torch.cat([self.cv1(x), *self.pools(x)], 1))", reads="hidden + c_in * len(kernels)"),
            r"too wide\. What enters the pools\?",
        ),
        (
            block("return self.cv2(torch.cat([x, *self.pools(self.cv1(x))], 1))", reads="c_in + hidden * len(kernels)"),
            r"cv1's output that stands there",
        ),
        (block(RIGHT, conv="nn.Conv2d"), r"not nn\.Conv2d"),
        (
            block(RIGHT).replace("hidden, 1)", "hidden, 3)").replace("c_out, 1)", "c_out, 3)"),
            r"cv1 and cv2 are 1 × 1",
        ),
        (
            block(
                "maps = [self.cv1(x)]\nfor k in self.kernels:\n"
                "    maps.append(F.max_pool2d(maps[-1], k, 1, k // 2))\nreturn self.cv2(torch.cat(maps, 1))"
            ),
            r"their windows add up",
        ),
        (
            block(
                "y = self.cv1(x)\npools = [F.max_pool2d(F.pad(y, [k // 2] * 4), k, 1) for k in self.kernels]\n"
                "return self.cv2(torch.cat([y, *pools], 1))"
            ),
            r"you padded with zeros",
        ),
        (
            block(
                "y = self.cv1(x)\npools = [F.avg_pool2d(y, k, 1, k // 2) for k in self.kernels]\n"
                "return self.cv2(torch.cat([y, *pools], 1))"
            ),
            r"these are averages",
        ),
        (block("y = self.cv1(x)\nreturn torch.cat([y, *self.pools(y)], 1)"), r"cv2 has to mix it"),
        (block("self.cv2(torch.cat([self.cv1(x), *self.pools(self.cv1(x))], 1))"), r"`forward` returned None"),
    ],
    "5.2": [
        (COUNTS.format(cv1="512 * 256", cv2="1024 * 512", m=0), r"cv1: 131,072 is too small\. You forgot BatchNorm"),
        (COUNTS.format(cv1="512 * 512 + 2 * 512", cv2=None, m=None), r"cv1 ends with 256 channels"),
        (COUNTS.format(cv1="512 * 256 + 2 * 512", cv2=None, m=None), r"γ and β for the 256 channels"),
        (COUNTS.format(cv1=None, cv2="256 * 512 + 2 * 512", m=None), r"cv2 reads 4 · 256 channels"),
        (COUNTS.format(cv1=None, cv2="3 * 256 * 512 + 2 * 512", m=None), r"the unpooled one counts too"),
        (COUNTS.format(cv1=None, cv2=None, m="25 + 81 + 169"), r"A max-pool compares"),
        (COUNTS.format(cv1=None, cv2="1024 * 512 + 3 * 512", m=0), r"cv2: .+ too large\. .+ no bias"),
    ],
    "5.3": [
        (ROW.format(pool=POOL.replace("maps[-1]", "x"), result=JOINED), r"every one of your pools reads x"),
        (ROW.format(pool=POOL, result="torch.cat(maps[1:], 1)"), r"x itself is missing"),
        (ROW.format(pool=POOL, result="torch.cat(maps[::-1], 1)"), r"the order is reversed"),
        (ROW.format(pool=POOL, result="torch.cat([*maps[1:], x], 1)"), r"x stands last"),
        (ROW.format(pool=POOL, result="maps[-1]"), r"you return only the last pool"),
        (ROW.format(pool=POOL, result="maps"), r"you return a list"),
        (ROW.format(pool=POOL, result="torch.stack(maps, 1)"), r"torch\.stack makes a new axis"),
        (ROW.format(pool=POOL, result="torch.cat(maps)"), r"Channels are axis 1"),
        (ROW.format(pool="nn.MaxPool2d(kernel, padding=kernel // 2)(maps[-1])", result=JOINED), r"Say stride=1"),
        (ROW.format(pool="F.max_pool2d(maps[-1], kernel, 1)", result=JOINED), r"padding kernel // 2 keeps it"),
        (
            ROW.format(pool="F.max_pool2d(F.pad(maps[-1], [kernel // 2] * 4), kernel, 1)", result=JOINED),
            r"zeros beats negative values",
        ),
        (ROW.format(pool="F.avg_pool2d(maps[-1], kernel, 1, kernel // 2)", result=JOINED), r"these are averages"),
        (ROW.format(pool=POOL, result=JOINED).replace("range(times)", "range(times + 1)"), r"one pool too many"),
        (ROW.format(pool="F.max_pool2d(maps[-1], 5, 1, 2)", result=JOINED), r"Is `kernel` used"),
        (ROW.format(pool=POOL, result=JOINED).replace("range(times)", "range(3)"), r"Is `times` used"),
        (
            ROW.format(pool="F.max_pool2d(maps[-1], 5, 1, 2)", result=JOINED).replace("range(times)", "range(3)"),
            r"Are `kernel` and `times` used",
        ),
        (ROW.format(pool=POOL.replace("maps[-1]", "maps[-1].detach()"), result=JOINED), r"the gradient is not"),
    ],
}
