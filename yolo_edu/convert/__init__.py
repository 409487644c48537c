"""Annotations from one format into another: YOLO text, COCO JSON, Pascal VOC XML.

A reader makes an `Annotated` of a folder or file, a writer makes a new folder of it; between them stands nothing else.
"""

from yolo_edu.convert.coco import read_coco, write_coco
from yolo_edu.convert.common import Annotated, Box, Notes, Picture
from yolo_edu.convert.ready import from_torchvision, parse_ready, read_ready
from yolo_edu.convert.subset import select_names, without
from yolo_edu.convert.voc import read_voc, write_voc
from yolo_edu.convert.yolo import read_yolo, write_yolo

__all__ = [
    "Annotated",
    "Box",
    "Notes",
    "Picture",
    "from_torchvision",
    "parse_ready",
    "read_coco",
    "read_ready",
    "read_voc",
    "read_yolo",
    "select_names",
    "without",
    "write_coco",
    "write_voc",
    "write_yolo",
]
