"""From files to a report: a detector that knows the answer must score 1, and the report must say so."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from yolo_edu.boxes import pairwise_iou, xyxy_to_cxcywh
from yolo_edu.coco import coco_precision
from yolo_edu.data import DetectionData, Sample, letterbox, read_spec
from yolo_edu.errors import UserError
from yolo_edu.evaluate import OneClass, detect, detect_all, evaluate, measure
from yolo_edu.metrics import CONFIDENCES
from yolo_edu.model import YOLOv5
from yolo_edu.model.detect import Detect, Detector
from yolo_edu.nms import Detections

NAMES = ("cat", "dog", "owl")


class Oracle(Detector):
    """Knows every image by its gray level and answers with the truth, as raw maps of a real Detect.

    The raw maps are the inverse of the box formula, so decoding, suppression and the letterbox's undoing
    are all on trial.
    """

    def __init__(self, samples: Sequence[Sample], classes: int, certainty: float = 8.0) -> None:
        super().__init__("s", classes)
        self.model = nn.ModuleList([Detect(classes)])
        self.weight = nn.Parameter(torch.zeros(1))
        self.samples = {int(sample.image[0, 0, 0]): sample for sample in samples}
        self.certainty = certainty
        self.modes: list[bool] = []

    def forward(self, images: Tensor) -> list[Tensor]:
        self.modes.append(self.training)
        size = images.shape[-1]
        sides = [size // stride for stride in self.strides]
        raw = [torch.full((len(images), 3, side, side, 5 + self.classes), -8.0) for side in sides]
        for i, image in enumerate(images):
            gray = float(image[0, size // 2, size // 2]) * 255
            assert abs(gray - round(gray)) < 1e-3  # pixels arrive as n/255
            sample = self.samples[round(gray)]
            boxes = xyxy_to_cxcywh(letterbox(sample.image, size)[1].apply(sample.boxes))
            for box, label in zip(boxes, sample.labels, strict=True):
                level, anchor, row, column, logits = self.encode(box, raw, i)
                raw[level][i, anchor, row, column, :4] = logits
                raw[level][i, anchor, row, column, 4] = self.certainty
                raw[level][i, anchor, row, column, 5 + label] = self.certainty
        return raw

    def encode(self, box: Tensor, raw: list[Tensor], image: int) -> tuple[int, int, int, int, Tensor]:
        """A free place for a box whose anchor can stretch to it, and the logits that say it there."""
        for level, stride in enumerate(self.strides):
            column, row = (box[:2] // stride).int().tolist()
            offset = box[:2] / stride - torch.tensor([column, row])
            for anchor, anchor_size in enumerate(self.anchors[level]):
                stretch = box[2:] / anchor_size
                if stretch.max() < 3.9 and raw[level][image, anchor, row, column, 4] < 0:
                    return level, anchor, row, column, torch.cat([(offset + 0.5) / 2, stretch.sqrt() / 2]).logit()
        raise AssertionError("no place left")


def write_data(
    root: Path, labels: Sequence[str], names: Sequence[str] = NAMES, *, single_class: bool = False
) -> DetectionData:
    """Images of different shapes, each of one gray level of its own, at 128 pixels."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    shapes = [(96, 128), (200, 100), (64, 64), (90, 300), (33, 47)]
    for i, text in enumerate(labels):
        height, width = shapes[i % len(shapes)]
        gray = np.full((height, width, 3), 10 * (i + 1), dtype=np.uint8)
        Image.fromarray(gray).save(root / f"images/{i:02}.png")
        (root / f"labels/{i:02}.txt").write_text(text)
    (root / "data.yaml").write_text(f"train: images\nval: images\nnames: [{', '.join(names)}]\n")
    return DetectionData(read_spec(root / "data.yaml"), "val", 128, single_class=single_class)


LABELS = (
    "0 0.3 0.4 0.2 0.3\n1 0.7 0.6 0.4 0.5\n",
    "1 0.5 0.5 0.9 0.8\n",
    "",  # an image of nothing
    "0 0.12 0.5 0.1 0.6\n0 0.5 0.5 0.2 0.9\n1 0.8 0.5 0.2 0.7\n",
    "1 0.25 0.25 0.5 0.5\n0 0.75 0.75 0.5 0.5\n",  # at the border
    "0 0.5 0.5 0.3 0.3\n",
)


