import contextlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from small_data import noise

from yolo_edu.errors import UserError
from yolo_edu.files import label_path, read_image, read_labels

# --- images ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain.png", "größe 猫.png", "two.dots.png"])
def test_read_image_is_rgb_channels_first(tmp_path, name):
    pixels = noise(7, 5)
    Image.fromarray(pixels).save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.dtype == torch.uint8
    assert image.shape == (3, 7, 5)
    assert np.array_equal(image.permute(1, 2, 0).numpy(), pixels)


def test_read_image_gray_alpha_and_palette(tmp_path):
    pixels = Image.fromarray(noise(6, 8))
    for mode in ("L", "RGBA", "P", "1"):
        pixels.convert(mode).save(tmp_path / f"{mode}.png")
        assert read_image(tmp_path / f"{mode}.png").shape == (3, 6, 8)
    gray = read_image(tmp_path / "L.png")
    assert torch.equal(gray[0], gray[1])
    assert torch.equal(gray[0], gray[2])
    assert np.array_equal(gray[0].numpy(), np.asarray(pixels.convert("L")))


def test_read_image_turns_by_exif(tmp_path):
    picture = Image.fromarray(noise(40, 60))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees to the right to see it upright
    picture.save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == (3, 60, 40)
    upright = np.rot90(np.asarray(Image.open(tmp_path / "a.jpg")), k=-1)
    assert np.abs(image.permute(1, 2, 0).numpy().astype(int) - upright).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["jpg", "png"])
def test_read_image_equals_pillow_in_all_eight_orientations(tmp_path, orientation, form):
    picture = Image.fromarray(noise(40, 60))
    exif = picture.getexif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{form}"
    picture.save(path, exif=exif, quality=100, subsampling=0)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    assert np.abs(read_image(path).permute(1, 2, 0).numpy().astype(int) - upright).max() <= 2


def encoded_as(name: str, picture: Image.Image, path: Path) -> None:
    """Write one of the KINDS of image files."""
    mode, form, options = KINDS[name]
    more = {"quality": 98, "subsampling": 0} if form == "JPEG" else {}
    if "append_images" in options:
        more["append_images"] = [Image.fromarray(noise(40, 60, 9))]
    if mode == "I;16":
        gray = np.asarray(picture.convert("L")).astype(np.uint16)
        Image.fromarray(gray * 257).save(path, form, **options)
        return
    transparent = Image.linear_gradient("L").resize(picture.size)
    if mode in ("RGBA", "LA"):
        picture = picture.convert(mode[:-1])
        picture.putalpha(transparent)
    picture.convert(mode).save(path, form, **options | more)


KINDS: dict[str, tuple[str, str, dict]] = {
    "rgb.jpg": ("RGB", "JPEG", {}),
    "rgb.jfif": ("RGB", "JPEG", {}),
    "progressive.JPEG": ("RGB", "JPEG", {"progressive": True}),
    "gray.jpg": ("L", "JPEG", {}),
    "inks.jpg": ("CMYK", "JPEG", {}),
    "bit.png": ("1", "PNG", {}),
    "palette.png": ("P", "PNG", {}),
    "hole.png": ("P", "PNG", {"transparency": 3}),
    "gray.png": ("L", "PNG", {}),
    "alpha.png": ("RGBA", "PNG", {}),
    "gray_alpha.png": ("LA", "PNG", {}),
    "deep.png": ("I;16", "PNG", {}),
    "rgb.bmp": ("RGB", "BMP", {}),
    "alpha.bmp": ("RGBA", "BMP", {}),
    "palette.bmp": ("P", "BMP", {}),
    "bit.bmp": ("1", "BMP", {}),
    "lossy.webp": ("RGB", "WEBP", {"quality": 95}),
    "lossless.webp": ("RGB", "WEBP", {"lossless": True}),
    "alpha.webp": ("RGBA", "WEBP", {"lossless": True, "exact": True}),
    "animated.webp": ("RGB", "WEBP", {"lossless": True, "save_all": True, "append_images": True}),
    "rgb.tif": ("RGB", "TIFF", {}),
    "gray.tiff": ("L", "TIFF", {}),
    "palette.tif": ("P", "TIFF", {}),
    "bit.tif": ("1", "TIFF", {}),
    "fax.tif": ("1", "TIFF", {"compression": "group4"}),
    "deep.tif": ("I;16", "TIFF", {}),
    "inks.tif": ("CMYK", "TIFF", {}),
    "lzw.tif": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "deflate.tif": ("RGB", "TIFF", {"compression": "tiff_adobe_deflate"}),
    "pages.tif": ("RGB", "TIFF", {"save_all": True, "append_images": True}),
}


