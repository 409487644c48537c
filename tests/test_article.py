"""The article's printout and table travel with the package, to the letter."""

import math
import re

import pytest
import torch

from yolo_edu.course import article
from yolo_edu.course.article import read_parameter_table, read_printout
from yolo_edu.model import YOLOv5
from yolo_edu.summary import parameter_rows


def test_the_printout():
    text = read_printout()
    assert text.startswith("Focus(\n")
    assert text.endswith(", Detect()")
    assert len(text.splitlines()) == 335


def test_the_table_is_parsed_to_the_letter():
    """Printed again with the article's format, every row is the line that it was read from."""
    lines = (article.FOLDER / "yolov5s_parameter_table.txt").read_text().splitlines()[1:]
    rows = read_parameter_table()
    assert len(rows) == 191
    for row, line in zip(rows, lines, strict=True):
        again = (
            f"{row.layer:5} {row.name:>40} {row.gradient!s:>9} {row.parameters:>12} "
            f"{list(row.shape)!s:>20} {row.mean:10.3g} {row.std:10.3g}"
        )
        assert again == line


def test_its_first_columns_are_the_network_s():
    with torch.device("meta"):
        shapes = [(name, tuple(p.shape)) for name, p in YOLOv5("s", 80).named_parameters()]
    rows = read_parameter_table()
    assert [(row.name, row.shape) for row in rows] == shapes
    assert [row.layer for row in rows] == list(range(191))
    assert all(row.gradient for row in rows)
    assert all(row.parameters == f"{math.prod(row.shape):g}" for row in rows)
    assert {row.parameters for row in rows if "e" in row.parameters} == {"1.17965e+06"}


def test_a_line_that_is_no_row_is_refused(tmp_path, monkeypatch):
    (tmp_path / "yolov5s_parameter_table.txt").write_text("layer name\n 0 model.0 maybe 3 [1] 0 0\n")
    monkeypatch.setattr(article, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=re.escape("not a row of the parameter table: ' 0 model.0 maybe")):
        read_parameter_table()


def test_the_rows_have_the_fields_of_the_summary_s():
    """A lesson compares the two field by field."""
    ours = parameter_rows(YOLOv5((0.33, 0.125), 1))[0]
    assert article.PrintedRow._fields == ours._fields
