"""Which input pixels a position of a feature map reads, found by watching PyTorch's operations go by.

No module class is known here: convolutions, pools, slices, upsampling and joins are recognized as they reach
the dispatcher, wherever in the network they were called.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import lcm
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

IMAGE = -1  # the origin of what comes from no row

aten = torch.ops.aten


class Reach(NamedTuple):
    """First and last input pixel that each position of a map reads, along one axis of an endless image.

    Position i reads `phases[i % P]`, P phases, moved on by `period` pixels every P positions. One phase is
    enough until an upsampling: then neighbors that copy the same cell stand differently inside it.
    """

    period: int
    phases: tuple[tuple[int, int], ...]

    @property
    def stride(self) -> Fraction:
        """Input pixels from one position to the next."""
        return Fraction(self.period, len(self.phases))

    @property
    def size(self) -> int:
        """Input pixels that a position reads at most."""
        return max(last - first + 1 for first, last in self.phases)

    def at(self, position: int) -> tuple[int, int]:
        turns, phase = divmod(position, len(self.phases))
        first, last = self.phases[phase]
        return first + turns * self.period, last + turns * self.period

    def window(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Reach":
        """Behind a convolution or pool: position o reads o·stride − padding + dilation · (0 … kernel − 1)."""
        turn = Fraction(stride, len(self.phases))  # in turns of the old phases; whole numbers of them repeat
        starts = [o * stride - padding for o in range(turn.denominator)]
        phases = ((self.at(s)[0], self.at(s + dilation * (kernel - 1))[1]) for s in starts)
        return Reach(self.period * turn.numerator, tuple(phases))

    def repeat(self, factor: int) -> "Reach":
        """Behind a nearest-neighbor upsampling: position o reads position o // factor."""
        return Reach(self.period, tuple(phase for phase in self.phases for _ in range(factor)))

    def join(self, other: "Reach") -> "Reach":
        """Behind a sum or a concatenation of two maps of one stride: from the first pixel to the last."""
        count = lcm(len(self.phases), len(other.phases))
        pairs = [(self.at(i), other.at(i)) for i in range(count)]
        phases = ((min(a[0], b[0]), max(a[1], b[1])) for a, b in pairs)
        return Reach(self.period * count // len(self.phases), tuple(phases))


class Track(NamedTuple):
    """What is known about a tensor.

    `origins`: the rows it was made from. `reach`: None when it is no longer made of windows.
    `width`: positions along the axis that `reach` describes, whatever shape the tensor has been given since.
    """

    origins: tuple[int, ...]
    reach: Reach | None
    width: int


class Trace(TorchDispatchMode):
    """Follows every tensor that depends on the image through one forward pass, along the width (last axis).

    Tensors are told apart by identity, so all of them are kept: run it on the meta device.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tracks: dict[int, tuple[Tensor, Track]] = {}

    def __getitem__(self, tensor: Tensor) -> Track | None:
        """None for what does not depend on the image, such as weights."""
        entry = self._tracks.get(id(tensor))
        return entry[1] if entry else None

    def __setitem__(self, tensor: Tensor, track: Track) -> None:
        self._tracks[id(tensor)] = tensor, track

    def start(self, image: Tensor) -> Tensor:
        """Follow this (B, C, H, W) image."""
        self[image] = Track((IMAGE,), Reach(1, ((0, 0),)), image.shape[-1])
        return image

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tracks = [track for tensor in tensors((args, kwargs)) if (track := self[tensor])]
        if tracks:
            origins = union(track.origins for track in tracks)
            op = func.overloadpacket
            moved = op in _WINDOWS or op is aten.upsample_nearest2d
            moved = moved or (op is aten.slice and _along_last(args, args[0].ndim))
            reach = _moved(op, args, self[args[0]]) if moved else _kept(func, args, tracks)
            for output in tensors(result):
                self[output] = Track(origins, reach, output.shape[-1] if moved else tracks[0].width)
        return result


def union(groups: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """All members, each once, in order of first appearance."""
    return tuple(dict.fromkeys(member for group in groups for member in group))


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors(item)


# Where these operations keep kernel, stride, padding, dilation among their arguments. (A convolution's second
# argument is its weight, whose shape holds the kernel.)
_WINDOWS = {
    aten.convolution: (1, 3, 4, 5),
    aten.max_pool2d_with_indices: (1, 2, 3, 4),
    aten.avg_pool2d: (1, 2, 3, None),
}
# Position by position, or the same numbers in a new shape, without being tagged as such.
_KEEPING = {
    aten._unsafe_view,
    aten.native_batch_norm,
    aten._native_batch_norm_legit_no_training,
    aten._batch_norm_no_update,
    aten.cudnn_batch_norm,
    aten.mish,
    aten.mish_,
}


def _moved(op: Any, args: tuple, track: Track | None) -> Reach | None:
    """Behind an operation whose positions are not its input's; None where this file does not know how."""
    x = args[0]
    if track is None or track.reach is None or x.shape[-1] != track.width:  # a view has folded the axis
        return None
    if op is aten.upsample_nearest2d:
        factor, rest = divmod(args[1][-1], x.shape[-1])
        return None if rest else track.reach.repeat(factor)
    if op is aten.slice:
        bounds: list[int | None] = [*args[2:], *(None, None, 1)[max(len(args) - 2, 0) :]]
        first, _, step = slice(*bounds).indices(x.shape[-1])
        return track.reach.window(1, step, -first)
    if op is aten.convolution and args[6]:  # transposed
        return None
    kernel, stride, padding, dilation = (
        _last(args[place]) if place is not None and place < len(args) else None for place in _WINDOWS[op]
    )
    assert kernel is not None
    # A pool that is given no stride steps by its kernel.
    return track.reach.window(kernel, stride or kernel, padding or 0, dilation or 1)


def _kept(func: Any, args: tuple, tracks: Sequence[Track]) -> Reach | None:
    """Behind an operation that leaves every position in its place; None if this is not known of it."""
    joins = func.overloadpacket is aten.cat and not _along_last(args, args[0][0].ndim)
    if not (joins or func.is_view or torch.Tag.pointwise in func.tags or func.overloadpacket in _KEEPING):
        return None
    reach = tracks[0].reach
    for track in tracks[1:]:
        if reach is None or track.reach is None or track.width != tracks[0].width:
            return None
        reach = reach.join(track.reach) if reach.stride == track.reach.stride else None
    return reach


def _along_last(args: tuple, dims: int) -> bool:
    """Whether an operation whose second argument is the axis, 0 if left out, works along the last one."""
    return (args[1] if len(args) > 1 else 0) % dims == dims - 1


def _last(value: Any) -> int | None:
    """What an argument says of the last axis."""
    sizes = value.shape if isinstance(value, Tensor) else value
    return sizes if isinstance(sizes, int) else sizes[-1] if len(sizes) else None