@pytest.mark.parametrize("name", KINDS)
def test_read_image_equals_pillow(tmp_path, name):
    """Of what is transparent the colors below it; of several pictures the first; 16 bits divided by 256."""
    encoded_as(name, Image.fromarray(noise(40, 60)), tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        wide = KINDS[name][0] == "I;16"  # Pillow's own convert() cuts 16 bits off at 255
        wanted = np.asarray(picture)[..., None] // 256 if wide else np.asarray(picture.convert("RGB"))
    read = read_image(tmp_path / name).permute(1, 2, 0).numpy()
    assert np.abs(read.astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_colors_of_16_bits(tmp_path, form):
    pixels = noise(7, 5)
    cv2.imwrite(str(tmp_path / f"deep.{form}"), pixels[..., ::-1].astype(np.uint16) * 257)
    assert np.array_equal(read_image(tmp_path / f"deep.{form}").permute(1, 2, 0).numpy(), pixels)


@given(st.integers(8, 10_000), st.integers(1, 255))
def test_a_damaged_png_is_a_user_error_or_an_image(tmp_path_factory, position, flip):
    """One byte changed: never a crash, which is why PNG files are not left to torchvision.io."""
    content = bytearray(encoded("PNG"))
    content[position % len(content)] ^= flip
    path = tmp_path_factory.mktemp("damaged") / "a.png"
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        assert read_image(path).ndim == 3


def encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"this is no image", "not an image"),
        (encoded("JPEG")[: len(encoded("JPEG")) // 2], "cut off"),
        (encoded("JPEG")[:-2], "cut off"),
        (encoded("PNG")[: len(encoded("PNG")) // 2], "cut off"),
        (encoded("PNG")[:20], "cut off"),
        (encoded("WEBP")[:30], "cut off"),
        (encoded("WEBP")[:-5], "cut off"),
        (encoded("BMP")[:500], "not an image"),
        (encoded("TIFF")[:500], "a TIFF OpenCV cannot turn into 8 bits.*or damaged"),
        (encoded("GIF")[:40], "a GIF, damaged or"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + b"\0" * 99, "HEIC.*Save it as JPEG or PNG"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1avif" + b"\0" * 99, "AVIF.*Save it as JPEG or PNG"),
        (b"\r\n<!DOCTYPE html><html>404</html>", "a web page.*Download the image again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS.*git lfs pull"),
        (None, "cannot read"),
    ],
)
def test_read_image_names_a_bad_file(tmp_path, content, words):
    path = tmp_path / "bad.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_a_tiff_whose_white_nobody_knows(tmp_path, capfd, kind):
    Image.fromarray(np.ones((8, 8), kind)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a TIFF OpenCV cannot turn into 8 bits: 32-bit or floating.*8 or 16 bits"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""  # OpenCV's own lines name no file


def test_a_jpeg_with_a_thumbnail_or_a_trailer_is_whole(tmp_path):
    picture = encoded("JPEG")
    (tmp_path / "trailer.jpg").write_bytes(picture + b"\0" * 40)
    (tmp_path / "two.jpg").write_bytes(picture + picture)  # a camera's preview behind the photo
    # a whole thumbnail in an APP1 segment must not hide that the photo behind it is cut off
    segment = b"\xff\xe1" + (len(picture) + 2).to_bytes(2, "big") + picture
    (tmp_path / "thumbnail.jpg").write_bytes(picture[:2] + segment + picture[2:])
    (tmp_path / "cut.jpg").write_bytes(picture[:2] + segment + picture[2:-20])
    for name in ("trailer", "two", "thumbnail"):
        assert read_image(tmp_path / f"{name}.jpg").shape == (3, 64, 64)
    with pytest.raises(UserError, match="cut off"):
        read_image(tmp_path / "cut.jpg")


# --- labels ---------------------------------------------------------------------------------------------


def test_label_path():
    assert label_path("set/images/train/a.b.jpg") == Path("set/labels/train/a.b.txt")
    assert label_path("images/x/images/a.png") == Path("images/x/labels/a.txt")  # the last one
    assert label_path("photos/images.png") == Path("photos/images.txt")
    assert label_path("a.png") == Path("a.txt")


row = st.tuples(
    st.integers(0, 4),
    *[st.floats(0, 1, width=32)] * 2,
    *[st.floats(2**-10, 1, width=32)] * 2,
)


@given(
    rows=st.lists(row, max_size=8),
    end=st.sampled_from(["\n", "\r\n", " \n\n"]),
    start=st.sampled_from(["", "\ufeff"]),
)
def test_labels_round_trip(tmp_path_factory, rows, end, start):
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    path.write_text(start + end.join("\t ".join(map(repr, r)) for r in rows), encoding="utf-8", newline="")
    labels, boxes = read_labels(path, 5)
    assert labels.dtype == torch.int64
    assert boxes.dtype == torch.float32
    assert boxes.shape == (len(rows), 4)
    assert labels.tolist() == [r[0] for r in rows]
    assert torch.equal(boxes, torch.tensor([r[1:] for r in rows], dtype=torch.float32).reshape(-1, 4))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("1,0.5,0.5,0.1,0.1", "comma"),
        ("1 0,5 0,5 0,1 0,1", "decimals with a point"),
        ("1; 0.5; 0.5; 0.1; 0.1", "semicolon"),
        ("1 0.5 0.5 0.1", "4 columns"),
        ("1 0.5 0.5 0.1 0.1 0.9", "confidence"),
        ("1 0.1 0.1 0.2 0.1 0.2 0.2", "polygon"),
        ("7 0.5 0.5 0.1 0.1", "class 7, but the data set has 5 classes"),
        ("-1 0.5 0.5 0.1 0.1", "class -1"),
        ("5 0.5 0.5 0.1 0.1", "0 to 4"),
        ("1.5 0.5 0.5 0.1 0.1", "whole number"),
        ("cat 0.5 0.5 0.1 0.1", "not a number"),
        ("1 nan 0.5 0.1 0.1", "not a number"),
        ("1 0.5 0.5 inf 0.1", "not a number"),
        ("1e999 0.5 0.5 0.1 0.1", "not a number"),
        ("1 0.5 0.5 0_1 0.1", "not a number"),
        ("1 0.5 1.01 0.1 0.1", r"\[0, 1\]"),
        ("1 0.5 -0.2 0.1 0.1", r"\[0, 1\]"),
        ("1 208 150 30 40", "pixels"),
        ("1 0.5 0.5 0 0.1", "no area"),
        ("1 0.5 0.5 0.1 1e-50", "no area"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path, bad, words):
    path = tmp_path / "a.txt"
    path.write_text(f"0 0.5 0.5 0.1 0.1\n\n{bad}\n")
    with pytest.raises(UserError, match=words) as caught:
        read_labels(path, 5)
    assert str(caught.value).startswith(f"{path}:3: ")


def test_rounding_errors_are_forgiven(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("3.0 1.0000004 -0.0000004 1e-1 .5\n")
    labels, boxes = read_labels(path, 5)
    assert labels.tolist() == [3]
    assert boxes.tolist() == [pytest.approx([1, 0, 0.1, 0.5])]


def test_no_objects(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.txt").write_text("\n  \n")
    for name in ("empty", "blank", "missing"):
        labels, boxes = read_labels(tmp_path / f"{name}.txt", 5)
        assert labels.shape == (0,)
        assert labels.dtype == torch.int64
        assert boxes.shape == (0, 4)
        assert boxes.dtype == torch.float32
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(UserError, match="cannot read"):
        read_labels(tmp_path / "folder.txt", 5)
