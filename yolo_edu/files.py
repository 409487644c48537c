"""What lies on disk: image files, and beside each a label file with one row `class cx cy w h` a box.

Whatever is wrong in a file becomes a `Fault`. The readers here raise the first one as a `UserError`;
`yolo_edu.lint` collects them all.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yolo_edu.errors import UserError

UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how such a file begins
ROUNDING = 1e-6  # a coordinate this far outside [0, 1] is an exporter's rounding error, not a fault

# What OpenCV cannot read becomes a Fault; its own lines on the terminal name no file.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class Fault(NamedTuple):
    """One thing wrong with a data set. Line 0 means the whole file; severity is "error" or "warning"."""

    path: Path
    line: int
    severity: str
    message: str
    fix: str
    code: str = "yaml"  # its kind, for programs: a key of `yolo_edu.lint.CODES`
    other: Path | None = None  # a second file that the fault is about

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else f"{self.path}"
        return f"{where}: {self.message}. {self.fix}."


def cause(error: Exception) -> str:
    """Why a file cannot be read, without the error number and the path that the message names anyway."""
    return getattr(error, "strerror", None) or str(error)


def decode_text(data: bytes, errors: str = "strict") -> str:
    """The text of a file: UTF-8 with or without a byte order mark, or UTF-16 with one, as Windows editors save it.

    Raises:
        UnicodeDecodeError: anything else, unless `errors` is "replace".
    """
    return data.decode("utf-16" if data.startswith(UTF_16) else "utf-8-sig", errors)


# --- images ---------------------------------------------------------------------------------------------


def decode_image(path: Path) -> NDArray[np.uint8] | Fault:
    """The (H, W, 3) RGB pixels of an image file, or the reason why there are none.

    What the bytes say decides, not the suffix. 16 bits are divided by 256; alpha is dropped, so that the colors
    below it show; of an animation or a document the first picture counts.
    """

    def fault(code: str, message: str, fix: str) -> Fault:
        return Fault(path, 0, "error", message, fix, code)

    again = "Copy it again from its source, or delete it with its label file"
    try:
        data = path.read_bytes()  # cv2.imread cannot open every non-ASCII path
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        return fault(
            "image-unreadable", f"cannot read the image ({cause(error)})", "Check the path and the permissions"
        )
    if not data:
        return fault("image-empty", "the image file is empty", again)
    if _cut_off(data):
        return fault("image-cut", "the image is cut off, its end is missing", again)
    image = _pixels(data)
    if image is None:
        return fault("image-unknown", *_unknown(data))
    return image


def _unknown(data: bytes) -> tuple[str, str]:
    """What the bytes that OpenCV cannot decode are, whatever the file is called, and what to do about it."""
    convert = "Save it as JPEG or PNG, or delete it with its label file"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        return "an AVIF picture, which this OpenCV cannot read", convert
    if data[4:8] == b"ftyp":  # an iPhone's, even where somebody renamed it to .jpg
        return "not a JPEG or PNG but HEIC (or a video), which OpenCV cannot read", convert
    if data.startswith(b"GIF8"):
        return "a GIF, damaged or of a kind this OpenCV cannot read", convert
    if data.startswith((b"II*\0", b"MM\0*")):
        return "a TIFF OpenCV cannot turn into 8 bits: 32-bit or floating-point values, or damaged", (
            "Save it with 8 or 16 bits a channel, or as PNG"
        )
    if data.startswith(b"version https://git-lfs"):
        return "not an image but a pointer of Git LFS to one", "Fetch the images: git lfs pull"
    if data.lstrip()[:1] == b"<":
        return "not an image but text: a web page, or SVG", "Download the image again; it may need a login"
    return "not an image OpenCV can read", convert


def _pixels(data: bytes) -> NDArray[np.uint8] | None:
    """(H, W, 3) RGB of an encoded image, or None. Lets go of the GIL, so threads decode side by side.

    torchvision.io gives the same values in the same time, but a damaged PNG makes it end the whole process.
    """
    try:
        # IMREAD_COLOR turns the image as its EXIF tag says, repeats gray three times, drops alpha, halves 16 bits.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        # Reversing the channels by cvtColor takes a tenth of the time that numpy's [..., ::-1] takes to be copied.
        return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    except cv2.error:
        return None


def _cut_off(data: bytes) -> bool:
    """Whether an image lacks its end. Of a JPEG or PNG OpenCV would fill the rest with gray and say nothing."""
    if data.startswith(b"\xff\xd8"):  # the last start-of-scan marker needs an end-of-image marker behind it
        return data.rfind(b"\xff\xd9") <= data.rfind(b"\xff\xda")  # both -1: cut before any scan
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return data.startswith(b"\x89PNG") and b"IEND" not in data


def read_image(path: str | Path) -> Tensor:
    """Read an image file as a uint8 (3, H, W) RGB tensor, turned upright by its EXIF tag.

    Raises:
        UserError: the file is missing, empty, cut off or not an image.
    """
    image = decode_image(Path(path))
    if isinstance(image, Fault):
        raise UserError(str(image))
    return _to_tensor(image)


def _to_tensor(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


# --- labels ---------------------------------------------------------------------------------------------


class LabelRow(NamedTuple):
    """One box as written in a label file: normalized to the image, center format."""

    line: int
    label: int
    box: tuple[float, float, float, float]


def label_path(image_path: str | Path) -> Path:
    """Where the labels of an image are: the last folder `images` becomes `labels`, the suffix .txt.

    An image that lies in no folder `images` has its labels beside it.
    """
    image = Path(image_path)
    folders = list(image.parent.parts)
    for i in reversed(range(len(folders))):
        if folders[i] == "images":
            folders[i] = "labels"
            break
    return Path(*folders, image.stem + ".txt")


def label_rows(path: Path, classes: int) -> Iterator[LabelRow | Fault]:
    """Every non-blank line of a label file, as a row or as the fault that keeps it from being one."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        message = f"cannot read the labels ({cause(error)})"
        yield Fault(path, 0, "error", message, "Check the path and the permissions", "labels-unreadable")
        return
    if b"\0" in data or data.startswith(UTF_16):
        fix = "Save it as UTF-8 or plain ASCII; if it never was a label file, write it anew"
        yield Fault(path, 0, "error", "not plain text (UTF-16, or binary data)", fix, "encoding")
        return
    text = data.decode("utf-8-sig", errors="replace")  # -sig: Windows editors add a BOM
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # counted as an editor counts them
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _parse_row(path, number, line, classes)


