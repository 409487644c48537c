"""Wrong answers to the exercises of lesson 13, and what a learner must read."""


def step(update: str, buffer: str = "momentum * buffer + direction", direction: str = "grad + decay * p") -> str:
    """`nesterov_step` with other formulas."""
    return f"""def nesterov_step(p, grad, buffer, lr, momentum, decay):
    direction = {direction}
    new = {buffer}
    return {update}"""


RIGHT = "p - lr * (direction + momentum * new), new"


def average(result: str, keep: str = "decay * (1 - math.exp(-updates / ramp))") -> str:
    """`ema_update` with another share or another result."""
    return f"""def ema_update(average, weights, updates, decay=0.9999, ramp=2000.0):
    d = {keep}
    mixed = {{n: d * a + (1 - d) * weights[n] if a.is_floating_point() else a for n, a in average.items()}}
    return {result}"""


def groups(bias: str, norm: str, walk: str = "owner.named_parameters(prefix, recurse=False)") -> str:
    """`parameter_groups` with other tests; they see name, parameter, owner."""
    return f"""def parameter_groups(module):
    biases, weights, norms = [], [], []
    for prefix, owner in module.named_modules():
        for name, parameter in {walk}:
            (biases if {bias} else norms if {norm} else weights).append(name)
    return biases, weights, norms"""


BIAS, NORM = 'name.split(".")[-1] == "bias"', "isinstance(owner, nn.BatchNorm2d)"

WRONG: dict[str, list[tuple[str, str]]] = {
    "13.1": [
        (
            step("p - lr * (direction + momentum * new + decay * p), new", direction="grad"),
            r"decay comes after the mom",
        ),
        (step("p - lr * new, new"), r"classical momentum"),
        (step("p - lr * (direction + momentum * buffer), new"), r"classical momentum|come out wrong"),
        (step(RIGHT, "momentum * buffer + (1 - momentum) * direction"), r"\(dampening\)"),
        (step("p - lr * new, new", "momentum * buffer + (1 - momentum) * direction"), r"you average the gradients"),
        (step("p - lr * (new + momentum * new), new"), r"buffer \+ momentum · buffer"),
        (
            step("p - (direction + momentum * new), new", direction="lr * (grad + decay * p)"),
            r"rate is inside the buffer",
        ),
        (step("p + lr * (direction + momentum * new), new"), r"the sign: a step goes against"),
        (step(RIGHT, direction="grad - decay * p"), r"the sign of the weight decay"),
        (step(RIGHT, direction="grad"), r"you forgot the weight decay"),
        (step("p - (direction + momentum * new), new"), r"you forgot the learning rate"),
        (step("p - lr * (direction + momentum * new), buffer"), r"you return the old buffer"),
        (step("new, p - lr * (direction + momentum * new)"), r"in the wrong order"),
        (step("p - lr * (direction + momentum * new)"), r"Return the new buffer too"),
        (step(RIGHT, "buffer.mul_(momentum).add_(direction)"), r"changes its input"),
        (step("None"), r"you returned None"),
    ],
    "13.2": [
        (average("mixed", "1 - decay * (1 - math.exp(-updates / ramp))"), r"two shares are swapped"),
        (average("mixed", "decay"), r"you forgot the ramp"),
        (average("mixed", "1 - math.exp(-updates / ramp)"), r"must lead to `decay`"),
        (average("mixed", "decay * math.exp(-updates / ramp)"), r"your ramp falls"),
        (average("mixed", "decay * (1 - math.exp(-(updates - 1) / ramp))"), r"one update late"),
        (average("{n: x if 'running' not in n else average[n] for n, x in mixed.items()}"), r"forget the buffers"),
        (average("{n: x for n, x in mixed.items() if n.endswith(('weight', 'bias'))}"), r"forget the buffers"),
        (average("{n: d * a + (1 - d) * weights[n] for n, a in average.items()}"), r"you average the counter"),
        (
            average("{n: x if x.is_floating_point() else weights[n] for n, x in mixed.items()}"),
            r"comes from the weights",
        ),
        (average("{n: x for n, x in mixed.items() if x.is_floating_point()}"), r"the whole numbers are missing"),
        (
            average("[a.lerp_(weights[n], 1 - d) for n, a in average.items() if d and a.is_floating_point()]"),
            r"changes",
        ),
        (average("None"), r"you returned None"),
        (average("mixed", "updates / ramp"), r"random inputs come out wrong"),
    ],
    "13.3": [
        (groups(f"{BIAS} and not {NORM}", NORM), r"the β of a BatchNorm2d"),
        (groups("False", NORM), r"the bias of a Conv2d: it would be decayed"),
        (groups(BIAS, "False"), r"the γ of a BatchNorm2d"),
        (groups(BIAS, "parameter.ndim == 1"), r"neither one dimension nor the letters"),
        (groups(BIAS, '"bn" in name'), r"ask for the type of its module|neither one dimension nor the letters"),
        (groups("parameter.ndim == 1", "False"), r"among your biases"),
        (groups(BIAS, NORM, "owner.named_parameters(prefix)"), r"listed 2 times.*recurse=False"),
        (groups(BIAS, NORM, "owner.named_parameters(recurse=False)"), r"is no parameter"),
        (
            groups(BIAS, NORM).replace("return biases, weights, norms", "return biases, weights"),
            r"three lists of names",
        ),
        (groups(BIAS, NORM).replace(".append(name)", ".append(parameter)"), r"names \(text\) are expected"),
        (groups(BIAS, NORM).replace("module.named_modules()", "list(module.named_modules())[1:]"), r"is in no group"),
    ],
}
