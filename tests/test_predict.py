import json
import weakref
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from test_sources import Capture
from torch import Tensor, nn

from yolo_edu import draw, sources
from yolo_edu import predict as module
from yolo_edu.boxes import cxcywh_to_xyxy
from yolo_edu.errors import UserError
from yolo_edu.files import read_labels
from yolo_edu.model import YOLOv5
from yolo_edu.nms import Detections
from yolo_edu.predict import label_text, predict
from yolo_edu.sources import Frame

NAMES = ("red", "blue")


class ColorFinder(nn.Module):
    """Finds one red and one blue rectangle by their color: what it says is known to the pixel."""

    names, classes, strides, device = NAMES, 2, (8, 16, 32), torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def rows(self, images: Tensor) -> Tensor:
        self.calls += 1
        rows = torch.zeros(len(images), 2, 7)
        for index, image in enumerate(images):
            for k, (own, other) in enumerate([(0, 2), (2, 0)]):
                y, x = ((image[own] > 0.6) & (image[other] < 0.3)).nonzero(as_tuple=True)
                if len(x):
                    low, high = torch.stack([x.min(), y.min()]), torch.stack([x.max(), y.max()]) + 1
                    rows[index, k, :4] = torch.cat([(low + high) / 2, high - low])
                    rows[index, k, 4] = 0.8 - 0.2 * k
                    rows[index, k, 5 + k] = 1.0
        return rows


@pytest.fixture
def model() -> Any:
    return ColorFinder()


BLUE = (70, 10, 85, 30)


def picture(red: tuple[int, int, int, int], size: tuple[int, int] = (96, 64), *, blue: bool = False) -> np.ndarray:
    """(H, W, 3) RGB with rectangles x1, y1, x2, y2; `size` is (width, height)."""
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    image[red[1] : red[3], red[0] : red[2]] = (230, 20, 20)
    if blue:
        image[BLUE[1] : BLUE[3], BLUE[0] : BLUE[2]] = (20, 20, 230)
    return image


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])
    return path


def run(model: Any, source: object, out: Path, **options: Any) -> module.Results:
    return predict(model, source, out=out, progress=False, **{"size": 96} | options)  # type: ignore[arg-type]


def read(results: module.Results) -> dict[str, Any]:
    return json.loads(results.json.read_text())


