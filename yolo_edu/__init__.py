"""yolo_edu: YOLOv5 from the inside, as a course and as a small PyTorch module.

    model = yolo_edu.load_checkpoint("weights.safetensors")
    raw = model(images)              # P3, P4, P5
    rows = model.decode(raw)         # boxes in pixels

Names load on first use, so that `import yolo_edu` stays light: no matplotlib, no OpenCV, no widgets.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "YOLOv5": "yolo_edu.model",
    "YOLOv5v6": "yolo_edu.model",
    "load_checkpoint": "yolo_edu.checkpoint",
    "save_checkpoint": "yolo_edu.checkpoint",
    "read_spec": "yolo_edu.data",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        module = importlib.import_module(_HOME[name])
        return getattr(module, name)
    raise AttributeError(f"module 'yolo_edu' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
