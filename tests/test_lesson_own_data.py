"""Lesson 15: the planted folder is what it says, figures and widget follow the modules, checks know the answers."""

import json
import re
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.text import Text

from yolo_edu import cli
from yolo_edu.assets import sample_data
from yolo_edu.boxes import iou
from yolo_edu.course import checks, figures, widgets
from yolo_edu.course.figures import own_data
from yolo_edu.course.measured import FOLDER, read_measured
from yolo_edu.course.widgets import frame
from yolo_edu.files import decode_image, label_path, read_labels
from yolo_edu.lint import CODES, Examination, examine
from yolo_edu.lint.pictures import suspects
from yolo_edu.model import YOLOv5v6
from yolo_edu.spec import read_spec
from yolo_edu.transfer import prediction_tensors, transfer

LESSON = Path(__file__).parents[1] / "notebooks/src/15_your_own_data.py"
YAML = "train: images/train\nval: images/val\nnames: [jellyfish, penguin]\n"


# --- the folder -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("export")
    checks.somebodys_export(place)
    (place / "visit.yaml").write_text(YAML)
    return place


@pytest.fixture(scope="module")
def found(folder: Path) -> Examination:
    return examine(read_spec(folder / "visit.yaml"), 128)


def test_every_planted_fault_is_reported_or_cannot_be(
    folder: Path, found: Examination, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = checks.somebodys_export(tmp_path)
    assert len({fault.what for fault in planted}) == 13
    assert {fault.code for fault in planted} <= {*CODES, ""}
    for fault in planted:
        assert (folder / fault.file).is_file()
        reports = {f.code for f in found.faults if f.path == folder / fault.file}
        assert fault.code in reports or fault.code in ("", "yaml")
        if not fault.code:
            assert not reports
    assert cli.main(["lint", str(tmp_path / "visit.yaml")]) == 2  # the split that is not there
    assert "images/test" in capsys.readouterr().err
    text = (tmp_path / "visit.yaml").read_text()
    (tmp_path / "visit.yaml").write_text(text.replace("test: images/test\n", ""))
    notes = read_spec(tmp_path / "visit.yaml").notes
    assert any("D:/exports/visit" in note.message for note in notes)


def test_nothing_else_is_wrong_with_the_folder(found: Examination, folder: Path, tmp_path: Path) -> None:
    planted = {folder / fault.file for fault in checks.somebodys_export(tmp_path)}
    assert {fault.path for fault in found.faults} <= planted


def test_the_export_is_the_same_every_time(folder: Path, tmp_path: Path) -> None:
    checks.somebodys_export(tmp_path)
    for file in sorted(tmp_path.rglob("*.*")):
        if file.is_file() and file.name != "visit.yaml":
            assert file.read_bytes() == (folder / file.relative_to(tmp_path)).read_bytes()


def test_the_phone_photo_looks_upright_and_its_boxes_do_not(folder: Path) -> None:
    """Read by its tag it is the original photo; turning the boxes as the lesson says brings the labels back."""
    stem = "IMG_2351"
    (original, rows) = next(pair for pair in checks.kept_photos() if pair[0].stem == stem)
    mine, theirs = (decode_image(p) for p in (folder / f"images/train/{stem}.jpg", original))
    assert not isinstance(mine, tuple)
    assert not isinstance(theirs, tuple)
    assert mine.shape == theirs.shape
    assert abs(mine.astype(float) - theirs.astype(float)).mean() < 6  # saved anew
    _, boxes = read_labels(folder / f"labels/train/{stem}.txt", 2)
    right = torch.tensor(rows)[:, 1:]
    assert (boxes - right).abs().max() > 0.1
    x, y, w, h = boxes.unbind(1)
    torch.testing.assert_close(torch.stack([1 - y, x, h, w], dim=1), right, atol=1e-4, rtol=0)


def test_no_photo_has_a_tiny_box() -> None:
    """ "Photos with a box whose side is under 8 % are left out", and the animals are the two."""
    pairs = checks.kept_photos()
    assert min((w * h) ** 0.5 for _, rows in pairs for _, _, _, w, h in rows) >= 0.08
    spec = read_spec(sample_data("aquarium5.yaml"))
    for image, rows in pairs:
        labels, boxes = read_labels(label_path(image), 5)
        assert [spec.names[k] for k in labels.tolist()] == [("jellyfish", "penguin")[row[0]] for row in rows]
        torch.testing.assert_close(torch.tensor(rows)[:, 1:], boxes)


def test_the_box_drawn_by_hand_is_the_penguin_s() -> None:
    numbers = re.search(r"corners_to_row\((\d+), (\d+), (\d+), (\d+), width, height\)", LESSON.read_text())
    assert numbers
    (image, ((_, x, y, w, h),)) = next(pair for pair in checks.kept_photos() if pair[0].stem == "IMG_2317")
    pixels = decode_image(image)
    assert not isinstance(pixels, tuple)
    height, width = pixels.shape[:2]
    true = torch.tensor([[(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]])
    assert iou(torch.tensor([[float(n) for n in numbers.groups()]]), true).item() > 0.98


# --- figures --------------------------------------------------------------------------------------------


def words(figure: plt.Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_the_way_names_commands_that_exist() -> None:
    drawn = {text.split("\n")[0] for text in words(figures.way_to_a_detector())}
    for module, question in own_data.STATIONS:
        name = module.__name__.rsplit(".", 1)[-1]
        assert name in drawn
        assert question in " ".join(words(figures.way_to_a_detector()))
        assert cli.COMMANDS[name] is module


def test_rows_in_the_figure_are_those_that_transfer_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = ("penguin", "shark", "jellyfish"), ("jellyfish", "penguin")
    pairs = figures.head_row_pairs(new, old)
    model, source = (YOLOv5v6((0.33, 0.125), names) for names in (new, old))
    transfer(model, source)
    name = prediction_tensors(model)[1]  # the biases
    for row, origin in pairs.items():
        assert model.state_dict()[name][row] == source.state_dict()[name][origin]
    assert words(figures.rows_taken_over(new, old)).count("fresh") == 1
    monkeypatch.setattr(own_data, "transfer", lambda *_: None)  # the module copies nothing: nothing is drawn as copied
    assert words(figures.rows_taken_over(new, old)).count("fresh") == 8


def test_starts_are_drawn_where_they_were_measured() -> None:
    row = {"lowest": 0.2, "highest": 0.4, "median_map50": 0.3, "median_first_map50": 0.1}
    figure = figures.start_dots({"table": [{"way": "from scratch"} | row, {"way": "other"} | row | {"highest": 0.7}]})
    (ax,) = figure.axes
    lines = [line.get_xdata() for line in ax.lines]
    assert [list(x) for x in lines] == [[0.2, 0.4], [0.3], [0.1], [0.2, 0.7], [0.3], [0.1]]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["from scratch", "other"]


def test_the_shipped_measurement_is_the_benchmark_s() -> None:
    measured = Path(__file__).parents[1] / "benchmarks/results/transfer.json"
    shipped = json.loads((FOLDER / "transfer.json").read_text())
    assert shipped == json.loads(measured.read_text())


def test_what_the_prose_says_of_the_starts() -> None:
    """The lesson prints its conclusions; only these words rest on the numbers."""
    measured = read_measured("transfer")
    assert measured["table"][0]["way"] == "from scratch"
    assert len({row["runs"] for row in measured["table"]}) == 1
    assert measured["table"][0]["runs"] > 1  # "several seeds each"
    ways = ["from scratch", "all that fits", "backbone only", "backbone frozen", "backbone and neck frozen"]
    assert [row["way"] for row in measured["table"]] == [*ways, "rates 0.1, 0.3, 1"]
    assert (measured["setting"]["epochs"], measured["setting"]["image_size"]) == (15, 192)


def test_suspects_are_drawn_with_their_box(found: Examination) -> None:
    chosen = [s for s in suspects(found) if s.fault.code in ("pixels", "near-copy")]
    figure = figures.suspect_panels(chosen)
    for ax, suspect in zip(figure.axes, chosen, strict=False):
        assert ax.get_title() == f"{suspect.fault.code}\n{suspect.seen.image.stem}"
        assert len(ax.patches) == (suspect.box is not None) + len(suspect.seen.rows)


def test_a_second_photo_is_shown_beside_the_first(found: Examination) -> None:
    (copy,) = [s for s in suspects(found) if s.fault.code == "near-copy"]
    titles = [ax.get_title() for ax in figures.suspect_panels([copy]).axes]
    assert titles[:2] == ["near-copy\nIMG_2323_sent", "near-copy: the other\nIMG_2323"]


def test_labeled_photos_have_the_rows_of_the_file(folder: Path) -> None:
    photo, labels = folder / "images/train/IMG_2339.jpg", folder / "labels/train/IMG_2340.txt"
    bare, drawn = figures.labeled_photos({"bare": (photo, None), "drawn": (photo, labels)}).axes
    x, y, w, h = (float(v) for v in labels.read_text().split()[1:])
    assert not bare.patches
    (box,) = drawn.patches
    height, width = decode_image(photo).shape[:2]  # type: ignore[union-attr]
    expected = ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
    assert (*box.get_xy(), box.get_width(), box.get_height()) == pytest.approx(expected, abs=0.01)


def test_the_turned_point_shows_the_same_pixel(folder: Path) -> None:
    axes = figures.turned_point(folder / "images/train/IMG_2351.jpg", 0.38, 0.77).axes
    colors = []
    for ax in axes:
        pixels = ax.images[0].get_array()
        assert pixels is not None
        (px,), (py,) = ax.lines[1].get_data()
        colors.append(torch.tensor(pixels[int(py) - 3 : int(py) + 4, int(px) - 3 : int(px) + 4].mean((0, 1))))
        at = f"({px / pixels.shape[1]:.2f}, {py / pixels.shape[0]:.2f})"
        assert at in [text.get_text() for text in ax.texts]
    assert (colors[0] - colors[1]).abs().max() < 8


def test_fitting_axes_hold_every_box_and_anchor() -> None:
    sizes, anchors = torch.tensor([[5.0, 9.0], [300.0, 200.0]]), torch.full((3, 3, 2), 40.0)
    for ax in figures.fitting_sizes({"a": (sizes, {"s": anchors}), "b": (sizes, {"s": anchors})}).axes:
        assert ax.get_xlim()[0] < 5
        assert ax.get_xlim()[1] > 300


# --- the widget -----------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    pages: list[str] = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: pages.append(fallback))
    return pages


NAMES = ("jellyfish", "<penguin>")


def test_the_inspector_shows_boxes_and_faults(found: Examination, shown: list[str]) -> None:
    explorer = widgets.label_inspector(found, NAMES, start="fault: pixels")
    show, photo, seen = (explorer.controls[name] for name in ("show", "photo", "seen"))
    assert "photo 1 of 3 (fault: pixels)" in shown[0]
    assert "no box that can be read" in shown[0]
    assert shown[0].count('stroke="#d55e00"') == 1  # the row that cannot be read, as far as its numbers go

    def drawn() -> int:
        return len(re.findall(r'stroke-width="2"', explorer.view.value))

    for name, hit in widgets.inspected_photos(found, NAMES).items():
        show.value = name
        assert photo.max == len(hit)
        for number in range(1, len(hit) + 1):
            photo.value = number
            one = hit[number - 1]
            assert one.image.name in explorer.view.value
            if one.image.name == "IMG_2466.jpg":
                assert "cannot be read" in explorer.view.value
            elif not one.bad_rows:
                assert drawn() == len(one.rows)
    assert "<penguin>" not in explorer.view.value
    show.value, pictures = "all photos", []
    for way in seen.options:
        seen.value = way
        pictures.append(explorer.view.value)
    assert "image-rendering:pixelated" in pictures[1]
    assert "image-rendering:pixelated" not in pictures[0]


def test_the_filters_are_what_a_plain_loop_finds(found: Examination) -> None:
    chosen = widgets.inspected_photos(found, NAMES)
    photos = [one for images in found.seen.values() for one in images]
    assert chosen["all photos"] == photos
    assert [one.image.stem for one in chosen["fault: row-twice"]] == ["IMG_2482"]
    assert chosen["class: jellyfish"] == [one for one in photos if 0 in [row.label for row in one.rows]]
    assert {one.image.stem for one in chosen["without a box"]} == {"IMG_2317", "IMG_2339"}  # no file: no box either
    small = []
    for one in photos:
        pixels = decode_image(one.image)
        if not isinstance(pixels, tuple):
            height, width = pixels.shape[:2]
            sides = [min(r.box[2] * width, r.box[3] * height) * 128 / max(width, height) for r in one.rows]
            small += [one] if any(side < 16 for side in sides) else []
    assert chosen["with a box under 16 px"] == small


def test_a_repaired_photo_is_shown_as_it_is_now(tmp_path: Path, shown: list[str]) -> None:
    checks.somebodys_export(tmp_path)
    (tmp_path / "visit.yaml").write_text(YAML)

    def page() -> str:
        spec = read_spec(tmp_path / "visit.yaml")
        return widgets.label_inspector(examine(spec, 128), spec.names, start="fault: image-turned").view.value

    before = page()
    labels = label_path(next(tmp_path.glob("images/*/IMG_2351.jpg")))
    labels.write_text("1 0.5 0.5 0.2 0.2\n")
    after = page()
    assert before != after
    assert "1 box, in pixels at training size 128: penguin" in after


@pytest.mark.parametrize("held", [100, 0])
def test_photos_that_are_moved_afterwards(
    held: int, tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read stays; what was not is said to be gone."""
    monkeypatch.setattr("yolo_edu.course.widgets.own_data.HELD", held)
    checks.somebodys_export(tmp_path)
    (tmp_path / "visit.yaml").write_text(YAML)
    spec = read_spec(tmp_path / "visit.yaml")
    explorer = widgets.label_inspector(examine(spec, 128), spec.names, start="class: penguin")
    for image in tmp_path.glob("images/*/*"):
        image.unlink()
    explorer.controls["photo"].value = 3
    assert ("has been moved or deleted since" in explorer.view.value) == (held == 0)
    assert ("data:image" in explorer.view.value) == (held > 0)


# --- the oracles of the exercises, and what the prose says ------------------------------------------------


def not_filled_in(*_: object) -> None:
    raise NotImplementedError


def test_corners_become_a_row_that_comes_back() -> None:
    to_row = checks.corners_to_row(not_filled_in)
    for corners, sides in (
        ((10, 20, 110, 70), (200, 100)),
        ((-5, -5, 50, 60), (100, 60)),
        ((90, 50, 130, 70), (100, 60)),
    ):
        width, height = sides
        cx, cy, w, h = to_row(*corners, width, height)
        back = [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height]
        clipped = [min(max(v, 0), s) for v, s in zip(corners, sides * 2, strict=True)]
        assert back == pytest.approx(clipped)


def test_groups_are_connected_components() -> None:
    groups = checks.scene_groups(not_filled_in)
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        count = int(torch.randint(2, 15, (), generator=generator))
        drawn = torch.randint(0, count, (count, 2), generator=generator).tolist()
        pairs = [(min(p), max(p)) for p in drawn if p[0] != p[1]][: count // 2]
        reach = torch.eye(count, dtype=torch.bool)  # who can be reached by pairs: by brute force
        for i, j in pairs:
            reach[i, j] = reach[j, i] = True
        for _ in range(count):
            reach = (reach.float() @ reach.float()) > 0
        assert groups(count, pairs) == [int(row.nonzero()[0]) for row in reach]


def test_shared_rows_are_transfer_s() -> None:
    shared = checks.shared_rows(not_filled_in)
    for new, old in ((("a", "b", "c"), ("c", "d")), (("x",), ("y", "z")), (("p", "q"), ("p", "q", "r"))):
        assert dict(shared(new, old, 3)) == figures.head_row_pairs(new, old)


def test_the_article_s_flags() -> None:
    """The article's commands, and every flag of the lesson's tables, are understood."""
    text = LESSON.read_text()
    article = re.search(r'article = \(\n\s+"([^"]+)"\n\s+"([^"]+)"', text)
    assert article
    args = cli.parser().parse_args(shlex.split(article[1] + article[2]))
    assert (args.batch_size, args.epochs, args.nosave, args.cache) == (19, 300, True, True)
    assert cli.parser().parse_args(["train", "--noautoanchor"]).noautoanchor
    test = cli.parser().parse_args(["test", "--weights", "a.pt", "--data", "data.yaml", "--task", "test"])
    assert test.task == "test"
    without = cli.parser().parse_args(["test", "--data", "data.yaml", "--task", "test"])
    assert without.weights == Path("cards_n")  # "yolo_edu has a default too, the shipped cards network"
    tables = text[text.index("## 9 The article's") : text.index("## Quiz")]
    known: set[str] = set()
    for name in ("train", "test", "lint", "anchors", "doctor", "detect", "export", "convert"):
        sub = next(a for a in cli.parser()._actions if a.dest == "command").choices[name]  # type: ignore[union-attr]
        known |= set(sub._option_string_actions)
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", tables)):
        assert flag in known, flag
