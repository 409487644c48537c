"""The networks, block by block: `blocks` → `dense`, `darknet`, `pyramid`, `detect` → `yolov5`, `yolov5_v6`."""

from collections.abc import Callable

from yolo_edu.model.detect import SIZES, Detector
from yolo_edu.model.yolov5 import YOLOv5
from yolo_edu.model.yolov5_v6 import YOLOv5v6

RELEASES: dict[str, Callable[..., Detector]] = {"yolov5": YOLOv5, "yolov5v6": YOLOv5v6}

__all__ = ["RELEASES", "SIZES", "Detector", "YOLOv5", "YOLOv5v6"]
