"""Exercises of lesson 02: a dense block, its numbers by hand, the transition between two blocks."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from yolo_edu.course.checks.compare import Mistake
from yolo_edu.course.checks.counts import judge_counts
from yolo_edu.course.checks.modules import ModuleCase, judge_module
from yolo_edu.model.dense import DenseBlock, DenseLayer, Transition

__all__ = ["counted_block", "dense_block", "dense_counts", "dense_transition"]

Builder = Callable[..., nn.Module]


class _Wired(nn.Module):
    """A block's layers for any widths, with a forward that is given: what a wrong block looks like."""

    def __init__(self, layers: list[nn.Module], forward: Callable[[nn.ModuleList, Tensor], Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.wrong = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.wrong(self.layers, x)


def _block(
    forward: Callable[[nn.ModuleList, Tensor], Tensor],
    reads: Callable[[int, int, int], int] = lambda c_in, i, growth: c_in + i * growth,
    *,
    bottleneck: bool = True,
) -> Builder:
    """Builds a block whose layer i is made for `reads(c_in, i, growth)` channels."""

    def build(c_in: int, layers: int, growth: int) -> nn.Module:
        made = [DenseLayer(reads(c_in, i, growth), growth, bottleneck=bottleneck) for i in range(layers)]
        return _Wired([*made], forward)

    return build


def _dense(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers:
        x = torch.cat([x, layer(x)], dim=1)
    return x


def _new_first(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers:
        x = torch.cat([layer(x), x], dim=1)
    return x


def _new_behind_input(layers: nn.ModuleList, x: Tensor) -> Tensor:
    made: list[Tensor] = []
    for layer in layers:
        made.insert(0, layer(torch.cat([x, *made], dim=1)))
    return torch.cat([x, *made], dim=1)


def _chain(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


class _Hidden(nn.Module):
    """Its layers stand in a plain list."""

    def __init__(self, c_in: int, layers: int, growth: int) -> None:
        super().__init__()
        self.layers = [DenseLayer(c_in + i * growth, growth) for i in range(layers)]


def dense_block(module: type[nn.Module]) -> Builder:
    """Exercise 2.1: (c_in, layers, growth) → a DenseBlock, its layers named `layers`."""
    cases = [
        ModuleCase((6, 4, 4), ((2, 6, 5, 7),)),
        ModuleCase((5, 2, 3), ((3, 5, 8, 4),)),
        ModuleCase((9, 3, 2), ((2, 9, 1, 6),)),
        ModuleCase((4, 5, 7), ((2, 4, 3, 3),)),
    ]
    fed = (
        "a layer was given other channels than it was made for. Layer i reads x₀ and the outputs of all layers "
        "before it, side by side on the channel axis (`torch.cat`, dim=1), not only the newest output."
    )
    mistakes = [
        Mistake(
            _block(_new_first),
            "the right channels in the wrong order: the old ones come first, new ones are appended behind them. "
            "Trained weights depend on the order.",
        ),
        Mistake(
            _block(_new_behind_input),
            "x₀ comes first, but behind it the newest output stands before the older ones: append at the end.",
        ),
        Mistake(
            _block(lambda layers, x: _dense(layers, x)[:, x.shape[1] :]),
            "you returned the new channels only. A dense block's output begins with its input x₀, unchanged.",
        ),
        Mistake(
            _block(lambda layers, x: _dense(layers, x)[:, -layers[-1].grow[-1].out_channels :]),  # type: ignore
            "you returned the last layer's output only. All outputs leave the block, x₀ first.",
        ),
        Mistake(_block(_chain), fed),
        Mistake(
            _block(_dense, lambda c_in, i, growth: c_in + (i + 1) * growth),
            "every layer is made for one growth too many: layer 0 reads x₀ alone, c_in channels.",
        ),
        Mistake(
            _block(_dense, lambda c_in, i, growth: c_in),
            "every layer is made for c_in channels. Each one before it adds `growth` channels to what it reads.",
        ),
        Mistake(
            _block(_chain, lambda c_in, i, growth: growth if i else c_in),
            "from the second on, your layers are made for the newest output alone: that is a plain stack. Layer i "
            "reads x₀ and all i outputs before it.",
        ),
        Mistake(
            _block(_dense, bottleneck=False),
            "you left the bottleneck off; DenseLayer(channels, growth) has it.",
        ),
        Mistake(
            _Hidden,
            "a plain Python list hides its layers from PyTorch: no parameters, nothing to train. "
            "`nn.ModuleList` shows them.",
        ),
    ]
    return judge_module("2.1", module, DenseBlock, "yolo_edu's DenseBlock", cases=cases, mistakes=mistakes)


def counted_block() -> DenseBlock:
    """The block whose numbers exercise 2.2 asks for."""
    return DenseBlock(24, 3, 8)


def dense_counts(answers: Mapping[str, int | None]) -> dict[str, float]:
    """Exercise 2.2: channels and parameters of DenseBlock(24, 3, 8) by hand."""
    block = counted_block()
    c, k, n = 24, 8, len(block.layers)
    hidden = 4 * k

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    def layer(c_in: int, hidden: int = hidden, norms: int = 2, area: int = 9) -> int:
        return c_in * hidden + hidden * k * area + norms * (c_in + hidden)

    last = c + (n - 1) * k
    right = {
        "channels out": block.channels,
        "read by layers.2": last,
        "layers.0": count(block.layers[0]),
        "layers.2": count(block.layers[2]),
        "all": count(block),
    }
    slips: dict[str, dict[float, str]] = {
        "channels out": {
            n * k: "Those are the new channels. The input leaves too, unchanged.",
            last: "That is what the last layer reads. It adds its own.",
            k: "That is what one layer adds.",
        },
        "read by layers.2": {
            last + k: "layers.2 is the third layer: two have added channels before it, not three.",
            last - k: "Two layers have added channels before layers.2.",
            k: "It reads x₀ and both earlier outputs, not the newest alone.",
            2 * k: "It reads x₀ too.",
        },
    }
    for name, c_in in (("layers.0", c), ("layers.2", last)):
        slips[name] = {
            layer(c_in, norms=0): "You forgot BatchNorm: γ and β, two numbers a channel, before each convolution.",
            layer(c_in, norms=1): "BatchNorm trains two numbers a channel, γ and β.",
            layer(c_in, norms=4): "The running mean and variance of BatchNorm are measured, not trained.",
            layer(c_in) + hidden + k: "These convolutions have no bias.",
            layer(c_in, area=1): "You forgot the area of the 3 × 3 kernel.",
            layer(c_in, hidden=k): "The bottleneck has 4 · growth channels, not growth.",
            2 * c_in + 9 * c_in * k: "That is the plain form. Here a 1 × 1 convolution comes before the 3 × 3 one.",
            layer(c_in) + 2 * k - 2 * c_in: "BatchNorm comes before its convolution: it has the channels that go in.",
            layer(c_in) + 2 * hidden + 2 * k - 2 * (c_in + hidden): (
                "BatchNorm comes before its convolution: it has the channels that go in, not those that come out."
            ),
        }
    slips["layers.2"] |= {
        layer(c): "That is layers.0. layers.2 reads two growths more.",
        layer(last + k): "One growth too many: layers.2 is the third layer, two came before it.",
        layer(last - k): "One growth too few: two layers came before layers.2.",
        layer(k): "It reads x₀ and both earlier outputs, not the newest alone.",
    }
    slips["all"] = {
        n * layer(c): "That is three times layers.0. Every later layer reads one growth more.",
        n * layer(last): "That is three times layers.2. Every earlier layer reads one growth less.",
        layer(c) + layer(last): "layers.1 is missing: it reads one growth more than layers.0.",
        sum(layer(c + i * k, norms=0) for i in range(n)): "You forgot BatchNorm.",
    }
    slips = {name: {v: text for v, text in known.items() if v != right[name]} for name, known in slips.items()}
    return judge_counts("2.2", answers, right, slips=slips)


def _parts(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(*parts)


def dense_transition(module: type[nn.Module]) -> Builder:
    """Exercise 2.3: (c_in, c_out) → a Transition, an nn.Sequential of four modules."""
    cases = [
        ModuleCase((6, 3), ((2, 6, 4, 6),)),
        ModuleCase((8, 5), ((3, 8, 2, 8),)),
        ModuleCase((5, 2), ((2, 5, 6, 6),)),
        ModuleCase((4, 4), ((2, 4, 8, 2),)),
    ]
    norm, relu, mean = nn.BatchNorm2d, nn.ReLU, nn.AvgPool2d

    def mix(c_in: int, c_out: int, *, stride: int = 1, bias: bool = False) -> nn.Conv2d:
        return nn.Conv2d(c_in, c_out, 1, stride, bias=bias)

    mistakes = [
        Mistake(
            lambda a, b: _parts(norm(a), relu(), mix(a, b), nn.MaxPool2d(2)),
            "you keep the largest of every 2 × 2 cells; DenseNet takes their mean (`nn.AvgPool2d`).",
        ),
        Mistake(
            lambda a, b: _parts(norm(a), relu(), mix(a, b), mean(2, 1)),
            "the mean is right, but its windows overlap: they step by 2.",
        ),
        Mistake(
            lambda a, b: _parts(norm(a), relu(), mix(a, b, stride=2)),
            "a stride in the convolution looks at one of every 2 × 2 cells and drops the other three. Stride 1, "
            "then the mean of all four.",
        ),
        Mistake(lambda a, b: _parts(norm(a), relu(), mix(a, b)), "channels right, but the grid keeps its size."),
        Mistake(
            lambda a, b: _parts(norm(a), nn.LeakyReLU(0.1), mix(a, b), mean(2)),
            "DenseNet's activation is the plain ReLU; LeakyReLU is YOLOv5's.",
        ),
        Mistake(
            lambda a, b: _parts(norm(a), mix(a, b), mean(2)),
            "you forgot the ReLU between BatchNorm and convolution: without it the two are one linear map.",
        ),
        Mistake(
            lambda a, b: _parts(mix(a, b), norm(b), relu(), mean(2)),
            "that is the order of lesson 01's Conv. Here BatchNorm and ReLU come before the convolution, so "
            "BatchNorm has c_in channels.",
        ),
        Mistake(
            lambda a, b: _parts(norm(a), relu(), mix(a, b, bias=True), mean(2)),
            "the convolution has a bias; a DenseNet's has none, because the next layers' BatchNorm subtracts it again.",
        ),
        Mistake(
            lambda a, b: _parts(norm(a), relu(), mean(2), mix(a, b)),
            "the numbers are right (the next text says why), the order is not: trained weights are found by name, and "
            "the convolution is number 2, not 3.",
        ),
    ]
    return judge_module("2.3", module, Transition, "yolo_edu's Transition", cases=cases, mistakes=mistakes)