def existing(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


# --- images ---------------------------------------------------------------------------------------------


def test_folder(tmp_path: Path, model: Any) -> None:
    photos = tmp_path / "photos"
    save(photos / "b.png", picture((10, 20, 40, 50), blue=True))
    save(photos / "a.jpg", picture((100, 40, 220, 120), (240, 160)))
    save(photos / "c.bmp", np.full((40, 50, 3), 90, np.uint8))
    before = {file: file.read_bytes() for file in photos.iterdir()}

    results = run(model, photos, tmp_path / "out")

    assert results.folder == tmp_path / "out"
    assert (results.images, results.detections, results.failed) == (3, {"red": 2, "blue": 1}, ())
    assert not results.interrupted
    labels = ["labels/a.txt", "labels/b.txt", "labels/c.txt"]
    assert existing(results.folder) == ["a.jpg", "b.png", "c.bmp", "detections.json", *labels]
    assert before == {file: file.read_bytes() for file in photos.iterdir()}

    content = read(results)
    a, b, c = content.pop("images")
    assert content == {"names": ["red", "blue"], "failed": [], "complete": True}
    assert [Path(entry["file"]).name for entry in (a, b, c)] == ["a.jpg", "b.png", "c.bmp"]
    assert (a["width"], a["height"], a["labels"]) == (240, 160, [0])
    # 240 pixels become 96: two and a half pixels are one
    assert a["boxes"][0] == pytest.approx([100, 40, 220, 120], abs=3)
    assert b["boxes"] == [[10, 20, 40, 50], [70, 10, 85, 30]]  # seen at its own size: exact
    assert (b["scores"], b["labels"]) == ([0.8, 0.6], [0, 1])
    assert (c["boxes"], c["scores"], c["labels"], c["width"], c["height"]) == ([], [], [], 50, 40)

    assert (results.folder / "labels/b.txt").read_text() == (
        "0 0.260417 0.546875 0.312500 0.468750\n1 0.807292 0.312500 0.156250 0.312500\n"
    )
    assert (results.folder / "labels/c.txt").read_text() == ""
    drawn = np.asarray(cv2.imread(str(results.folder / "b.png")))[..., ::-1]
    assert drawn.shape == (64, 96, 3)
    assert tuple(drawn[35, 10]) == (230, 159, 0)  # class 0's orange, in RGB
    untouched = np.asarray(cv2.imread(str(results.folder / "c.bmp")))
    assert (untouched == 90).all()


def test_str_says_what_happened(tmp_path: Path, model: Any) -> None:
    save(tmp_path / "in" / "b.png", picture((10, 20, 40, 50)))
    (tmp_path / "in" / "a.png").write_bytes(b"broken")
    text = str(run(model, tmp_path / "in", tmp_path / "out"))
    assert text.splitlines()[:3] == [
        "1 image(s): 1 red",
        f"results: {tmp_path / 'out'}",
        "1 file(s) could not be read:",
    ]
    assert str(tmp_path / "in" / "a.png") in text.splitlines()[3]


def test_options_reach_the_detector(tmp_path: Path, model: Any) -> None:
    source = save(tmp_path / "a.png", picture((10, 20, 40, 50), blue=True))
    assert run(model, source, tmp_path / "out", classes=[1]).detections == {"blue": 1}
    assert run(model, source, tmp_path / "out", confidence=0.7).detections == {"red": 1}
    assert run(model, source, tmp_path / "out", confidence=0.9).detections == {}
    touching = save(tmp_path / "b.png", picture((60, 10, 86, 31), blue=True))
    assert run(model, touching, tmp_path / "out", iou=0.1).detections == {"red": 1, "blue": 1}
    assert run(model, touching, tmp_path / "out", iou=0.1, agnostic=True).detections == {"red": 1}


def test_what_is_not_wanted_is_not_written(tmp_path: Path, model: Any) -> None:
    source = save(tmp_path / "a.png", picture((10, 20, 40, 50)))
    results = run(model, source, tmp_path / "out", save_images=False, save_text=False)
    assert existing(results.folder) == ["detections.json"]


def test_text_files_are_label_files(tmp_path: Path, model: Any) -> None:
    """What was found can be corrected and trained on; with scores it cannot, and the reader says so."""
    source = save(tmp_path / "a.png", picture((10, 20, 40, 50), blue=True))
    labels, boxes = read_labels(run(model, source, tmp_path / "out").folder / "labels/a.txt", 2)
    assert labels.tolist() == [0, 1]
    assert (cxcywh_to_xyxy(boxes) * torch.tensor([96, 64, 96, 64])).round().tolist() == [[10, 20, 40, 50], [*BLUE]]
    results = run(model, source, tmp_path / "out", save_scores=True)
    assert [line.split()[5] for line in (results.folder / "labels/a.txt").read_text().splitlines()] == [
        "0.800000",
        "0.600000",
    ]
    with pytest.raises(UserError, match="6 columns instead of 5"):
        read_labels(results.folder / "labels/a.txt", 2)


def test_nothing_is_overwritten(tmp_path: Path, model: Any) -> None:
    source = save(tmp_path / "photos/a.png", picture((10, 20, 40, 50)))
    before = source.read_bytes()
    folders = [run(model, source, tmp_path / "photos").folder.name for _ in range(2)]
    assert folders == ["photos2", "photos3"]
    assert existing(tmp_path / "photos") == ["a.png"]
    assert source.read_bytes() == before
    (tmp_path / "empty").mkdir()
    assert run(model, source, tmp_path / "empty").folder.name == "empty"


def test_names_that_collide(tmp_path: Path, model: Any) -> None:
    for number, name in enumerate(["a/x.png", "b/x.png", "b/x.bmp", "c/X.png", "c/x-2.png"]):
        save(tmp_path / "in" / name, picture((10 + number, 20, 40, 50)))
    results = run(model, f"{tmp_path}/in/**/*", tmp_path / "out")
    pictures = [name for name in existing(results.folder) if name.endswith((".png", ".bmp"))]
    assert len({name.casefold() for name in pictures}) == len(pictures) == 5
    texts = [(results.folder / "labels" / name).with_suffix(".txt").read_text() for name in pictures]
    assert len(set(texts)) == 5


def test_a_thousand_names_that_collide(tmp_path: Path) -> None:
    """Every name is looked up, not every number tried: ten thousand need no more time each than ten."""
    output = module._Output(tmp_path, NAMES, False, False)
    stems = ["frame"] * 10_000 + ["Frame-3", "frame-20000"] + ["FRAME"] * 2
    given = [output._free_stem(stem) for stem in stems]
    output.close([], complete=True)
    assert len({name.casefold() for name in given}) == len(stems)
    assert given[:3] == ["frame", "frame-2", "frame-3"]
    assert given[-4:] == ["Frame-3-2", "frame-20000", "FRAME-10001", "FRAME-10002"]


def test_names_beyond_ascii(tmp_path: Path, model: Any) -> None:
    source = tmp_path / "größe λ.png"
    source.write_bytes(cv2.imencode(".png", picture((10, 20, 40, 50)))[1].tobytes())
    results = run(model, source, tmp_path / "out é")
    assert "größe λ.png" in existing(results.folder)
    assert read(results)["images"][0]["file"] == str(source)


def test_unreadable_files_are_listed_at_the_end(tmp_path: Path, model: Any) -> None:
    save(tmp_path / "in/b.png", picture((10, 20, 40, 50)))
    (tmp_path / "in/a.jpg").write_bytes(b"not an image")
    (tmp_path / "in/c.png").touch()
    results = run(model, tmp_path / "in", tmp_path / "out")
    assert results.images == 1
    assert [message.split(":")[0] for message in results.failed] == [
        str(tmp_path / "in" / name) for name in ("a.jpg", "c.png")
    ]
    assert read(results)["failed"] == list(results.failed)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("in/missing.jpg", {}, "no such file or folder"),
        ("in/bad.jpg", {}, "nothing could be read.\n.*bad.jpg: not an image"),
        ("in/bad.mp4", {}, "nothing could be read.\n.*bad.mp4: not a video"),
        ("in/good.png", {"classes": [2]}, "the model knows 0 to 1"),
        ("in/good.png", {"size": 100}, "multiple of 32"),
        ("in/good.png", {"confidence": 1.5}, "between 0 and 1"),
        ("in/good.png", {"max_frames": 0}, "at least 1"),
    ],
)
def test_unusable_input_leaves_no_folder(
    tmp_path: Path, model: Any, source: str, options: dict[str, Any], message: str
) -> None:
    save(tmp_path / "in/good.png", picture((10, 20, 40, 50)))
    for name in ("bad.jpg", "bad.mp4"):
        (tmp_path / "in" / name).write_bytes(b"not what it says it is")
    with pytest.raises(UserError, match=message):
        run(model, tmp_path / source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_results_that_cannot_be_written(tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save(tmp_path / "a.png", picture((10, 20, 40, 50)))
    with pytest.raises(UserError, match="cannot make the run folder"):
        run(model, source, source / "out")

    def full(self: Path, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot write the results \(No space left on device\)"):
        run(model, source, tmp_path / "out")


# --- memory and interruption ----------------------------------------------------------------------------


def test_memory_stays_flat(tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No image is read before the one before it is written, and none is kept."""
    for n in range(6):
        save(tmp_path / f"in/{n}.png", picture((10 + n, 20, 40, 50)))
    alive: list[weakref.ref[Tensor]] = []
    most = []
    read_image = sources.read_image

    def counting(path: Path) -> Tensor:
        assert len(alive) == model.calls
        image = read_image(path)
        alive.append(weakref.ref(image))
        most.append(sum(ref() is not None for ref in alive))
        return image

    monkeypatch.setattr(sources, "read_image", counting)
    run(model, tmp_path / "in", tmp_path / "out")
    assert len(most) == 6
    assert max(most) <= 2  # the loop's variable still holds the one before


def test_drawing_keeps_little() -> None:
    """A cache of all captions ever drawn is a slow leak: measured by benchmarks/detect_memory.py, 25 MiB at 4096."""
    limit = draw._text_mask.cache_info().maxsize
    assert limit is not None
    assert limit <= 512


class Interrupted(ColorFinder):
    def rows(self, images: Tensor) -> list[Tensor]:
        if self.calls == 3:
            raise KeyboardInterrupt
        return super().rows(images)


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    for n in range(6):
        save(tmp_path / f"in/{n}.png", picture((10 + n, 20, 40, 50)))
    results = run(Interrupted(), tmp_path / "in", tmp_path / "out")
    assert (results.images, results.interrupted) == (3, True)
    assert "interrupted" in str(results)
    content = read(results)
    assert [Path(entry["file"]).name for entry in content["images"]] == ["0.png", "1.png", "2.png"]
    assert content["complete"] is False
    assert not (results.folder / ".detections.json").exists()


def test_ctrl_c_in_the_middle_of_a_line(tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(4):
        save(tmp_path / f"in/{n}.png", picture((10 + n, 20, 40, 50)))
    write = module._Output._write

    def cut(self: module._Output, text: str) -> None:
        if "2.png" in text:
            self._json.write(text.encode()[:-1])
            raise KeyboardInterrupt
        write(self, text)

    monkeypatch.setattr(module._Output, "_write", cut)
    results = run(model, tmp_path / "in", tmp_path / "out")
    assert len(read(results)["images"]) == results.images == 2


def test_ctrl_c_before_anything_is_done(tmp_path: Path) -> None:
    model = Interrupted()
    model.calls = 3
    source = save(tmp_path / "a.png", picture((10, 20, 40, 50)))
    with pytest.raises(KeyboardInterrupt):
        run(model, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_error_leaves_a_whole_but_incomplete_json(tmp_path: Path) -> None:
    class Failing(ColorFinder):
        def rows(self, images: Tensor) -> list[Tensor]:
            if self.calls == 2:
                raise RuntimeError("out of memory")
            return super().rows(images)

    for n in range(4):
        save(tmp_path / f"in/{n}.png", picture((10 + n, 20, 40, 50)))
    with pytest.raises(RuntimeError, match="out of memory"):
        run(Failing(), tmp_path / "in", tmp_path / "out")
    content = json.loads((tmp_path / "out/detections.json").read_text())
    assert (len(content["images"]), content["complete"]) == (2, False)


# --- videos and cameras ---------------------------------------------------------------------------------


def moving(n: int) -> tuple[int, int, int, int]:
    return 4 * n, 16, 4 * n + 16, 40


def film(path: Path, frames: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12.0, (96, 64))
    for n in range(1, frames + 1):
        writer.write(np.ascontiguousarray(picture(moving(n))[..., ::-1]))
    writer.release()
    return path


def frames_of(path: Path) -> tuple[list[np.ndarray], float]:
    capture = cv2.VideoCapture(str(path))
    rate = capture.get(cv2.CAP_PROP_FPS)
    frames = []
    while (item := capture.read())[0]:
        frames.append(np.asarray(item[1])[..., ::-1])
    return frames, rate


def test_video(tmp_path: Path, model: Any) -> None:
    source = film(tmp_path / "in/clip.mp4", 10)
    save(tmp_path / "in/a.png", picture((10, 20, 40, 50)))
    results = run(model, tmp_path / "in", tmp_path / "out", confidence=0.1)
    assert (results.images, results.detections, results.failed) == (11, {"red": 11}, ())
    first, *rest = read(results)["images"]
    assert "frame" not in first
    assert [entry["frame"] for entry in rest] == list(range(1, 11))
    for entry in rest:
        assert entry["file"] == str(source)
        assert (entry["width"], entry["height"]) == (96, 64)
        assert entry["boxes"][0] == pytest.approx(moving(entry["frame"]), abs=3)  # mp4v is lossy
    texts = [f"labels/clip/{n:06}.txt" for n in range(1, 11)]
    assert existing(results.folder) == sorted(["a.png", "clip.mp4", "detections.json", "labels/a.txt", *texts])
    frames, rate = frames_of(results.folder / "clip.mp4")
    assert (len(frames), rate) == (10, pytest.approx(12))
    assert frames[0].shape == (64, 96, 3)
    orange = np.abs(frames[4].astype(int) - (230, 159, 0)).max(axis=2) < 60
    assert orange.sum() > 100  # the label; the thin box lines blur in the codec


def test_ctrl_c_leaves_a_playable_video(tmp_path: Path) -> None:
    results = run(Interrupted(), film(tmp_path / "clip.mp4", 10), tmp_path / "out")
    assert results.images == len(frames_of(results.folder / "clip.mp4")[0]) == 3


def test_frames_that_change_their_size(tmp_path: Path) -> None:
    output = module._Output(tmp_path, NAMES, True, False)
    none = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    for number, side in enumerate([64, 32, 96], start=1):
        image = torch.full((3, side, side), 128, dtype=torch.uint8)
        output.add(Frame(image, Path("clip.avi"), number, 12.0), none)
    output.close([], complete=True)
    frames, _ = frames_of(tmp_path / "clip.mp4")
    assert [frame.shape for frame in frames] == [(64, 64, 3)] * 3


def test_odd_frames_lose_their_last_row_and_column(tmp_path: Path) -> None:
    output = module._Output(tmp_path, NAMES, True, False)
    none = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    image = picture((10, 20, 40, 50), (95, 63))
    output.add(Frame(torch.from_numpy(image).permute(2, 0, 1), Path("clip.avi"), 1, 12.0), none)
    output.close([], complete=True)
    (frame,), _ = frames_of(tmp_path / "clip.mp4")
    assert frame.shape == (62, 94, 3)
    assert np.abs(frame.astype(int) - image[:62, :94]).mean() < 5


def test_camera(tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera(Capture):
        rate = 15.0

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.read_so_far += 1
            return True, np.ascontiguousarray(picture(moving(self.read_so_far))[..., ::-1])

    capture = cv2.VideoCapture
    monkeypatch.setattr(sources.cv2, "VideoCapture", Camera)
    results = run(model, "0", tmp_path / "out", max_frames=5)
    assert (results.images, results.detections, Camera.released) == (5, {"red": 5}, 1)
    entries = read(results)["images"]
    assert [(entry["file"], entry["frame"]) for entry in entries] == [("camera0", n) for n in range(1, 6)]
    assert entries[2]["boxes"][0] == list(moving(3))
    monkeypatch.setattr(cv2, "VideoCapture", capture)
    frames, rate = frames_of(results.folder / "camera0.mp4")
    assert (len(frames), rate) == (5, pytest.approx(15))


# --- text -----------------------------------------------------------------------------------------------


def test_label_text_round_trip() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(20, 2, generator=generator) * torch.tensor([300, 200])
    boxes = torch.cat([low, low + torch.rand(20, 2, generator=generator) * 100], dim=1)
    scores, labels = torch.rand(20, generator=generator), torch.arange(20) % 7
    text = label_text(Detections(boxes, scores, labels), 400, 300, scores=True)
    rows = torch.tensor([[float(value) for value in line.split()] for line in text.splitlines()])
    assert rows[:, 0].tolist() == labels.tolist()
    assert torch.allclose(cxcywh_to_xyxy(rows[:, 1:5]) * torch.tensor([400, 300, 400, 300]), boxes, atol=1e-3)
    assert torch.allclose(rows[:, 5], scores, atol=1e-6)
    bare = label_text(Detections(boxes, scores, labels), 400, 300)
    assert [line.split() for line in bare.splitlines()] == [line.split()[:5] for line in text.splitlines()]
    assert label_text(Detections(boxes[:0], scores[:0], labels[:0]), 400, 300) == ""


def test_a_real_network(tmp_path: Path) -> None:
    """Untrained, so what it finds means nothing; but it must go through."""
    torch.manual_seed(0)
    model = YOLOv5((0.33, 0.125), ["a", "b"])
    results = run(model, save(tmp_path / "a.png", picture((10, 20, 40, 50))), tmp_path / "out", confidence=0.0)
    assert sum(results.detections.values()) == len(read(results)["images"][0]["boxes"]) > 0
    assert model.training
