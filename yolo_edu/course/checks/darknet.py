"""Exercises of lesson 04: a stage of CSPDarknet53, its parameters, and the slicing of Focus."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from yolo_edu.course.checks.compare import Mistake
from yolo_edu.course.checks.counts import count_parameters
from yolo_edu.course.checks.functions import ROUNDS, judge_function
from yolo_edu.course.checks.modules import Builder, ModuleCase, judge_module
from yolo_edu.model.blocks import Activation, Bottleneck, Conv, Focus, leaky_relu
from yolo_edu.model.darknet import CSPStage, mish

__all__ = ["darknet_csp_stage", "space_to_depth", "split_stage_counts"]


class _Stage(nn.Module):
    """A CSP stage in which one thing may be different from yolo_edu's; the defaults are right."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        repeats: int,
        *,
        stride: int = 2,
        halve: bool = True,
        shortcut: bool = True,
        expansion: float = 1.0,
        last: bool = True,
        join: str = "through, around",
        activation: Activation = mish,
        inner: Activation = mish,
    ) -> None:
        super().__init__()
        part = c_out // 2 if halve else c_out
        self.join = join
        self.down = Conv(c_in, c_out, 3, stride, activation=activation)
        self.around = Conv(c_out, part, activation=activation)
        blocks = (Bottleneck(part, part, shortcut, expansion, activation=inner) for _ in range(repeats))
        end = [Conv(part, part, activation=activation)] if last else []
        self.through = nn.Sequential(Conv(c_out, part, activation=activation), *blocks, *end)
        self.transition = Conv(part if join == "sum" else 2 * part, c_out, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        through, around = self.through(x), self.around(x)
        if self.join == "sum":
            return self.transition(through + around)
        pair = [around, through] if self.join == "around, through" else [through, around]
        joined = torch.cat(pair, dim=1)
        return joined if self.join == "bare" else self.transition(joined)


def _stage(**change: object) -> Callable[[int, int, int], nn.Module]:
    def build(c_in: int, c_out: int, repeats: int) -> nn.Module:
        return _Stage(c_in, c_out, repeats, **change)  # type: ignore[arg-type]

    return build


def darknet_csp_stage(module: type[nn.Module]) -> Builder:
    """Exercise 4.1: MyCSPStage(c_in, c_out, repeats), every path with half of the channels, Mish."""
    mistakes = [
        Mistake(
            _stage(join="around, through"),
            "the paths are right, the order of the concatenation is not: `through` first, then `around`. No shape "
            "tells; trained weights of `transition` would meet the wrong channels.",
        ),
        Mistake(
            _stage(shortcut=False),
            "the residual blocks do not add their input. A residual block returns x + cv2(cv1(x)): leave Bottleneck's "
            "shortcut at True.",
        ),
        Mistake(
            _stage(activation=leaky_relu, inner=leaky_relu),
            "the activation is LeakyReLU, Conv's default. YOLOv4 uses Mish here: `activation=mish` to every Conv and "
            "every Bottleneck.",
        ),
        Mistake(
            _stage(inner=leaky_relu),
            "inside the residual blocks the activation is still LeakyReLU: give `activation=mish` to Bottleneck too.",
        ),
        Mistake(
            _stage(join="bare"),
            "`transition` is built and never used: you return the bare concatenation. The shapes agree by chance, "
            "c_out // 2 + c_out // 2 = c_out.",
        ),
        Mistake(_stage(stride=1), "the map is not halved: `down` needs stride 2."),
        Mistake(
            _stage(last=False),
            "`through` ends without its last Conv. After the residual blocks comes one more 1×1 Conv, part to part.",
        ),
        Mistake(
            _stage(expansion=0.5),
            "the residual blocks squeeze their channels to half: Bottleneck's default. A path is narrow already; "
            "inside it the blocks keep their width, `expansion=1.0`.",
        ),
        Mistake(
            _stage(join="sum"),
            "the paths are added; a CSP stage puts them side by side, so `transition` takes in both: c_out channels.",
        ),
        Mistake(
            _stage(halve=False, expansion=0.5),
            "each path keeps all c_out channels. That is the first stage of CSPDarknet53 only; here each path has "
            "c_out // 2.",
        ),
        Mistake(
            _stage(halve=False),
            "each path keeps all c_out channels. The saving comes from c_out // 2 in each path.",
        ),
    ]
    cases = [
        ModuleCase((4, 8, 1), ((2, 4, 8, 8),)),
        ModuleCase((6, 16, 3), ((1, 6, 12, 8),)),
        ModuleCase((8, 8, 2), ((2, 8, 6, 10),)),
    ]
    return judge_module("4.1", module, CSPStage, "yolo_edu's CSPStage", cases=cases, mistakes=mistakes)


def split_stage_counts(answers: Mapping[str, int | None]) -> dict[str, float]:
    """Exercise 4.2: the trained parameters of the parts of CSPStage(64, 128, 2)."""
    c_in, c_out, repeats = 64, 128, 2

    def count(part: str, **change: object) -> int:
        module = _Stage(c_in, c_out, change.pop("repeats", repeats), **change)  # type: ignore[arg-type]
        return sum(p.numel() for p in module.get_submodule(part).parameters())

    block = count("through") - count("through", repeats=repeats - 1)
    words = {
        count("through") - block: "You counted one residual block; there are two.",
        repeats * block: "These are the residual blocks alone; a 1×1 Conv stands before them and one behind them.",
        count("through", last=False): "The last Conv is missing, 1×1 behind the residual blocks.",
        count("through", expansion=0.5): "Inside its path a residual block keeps all 64 channels.",
        count("through", halve=False, expansion=0.5): "This path is too wide: it keeps half of the 128 channels.",
        count("around", halve=False): "This path is too wide: it keeps half of the 128 channels.",
        sum(p.numel() for p in Conv(c_in, c_in, 3).parameters()): "The stage goes from 64 to 128 channels in `down`.",
    }
    wide, narrow, looks = (
        sum(p.numel() for p in m.parameters()) for m in (Conv(128, 64), Conv(64, 64), Conv(64, 64, 3))
    )
    right = count("through")
    words |= {
        right - wide: "The first Conv is missing, 1×1 from 128 channels before the residual blocks.",
        right - wide + narrow: "The first Conv reads what `down` gives, 128 channels.",
        right - narrow + wide: "The last Conv reads the path's 64 channels.",
        right - repeats * narrow: "A residual block has two Convs, 1×1 and 3×3; you counted the second.",
        right - repeats * looks: "A residual block has two Convs, 1×1 and 3×3; you counted the first.",
        right + repeats * (looks - narrow): "The first Conv of a residual block is 1×1, only the second is 3×3.",
    }
    convs = 2 * repeats + 2
    for norms in range(1, convs):
        words[right - 2 * 64 * (convs - norms)] = f"{convs} Convs, and each has a BatchNorm; you counted {norms}."
    summed = count("transition", join="sum")
    if answers.get("transition") == summed:  # the same number is another slip where `down` is meant
        words[summed] = "It takes in both paths side by side, 64 + 64 channels."
    return count_parameters("4.2", answers, CSPStage(c_in, c_out, repeats), words=words)


def _phases(x: Tensor) -> Tensor:
    """The four phases in Focus's order, from the live block."""
    focus = Focus(x.shape[1], 1)
    focus.conv = nn.Identity()  # type: ignore[assignment]
    return focus(x)


def _by_place(places: list[tuple[int, int]], dim: int = 1) -> Callable[[Tensor], Tensor]:
    """Phases at these (row, column) starts, one after the other along `dim`."""
    return lambda x: torch.cat([x[..., row::2, column::2] for row, column in places], dim=dim)


def _wrong_axes(x: Tensor) -> Tensor:
    return torch.cat([x[row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=1)


def _channels_and_rows(x: Tensor) -> Tensor:
    return torch.cat([x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=1)


def _reshaped(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return x.reshape(b, 4 * c, h // 2, w // 2)


def _quarters(x: Tensor) -> Tensor:
    h, w = x.shape[2] // 2, x.shape[3] // 2
    return torch.cat([x[..., r * h : r * h + h, c * w : c * w + w] for c in (0, 1) for r in (0, 1)], dim=1)


def _interleaved(x: Tensor) -> Tensor:
    """Right phases, but the four of a color side by side."""
    parts = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
    return torch.stack(parts, dim=2).flatten(1, 2)


FOCUS_ORDER = [(0, 0), (1, 0), (0, 1), (1, 1)]  # (first row, first column)


def space_to_depth(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Exercise 4.3: (B, C, H, W), H and W even → (B, 4C, H/2, W/2), the four phases in Focus's order."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for _ in range(ROUNDS):
        b, c, h, w = (int(torch.randint(1, 5, (), generator=generator)) for _ in range(4))
        w += w == h  # a swap of rows and columns must show
        cases.append((torch.randn(b, c, 2 * h, 2 * w, generator=generator),))
    sideways = "The image's axes are (B, C, H, W): `x[..., row::2, column::2]` slices the last two, as it should be."
    mistakes = [
        Mistake(
            _by_place([(0, 0), (0, 1), (1, 0), (1, 1)]),
            "row and column are swapped: the second phase has the odd rows and the even columns.",
        ),
        Mistake(
            lambda x: pixel_unshuffle(x, 2),
            "this is the order of pixel_unshuffle: the four phases of one color side by side. Focus keeps the colors "
            "of a phase together: all channels of the first phase, then all of the second.",
        ),
        Mistake(
            _interleaved,
            "the phases are right, but the four of one color stand side by side. Focus keeps the colors of a phase "
            "together: all channels of the first phase, then all of the second.",
        ),
        Mistake(
            _reshaped,
            "a reshape only reads the same numbers in the same order with other line breaks: pixels that were "
            "neighbors in a row land far apart. Take every second row and column instead.",
        ),
        Mistake(
            _quarters,
            "you cut the image into four quarters. A phase is every second pixel of the whole image: `0::2` or `1::2`.",
        ),
        Mistake(
            _by_place(FOCUS_ORDER, dim=0),
            "the phases are right, but they are joined along the batch: dim=0. The channels are dim=1.",
        ),
        Mistake(
            _by_place(FOCUS_ORDER, dim=2),
            "the phases are right, but they are joined along the height: dim=2. The channels are dim=1.",
        ),
        Mistake(
            _by_place(FOCUS_ORDER, dim=3),
            "the phases are right, but they are joined along the width: dim=3. The channels are dim=1.",
        ),
        Mistake(_by_place([(0, 0)]), "this is one phase of four: three quarters of the pixels are lost."),
        Mistake(
            _by_place([(r, c) for c in (0, 1) for r in (1, 0)]),
            "even and odd rows are swapped: indices count from 0, so the even rows are `0::2`.",
        ),
        Mistake(
            _by_place([(1, 1), (0, 1), (1, 0), (0, 0)]),
            "even and odd are swapped: indices count from 0, so the even rows are `0::2`.",
        ),
        Mistake(_wrong_axes, f"you sliced the wrong axes, images and channels. {sideways}"),
        Mistake(_channels_and_rows, f"you sliced the wrong axes, channels and rows. {sideways}"),
    ]
    return judge_function(
        "4.3",
        function,
        _phases,
        "yolo_edu's Focus",
        cases=cases,
        mistakes=mistakes,
        describe=lambda x: f"an image of shape {tuple(x.shape)}",
        gradient=True,
    )
