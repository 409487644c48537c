"""Data set YAMLs as other programs and other people write them."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_data import make_data, noise

from yolo_edu.data import DetectionData
from yolo_edu.errors import UserError
from yolo_edu.spec import IMAGE_SUFFIXES, DataSpec, read_spec

BOX = "0 0.5 0.5 0.2 0.2\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A set with two images, `images/train/a.png` and `b.png`; the YAML is to be written by the test."""
    path = make_data(tmp_path / "set", {"a": BOX, "b": BOX})
    path.unlink()
    return path


def written(path: Path, text: str) -> DataSpec:
    path.write_text(text, encoding="utf-8")
    return read_spec(path)


def stems(spec: DataSpec, split: str = "train") -> list[str]:
    return [image.stem for image in spec.images(split)]


def test_read_spec_forms(tmp_path: Path) -> None:
    make_data(tmp_path, {"b": "", "a": "", "._ghost": ""})
    (tmp_path / "images/train/deep").mkdir()
    Image.fromarray(noise(3, 3)).save(tmp_path / "images/train/deep/c.PNG")
    (tmp_path / "images/train/notes.md").write_text("no image")
    (tmp_path / "list.txt").write_text("images/train/b.png\n\nimages/train/gone.png\n")
    (tmp_path / "yaml").mkdir()
    path = tmp_path / "yaml" / "data.yaml"
    path.write_text(
        "path: ..\nnc: 2\nnames: {1: dog, 0: cat}\ntrain: images/train\nval: list.txt\n"
        "test: [images/train/deep, list.txt]\n"
    )
    spec = read_spec(path)
    root = path.parent / ".." / "images/train"
    assert spec.names == ("cat", "dog")
    assert spec.path == path
    assert spec.splits["train"] == (root / "a.png", root / "b.png", root / "deep/c.PNG")
    assert spec.splits["val"] == (root / "b.png", root / "gone.png")
    assert spec.images("test") == (root / "b.png", root / "deep/c.PNG", root / "gone.png")
    assert list(spec.missing) == [root / "gone.png"]
    assert spec.notes == ()


# --- names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [10, cat]", ("10", "cat")),
        ("names:\n- cat\n- dog # a comment", ("cat", "dog")),
        ("names: {'0': cat, '1': dog}", ("cat", "dog")),
        ("names:\n  1: dog\n  0: cat\nnc: '2'", ("cat", "dog")),
        ("names: [on, no, 1.50, 007, 2020-01-01, 'null']", ("on", "no", "1.50", "007", "2020-01-01", "null")),
        ("names: [größe, 猫, 🐟, 'a: b', '#1', 100%]\nnc: 6.0", ("größe", "猫", "🐟", "a: b", "#1", "100%")),
        ("names: &n [cat]\nroboflow:\n  names: *n\ndownload: |\n  import os\ntest:\nval:", ("cat",)),
    ],
)
def test_names_are_what_is_written(data: Path, text: str, names: tuple[str, ...]) -> None:
    assert written(data, f"train: images/train\n{text}\n").names == names


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_editors_of_windows(data: Path, encoding: str, end: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    lines = ["train: list.txt  ", "names: [größe, 猫]", ""]
    listed = ["", "images\\train\\a.png  ", '"images/train/b.png"', "   ", "'./images/train/a.png'"]
    data.write_bytes((mark + end.join(lines)).encode(encoding))
    (data.parent / "list.txt").write_bytes((mark + end.join(listed)).encode(encoding))
    spec = read_spec(data)
    assert spec.names == ("größe", "猫")
    assert stems(spec) == ["a", "b"]
    assert not spec.missing


# --- where the splits are -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "train: images/train",
        "train: ./images/train/",
        "train: images\\train",
        "train: [images/train]",
        "train:\n  - images/train\n  - images/train/a.png.txt",
        "path:\ntrain: images/train",
        "path: .\ntrain: images/train",
        "path: ../set\ntrain: images/train",
        "path: ABSOLUTE\ntrain: images/train",
        "train: ABSOLUTE/images/train",
        "path: ~/set\ntrain: images/train",
        "train: ~/set/images/train",
        "path: ..\\set\ntrain: images/train",
    ],
)
def test_places_that_are_right(data: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(data.parent.parent))
    (data.parent / "images/train/a.png.txt").write_text("a.png\n")
    spec = written(data, text.replace("ABSOLUTE", str(data.parent)) + "\nnames: [cat]\n")
    assert stems(spec) == ["a", "b"]
    assert spec.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        "train: ../images/train",  # exports of annotation services
        "train: ../../images/train",
        "train: set/images/train",  # relative to the working directory
        "path: set\ntrain: images/train",
        "path: ../datasets/set\ntrain: images/train",
        "path: /content/set\ntrain: images/train",
    ],
)
def test_places_that_are_nearly_right_are_taken_aloud(data: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent.parent)
    spec = written(data, text + "\nnames: [cat]\n")
    assert stems(spec) == ["a", "b"]
    (note,) = spec.notes
    assert note.severity == "warning"
    assert note.path == data
    assert note.line == 1 + text.count("\n")
    assert "does not exist" in note.message
    assert "is taken instead" in note.message


