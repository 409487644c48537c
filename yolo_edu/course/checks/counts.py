"""The judge of numbers that learners work out by hand."""

from collections.abc import Mapping

from torch import nn

from yolo_edu.errors import UserError


def judge_counts(
    number: str,
    answers: Mapping[str, float | None],
    right: Mapping[str, float],
    *,
    slips: Mapping[str, Mapping[float, str]] | None = None,
) -> dict[str, float]:
    """Compare numbers that were worked out by hand; None: not attempted. Returns the right ones.

    Args:
        number: of the exercise.
        answers, right: name → number.
        slips: name → a wrong number that learners come to → what they overlooked.

    Raises:
        UserError: `answers` does not have the names of `right`.
    """
    if set(answers) != set(right):
        raise UserError(f"{number} asks for {', '.join(right)}; the cell gives {', '.join(answers) or 'nothing'}")
    if all(value is None for value in answers.values()):
        print(
            f"{number} not attempted yet: write your numbers instead of None. The lesson goes on with the right ones."
        )
        return dict(right)
    problems, open_ = [], []
    for name, wanted in right.items():
        given = answers[name]
        if given is None:
            open_.append(name)
        elif not isinstance(given, (int, float)):
            problems.append(f"{name}: {given!r} is a {type(given).__name__}; a number is expected.")
        elif abs(given - wanted) > 1e-6 * max(1.0, abs(wanted)):
            side = "small" if given < wanted else "large"
            slip = (slips or {}).get(name, {}).get(given)
            problems.append(f"{name}: {given:,} is too {side}." + (f" {slip}" if slip else ""))
    if problems:
        print(f"{number}: " + "\n     ".join(problems))
        print("Until it is right, the lesson goes on with the right numbers.")
    elif open_:
        print(f"{number}: right so far. Still open: {', '.join(open_)}.")
    else:
        print(f"{number} is right: " + ", ".join(f"{name} {value:,}" for name, value in right.items()) + ".")
    return dict(right)


def count_parameters(
    number: str, answers: Mapping[str, int | None], module: nn.Module, *, words: Mapping[int, str] | None = None
) -> dict[str, float]:
    """`judge_counts` for the trainable parameters of a module's parts, with the slips that everybody makes.

    Args:
        number: of the exercise.
        answers: name of a part, as in `module.get_submodule`; "" or "total" is the whole.
        module: which holds them.
        words: a wrong count → what was overlooked, for slips of this exercise alone.
    """
    parts = {name: module if name in ("", "total") else module.get_submodule(name) for name in answers}
    right = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    slips: dict[str, dict[float, str]] = {}
    for name, part in parts.items():
        kinds = list(part.modules())
        convolutions = [m for m in kinds if isinstance(m, nn.Conv2d)]
        norms = sum(m.num_features for m in kinds if isinstance(m, nn.BatchNorm2d))
        biases = sum(m.out_channels for m in convolutions if m.bias is None)
        flat = sum(m.out_channels * m.in_channels // m.groups for m in convolutions)
        weights = sum(m.weight.numel() for m in convolutions)
        known = {
            right[name] - 2 * norms: "You forgot BatchNorm: γ and β, two numbers a channel.",
            right[name] - norms: "BatchNorm trains two numbers a channel, γ and β; the convolution has no bias.",
            right[name] + 2 * norms: "The running mean and variance of BatchNorm are measured, not trained.",
            right[name] + biases: "These convolutions have no bias: the β of BatchNorm is one.",
            right[name] - weights + flat: "You forgot the kernel's area, height times width.",
            **(words or {}),
        }
        slips[name] = {float(count): text for count, text in known.items() if count != right[name]}
    return judge_counts(number, answers, right, slips=slips)
