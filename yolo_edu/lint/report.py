"""What a linter found, for people (text, grouped by kind) and for programs (plain JSON values)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yolo_edu.files import Fault
from yolo_edu.lint.classes import FINEST
from yolo_edu.lint.codes import CODES
from yolo_edu.lint.examine import Examination

FORMAT = "yolo_edu lint 1"


def grouped(faults: Iterable[Fault]) -> dict[tuple[str, str], list[Fault]]:
    """(severity, code) → its faults; the order of the faults, so errors first."""
    groups: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.severity, fault.code), []).append(fault)
    return groups


def text(found: Examination, show: int) -> str:
    """Everything for the terminal: at most `show` faults of each kind, then the tables, then the totals."""
    lines = []
    for (severity, code), faults in grouped(found.faults).items():
        lines.append(f"{severity} {code}: {CODES[code]}" + (f" ({len(faults)} times)" if len(faults) > 1 else ""))
        lines += [f"  {fault}" for fault in faults[:show]]
        if len(faults) > show:
            lines.append(f"  … and {len(faults) - show} more; --json FILE writes all of them, --show N more of them")
        lines.append("")
    lines += [*_split_table(found), "", *_class_table(found), ""]
    lines.append(f"{found.errors} errors, {len(found.faults) - found.errors} warnings")
    return "\n".join(printable(line) for line in lines)


def printable(line: str) -> str:
    """The same line without what a terminal would obey or could not show: file names may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _split_table(found: Examination) -> Iterator[str]:
    rows = [["split", "images", "background", "boxes", f"side at {found.image_size}", f"under {FINEST} px"]]
    for split, numbers in found.splits.items():
        sizes = found.sizes[split]
        side = f"{np.median(sizes.sides):.0f} px" if len(sizes.sides) else "-"
        small = f"{sizes.small:.1%}" if len(sizes.sides) else "-"
        rows.append([split, *map(str, (numbers.images, numbers.background, numbers.boxes)), side, small])
    return _aligned(rows)


def _class_table(found: Examination) -> Iterator[str]:
    """Boxes and median side of each class in each split."""
    rows = [["class", *(f"{split}{column}" for split in found.splits for column in (" boxes", " side"))]]
    for label, name in enumerate(next(iter(found.splits.values())).per_class):
        row = [name]
        for split, numbers in found.splits.items():
            sizes = found.sizes[split]
            own = sizes.sides[sizes.labels == label]
            row += [str(numbers.per_class[name]), f"{np.median(own):.0f} px" if len(own) else "-"]
        rows.append(row)
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Names to the left, numbers to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers in rows:
        cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        yield "  ".join([name.ljust(widths[0]), *cells])


def as_json(found: Examination, data: Path) -> dict[str, Any]:
    """Plain JSON values; every path is text.

    Returns:
        `format`, `data`, `image_size`, `errors`, `warnings`; `codes`: of each kind that was found its
        `code`, `severity`, `count` and `meaning`; `splits`: of each `images`, `background`, `boxes`, `per_class`,
        `median_side` (part of the image), `median_side_px` and `share_under_8_px` (at `image_size`; None
        without boxes); `faults`: all of them, `severity`, `code`, `path`, `line` (0: the whole file),
        `message`, `fix`, and `other`, a second file, or None.
    """
    counts = Counter((fault.code, fault.severity) for fault in found.faults)
    codes = [
        {"code": code, "severity": severity, "count": count, "meaning": CODES[code]}
        for (code, severity), count in counts.items()
    ]
    splits = {}
    for split, numbers in found.splits.items():
        sides = found.sizes[split].sides
        splits[split] = numbers._asdict() | {
            "median_side_px": round(float(np.median(sides)), 2) if len(sides) else None,
            f"share_under_{FINEST}_px": round(found.sizes[split].small, 4) if len(sides) else None,
        }
    return {
        "format": FORMAT,
        "data": str(data),
        "image_size": found.image_size,
        "errors": found.errors,
        "warnings": len(found.faults) - found.errors,
        "codes": codes,
        "splits": splits,
        "faults": [_fault(fault) for fault in found.faults],
    }


def _fault(fault: Fault) -> dict[str, Any]:
    values = fault._asdict()
    return values | {"path": str(fault.path), "other": None if fault.other is None else str(fault.other)}