def test_the_right_place_wins(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the YAML says comes before the working directory and before what stands beside the YAML."""
    other = make_data(data.parent.parent, {"x": BOX})  # set/../images/train
    monkeypatch.chdir(other.parent)
    assert stems(written(data, "train: images/train\nnames: [cat]")) == ["a", "b"]
    assert stems(written(data, "train: ../images/train\nnames: [cat]")) == ["x"]


def test_a_folder_instead_of_the_yaml(data: Path) -> None:
    with pytest.raises(UserError, match=r"a folder, not a data set YAML\. Give a YAML; there is none"):
        read_spec(data.parent)
    written(data, "train: images/train\nnames: [cat]")
    with pytest.raises(UserError, match=r"Give the YAML in it: data\.yaml\."):
        read_spec(data.parent)
    with pytest.raises(UserError, match="cannot read the data set YAML"):
        read_spec(data.parent / "gone.yaml")
    data.write_bytes("names: [größe]".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        read_spec(data)


# --- lists of images ------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["", "lists/", "images/train/"])
@pytest.mark.parametrize("form", ["list", "path", "dot", "absolute"])
def test_entries_of_a_list(data: Path, where: str, form: str) -> None:
    """Relative to the list, relative to `path`, with ./ in front, absolute."""
    root, source = data.parent, data.parent / where / "some.txt"
    source.parent.mkdir(exist_ok=True)
    images = [root / "images/train/a.png", root / "images/train/b.png"]
    entry = {
        "list": lambda image: os.path.relpath(image, source.parent),
        "path": lambda image: str(image.relative_to(root)),
        "dot": lambda image: "./" + str(image.relative_to(root)),
        "absolute": str,
    }[form]
    source.write_text("".join(f"{entry(image)}\n" for image in images))
    spec = written(data, f"train: {where}some.txt\nnames: [cat]")
    assert [image.resolve() for image in spec.images("train")] == images
    assert not spec.missing


def test_images_of_a_list_that_do_not_exist(data: Path) -> None:
    lines = ["images/train/a.png", "", "/content/set/images/train/b.png", "C:\\x\\IMAGES\\train\\b.png", "c.png"]
    source = data.parent / "some.txt"
    source.write_bytes("\r\n".join([*lines, "größe.png"]).encode("latin-1"))
    spec = written(data, "train: some.txt\nnames: [cat]")
    assert len(spec.images("train")) == 5
    texts = [str(fault) for fault in spec.missing.values()]
    assert [text.split(" lists it. ")[0].rsplit(", but ")[1] for text in texts] == [
        f"line {line} of {source}" for line in (3, 4, 5, 6)
    ]
    right = data.parent / "images/train/b.png"
    assert f"path of another machine or in other letters? Here is {right}: write that" in texts[0]
    assert f"Here is {right}" in texts[1]
    assert "Correct or delete that line" in texts[2]
    assert "Save the list as UTF-8" in texts[3]
    for cache in (True, False):
        with pytest.raises(UserError, match=r"4 bad file\(s\) in 'train'") as caught:
            DetectionData(spec, "train", 32, cache=cache)
        assert all(text in str(caught.value) for text in texts)


def test_only_some_missing_images_are_looked_for(data: Path) -> None:
    (data.parent / "some.txt").write_text("".join(f"/x/{n}/a.png\n" for n in range(30)) + "images/train/a.png")
    (data.parent / "a.png").write_bytes(b"")
    spec = written(data, "train: some.txt\nnames: [cat]")
    assert sum("Here is" in fault.fix for fault in spec.missing.values()) == 20
    assert len(spec.missing) == 30


# --- what is left out or missing ------------------------------------------------------------------------


def test_a_missing_split_is_said(data: Path) -> None:
    spec = written(data, "train: images/train\nval:\ntest: ''\nnames: [cat]".replace("test: ''\n", ""))
    for split, need in (("val", "Training needs both"), ("test", "or use one of: train")):
        with pytest.raises(UserError, match=rf"no split '{split}'. Add a line '{split}: FOLDER'.*{need}"):
            spec.images(split)
    spec = written(data, "train: images/train\nvalid: images/train\nnames: [cat]")
    with pytest.raises(UserError, match=r"(?s)no split 'val'.*:2: val: the key 'valid' is not read. Write 'val:'"):
        spec.images("val")
    with pytest.raises(UserError, match="no split 'val'"):
        DetectionData(spec, "val", 32)


def test_val_like_train_is_said(data: Path) -> None:
    (data.parent / "some.txt").write_text("images/train/a.png\nimages/train/b.png\n")
    for val in ("images/train", "some.txt"):
        (note,) = written(data, f"train: images/train\nval: {val}\nnames: [cat]").notes
        assert (note.line, note.message) == (2, "val: the same images as 'train'")


def test_pictures_of_a_kind_not_read_are_counted(data: Path) -> None:
    folder = data.parent / "phone"
    folder.mkdir()
    for name in ("a.HEIC", "b.gif", "c.avif", "._d.heic", "e.txt"):
        (folder / name).write_bytes(b"")
    spec = written(data, "train: phone\nnames: [cat]")
    assert spec.splits["train"] == ()
    with pytest.raises(UserError, match=r"(?s)holds no image.*3 picture\(s\) of a kind not read.*Convert them"):
        spec.images("train")


def test_suffixes_in_any_case(data: Path) -> None:
    folder = data.parent / "mixed"
    folder.mkdir()
    names = [f"{i}{s}" for i, s in enumerate([*IMAGE_SUFFIXES, ".JPEG", ".Jpg", ".TIFF", ".WebP", ".JFIF"])]
    for name in names:
        (folder / name).write_bytes(b"")
    assert {image.name for image in written(data, "train: mixed\nnames: [cat]").images("train")} == set(names)


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty. Write lines such as"),
        ("# only a comment\n", "empty"),
        ("- a", "not a data set YAML"),
        ("a: [", ":1: not YAML"),
        ("train: .\nnames: [a\nval: b", ":3: not YAML"),
        ("train: .\nnames:\n\t- cat", ":3: not YAML.*Indent with spaces"),
        ('train: "C:\\data"\nnames: [a]', ":1: not YAML.*write paths with / and without quotes"),
        ("a: \x00", "not YAML"),
        ("a: " + "[" * 2000, "not YAML"),
        ("train: .\ntrain: .\nnames: [a]", ":2: 'train' stands there twice, first in line 1"),
        ("train: .", "names is missing"),
        ("train: .\nnames:\nnc: 5", "names is missing or empty; nc: 5 says how many, not which"),
        ("train: .\nnames: []", "names is missing"),
        ("train: .\nnames: cat, dog", ":2: names: 'cat, dog' is one text"),
        ("train: .\nnames: {1: cat, 2: dog}", r":2: .*0 to 1 without gaps, not \['1', '2'\]; 0 has no name"),
        ("train: .\nnames: {'0': cat, '2': dog}", "1 has no name"),
        ("train: .\nnames: {0: cat, 00: dog}", "without gaps"),
        ("train: .\nnames: {cat: 0, dog: 1}", "keys must be numbers"),
        ("train: .\nnames:\n  0: cat\n  0: dog", ":4: '0' stands there twice, first in line 3"),
        ("train: .\nnames: [cat, [dog]]", "name 1 is not one text"),
        ("train: .\nnames:\n- cat\n-", ":4: names: name 1 is empty"),
        ("train: .\nnames: [cat, '']", "name 1 is empty"),
        ("train: .\nnames: [cat, cat]", "'cat' stands there twice"),
        ("train: .\nnames: [cat]\nnc: 2", ":3: nc: 2, but there are 1 names"),
        ("train: .\nnames: [cat]\nnc: one", ":3: nc: not a number"),
        ("train: .\nnames: [cat]\nnc: [1]", ":3: nc: not a number"),
        ("names: [cat]", "no split"),
        ("names: [cat]\nvalid: .", r"(?s)no split.*the key 'valid' is not read"),
        ("names: [cat]\ntrain: nowhere", ":2: train: .*nowhere is neither a folder"),
        ("names: [cat]\ntrain: 7", "neither a folder"),
        ("names: [cat]\ntrain: {a: b}", ":2: train: not a path"),
        ("names: [cat]\ntrain: ['']", ":2: train: not a path"),
        ("names: [cat]\ntrain: .\npath: [7]", "path: not a folder name"),
        ('names: [cat]\ntrain: "a\\0b"', "neither a folder"),
        ('names: [cat]\ntrain: "images\\train"', "was a backslash"),
        ("names: [cat]\ntrain: ~nobody/here", "neither a folder"),
        ("names: [cat]\ntrain: data.yaml", "Write the folder that the images are in"),
        ("names: [cat]\ntrain: /content/set/images/Train", "of another machine .*Here is .*images/train: write that"),
    ],
)
def test_bad_yaml(data: Path, text: str, words: str) -> None:
    data.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read_spec(data)
    assert str(caught.value).startswith(str(data))


@given(
    st.one_of(
        st.binary(max_size=80), st.text(st.sampled_from("ab01:-[]{}&*!'\"\n \t#|?,"), max_size=40).map(str.encode)
    )
)
@settings(max_examples=200)
def test_no_text_brings_the_reader_down(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz_yaml" / "data.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"train: .\nnames: [cat]\nnc: 1\n" + content)
    for _ in range(2):  # after three good lines, then alone
        with contextlib.suppress(UserError):
            assert read_spec(path).names
        path.write_bytes(content)


# --- one set, many ways to write it down ----------------------------------------------------------------

ODD = ("plain", "with space", "größe", "猫🐟", "100%", "#1", "a&b", "it's")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`my set ü #1/` with eight images in odd folders below `images/`; labels beside, as they should be."""
    root = tmp_path_factory.mktemp("odd") / "my set ü #1"
    for number, name in enumerate(ODD):
        for kind in ("images", "labels"):
            (root / kind / name).mkdir(parents=True)
        Image.fromarray(noise(12, 16, number)).save(root / "images" / name / f"{name}.png")
        (root / "labels" / name / f"{name}.txt").write_text(BOX)
    return root


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(draw=st.data())
def test_every_way_to_write_a_set_down_gives_the_same_images(
    odd: Path, tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    """A random path, of each image a random form: in its folder, in a list, relative to whatever."""
    choose = lambda *options: draw.draw(st.sampled_from(options))  # noqa: E731
    home = odd / f"yaml {len(list(odd.glob('yaml *')))}"
    home.mkdir()
    root = choose(None, "..", str(odd), "../images", "..\\images")
    base = home if root is None else (home / root.replace("\\", "/"))
    entries = []
    for name in ODD:
        image = odd / "images" / name / f"{name}.png"
        place = choose("folder", "list", "absolute")
        if place == "list":
            source = choose(home, odd) / f"{name}.txt"
            target = choose(os.path.relpath(image, source.parent), os.path.relpath(image, base), str(image))
            target = choose(target, target.replace("/", "\\"), f"  {target}\t", f'"{target}"')
            text = choose("\ufeff", "") + choose("", "\r\n", "\n\n") + target + choose("", "\n", "\r\n", "\r\n \r\n")
            source.write_bytes(
                text.encode("utf-8") if text[0] != "\ufeff" else text.encode(choose("utf-8", "utf-16-le"))
            )
            entries.append(os.path.relpath(source, base))
        else:
            entries.append(os.path.relpath(image.parent, base) if place == "folder" else str(image.parent))
    quoted = ["'" + choose(e, e.replace("/", "\\")).replace("'", "''") + "'" for e in entries]
    separator = choose("[", "-")
    value = f" [{', '.join(quoted)}]" if separator == "[" else "".join(f"\n  - {q}" for q in quoted)
    lines = ["names: {'0': cat}", f"train:{value}", *([] if root is None else [f"path: '{root}'"])]
    text = choose("\n", "\r\n").join(draw.draw(st.permutations(lines))) + "\n"
    (home / "data.yaml").write_bytes(text.encode(choose("utf-8", "utf-8-sig", "utf-16")))
    spec = read_spec(home / "data.yaml")
    assert {i.resolve() for i in spec.images("train")} == {(odd / "images" / n / f"{n}.png").resolve() for n in ODD}
    assert len(spec.images("train")) == len(ODD)
    assert not spec.missing
    assert spec.notes == ()


def test_odd_paths_are_read_to_the_pixels(odd: Path) -> None:
    (odd / "data.yaml").write_text("train: images\nval: images\nnames: [cat]")
    data = DetectionData(read_spec(odd / "data.yaml"), "train", 16)
    assert len(data) == len(ODD)
    assert all(len(sample.labels) == 1 for sample in data)
