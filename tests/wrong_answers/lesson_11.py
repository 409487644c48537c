"""Wrong answers to the exercises of lesson 11, and what a learner must read."""


def bce(result: str) -> str:
    """`stable_bce` that returns this."""
    return f"""def stable_bce(logits, wanted):
    x, y, p = logits, wanted, logits.sigmoid()
    return {result}"""


def target(
    value: str = "overlap[e].detach().clamp(min=0)", place: str = "image[e], anchor[e], row[e], column[e]"
) -> str:
    """`objectness_map` that writes this."""
    return f"""def objectness_map(shape, entries, overlap):
    image, anchor, row, column = entries
    result = torch.zeros(shape)
    for e in range(len(overlap)):
        result[{place}] = {value}
    return result"""


def focal(result: str) -> str:
    """`focal_loss` that returns this."""
    return f"""def focal_loss(logits, wanted, gamma):
    y, p = wanted, logits.sigmoid()
    bce = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    right = y * p + (1 - y) * (1 - p)
    alpha = 0.25 * y + 0.75 * (1 - y)
    return {result}"""


STABLE = "x.clamp(min=0) - x * y + (-x.abs()).exp().log1p()"
WRONG: dict[str, list[tuple[str, str]]] = {
    "11.1": [
        (bce("F.binary_cross_entropy_with_logits(p, y)"), r"σ is applied twice"),
        (bce("-(y * p.log() + (1 - y) * (1 - p).log()).mean()"), r"infinite for large ones.*exp\(−\|x\|\) is safe"),
        (bce("((1 + x.exp()).log() - x * y).mean()"), r"infinite for large ones"),
        (bce("F.binary_cross_entropy(p.clamp(1e-7, 1 - 1e-7), y)"), r"needs no epsilon"),
        (bce("-(y * (p + 1e-7).log() + (1 - y) * (1 - p + 1e-7).log()).mean()"), r"needs no epsilon"),
        (bce(f"({STABLE}).sum()"), r"you return the sum"),
        (bce(STABLE), r"one loss a number"),
        (bce(f"({STABLE.replace('x * y', 'x * (1 - y)')}).mean()"), r"the targets are swapped"),
        (bce(f"-({STABLE}).mean()"), r"the sign is wrong"),
        (bce("(x.clamp(min=0) - x * y).mean()"), r"log\(1 \+ exp\(−\|x\|\)\) is missing"),
        (bce("(F.softplus(-x) * y).mean()"), r"only the wanted 1s cost something"),
        (bce(f"({STABLE.replace('-x.abs()', 'x.abs()')}).mean()"), r"grows without bound|infinite"),
        (bce(f"({STABLE}).mean().detach()"), r"no gradient flows back"),
        (bce(f"({STABLE}).mean()"), r"gradient at a logit of exactly 0.*torch\.maximum"),
        (bce(f"({STABLE.replace('x.clamp(min=0)', 'x.relu()')}).mean()"), r"gradient at a logit of exactly 0"),
    ],
    "11.2": [
        (target("1.0"), r"you wrote 1\."),
        (target("overlap[e].detach()"), r"clamp at 0"),
        (target(place="image[e], anchor[e], column[e], row[e]"), r"row and column are swapped"),
        (target().replace("] = ", "] += "), r"entries of one cell add up"),
        (
            target().replace("range(len(overlap))", "reversed(range(len(overlap)))"),
            r"the first one stands\. It must be the last",
        ),
        (target("max(result[image[e], anchor[e], row[e], column[e]], overlap[e].detach())"), r"the largest entry"),
        (target("overlap[e].detach().abs()"), r"not as its absolute value"),
        (target("overlap[e].clamp(min=0)"), r"a gradient flows through the target.*`overlap\.detach\(\)`"),
        (target().replace("zeros(shape)", "zeros(shape[0], *shape[2:])"), r"stopped with IndexError"),
    ],
    "11.3": [
        (focal("(bce * (1 - alpha) * (1 - right) ** gamma).mean()"), r"α is swapped"),
        (focal("(bce * alpha * right ** gamma).mean()"), r"the power is on the wrong side"),
        (focal("(bce * (1 - right) ** gamma).mean()"), r"α is missing"),
        (focal("(bce * 0.25 * (1 - right) ** gamma).mean()"), r"a wanted 0 gets 1 − 0\.25"),
        (focal("(bce * 0.75 * (1 - right) ** gamma).mean()"), r"a wanted 1 gets 0\.25"),
        (focal("(bce * alpha * (1 - p) ** gamma).mean()"), r"you use p where p_t stands"),
        (focal("bce.mean() * (alpha * (1 - right) ** gamma).mean()"), r"take the mean last"),
        (
            focal("bce.mean() * alpha.mean() * (1 - (-bce.mean()).exp()) ** gamma"),
            r"take the mean last",
        ),
        (focal("(bce * alpha * (1 - (-bce).exp()) ** gamma).mean()"), r"p_t = exp\(−BCE\) holds"),
        (focal("(bce * alpha * gamma * (1 - right)).mean()"), r"γ is a power"),
        (focal("(bce * alpha).mean()"), r"\(1 − p_t\) \*\* gamma is missing"),
        (focal("(bce * alpha * (1 - right) ** gamma).sum()"), r"you return the sum"),
        (focal("(bce * alpha * (1 - right.detach()) ** gamma).mean()"), r"the gradient is not"),
    ],
}
