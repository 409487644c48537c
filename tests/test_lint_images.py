"""What the linter says of images: headers, sizes, copies across splits."""

import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_data import make_data, noise

from yolo_edu.assets import sample_data
from yolo_edu.data import read_spec
from yolo_edu.lint import lint
from yolo_edu.lint.header import Header, read_header

BOX = "0 0.5 0.5 0.4 0.4\n1 0.3 0.3 0.2 0.2\n"


def of_one_image(tmp_path, save, name="a.png"):
    """The (code, message) of all faults of a set whose image `save(path)` wrote."""
    path = make_data(tmp_path, {"a": BOX}, size=(60, 80))
    (tmp_path / "images/train/a.png").unlink()
    save(tmp_path / "images/train" / name)
    return [(fault.code, fault.message) for fault in lint(read_spec(path))]


@pytest.mark.parametrize(
    ("mode", "form", "header"),
    [
        ("RGB", "png", ("PNG", 3, 8)),
        ("L", "png", ("PNG", 1, 8)),
        ("RGBA", "png", ("PNG", 4, 8)),
        ("LA", "png", ("PNG", 2, 8)),
        ("P", "png", ("PNG", 3, 8)),
        ("1", "png", ("PNG", 1, 1)),
        ("RGB", "jpeg", ("JPEG", 3, 8)),
        ("L", "jpeg", ("JPEG", 1, 8)),
        ("CMYK", "jpeg", ("JPEG", 4, 8)),
        ("RGB", "bmp", ("BMP", 0, 0)),
        ("RGB", "tiff", ("TIFF", 0, 0)),
        ("RGB", "webp", ("WebP", 0, 0)),
        ("RGB", "gif", ("GIF", 0, 0)),
    ],
)
def test_headers(tmp_path, mode, form, header):
    path = tmp_path / f"a.{form}"
    Image.fromarray(noise(20, 30)).convert(mode).save(path, form)
    assert read_header(path) == (*header, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_turn_of_a_jpeg(tmp_path, orientation):
    picture = Image.fromarray(noise(20, 30))
    exif = picture.getexif()
    exif[0x010F] = "a camera"
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_header(tmp_path / "a.jpg") == ("JPEG", 3, 8, orientation)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\0\x40Exif\0\0II*\0", b"\x89PNG\r\n\x1a\n"]),
)
def test_no_bytes_bring_the_header_reader_down(tmp_path_factory, content, start):
    path = tmp_path_factory.getbasetemp() / "header.bin"
    path.write_bytes(start + content)
    assert isinstance(read_header(path), Header)


def test_a_missing_file_has_an_empty_header(tmp_path):
    assert read_header(tmp_path / "none") == Header()
    assert read_header(tmp_path) == Header()


def test_odd_images(tmp_path):
    picture = Image.fromarray(noise(60, 80))

    def turned(path):
        exif = picture.getexif()
        exif[0x0112] = 6
        picture.save(path, exif=exif)

    def deep(path):
        Image.fromarray((noise(60, 80)[..., 0].astype(np.uint16)) * 257).save(path)

    cases = {
        "image-suffix": (lambda path: picture.save(path, "JPEG"), "a.png", "a JPEG, its name ends in .png"),
        "image-turned": (turned, "a.jpg", "orientation 6"),
        "image-small": (lambda path: Image.fromarray(noise(31, 80)).save(path), "a.png", "80 × 31"),
        "image-shape": (lambda path: Image.fromarray(noise(40, 330)).save(path), "a.png", "330 × 40"),
    }
    for code, (save, name, words) in cases.items():
        ((found, message),) = of_one_image(tmp_path / code, save, name)
        assert found == code
        assert words in message
    for name, save, words in (
        ("alpha.png", lambda path: picture.convert("RGBA").save(path), "transparent"),
        ("inks.jpg", lambda path: picture.convert("CMYK").save(path), "printing inks"),
        ("deep.png", deep, "16 bits"),
    ):
        ((found, message),) = of_one_image(tmp_path / name, save, f"a{name[-4:]}")
        assert found == "image-mode"
        assert words in message
    assert of_one_image(tmp_path / "gray", lambda path: picture.convert("L").save(path)) == []


def test_near_copies_across_splits(tmp_path):
    """A smaller, brighter, mirrored copy and one saved anew; a photo of another table is no copy."""
    images = read_spec(sample_data()).images("val")
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / kind / split).mkdir(parents=True)
    for number, image in enumerate(images[:4]):
        shutil.copy(image, tmp_path / f"images/train/{number}.jpg")
    first, second, other = (cv2.imread(str(images[i])) for i in (0, 1, 20))
    cv2.imwrite(str(tmp_path / "images/val/a.jpg"), cv2.resize(first, None, fx=0.6, fy=0.6)[:, ::-1] // 10 * 9)
    cv2.imwrite(str(tmp_path / "images/val/b.jpg"), second, [cv2.IMWRITE_JPEG_QUALITY, 40])
    cv2.imwrite(str(tmp_path / "images/val/c.jpg"), other)
    for image in tmp_path.rglob("*.jpg"):
        (tmp_path / "labels" / image.parent.name / f"{image.stem}.txt").write_text(BOX)
    path = tmp_path / "data.yaml"
    path.write_text("train: images/train\nval: images/val\nnames: [cat, dog]")
    faults = lint(read_spec(path))
    assert [(f.code, f.severity, f.path.name, f.other.name if f.other else None) for f in faults] == [
        ("near-copy", "warning", "a.jpg", "0.jpg"),
        ("near-copy", "warning", "b.jpg", "1.jpg"),
    ]
    assert "mirrored" in faults[0].message
    assert "mirrored" not in faults[1].message


def test_images_of_one_color_are_not_alike(tmp_path):
    path = make_data(tmp_path, {"a": BOX}, size=(60, 80))
    (tmp_path / "images/val").mkdir()
    for split, gray in (("train", 10), ("val", 200)):
        Image.new("RGB", (80, 60), (gray,) * 3).save(tmp_path / f"images/{split}/gray.png")
        (tmp_path / "labels" / split).mkdir(exist_ok=True)
        (tmp_path / f"labels/{split}/gray.txt").write_text(BOX)
    path.write_text("train: images/train\nval: images/val\nnames: [cat, dog]")
    assert lint(read_spec(path)) == []
