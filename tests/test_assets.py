"""Shipped files are found, and a wrong name is answered with the right ones."""

import pytest

from yolo_edu.assets import sample_data, sample_photo, shipped_weights
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
