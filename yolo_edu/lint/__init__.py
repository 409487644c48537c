"""The linter: everything wrong with a data set at once, each fault with file, line and the way out.

    for fault in lint(read_spec("data.yaml"), image_size=640):
        print(fault)

`rows` looks at the boxes of one label file, `order` at columns in a wrong order, `layout` at how files fit
together, `classes` at the sizes of classes and boxes, `likeness` and `copies` at images that stand in two
places. `report` and `pictures` show what was found.
"""

from yolo_edu.files import Fault
from yolo_edu.lint.classes import SplitSummary
from yolo_edu.lint.codes import CODES
from yolo_edu.lint.examine import Examination, examine, lint, summary

__all__ = ["CODES", "Examination", "Fault", "SplitSummary", "examine", "lint", "summary"]
