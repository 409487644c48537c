"""Shipped files are found, and a wrong name is answered with the right ones."""

from pathlib import Path

import pytest

from yolo_edu.assets import find_data, find_weights, sample_data, sample_photo, shipped_weights
from yolo_edu.data import read_image
from yolo_edu.errors import UserError


@pytest.mark.parametrize("name", ["cat", "coffee", "astronaut"])
def test_sample_photos_are_credited(name: str) -> None:
    path = sample_photo(name)
    assert min(read_image(path).shape[1:]) >= 300
    credits = (path.parent / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert f"`{path.name}`" in credits


def test_every_sample_photo_has_a_credit_and_nothing_else_lies_there() -> None:
    names = {path.name for path in sample_photo().parent.iterdir()}
    assert names == {"cat.jpg", "coffee.jpg", "astronaut.jpg", "ATTRIBUTION.md"}


@pytest.mark.parametrize(
    ("find", "known"),
    [(sample_data, "aquarium5.yaml"), (sample_photo, "astronaut, cat, coffee"), (shipped_weights, "cards_n")],
)
def test_an_unknown_name_is_answered_with_what_there_is(find, known: str) -> None:
    with pytest.raises(UserError, match=known):
        find("nothing")


def test_data_and_weights_by_path_or_by_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_data(None) == sample_data()
    assert find_data(Path("./data/train_5classes.yaml")) == sample_data()  # the article's, from any folder
    assert find_data(Path("data/other.yaml")) == Path("data/other.yaml")
    (tmp_path / "aquarium5.yaml").touch()
    assert find_data(Path("aquarium5.yaml")) == Path("aquarium5.yaml")
    assert find_weights("cards_n") == shipped_weights("cards_n")
    assert find_weights("") is find_weights(None) is None
    (tmp_path / "yolov5s.pt").touch()
    assert find_weights("yolov5s.pt") == Path("yolov5s.pt")
    with pytest.raises(UserError, match="GitHub"):
        find_weights("elsewhere/yolov5x6.pt")
    with pytest.raises(UserError, match=r"no such file.*cards_n"):
        find_weights("mine.pt")
