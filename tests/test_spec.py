import pytest
from PIL import Image
from small_data import make_data, noise

from yolo_edu.errors import UserError
from yolo_edu.spec import read_spec


def test_read_spec_forms(tmp_path):
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
    path.write_text("path: ..\nnames: [10, cat]\ntrain: images/train\nval:\n")
    assert read_spec(path).names == ("10", "cat")
    with pytest.raises(UserError, match=r"no split 'val'.*use one of: train"):
        read_spec(path).images("val")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a data set YAML"),
        ("- a", "not a data set YAML"),
        ("a: [", ":1: not YAML"),
        ("train: .\nnames: [a\nval: b", ":3: not YAML"),
        ("a: !!timestamp x", "not YAML"),
        ("a: \x00", "not YAML"),
        ("train: .", "names is missing"),
        ("train: .\nnames: cat", "names is missing"),
        ("train: .\nnames: []", "names is missing"),
        ("train: .\nnames: {1: cat, 2: dog}", "0 to 1 without gaps"),
        ("train: .\nnames: [yes, no]", "quotes"),
        ("train: .\nnames: [cat, [dog]]", "quotes"),
        ("train: .\nnames: [cat, cat]", "twice"),
        ("train: .\nnames: [cat]\nnc: 2", "nc: 2, but there are 1 names"),
        ("names: [cat]", "no split"),
        ("names: [cat]\ntrain: nowhere", "train: .*nowhere is neither a folder"),
        ("names: [cat]\ntrain: 7", "train: 7 is not a path"),
        ("names: [cat]\ntrain: .\npath: 7", "path: 7 is not a folder name"),
        ('names: [cat]\ntrain: "a\\0b"', "neither a folder"),
        ("names: [cat]\ntrain: ~nobody/here", "neither a folder"),
    ],
)
def test_bad_yaml(tmp_path, text, words):
    path = tmp_path / "data.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read_spec(path)
    assert str(path) in str(caught.value)


def test_missing_yaml(tmp_path):
    for path in (tmp_path / "gone.yaml", tmp_path):
        with pytest.raises(UserError, match="cannot read the data set YAML"):
            read_spec(path)
    (tmp_path / "latin.yaml").write_bytes("names: [größe]".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        read_spec(tmp_path / "latin.yaml")
