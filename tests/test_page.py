"""The page of a run, read as a browser would: complete in itself, everything escaped, gaps named."""

import base64
import itertools
import json
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_data import noise

from yolo_edu.errors import UserError
from yolo_edu.page import write_page
from yolo_edu.recipe import RECIPES
from yolo_edu.run import Options, Run

VOID = {"meta", "img", "br", "hr", "link"}
HOSTILE = '<script>alert("1")</script>&amp;'
PICTURES = ("labels.png", "results.png", "detections.jpg", "pr_curve.png", "f1_curve.png", "confusion.png")


class Reader(HTMLParser):
    """Tags with their attributes, texts, and the check that every tag is closed in its place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def class_row(name: str, boxes: int, value: float | None) -> dict[str, object]:
    return {"name": name, "boxes": boxes, **dict.fromkeys(("ap50", "ap", "precision", "recall", "f1"), value)}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A finished run."""
    run = Run(tmp_path / "cards <5>")
    run.folder.mkdir()
    command = f"yolo-edu train --data 'my data.yaml' --name {HOSTILE}"
    run.write_config(
        RECIPES["short"], Options(), model={"names": [HOSTILE, "owl"]}, data="x.yaml", device="cpu", command=command
    )
    run.write_log(
        [
            {"epoch": 1, "box": 0.5, "lr": 0.001},
            {"epoch": 2, "box": 0.25, "lr": 0.002, "map50": 0.9, "map": 0.7},
            {"epoch": 3, "box": 0.125, "lr": 0.003, "map50": 0.95, "map": 0.6},
            {"epoch": 4, "box": 0.0625, "lr": 0.004},
        ]
    )
    totals = {"images": 6, "boxes": 9, "map50": 0.9, "map": 0.7, "precision": 0.8, "recall": 0.6, "f1": 0.685}
    classes = [class_row(HOSTILE, 9, 0.123), class_row("owl", 0, None)]
    (run.folder / "metrics.json").write_text(json.dumps({**totals, "confidence": 0.4, "classes": classes}))
    for seed, name in enumerate((*PICTURES, "train_batch0.jpg", "train_batch2.jpg", "train_batch10.jpg")):
        cv2.imwrite(str(run.folder / name), noise(20, 30, seed))
    return run


def read(folder: Path) -> Reader:
    return Reader(write_page(folder).read_text(encoding="utf-8"))


def test_every_picture_is_inside_with_words_for_it(run: Run) -> None:
    page = read(run.folder)
    pictures = page.all("img")
    assert len(pictures) == 9
    shown = []
    for picture in pictures:
        assert len(picture["alt"] or "") > 20
        kind, data = (picture["src"] or "").split(";base64,")
        assert kind in ("data:image/png", "data:image/jpeg")
        content = base64.b64decode(data, validate=True)
        assert content.startswith(b"\x89PNG" if kind.endswith("png") else b"\xff\xd8")
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None
        shown.append(content)
    for name in PICTURES:
        assert (run.folder / name).read_bytes() in shown
    batches = [(run.folder / f"train_batch{n}.jpg").read_bytes() for n in (0, 2, 10)]
    assert shown[-3:] == batches  # in the order of their numbers
    assert "not there" not in page.text


def test_asks_for_nothing_outside(run: Run) -> None:
    page = read(run.folder)
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe", "object", "embed", "base")]
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), tag
            if name in ("src", "href", "srcset", "action"):
                assert (value or "").startswith(("data:image/", "#"))
    (style,) = [text for text in page.texts if "color-scheme" in text]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")


def test_contents_lead_to_headings(run: Run) -> None:
    page = read(run.folder)
    targets = {attributes["id"] for attributes in page.all("section")}
    links = [attributes["href"] for attributes in page.all("a")]
    assert links == ["#result", "#training", "#data", "#settings"]
    assert {f"#{target}" for target in targets} == set(links)
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_hostile_names_stay_text(run: Run) -> None:
    page = read(run.folder)
    assert [HOSTILE, "9", *["0.123"] * 5] in page.rows
    assert f"yolo-edu train --data 'my data.yaml' --name {HOSTILE}" in page.texts
    assert "Training run cards <5>" in page.texts
    assert not page.all("script")


def test_numbers(run: Run) -> None:
    page = read(run.folder)
    assert ["all", "9", "0.900", "0.700", "0.800", "0.600", "0.685"] in page.rows
    assert ["owl", "0", *["–"] * 5] in page.rows
    assert "mAP50-95 0.700" in page.text
    # Epoch 2 has the higher fitness, epoch 3 only the higher mAP50.
    start = page.rows.index(["", "best epoch", "last epoch"])
    assert page.rows[start + 1 : start + 6] == [
        ["epoch", "2", "4"],
        ["box loss", "0.25", "0.0625"],
        ["learning rate", "0.002", "0.004"],
        ["mAP50", "0.9", "–"],
        ["mAP50-95", "0.7", "–"],
    ]
    assert f"4 of {RECIPES['short'].epochs} epochs" in page.text
    for row in (["augment.scale", "0.4"], ["optimizer", "adamw"], ["patience", "not set"], ["device", "cpu"]):
        assert row in page.rows


def test_same_files_same_page(run: Run) -> None:
    assert write_page(run.folder).read_bytes() == write_page(run.folder).read_bytes()  # it bears no date


def test_unfinished_run(run: Run) -> None:
    for name in (*PICTURES, "metrics.json"):
        (run.folder / name).unlink()
    for path in run.folder.glob("*.jpg"):
        path.unlink()
    run.write_log([{"epoch": 1, "box": 0.5}])
    page = read(run.folder)
    assert not page.all("img")
    for name in (*PICTURES, "train_batch0.jpg"):
        assert f"{name} is not there" in page.text
    assert "not measured yet" in page.text
    assert ["box loss", "0.5"] in page.rows


@pytest.mark.parametrize("content", [None, "", "{", "[1]", "\x00"])
def test_missing_or_damaged_files(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        for name in ("config.json", "metrics.json", "results.csv"):
            (tmp_path / name).write_text(content)
    page = read(tmp_path)
    assert "config.json is not there or cannot be read" in page.text
    assert "No epoch was finished yet" in page.text


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        write_page(tmp_path / "nowhere")