def _parse_row(path: Path, number: int, line: str, classes: int) -> LabelRow | Fault:
    def fault(code: str, message: str, fix: str) -> Fault:
        return Fault(path, number, "error", message, fix, code)

    if "," in line or ";" in line:
        fix = "Separate the numbers by spaces and write decimals with a point"
        return fault("separator", "comma or semicolon in the row", fix)
    columns = line.split()
    if len(columns) != 5:
        return fault("columns", f"{len(columns)} columns instead of 5", _column_fix(len(columns)))
    try:
        numbers = [float(column) for column in columns]
    except ValueError:
        numbers = [math.nan]
    # float() takes "1_0", "nan" and the digits of every script; other programs do not, nor do we.
    if "_" in line or not line.isascii() or not all(map(math.isfinite, numbers)):
        return fault("not-a-number", "not a number", "Write five numbers in ASCII: class cx cy w h")
    label, *box = numbers
    if label != int(label):
        fix = "Write the class index, counted from 0, first"
        return fault("class-number", f"class {label:g} is not a whole number", fix)
    if not 0 <= label < classes:
        fix = f"Use 0 to {classes - 1} (classes are counted from 0), or add the name to the YAML"
        return fault("class-range", f"class {label:g}, but the data set has {classes} classes", fix)
    if min(box) < -ROUNDING or max(box) > 1 + ROUNDING:
        fix = "Divide x and w by the image width, y and h by its height"
        pixels = max(box) > 1.5
        fix = f"Are these pixels? {fix}" if pixels else f"{fix}, and clip the box to the image"
        return fault("pixels" if pixels else "range", "cx cy w h must lie in [0, 1]", fix)
    if min(box[2:]) < ROUNDING:
        return fault("no-area", "the box has no area", "Delete the row or give the box its width and height")
    x, y, w, h = (min(max(value, 0.0), 1.0) for value in box)
    return LabelRow(number, int(label), (x, y, w, h))


def _column_fix(columns: int) -> str:
    if columns == 6:
        return "Drop the sixth column: predictions have a confidence, labels have none"
    if columns > 6 and columns % 2:
        return "If this is a segmentation polygon, write its bounding box as class cx cy w h"
    return "Write class cx cy w h, one box a line"


def read_labels(path: str | Path, classes: int) -> tuple[Tensor, Tensor]:
    """Read a label file: int64 (N,) classes and float32 (N, 4) boxes cxcywh, normalized to the image.

    A missing or an empty file is an image without objects (the linter reports missing ones).

    Raises:
        UserError: naming file and line, when a row is not `class cx cy w h` with a class below `classes`
            and a box of some area inside [0, 1].
    """
    rows = []
    for row in label_rows(Path(path), classes):
        if isinstance(row, Fault):
            raise UserError(str(row))
        rows.append(row)
    labels = torch.tensor([row.label for row in rows], dtype=torch.int64)
    return labels, torch.tensor([row.box for row in rows], dtype=torch.float32).reshape(-1, 4)
