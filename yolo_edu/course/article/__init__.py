"""What the article printed about YOLOv5 s of June 2020: the network, and a table of its 191 parameter tensors.

Both are outputs of print statements, copied to the letter, so that a lesson can compare a live model with them.
"""

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
_ROW = re.compile(r"\s*(\d+)\s+(\S+)\s+(True|False)\s+(\S+)\s+\[([\d, ]+)\]\s+(\S+)\s+(\S+)")


class PrintedRow(NamedTuple):
    """One row of the printed table. `parameters` as printed, with six digits: 1,179,648 became "1.17965e+06"."""

    layer: int
    name: str
    gradient: bool
    parameters: str
    shape: tuple[int, ...]
    mean: float  # column mu, three digits
    std: float  # column sigma, three digits


def read_printout() -> str:
    """The network as the article prints it: the modules of the list one after another, separated by commas."""
    return (FOLDER / "yolov5s_printout.txt").read_text(encoding="utf-8").rstrip("\n")


def read_parameter_table() -> list[PrintedRow]:
    """The article's table, one row a parameter tensor, in the order printed.

    Raises:
        ValueError: a line is no row of the table.
    """
    rows = []
    for line in (FOLDER / "yolov5s_parameter_table.txt").read_text(encoding="utf-8").splitlines()[1:]:
        match = _ROW.fullmatch(line)
        if match is None:
            raise ValueError(f"not a row of the parameter table: {line!r}")
        layer, name, gradient, parameters, shape, mean, std = match.groups()
        sides = tuple(int(side) for side in shape.split(","))
        rows.append(PrintedRow(int(layer), name, gradient == "True", parameters, sides, float(mean), float(std)))
    return rows
