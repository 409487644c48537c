"""What detection runs on: image files, folders, patterns, videos and cameras become one stream of frames."""

import glob
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from yolo_edu.errors import UserError
from yolo_edu.files import cause, read_image
from yolo_edu.spec import IMAGE_SUFFIXES

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
FRAME_RATE = 30.0  # of videos and cameras that do not say theirs


class Frame(NamedTuple):
    """One picture on its way through the detector."""

    image: Tensor  # uint8 (3, H, W) RGB
    source: Path  # the file; for a camera a name made up from its number
    number: int  # of the frame in a video or camera, from 1; 0 for an image file
    rate: float = 0.0  # frames a second; 0 for an image file


def find_files(source: str | Path | int) -> list[Path]:
    """The image and video files that a source names, sorted.

    Raises:
        UserError: no such file or folder, or no image or video in it.
    """
    try:
        return _find(os.path.expanduser(str(source)))
    except OSError as error:
        raise UserError(f"{source}: cannot look there ({cause(error)}). Check path and permissions.") from None


def _find(source: str) -> list[Path]:
    path = Path(source)
    if source and path.is_file():
        return [path]
    if source and path.is_dir():
        found = [file for file in path.iterdir() if _readable(file)]
        problem = f"no image or video in this folder. For its subfolders too: --source '{path}/**/*.jpg'"
    elif glob.escape(source) != source:
        found = [file for file in map(Path, glob.glob(source, recursive=True)) if _readable(file)]
        problem = "no image or video matches this pattern. Check the path"
    else:
        raise UserError(f"{source}: no such file or folder. Give an image, a folder, a pattern, or a video.")
    if not found:
        raise UserError(f"{source}: {problem} (known: {' '.join(IMAGE_SUFFIXES + VIDEO_SUFFIXES)}).")
    return sorted(set(found))  # two ** may find a file twice


def _readable(file: Path) -> bool:
    # Names that start with a point are the ghosts macOS leaves on foreign disks.
    known = file.suffix.lower() in IMAGE_SUFFIXES + VIDEO_SUFFIXES
    return known and not file.name.startswith(".") and file.is_file()


def camera_number(source: str | Path | int) -> int | None:
    """The camera's number; None for anything else. A file or folder that is named like a number is a file."""
    text = str(source)
    return int(text) if text.isdecimal() and (isinstance(source, int) or not Path(text).exists()) else None


def _is_video(file: Path) -> bool:
    return file.suffix.lower() in VIDEO_SUFFIXES


def count_frames(files: Sequence[Path], max_frames: int | None) -> int:
    """Images and video frames in all, for the progress bar."""
    total = 0
    for file in files:
        frames = _length(cv2.VideoCapture(str(file))) if _is_video(file) else 1
        total += min(frames, max_frames or frames)
    return total


def read_frames(files: Sequence[Path], max_frames: int | None, failed: list[str]) -> Iterator[Frame]:
    """Every image of the files in turn; what cannot be read is added to `failed` instead."""
    for file in files:
        try:
            if _is_video(file):
                yield from _video_frames(file, max_frames)
            else:
                yield Frame(read_image(file), file, 0)
        except UserError as error:
            failed.append(str(error))


def _video_frames(file: Path, max_frames: int | None) -> Iterator[Frame]:
    again = "Copy it again from its source, or convert it to .mp4"
    capture = cv2.VideoCapture(str(file))
    try:
        if not capture.isOpened():
            raise UserError(f"{file}: not a video OpenCV can open. {again}.")
        rate, promised = _rate(capture), _length(capture)
        number = 0
        while max_frames is None or number < max_frames:
            read, pixels = capture.read()
            if not read:
                break
            number += 1
            yield Frame(_to_tensor(pixels), file, number, rate)
        # The count in a video's header may be off by a few frames, but not by a second.
        if not number or number < min(promised, max_frames or promised) - rate:
            raise UserError(f"{file}: the video ends after {number} of {promised} frames. {again}.")
    finally:
        capture.release()


def camera_frames(camera: int, max_frames: int | None) -> Iterator[Frame]:
    """What a camera sees, until it is unplugged or `max_frames` are seen.

    Raises:
        UserError: no such camera, or no access to it.
    """
    capture = cv2.VideoCapture(camera)
    try:
        if not capture.isOpened():
            raise UserError(
                f"no camera {camera} (and no file of that name). Connect it, close other programs that use it, "
                "allow access to it, or try another number."
            )
        rate, number = _rate(capture), 0
        while max_frames is None or number < max_frames:
            read, pixels = capture.read()
            if not read:
                break
            number += 1
            yield Frame(_to_tensor(pixels), Path(f"camera{camera}"), number, rate)
    finally:
        capture.release()


def _rate(capture: cv2.VideoCapture) -> float:
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if math.isfinite(rate) and rate > 0 else FRAME_RATE


def _length(capture: cv2.VideoCapture) -> int:
    """Frames that a video promises; 0 where it does not say (some containers give a negative number)."""
    return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)


def _to_tensor(pixels: cv2.typing.MatLike) -> Tensor:
    """(H, W, 3) BGR, as OpenCV's videos come → (3, H, W) RGB."""
    return torch.from_numpy(np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1)))
