from pathlib import Path

import cv2
import numpy as np
import pytest
from small_data import noise

from yolo_edu import sources
from yolo_edu.errors import UserError
from yolo_edu.sources import camera_frames, camera_number, count_frames, find_files, read_frames


def video(path: Path, frames: int, size: tuple[int, int] = (64, 48)) -> Path:
    """Frame n is gray of brightness 10 n."""
    codec = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), codec, 10.0, size)
    assert writer.isOpened()
    for n in range(1, frames + 1):
        writer.write(np.full((size[1], size[0], 3), 10 * n, np.uint8))
    writer.release()
    return path


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


class TestFindFiles:
    @pytest.fixture(autouse=True)
    def files(self, tmp_path: Path) -> None:
        touch(tmp_path, "b.JPG", "a.png", "clip.mp4", "notes.txt", "._a.png", "sub/c.webp", "[1].jpg")

    def names(self, root: Path, source: str | Path) -> list[str]:
        return [file.relative_to(root).as_posix() for file in find_files(source)]

    def test_file(self, tmp_path: Path) -> None:
        assert find_files(tmp_path / "a.png") == [tmp_path / "a.png"]
        assert find_files(tmp_path / "[1].jpg") == [tmp_path / "[1].jpg"]  # a name, not a pattern

    def test_folder_sorted_and_not_its_subfolders(self, tmp_path: Path) -> None:
        assert self.names(tmp_path, tmp_path) == ["[1].jpg", "a.png", "b.JPG", "clip.mp4"]

    def test_pattern(self, tmp_path: Path) -> None:
        assert self.names(tmp_path, f"{tmp_path}/*.png") == ["a.png"]
        everything = ["[1].jpg", "a.png", "b.JPG", "clip.mp4", "sub/c.webp"]
        assert self.names(tmp_path, f"{tmp_path}/**/*") == everything
        assert self.names(tmp_path, f"{tmp_path}/**/**/*") == everything

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("missing.jpg", "no such file or folder"),
            ("empty", "no image or video in this folder"),
            ("*.tiff", "no image or video matches this pattern"),
            ("x" * 5000, "."),
        ],
    )
    def test_nothing_there(self, tmp_path: Path, source: str, message: str) -> None:
        touch(tmp_path, "empty/notes.txt")
        with pytest.raises(UserError, match=message):
            find_files(tmp_path / source)

    def test_no_name_is_not_this_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match="no such file"):
            find_files("")

    def test_camera_number(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        touch(tmp_path, "2026/a.jpg")
        cases: list[str | int | Path] = [0, "1", "2026", Path("2026"), "cam", "1.5", "-1", ""]
        assert [camera_number(source) for source in cases] == [0, 1, None, None, None, None, None, None]
        assert camera_number(2026) == 2026


class TestFrames:
    def test_images_and_videos_in_one_stream(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "a.png"), noise(20, 30)[..., ::-1])
        files = [tmp_path / "a.png", video(tmp_path / "b.mp4", 12)]
        failed: list[str] = []
        frames = list(read_frames(files, None, failed))
        assert not failed
        assert count_frames(files, None) == len(frames) == 13
        assert [frame.number for frame in frames] == [0, *range(1, 13)]
        assert [frame.source for frame in frames] == [files[0], *[files[1]] * 12]
        assert np.array_equal(frames[0].image.permute(1, 2, 0).numpy(), noise(20, 30))
        assert frames[0].rate == 0
        for frame in frames[1:]:
            assert frame.image.shape == (3, 48, 64)
            assert abs(frame.image.float().mean() - 10 * frame.number) < 4
            assert frame.rate == 10

    def test_max_frames_is_for_each_video(self, tmp_path: Path) -> None:
        files = [video(tmp_path / "a.mp4", 12), video(tmp_path / "b.mp4", 3)]
        failed: list[str] = []
        assert [frame.number for frame in read_frames(files, 5, failed)] == [1, 2, 3, 4, 5, 1, 2, 3]
        assert count_frames(files, 5) == 8
        assert not failed

    def test_bad_files_are_named_and_the_rest_is_read(self, tmp_path: Path) -> None:
        for name in ("a.jpg", "b.mp4"):
            (tmp_path / name).write_bytes(b"not what it says it is")
        cv2.imwrite(str(tmp_path / "c.png"), noise(20, 30))
        failed: list[str] = []
        files = find_files(tmp_path)
        assert count_frames(files, None) == 2
        assert [frame.source.name for frame in read_frames(files, None, failed)] == ["c.png"]
        assert [message.split(":")[0] for message in failed] == [str(tmp_path / "a.jpg"), str(tmp_path / "b.mp4")]
        assert "not a video OpenCV can open" in failed[1]


class Capture:
    """A stand-in for cv2.VideoCapture: `frames` pictures, then nothing."""

    opened, promised, rate, frames = True, -9e18, 0.0, 4
    released = 0

    def __init__(self, source: object) -> None:
        self.read_so_far = 0

    def isOpened(self) -> bool:
        return self.opened

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: self.rate, cv2.CAP_PROP_FRAME_COUNT: self.promised}[what]

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.read_so_far += 1
        if self.read_so_far > self.frames:
            return False, None
        return True, np.array([[[1, 2, 3]]], np.uint8)

    def release(self) -> None:
        type(self).released += 1


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> type[Capture]:
    fresh = type("Fresh", (Capture,), {})
    monkeypatch.setattr(sources.cv2, "VideoCapture", fresh)
    return fresh


class TestCamera:
    def test_until_unplugged(self, capture: type[Capture]) -> None:
        frames = list(camera_frames(0, None))
        assert [frame.number for frame in frames] == [1, 2, 3, 4]
        assert {frame.rate for frame in frames} == {30.0}  # it said 0
        assert frames[0].image.flatten().tolist() == [3, 2, 1]  # BGR → RGB
        assert frames[0].source == Path("camera0")
        assert capture.released == 1

    def test_max_frames(self, capture: type[Capture]) -> None:
        assert len(list(camera_frames(0, 2))) == 2
        assert capture.released == 1

    def test_none(self, capture: type[Capture]) -> None:
        capture.opened = False
        with pytest.raises(UserError, match="no camera 7"):
            list(camera_frames(7, None))


class TestCutVideo:
    @pytest.mark.parametrize(
        ("frames", "promised", "max_frames", "complaint"),
        [
            (4, 4, None, False),
            (4, 9, None, False),  # less than a second short: headers are often off by some frames
            (4, 100, None, True),
            (4, 100, 4, False),
            (4, 100, 50, True),
            (4, -9e18, None, False),  # a container that does not know
            (0, -9e18, None, True),
        ],
    )
    def test_video_that_ends_early(
        self, capture: type[Capture], frames: int, promised: float, max_frames: int | None, complaint: bool
    ) -> None:
        capture.frames, capture.promised, capture.rate = frames, promised, 10.0
        failed: list[str] = []
        assert len(list(read_frames([Path("a.mp4")], max_frames, failed))) == frames
        assert bool(failed) == complaint
        assert all(f"a.mp4: the video ends after {frames} of" in message for message in failed)
