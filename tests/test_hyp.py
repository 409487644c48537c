"""Hyper-parameter files: every key reaches its setting, and every mistake is named."""

from pathlib import Path

import pytest

from yolo_edu.errors import UserError
from yolo_edu.hyp import AUGMENT, GAINS, PLAIN, read_hyp
from yolo_edu.loss import LossSettings
from yolo_edu.model import YOLOv5, YOLOv5v6
from yolo_edu.recipe import RECIPES, Recipe, loss_settings

# Release 7.0's defaults, as numerics.md states them, in a file of its format.
R7 = """lr0: 0.01
lrf: 0.01
momentum: 0.937
weight_decay: 0.0005
warmup_epochs: 3.0
warmup_momentum: 0.8
warmup_bias_lr: 0.1
box: 0.05
cls: 0.5
cls_pw: 1.0
obj: 1.0
obj_pw: 1.0
iou_t: 0.20
anchor_t: 4.0
fl_gamma: 0.0
hsv_h: 0.015
hsv_s: 0.7
hsv_v: 0.4
degrees: 0.0
translate: 0.1
scale: 0.5
shear: 0.0
perspective: 0.0
flipud: 0.0
fliplr: 0.5
mosaic: 1.0
mixup: 0.0
copy_paste: 0.0
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "hyp.yaml"
    path.write_text(text)
    return path


def test_the_releases_own_file_is_the_reference_recipe(tmp_path: Path) -> None:
    assert read_hyp(written(tmp_path, R7), RECIPES["reference"], "yolov5v6") == Recipe()


def test_what_a_file_leaves_out_stays(tmp_path: Path) -> None:
    recipe = read_hyp(written(tmp_path, "fl_gamma: 1.5\n"), RECIPES["short"], "yolov5v6")
    assert recipe.focal_gamma == 1.5
    assert recipe.lr == RECIPES["short"].lr
    assert loss_settings(YOLOv5v6((0.33, 0.125), 5), recipe, 256).focal_gamma == 1.5


@pytest.mark.parametrize("key", [*PLAIN, *AUGMENT, *GAINS])
def test_every_key_changes_something(key: str, tmp_path: Path) -> None:
    base = RECIPES["reference"]
    value = 2.5 if key == "anchor_t" else 0.25
    changed = read_hyp(written(tmp_path, f"{key}: {value}\n"), base, "yolov5v6")
    assert changed != base


@pytest.mark.parametrize(("release", "build"), [("yolov5", YOLOv5), ("yolov5v6", YOLOv5v6)])
def test_gains_are_absolute(release: str, build: type[YOLOv5 | YOLOv5v6], tmp_path: Path) -> None:
    """box 0.1, obj 2, cls 0.25 at 80 classes and 640 px are the loss's own numbers."""
    text = "box: 0.1\nobj: 2.0\ncls: 0.25\ncls_pw: 3\nobj_pw: 4\nanchor_t: 3.0\n"
    recipe = read_hyp(written(tmp_path, text), Recipe(), release)
    settings: LossSettings = loss_settings(build((0.33, 0.125), 80), recipe, 640)
    assert (settings.box, settings.objectness, settings.classification) == pytest.approx((0.1, 2.0, 0.25))
    assert (settings.class_positive_weight, settings.objectness_positive_weight) == (3, 4)
    assert settings.anchor_threshold == 3.0


def test_the_articles_giou_is_the_box_gain(tmp_path: Path) -> None:
    assert read_hyp(written(tmp_path, "giou: 0.1\n"), Recipe(), "yolov5").box_gain == pytest.approx(2)


def test_optimizer_and_numbers_that_yaml_reads_as_text(tmp_path: Path) -> None:
    recipe = read_hyp(written(tmp_path, "\ufeffoptimizer: Adam\nlr0: 1e-3\n"), Recipe(), "yolov5")
    assert (recipe.optimizer, recipe.lr) == ("adam", 0.001)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr: 0.1\n", "'lr' is no hyper-parameter. Known: lr0"),
        ("lr0: fast\n", "lr0: 'fast' is not a number"),
        ("lr0: -1\n", "lr0: -1 is outside"),
        ("lr0: 0\n", "lr must be more than 0"),
        ("lr0: .nan\n", "not a number"),
        ("lr0: yes\n", "not a number"),
        ("mosaic: 2\n", "mosaic: 2 is outside"),
        ("anchor_t: 0.5\n", "anchor_t: 0.5 is outside"),
        ("flipud: 0.5\n", "flipud: 0.5: this augmentation is not built here"),
        ("optimizer: lion\n", "none of sgd, adam, adamw"),
        ("anchors: 4\n", "a --cfg YAML"),
        ("- 1\n", "no hyper-parameters"),
        ("", "no hyper-parameters"),
        ("lr0: [\n", "not YAML"),
    ],
)
def test_mistakes(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_hyp(written(tmp_path, text), Recipe(), "yolov5v6")
    assert words in str(caught.value)
    assert "hyp.yaml" in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the hyper-parameters"):
        read_hyp(tmp_path / "absent.yaml", Recipe(), "yolov5v6")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"bytes\.yaml"):
        read_hyp(tmp_path / "bytes.yaml", Recipe(), "yolov5v6")
