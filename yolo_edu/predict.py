"""Detection on whatever a person has: an image, a folder, a pattern, a video, a camera.

Frames come one at a time and every result is written before the next is read, so that a million images
need the memory of one. What comes out lies in one new folder:

    photo.jpg            the annotated copy; of a video or a camera clip.mp4
    labels/photo.txt     a row `class cx cy w h` a detection, normalized: labels to correct and train on; with
                         `save_scores` the score behind it; labels/clip/000001.txt a frame
    detections.json      everything in pixels, with the class names
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from yolo_edu.boxes import scale_boxes, xyxy_to_cxcywh
from yolo_edu.draw import annotate
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Network, detect
from yolo_edu.files import cause
from yolo_edu.nms import Detections
from yolo_edu.run import new_folder
from yolo_edu.sources import Frame, camera_frames, camera_number, count_frames, find_files, read_frames
from yolo_edu.spec import IMAGE_SUFFIXES

NO_WINDOW = (
    "no live window: this package uses OpenCV without windows (opencv-python-headless), which runs on "
    "machines without a display too. Leave --view-img out and open the annotated copies."
)


@dataclass(frozen=True)
class Results:
    """What `predict` did and where it lies."""

    folder: Path
    images: int  # image files and video frames done
    detections: dict[str, int]  # class name → boxes, most frequent first
    failed: tuple[str, ...]  # one message a file that could not be read, or not to its end
    interrupted: bool  # by Ctrl-C; what was done is there

    @property
    def json(self) -> Path:
        """All detections: {"names", "images": [{"file", "frame" (of videos), "width", "height", "boxes" (xyxy
        pixels), "scores", "labels"}], "failed", "complete"}."""
        return self.folder / "detections.json"

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.detections.items()) or "nothing found"
        lines = [f"{self.images} image(s): {counts}", f"results: {self.folder}"]
        if self.interrupted:
            lines.insert(0, "interrupted; what was done until then is kept")
        if self.failed:
            lines += [f"{len(self.failed)} file(s) could not be read:", *self.failed]
        return "\n".join(lines)


def predict(
    model: Network,
    source: str | Path | int,
    *,
    out: str | Path = Path("runs/detect/exp"),
    size: int = 640,
    confidence: float = 0.25,
    iou: float = 0.45,
    classes: Collection[int] | None = None,
    agnostic: bool = False,
    save_images: bool = True,
    save_text: bool = True,
    save_scores: bool = False,
    max_frames: int | None = None,
    progress: bool = True,
) -> Results:
    """Detect objects in files or in what a camera sees, and write down what was found.

    Args:
        model: the detector, on its device.
        source: an image or a video; a folder (without its subfolders); a pattern such as
            "photos/**/*.jpg"; or the number of a camera.
        out: where the results go. If something is there already, `out2`, `out3` … is taken: nothing is
            ever overwritten.
        size: side of the square the network sees, a multiple of 32; best the size it was trained at.
        confidence: only detections with a higher score.
        iou: of non-maximum suppression: of two boxes that overlap more, the better stays.
        classes: only these class numbers; None: all.
        agnostic: suppress across classes.
        save_images: write annotated copies, with the suffix of the original; videos as .mp4. A camera's
            video holds the frames that were processed: it plays faster than life where detection is slow.
        save_text: write the text files.
        save_scores: in them, each row's score too.
        max_frames: stop after so many frames of a video or a camera; None: at the end, or at Ctrl-C.
        progress: show a bar.

    Returns:
        Results. Files that cannot be read are listed there and the others done; Ctrl-C ends the work and
        keeps what is done.

    Raises:
        UserError: no such source, nothing readable in it, no camera, an impossible setting (see
            `yolo_edu.evaluate.detect`), or the results cannot be written.
    """
    if max_frames is not None and max_frames < 1:
        raise UserError(f"max_frames is {max_frames}; it must be at least 1.")
    failed: list[str] = []
    camera = camera_number(source)
    if camera is not None:
        frames, total = camera_frames(camera, max_frames), max_frames
    else:
        files = find_files(source)
        frames, total = read_frames(files, max_frames, failed), count_frames(files, max_frames)
    run = partial(detect, model, size=size, confidence=confidence, iou=iou, classes=classes, agnostic=agnostic)
    output: _Output | None = None  # made for the first result: a source without any leaves no folder behind
    complete = False
    try:
        try:
            for frame in tqdm(frames, "detecting", total, unit="image", disable=None if progress else True):
                (found,) = run([frame.image])
                output = output or _Output(_free_folder(Path(out)), model.names, save_images, save_text, save_scores)
                output.add(frame, found)
            complete = True
        except KeyboardInterrupt:
            if not output:
                raise
        finally:
            if output:
                output.close(failed, complete=complete)
    except OSError as error:
        raise UserError(f"{out}: cannot write the results ({cause(error)}). Choose another folder.") from None
    if not output:
        raise UserError("\n".join([f"{source}: nothing could be read.", *failed]))
    counts = {model.names[k]: count for k, count in output.counts.most_common()}
    return Results(output.folder, output.images, counts, tuple(failed), not complete)


# --- out ------------------------------------------------------------------------------------------------


def _free_folder(out: Path) -> Path:
    out = out.expanduser()
    return out if out.is_dir() and not any(out.iterdir()) else new_folder(out.parent, out.name)


class _Output:
    """Writes results as they come. `close` makes the JSON whole, however far the work got."""

    def __init__(
        self, folder: Path, names: Sequence[str], save_images: bool, save_text: bool, save_scores: bool = False
    ) -> None:
        self.images = 0
        self.counts: Counter[int] = Counter()
        self.folder, self._names = folder, names
        self._save_images, self._save_text, self._save_scores = save_images, save_text, save_scores
        self._stems: dict[str, int] = {}  # taken, and the number of the last that had to be renamed
        self._source, self._stem = Path(), ""
        self._video: cv2.VideoWriter | None = None
        self._partial = folder / ".detections.json"
        self._json, self._end = self._partial.open("wb"), 0
        self._write(f'{{"names": {json.dumps(list(names))},\n"images": [')

    def add(self, frame: Frame, found: Detections) -> None:
        """Write one frame's results."""
        if frame.number <= 1 or frame.source != self._source:
            self._close_video()
            self._source, self._stem = frame.source, self._free_stem(frame.source.stem)
        height, width = frame.image.shape[1:]
        if self._save_images:
            self._draw(frame, found)
        if self._save_text:
            place = Path(self._stem, f"{frame.number:06}.txt") if frame.number else Path(f"{self._stem}.txt")
            path = self.folder / "labels" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(label_text(found, width, height, scores=self._save_scores))
        entry: dict[str, object] = {"file": str(frame.source)} | ({"frame": frame.number} if frame.number else {})
        entry |= {"width": width, "height": height, "boxes": _rounded(found.boxes, 2)}
        entry |= {"scores": _rounded(found.scores, 4), "labels": found.labels.tolist()}
        self._write((",\n" if self.images else "\n") + json.dumps(entry))
        self.images += 1
        self.counts.update(found.labels.tolist())

    def close(self, failed: Sequence[str], *, complete: bool) -> None:
        """End the video and put the JSON in its place."""
        self._close_video()
        self._json.seek(self._end)
        self._json.truncate()  # an entry that Ctrl-C cut in two
        self._write("\n],\n" + json.dumps({"failed": list(failed), "complete": complete})[1:] + "\n")
        self._json.close()
        self._partial.replace(self.folder / "detections.json")

    def _write(self, text: str) -> None:
        data = text.encode()
        self._json.write(data)
        self._json.flush()
        self._end += len(data)

    def _free_stem(self, stem: str) -> str:
        """A pattern may bring a/1.jpg and b/1.jpg; macOS and Windows take A.jpg and a.jpg for one file."""
        key = stem.casefold()
        number = self._stems.get(key, 0) + 1
        while number > 1 and f"{key}-{number}" in self._stems:
            number += 1
        self._stems[key] = number
        if number == 1:
            return stem
        self._stems[f"{key}-{number}"] = 1
        return f"{stem}-{number}"

    def _draw(self, frame: Frame, found: Detections) -> None:
        drawn = annotate(frame.image.permute(1, 2, 0).numpy(), found, self._names)
        picture = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
        if not frame.number:
            suffix = frame.source.suffix.lower()
            # OpenCV reads .jfif, but writes it under no such name.
            suffix = suffix if suffix in IMAGE_SUFFIXES and cv2.haveImageWriter(f"a{suffix}") else ".png"
            data = cv2.imencode(suffix, picture)[1].tobytes()  # cv2.imwrite refuses some non-ASCII paths
            (self.folder / f"{self._stem}{suffix}").write_bytes(data)
            return
        if self._video is None:
            path = self.folder / f"{self._stem}.mp4"
            self._size = picture.shape[1], picture.shape[0]
            self._video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), frame.rate, self._size)
            if not self._video.isOpened():
                raise UserError(f"{path}: OpenCV cannot write this video. Leave the annotated copies out.")
        # The writer drops frames of another size without a word (and cuts off an odd last row or column).
        self._video.write(cv2.resize(picture, self._size))

    def _close_video(self) -> None:
        if self._video is not None:
            self._video.release()
            self._video = None


def label_text(found: Detections, width: int, height: int, *, scores: bool = False) -> str:
    """Rows `class cx cy w h`, the box normalized to a `width` × `height` image; best first.

    `scores` adds each row's score, which readers of label files do not want.
    """
    boxes = scale_boxes(xyxy_to_cxcywh(found.boxes), 1 / width, 1 / height)
    rows = (torch.cat([boxes, found.scores[:, None]], dim=1) if scores else boxes).tolist()
    labels = found.labels.tolist()
    return "".join(f"{k} {' '.join(f'{value:.6f}' for value in row)}\n" for k, row in zip(labels, rows, strict=True))


def _rounded(values: Tensor, digits: int) -> list:
    """As (nested) lists, without the sixteen digits that a float32 has as a float64."""
    return np.round(values.double().numpy(), digits).tolist()
