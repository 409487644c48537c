"""Images that stand in two places: exact copies, near copies, photos of one scene."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from yolo_edu.files import Fault
from yolo_edu.lint.likeness import COPY, SCENE, closest, repeats
from yolo_edu.lint.reading import Look, Seen

SAVED_ANEW = 0.995  # likeness inside a split, where photos taken moments apart are no fault
Pair = tuple[Seen, Look]


def copies(seen: Mapping[str, Sequence[Seen]]) -> Iterator[Fault]:
    """Copies across splits and inside each. An image is reported once, in the later of its two splits."""
    readable = {split: _readable(images) for split, images in seen.items()}
    for split, images in readable.items():
        yield from _within(split, images)
    order = list(readable)
    for position, split in enumerate(order):
        done: set[int] = set()
        for earlier in order[:position]:
            if [one.image for one in seen[earlier]] == [one.image for one in seen[split]]:
                continue  # the YAML was written that way; a note of the spec says so
            yield from _across(earlier, readable[earlier], split, readable[split], done)


def _readable(images: Sequence[Seen]) -> list[Pair]:
    return [(one, one.look) for one in images if isinstance(one.look, Look)]


def _descriptors(images: Sequence[Pair]) -> np.ndarray:
    return np.stack([look.descriptor for _, look in images])


def _across(earlier: str, first: Sequence[Pair], split: str, second: Sequence[Pair], done: set[int]) -> Iterator[Fault]:
    if not first or not second:
        return
    keep = f"Keep it in one of them; scores on {split!r} would be too good"
    by_digest = {look.digest: one for one, look in reversed(first)}
    matches = closest(_descriptors(second), _descriptors(first))
    turned = closest(_descriptors(second), _descriptors(first), turns=True)
    for i, (match, other_way) in enumerate(zip(matches, turned, strict=True)):
        if i in done:
            continue
        image, look = second[i]
        if (same := by_digest.get(look.digest)) is not None:
            done.add(i)
            message = f"the same image is in {earlier!r} ({same.image}) and in {split!r}"
            yield Fault(image.image, 0, "error", message, keep, "copy-across", same.image)
            continue
        best = match if match.likeness >= COPY else other_way
        like = first[best.second][0].image
        if best.likeness >= COPY:
            done.add(i)
            how = f", {best.turn}" if best.turn else ""
            message = f"nearly the same image is in {earlier!r} ({like}{how}) and in {split!r}"
            message += f" (likeness {best.likeness:.2f})"
            yield Fault(image.image, 0, "warning", message, keep, "near-copy", like)
        elif match.likeness >= SCENE:
            done.add(i)
            like = first[match.second][0].image
            message = f"the same scene seems to be in {earlier!r} ({like}) and in {split!r}"
            message += f" (likeness {match.likeness:.2f})"
            fix = f"Put photos of one place and moment into one split; scores on {split!r} say little of other places"
            yield Fault(image.image, 0, "warning", message, fix, "same-scene", like)


def _within(split: str, images: Sequence[Pair]) -> Iterator[Fault]:
    """The same image twice in one split. Also nearly the same ones, with a limit that a burst of photos passes."""
    if len(images) < 2:
        return
    first_of: dict[bytes, int] = {}
    groups: dict[int, int] = {}
    for i, (_, look) in enumerate(images):
        if (j := first_of.setdefault(look.digest, i)) != i:
            groups[i] = j
    for match in repeats(_descriptors(images), SAVED_ANEW):
        groups.setdefault(match.first, match.second)
    for i, j in sorted(groups.items()):
        one, other = images[i], images[j]
        if one[0].image == other[0].image:
            continue
        same = one[1].digest == other[1].digest
        differ = sorted(row[1:] for row in one[0].rows) != sorted(row[1:] for row in other[0].rows)
        message = f"{'the same' if same else 'nearly the same'} image as {other[0].image}, in {split!r} too"
        message += ", but with other labels" if differ else ""
        fix = "Delete one of the two with its labels; it would count twice"
        yield Fault(one[0].image, 0, "warning", message, fix, "copy-within", other[0].image)