@pytest.fixture
def data(tmp_path: Path) -> DetectionData:
    return write_data(tmp_path / "set", LABELS)


# --- evaluate -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "batch_size"), [(None, 32), (128, 1), (96, 4), (256, 5)])
def test_perfect_detector(data: DetectionData, size: int | None, batch_size: int) -> None:
    report = evaluate(Oracle(list(data), 3), data, size=size, batch_size=batch_size, progress=False)
    assert report.map50 == pytest.approx(1, abs=1e-9)
    assert report.map == pytest.approx(1, abs=1e-9)
    assert report.fitness == pytest.approx(1, abs=1e-9)
    assert report.precision == pytest.approx(1)
    assert report.recall == pytest.approx(1)
    assert report.f1 == pytest.approx(1)
    assert (report.images, report.boxes) == (6, 9)
    assert report.ap.keys() == report.ap50.keys() == set(NAMES)
    assert math.isnan(report.ap["owl"])
    assert math.isnan(report.ap50["owl"])
    assert torch.equal(report.confusion, torch.diag(torch.tensor([5, 4, 0, 0])))


def test_mixed_up_classes(data: DetectionData) -> None:
    """Right places, but every cat is called a dog and every dog a cat."""
    wrong = [sample._replace(labels=1 - sample.labels) for sample in data]
    report = evaluate(Oracle(wrong, 3), data, progress=False)
    assert report.map50 == report.map == report.precision == report.recall == report.f1 == 0
    assert report.confusion.tolist() == [[0, 4, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


class Undecided(Oracle):
    """Gives some probability to the other classes as well."""

    def forward(self, images: Tensor) -> list[Tensor]:
        raw = super().forward(images)
        for level in raw:
            level[..., 5:] = level[..., 5:].clamp(min=0)
        return raw


def test_second_guesses_count(data: DetectionData) -> None:
    """The right class as runner-up, behind as many wrong firsts."""
    wrong = [sample._replace(labels=1 - sample.labels) for sample in data]
    report = evaluate(Undecided(wrong, 3), data, progress=False)
    # Dogs called cats rank first: 4 wrong, then 5 right ones. Precision is at its best, 5/9, at the end.
    assert report.ap["cat"] == pytest.approx(5 / 9)
    assert report.ap["dog"] == pytest.approx(4 / 9)


def test_loose_boxes_count_at_low_thresholds_only() -> None:
    truth = Sample(torch.empty(3, 0, 0), torch.tensor([[0.0, 0, 100, 100]]), torch.tensor([0]))
    found = Detections(torch.tensor([[0.0, 0, 72, 100]]), torch.tensor([0.9]), torch.tensor([0]))
    report = measure([truth], [found], ["box"])
    assert report.map50 == report.ap50["box"] == pytest.approx(1)
    assert report.map == report.ap["box"] == pytest.approx(0.5)  # IoU 0.72: right at 0.50 … 0.70
    assert report.fitness == pytest.approx(0.55)


def test_every_second_image_found(data: DetectionData) -> None:
    """AP is the share of the 101 recalls that perfect precision reaches."""
    half = [
        sample if i % 2 == 0 else sample._replace(boxes=sample.boxes[:0], labels=sample.labels[:0])
        for i, sample in enumerate(data)
    ]
    report = evaluate(Oracle(half, 3), data, progress=False)
    assert report.ap["cat"] == pytest.approx(41 / 101)  # images 0 and 4 hold 2 of 5: recalls 0 … 0.4
    assert report.ap["dog"] == pytest.approx(51 / 101)  # 2 of 4
    assert report.map == pytest.approx(92 / 202)
    assert report.precision == pytest.approx(1)
    assert report.recall == pytest.approx((2 / 5 + 2 / 4) / 2)
    assert report.confusion[3].tolist() == [3, 2, 0, 0]


def test_no_detections(data: DetectionData) -> None:
    report = evaluate(Oracle(list(data), 3, certainty=-8.0), data, progress=False)
    assert report.map50 == report.map == report.fitness == 0
    assert report.precision == report.recall == report.f1 == 0
    assert report.confusion[3].tolist() == [5, 4, 0, 0]


def test_no_labels(tmp_path: Path) -> None:
    data = write_data(tmp_path / "set", ["", ""])
    guesses = [sample._replace(boxes=torch.tensor([[5.0, 5, 40, 40]]), labels=torch.tensor([1])) for sample in data]
    for samples in (list(data), guesses):
        report = evaluate(Oracle(samples, 3), data, progress=False)
        assert math.isnan(report.map)
        assert math.isnan(report.map50)
        assert math.isnan(report.precision)
        assert report.fitness == 0
        assert report.boxes == 0
        assert "nan" not in report.table()
    assert report.confusion[1].tolist() == [0, 0, 0, 2]


def test_one_class(tmp_path: Path) -> None:
    data = write_data(tmp_path / "set", ["0 0.5 0.5 0.4 0.4\n", "0 0.3 0.3 0.2 0.2\n"], names=["ball"])
    report = evaluate(Oracle(list(data), 1), data, progress=False)
    assert report.ap == {"ball": pytest.approx(1)}
    assert report.confusion.tolist() == [[2, 0], [0, 0]]


def test_all_classes_taken_for_one(data: DetectionData, tmp_path: Path) -> None:
    """Cats called dogs are right then, and two classes at one place are one object."""
    wrong = [sample._replace(labels=1 - sample.labels) for sample in data]
    data = write_data(tmp_path, LABELS, single_class=True)
    report = evaluate(OneClass(Undecided(wrong, 3)), data, progress=False)
    assert report.ap == {"object": pytest.approx(1)}
    assert report.confusion.tolist() == [[9, 0], [0, 0]]
    assert (report.images, report.boxes) == (6, 9)
    many = evaluate(OneClass(Oracle(list(data), 80)), data, progress=False)  # counts need not agree
    assert many.map == pytest.approx(1)


def test_one_class_is_the_best_class() -> None:
    torch.manual_seed(0)
    model = YOLOv5((0.33, 0.125), 3).eval()
    one, images = OneClass(model, "thing"), torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        rows, expected = one.rows(images), model.rows(images)
    assert torch.equal(rows[..., :5], expected[..., :5])
    for row, old in zip(rows.flatten(0, 1).tolist(), expected.flatten(0, 1).tolist(), strict=True):
        assert row[5:] == [max(old[5:])]
    assert (one.names, one.classes, one.strides, one.device) == (("thing",), 1, (8, 16, 32), torch.device("cpu"))


def test_one_class_reaches_evaluation_mode(data: DetectionData) -> None:
    model = Oracle(list(data), 3)
    detect(OneClass(model), [data[0].image], size=128)
    assert model.modes == [False]
    assert model.training


def test_truth_keeps_sizes_but_no_pixels(data: DetectionData) -> None:
    truth, found = detect_all(Oracle(list(data), 3), data, progress=False)
    assert len(found) == len(data)
    for kept, sample in zip(truth, data, strict=True):
        assert kept.image.numel() == 0
        assert kept.image.shape[1:] == sample.image.shape[1:]
        assert torch.equal(kept.boxes, sample.boxes)
        assert torch.equal(kept.labels, sample.labels)


def test_runs_in_evaluation_mode_and_restores_every_module(data: DetectionData) -> None:
    for mode in (True, False):
        model = Oracle(list(data), 3).train(mode)
        model.detect.eval()  # as somebody does who freezes a part
        evaluate(model, data, progress=False)
        assert model.modes == [False]
        assert model.training is mode
        assert not model.detect.training


def test_mode_returns_after_an_error(data: DetectionData) -> None:
    model = Oracle([], 3)  # knows no image: KeyError
    with pytest.raises(KeyError):
        evaluate(model, data, progress=False)
    assert model.training


def test_a_real_network_end_to_end(data: DetectionData, capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = YOLOv5((0.33, 0.125), 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = evaluate(model, data, progress=False)
    assert 0 <= report.map <= report.map50 <= 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert capfd.readouterr() == ("", "")  # pycocotools prints every step


def test_bad_input(data: DetectionData, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Oracle(list(data), 3)
    with pytest.raises(UserError, match="multiple of 32"):
        evaluate(model, data, size=100)
    with pytest.raises(UserError, match="batch size 0"):
        evaluate(model, data, batch_size=0)
    with pytest.raises(UserError, match=r"knows 80 classes, the data set has 3 \(cat, dog, owl\)"):
        evaluate(Oracle([], 80), data)
    monkeypatch.setattr(data, "images", [])
    with pytest.raises(UserError, match="empty"):
        evaluate(model, data)


# --- the report -----------------------------------------------------------------------------------------


def test_table(data: DetectionData) -> None:
    lines = evaluate(Oracle(list(data), 3), data, progress=False).table().splitlines()
    assert [line.split() for line in lines[:-1]] == [
        ["class", "boxes", "AP50", "AP50-95"],
        ["all", "9", "1.000", "1.000"],
        ["cat", "5", "1.000", "1.000"],
        ["dog", "4", "1.000", "1.000"],
        ["owl", "0", "-", "-"],
    ]
    assert len({len(line) for line in lines[:-1]}) == 1
    assert lines[-1].startswith("6 images; best F1 1.000 at confidence 0.")


def test_table_of_many_classes() -> None:
    """The weakest five, or all of them if wanted; classes without objects are not weak, they are unknown."""
    box, names = torch.tensor([[0.0, 0, 100, 100]]), [f"class {k}" for k in range(30)]
    truth, found = [], []
    for k in range(25):  # IoU 0.72 for the first six, 1 for the others
        truth.append(Sample(torch.empty(3, 0, 0), box, torch.tensor([k])))
        width = 72 if k < 6 else 100
        boxes = torch.tensor([[0.0, 0, width, 100]])
        found.append(Detections(boxes, torch.tensor([0.9]), torch.tensor([k])))
    report = measure(truth, found, names)
    short, long = report.table().splitlines(), report.table(verbose=True).splitlines()
    assert short[0].startswith("the weakest of 30 ")
    assert [line.split()[:2] for line in short[2:-1]] == [["class", str(k)] for k in range(5)]
    assert [line.split()[:2] for line in long[2:-1]] == [["class", str(k)] for k in range(30)]
    assert short[1].split() == long[1].split() == ["all", "25", "1.000", "0.880"]
    assert short[-1] == long[-1]
    assert len(measure(truth, found, names[:25]).table(verbose=True).splitlines()) == 28


def test_more_than_a_hundred_detections_count() -> None:
    """The right one comes after 150 wrong ones: beyond the COCO tools' own limit, within ours."""
    wrong = torch.tensor([50.0, 50, 60, 60]).repeat(150, 1)
    right = torch.tensor([[0.0, 0, 10, 10]])
    truth = Sample(torch.empty(3, 0, 0), right, torch.tensor([0]))
    scores = torch.linspace(0.9, 0.1, 151)
    found = Detections(torch.cat([wrong, right]), scores, torch.zeros(151, dtype=torch.int64))
    assert coco_precision([truth], [found], 1) == pytest.approx(np.full((10, 101, 1), 1 / 151))


def test_curves_of_the_report_agree_with_its_numbers(data: DetectionData) -> None:
    wrong = [sample._replace(labels=1 - sample.labels) for sample in data]
    half = [sample if i % 2 else wrong[i] for i, sample in enumerate(data)]
    report = evaluate(Undecided(half, 3), data, progress=False)
    assert 0 < report.map50 < 1
    assert report.precision_at_recall.shape == (101, 3)
    assert report.precision_at_recall.mean(axis=0).tolist() == pytest.approx([*report.ap50.values()], nan_ok=True)
    assert (np.diff(report.precision_at_recall[:, :2], axis=0) <= 0).all()  # the best at this recall or beyond
    assert np.isnan(report.precision_at_recall[:, 2]).all()
    at = int(np.abs(CONFIDENCES - report.confidence).argmin())
    for curve, mean in zip(report.curves, (report.precision, report.recall, report.f1), strict=True):
        assert curve.shape == (3, 1000)
        assert curve[:2, at].mean() == pytest.approx(mean)
        assert np.isnan(curve[2]).all()
    assert report.objects == [5, 4, 0]
    assert "curves" not in repr(report)


def test_curves_are_those_at_iou_one_half() -> None:
    truth = Sample(torch.empty(3, 0, 0), torch.tensor([[0.0, 0, 100, 100]]), torch.tensor([0]))
    found = Detections(torch.tensor([[0.0, 0, 52, 100]]), torch.tensor([0.9]), torch.tensor([0]))
    report = measure([truth], [found], ["box"])
    assert report.precision_at_recall == pytest.approx(np.ones((101, 1)))
    assert report.curves.recall[0, 500] == 1


def test_reports_without_detections_or_truth_have_curves_too() -> None:
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    guess = Detections(torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([0.9]), torch.tensor([0]))
    empty = Sample(torch.empty(3, 0, 0), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    full = Sample(torch.empty(3, 0, 0), torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    report = measure([full], [nothing], ["a", "b"])
    assert (report.precision_at_recall[:, 0] == 0).all()
    assert all((curve[0] == 0).all() and np.isnan(curve[1]).all() for curve in report.curves)
    for found in (nothing, guess):
        report = measure([empty], [found], ["a", "b"])
        assert np.isnan(report.precision_at_recall).all()
        assert all(np.isnan(curve).all() for curve in report.curves)
        assert math.isnan(report.confidence)


# --- detect ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [96, 160])
def test_detect_returns_each_images_own_pixels(data: DetectionData, size: int) -> None:
    samples = list(data)
    found = detect(Oracle(samples, 3), [sample.image for sample in samples], size=size)
    for sample, (boxes, scores, labels) in zip(samples, found, strict=True):
        assert (scores > 0.99).all()
        assert len(boxes) == len(sample.boxes)
        if len(boxes):
            overlap, same = pairwise_iou(sample.boxes, boxes).max(dim=1)
            assert overlap.min() > 0.999
            assert torch.equal(labels[same], sample.labels)
        height, width = sample.image.shape[1:]
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height])).all()


def test_detect_a_batch_equals_single_images(data: DetectionData) -> None:
    torch.manual_seed(0)
    model = YOLOv5((0.33, 0.125), 3)
    images = [torch.randint(0, 256, sample.image.shape, dtype=torch.uint8) for sample in data]
    options = {"size": 128, "confidence": 0.001, "max_detections": 5}
    for image, found in zip(images, detect(model, images, **options), strict=True):  # type: ignore[arg-type]
        (alone,) = detect(model, [image], **options)  # type: ignore[arg-type]
        torch.testing.assert_close(found.scores, alone.scores)
        torch.testing.assert_close(found.boxes, alone.boxes, rtol=1e-4, atol=1e-3)


def test_detect_filters_and_limits(data: DetectionData) -> None:
    samples = list(data)
    model, images = Oracle(samples, 3), [sample.image for sample in samples]
    cats = detect(model, images, size=128, classes=[0])
    assert [len(found.labels) for found in cats] == [int((s.labels == 0).sum()) for s in samples]
    assert all(len(found.labels) <= 1 for found in detect(model, images, size=128, max_detections=1))
    assert detect(model, [], size=128) == []


def test_detect_bad_input(data: DetectionData) -> None:
    model, images = Oracle(list(data), 3), [data[0].image]
    for size in (0, -32, 100):
        with pytest.raises(UserError, match="multiple of 32"):
            detect(model, images, size=size)
    with pytest.raises(UserError, match=r"\[1, 3\]: the model knows 0 to 2"):
        detect(model, images, size=128, classes=[3, 1])
    with pytest.raises(UserError, match="confidence is 25"):
        detect(model, images, size=128, confidence=25)
