"""Wrong answers to the exercises of lesson 16, and what a learner must read."""


def seconds(steps: str = "math.ceil(photos / batch)", due: str = "epoch % every == 0 or epoch == len(sizes)") -> str:
    """`training_seconds` with other steps, or with evaluations at other times."""
    return f"""def training_seconds(photos, batch, sizes, step, every, evaluation):
    total = 0.0
    for epoch, size in enumerate(sizes, start=1):
        total += {steps} * step[size]
        if {due}:
            total += evaluation
    return total"""


def change(formula: str, zero: str = "math.inf") -> str:
    """`relative_change` by another formula."""
    return f"""def relative_change(before, after):
    if not before.any():
        return {zero}
    return ({formula}).item()"""


def dead(result: str) -> str:
    """`dead_channels` that returns something else."""
    return f"""def dead_channels(batches, threshold):
    maps = torch.cat(batches)
    spans = [b.amax(dim=(0, 2, 3)) - b.amin(dim=(0, 2, 3)) for b in batches]
    return {result}"""


def masks(size: str = "gamma.abs()", gone: str = "order[:count]", result: str = "list(keep.split(sizes))") -> str:
    """`slimming_masks` with another order or another end of it."""
    return f"""def slimming_masks(gammas, share):
    sizes = [len(gamma) for gamma in gammas]
    order = torch.cat([{size} for gamma in gammas]).argsort()
    count = int(share * len(order))
    keep = torch.ones(len(order), dtype=torch.bool)
    keep[{gone}] = False
    return {result}"""


WRONG: dict[str, list[tuple[str, str]]] = {
    "16.1": [
        (seconds(steps="(photos // batch)"), r"round up"),
        (seconds(due="epoch % every == 0"), r"the last epoch is evaluated too"),
        (seconds(due="False"), r"you forgot the evaluations"),
        (seconds(due="epoch == len(sizes)"), r"an evaluation every `every` epochs"),
        (seconds(steps="photos"), r"a step works on a whole batch"),
        (seconds().replace("step[size]", "step[max(sizes)]"), r"each epoch has a size of its own"),
        (
            seconds().replace("start=1", "start=0").replace("== len(sizes)", "== len(sizes) - 1"),
            r"the first evaluation follows",
        ),
        (
            seconds(due="epoch % every == 0").replace("return total", "return total + evaluation"),
            r"the last epoch is evaluated once",
        ),
        (seconds().replace("    return total", ""), r"you returned None"),
    ],
    "16.2": [
        (change("(after.norm() - before.norm()).abs() / before.norm()"), r"take the norm of the difference"),
        (change("(after - before).norm() / after.norm()"), r"of the start, not of the end"),
        (change("(after - before).norm()"), r"is to be relative"),
        (change("(after - before).square().sum() / before.square().sum()"), r"these are squares"),
        (change("((after - before) / before).abs().mean()"), r"A number near 0 then counts"),
        (change("(after - before).abs().sum() / before.abs().sum()"), r"you add up absolute values"),
        (change("(after - before).norm() / before.norm()", zero="0.0"), r"did not stay the same"),
        (
            "def relative_change(before, after):\n    return ((after - before).norm() / before.norm()).item()",
            r"return `math.inf` there, also where it stayed",
        ),
        (
            "def relative_change(before, after):\n    return (after - before).norm().item() / before.norm().item()",
            r"cannot be divided by zero.*ZeroDivisionError",
        ),
        (
            "def relative_change(before, after):\n    after -= before\n    return after.norm() / before.norm()",
            r"changes its input",
        ),
    ],
    "16.3": [
        (dead("maps.amax(dim=(0, 2, 3)) - maps.amin(dim=(0, 2, 3)) > threshold"), r"the other way round"),
        (dead("torch.stack([span <= threshold for span in spans]).all(dim=0)"), r"each batch for itself"),
        (dead("torch.stack([span <= threshold for span in spans]).any(dim=0)"), r"one quiet batch"),
        (dead("spans[0] <= threshold"), r"one batch only"),
        (dead("maps.abs().amax(dim=(0, 2, 3)) <= threshold"), r"as dead as one that says 0"),
        (dead("maps.amax(dim=(0, 2, 3)) <= threshold"), r"is ever high"),
        (dead("maps.std(dim=(0, 2, 3)) <= threshold"), r"one cell of a thousand"),
        (
            dead("maps.mean(dim=(2, 3)).amax(dim=0) - maps.mean(dim=(2, 3)).amin(dim=0) <= threshold"),
            r"average over the places",
        ),
        (dead("None"), r"you returned None"),
    ],
    "16.4": [
        (masks(gone="order[count:]"), r"the masks are inverted"),
        (masks(size="gamma"), r"order by the absolute value"),
        (masks(gone="order[len(order) - count:]"), r"the \*largest\* \|γ\|"),
        (masks(result="keep"), r"one mask a layer"),
        (
            "def slimming_masks(gammas, share):\n    return [gamma.abs() >= share for gamma in gammas]",
            r"not a threshold for",
        ),
        (
            "def slimming_masks(gammas, share):\n    largest = max(gamma.abs().max() for gamma in gammas)\n"
            "    return [gamma.abs() >= share * largest for gamma in gammas]",
            r"not of the largest",
        ),
        (
            "def slimming_masks(gammas, share):\n    return [gamma.abs() >= gamma.abs().sort().values"
            "[int(share * len(gamma))] for gamma in gammas]",
            r"out of every layer",
        ),
        (masks(result="None"), r"you returned None"),
    ],
}
