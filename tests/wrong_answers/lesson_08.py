"""Wrong answers to the exercises of lesson 08, and what a learner must read."""

RIGHT_REPEATS = """
def repeats(n, depth):
    return max(round(n * depth), 1) if n > 1 else n

"""
RIGHT_CHANNELS = """
def channels(c, width):
    return math.ceil(c * width / 8) * 8

"""
STUB_CHANNELS = """
def channels(c, width):
    raise NotImplementedError

"""


def repeats(body: str, channels: str = RIGHT_CHANNELS) -> str:
    return f"{channels}def repeats(n, depth):\n    {body}"


def channels(body: str, repeats: str = RIGHT_REPEATS) -> str:
    return f"{repeats}def channels(c, width):\n    {body}"


def sigma(body: str) -> str:
    return f"def sigma_of(shape):\n    {body}"


def counted(**answers: str) -> str:
    """Right numbers except for these."""
    right = {"row 22": "7710", "row 26": "15390", "all": "7265882"}
    right |= {name.replace("_", " "): value for name, value in answers.items()}
    return "mine = {" + ", ".join(f'"{name}": {value}' for name, value in right.items()) + "}"


WRONG: dict[str, list[tuple[str, str]]] = {
    "8.1": [
        (repeats("return max(int(n * depth), 1) if n > 1 else n"), r"int\(\) cuts off"),
        (repeats("return max(math.ceil(n * depth), 1) if n > 1 else n"), r"rounds to the nearest, not up"),
        (repeats("return round(n * depth) if n > 1 else n"), r"at least one bottleneck"),
        (repeats("return max(round(n * depth), 1)"), r"only n > 1 is scaled"),
        (repeats("return round(n * depth)"), r"two conditions are missing"),
        (repeats("return max(int(n * depth + 0.5), 1) if n > 1 else n"), r"you round halves up"),
        (repeats("return n"), r"you do not use the depth multiple"),
        (repeats("return n * depth"), r"is a whole number"),
        (channels("return int(c * width / 8) * 8"), r"you round down to a multiple of 8"),
        (channels("return round(c * width / 8) * 8"), r"you round to the nearest multiple of 8"),
        (channels("return math.ceil(c * width / 8)"), r"Multiply by 8 again"),
        (channels("return math.ceil(c * width)"), r"must be a multiple of 8"),
        (channels("return int(c * width)"), r"must be a multiple of 8"),
        (channels("return c * width"), r"must be a multiple of 8"),
        (channels("return (int(c * width / 8) + 1) * 8"), r"128 · 0.5 is 64, not 72"),
        (channels("return c"), r"you do not use the width multiple"),
        # both wrong: the first mistake is named all the same
        (
            channels("return c", "def repeats(n, depth):\n    return round(n * depth)\n\n"),
            r"`repeats`: two conditions are missing",
        ),
        # one of the two written, and wrong
        (repeats("return round(n * depth)", STUB_CHANNELS) + "\n", r"two conditions"),
        (repeats("max(round(n * depth), 1) if n > 1 else n"), r"of type tuple; 2 numbers were expected"),
        (repeats("return n.scale(depth)"), r"stopped with AttributeError"),
    ],
    "8.2": [
        (sigma("return 1 / math.sqrt(math.prod(shape[1:]))"), r"this is the bound"),
        (sigma("return 1 / math.sqrt(3 * shape[0] * shape[2] * shape[3])"), r"you took the fan-out"),
        (sigma("return 1 / math.sqrt(3 * shape[1])"), r"you forgot the kernel's area"),
        (sigma("return 1 / math.sqrt(3 * shape[1] * shape[2])"), r"you forgot one side of the kernel"),
        (sigma("return 1 / math.sqrt(3 * math.prod(shape))"), r"you multiplied all four"),
        (sigma("return 1 / (3 * math.prod(shape[1:]))"), r"this is the variance"),
        (sigma("return math.sqrt(2 / math.prod(shape[1:]))"), r"He's rule"),
        (sigma("return math.sqrt(3 * math.prod(shape[1:]))"), r"you returned .* is right"),
        (sigma("1 / math.sqrt(3 * math.prod(shape[1:]))"), r"you returned None"),
    ],
    "8.3": [
        (counted(row_22="255 * 257"), r"row 22: 65,535 is too large. That is the count for 80 classes"),
        (counted(row_22="30 * 256"), r"has a bias, one number an output"),
        (counted(row_22="30 * 256 + 60"), r"No BatchNorm follows"),
        (counted(row_26="10 * 513"), r"three boxes"),
        (counted(row_22="27 * 257"), r"You forgot objectness"),
        (counted(row_26="18 * 513"), r"four numbers of the box"),
        (counted(row_22="15 * 257"), r"counted the classes alone"),
        (counted(row_26="30 * 1025"), r"That is size l"),
        (counted(row_26="30 * (9 * 512 + 1)"), r"kernel is 1 × 1 here"),
        (counted(all="7468157"), r"all: 7,468,157 is too large. That is the count for 80 classes"),
        (counted(all="7468157 - 225 * 896"), r"The biases shrink too"),
        (counted(all="7468157 - 75 * 899"), r"each class costs three outputs"),
        (counted(all="7468157 - 225 * 770"), r"Three rows predict"),
        (counted(all="7468157 - 240 * 899"), r"80 − 5 = 75 go"),
        (counted(row_22="None", all="1"), r"all: 1 is too small"),
    ],
}
