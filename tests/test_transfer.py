"""What a network takes over from weights of other data, what is frozen, and how fast each stage learns."""

import pytest
import torch
from torch import Tensor

from yolo_edu.errors import UserError
from yolo_edu.fit import training_mode
from yolo_edu.model import Detector, YOLOv5, YOLOv5v6
from yolo_edu.optim import apply_rates, build_optimizer
from yolo_edu.recipe import RECIPES, Rates
from yolo_edu.transfer import freeze, learning_shares, prediction_tensors, rows_to_freeze, stage_of, transfer

SCALE = (0.33, 0.125)
RELEASES = [YOLOv5, YOLOv5v6]


def built(release: type[YOLOv5 | YOLOv5v6], names: list[str], seed: int, **options: object) -> Detector:
    torch.manual_seed(seed)
    model = release(SCALE, names, **options)  # type: ignore[arg-type]
    for name, x in model.state_dict().items():
        if "running" in name:
            x.copy_(torch.rand_like(x) + 0.5)
    return model


def learned(model: Detector) -> dict[str, Tensor]:
    return {
        name: x.clone() for name, x in model.state_dict().items() if x.is_floating_point() and "anchors" not in name
    }


@pytest.mark.parametrize("release", RELEASES)
def test_the_same_classes_take_everything_over(release: type[YOLOv5 | YOLOv5v6]) -> None:
    source, model = built(release, ["a", "b"], 0), built(release, ["a", "b"], 1)
    done = transfer(model, source)
    theirs = learned(source)
    assert all(torch.equal(x, theirs[name]) for name, x in learned(model).items())
    assert (done.in_part, done.left, done.numbers) == ((), (), done.total)
    assert done.total == sum(x.numel() for x in theirs.values())


@pytest.mark.parametrize("release", RELEASES)
def test_another_head_takes_box_objectness_and_known_classes(release: type[YOLOv5 | YOLOv5v6]) -> None:
    """Row by row against loops: (anchor, output) of each level."""
    source, model = built(release, ["a", "b", "c"], 0), built(release, ["c", "new"], 1)
    before, theirs = learned(model), learned(source)
    done = transfer(model, source)
    heads = prediction_tensors(model)
    assert list(done.in_part) == heads
    assert done.classes == ("c",)
    after = learned(model)
    numbers = 0
    for name, x in after.items():
        if name not in heads:
            assert torch.equal(x, theirs[name])
            numbers += x.numel()
            continue
        for anchor in range(3):
            for output in range(7):
                mine, old = x[anchor * 7 + output], before[name][anchor * 7 + output]
                origin = output if output < 5 else {5: 7, 6: None}[output]  # class 0 is their class 2; 1 is new
                expected = old if origin is None else theirs[name][anchor * 8 + origin]
                assert torch.equal(mine, expected)
                numbers += 0 if origin is None else mine.numel()
    assert done.numbers == numbers
    assert "classes known by name: c" in str(done)


def test_other_anchors_mean_other_boxes() -> None:
    source = built(YOLOv5v6, ["a"], 0)
    model = built(YOLOv5v6, ["a"], 1, anchors=(source.anchors * 2).tolist())
    before = learned(model)
    done = transfer(model, source)
    heads = prediction_tensors(model)
    assert [entry.split()[0] for entry in done.left] == heads
    assert all("other anchors" in entry for entry in done.left)
    assert all(torch.equal(learned(model)[name], before[name]) for name in heads)
    assert torch.equal(model.anchors, source.anchors * 2)


def test_what_does_not_fit_is_listed_or_refused() -> None:
    deeper = YOLOv5v6((0.67, 0.125), ["a"])
    done = transfer(deeper, built(YOLOv5v6, ["a"], 0))
    assert done.left
    assert all("not in it" in entry for entry in done.left)
    assert "and " in str(done)
    assert "more" in str(done)
    with pytest.raises(UserError, match="not one convolution fits"):
        transfer(YOLOv5v6((0.33, 0.25), ["a"]), built(YOLOv5v6, ["a"], 0))


def test_the_source_stays_and_nothing_is_shared() -> None:
    source, model = built(YOLOv5v6, ["a"], 0), built(YOLOv5v6, ["b"], 1)
    before = learned(source)
    transfer(model, source)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert all(torch.equal(x, before[name]) for name, x in learned(source).items())


# --- stages ---------------------------------------------------------------------------------------------


def test_stages_of_both_releases() -> None:
    first = [stage_of(YOLOv5(SCALE, 1), row) for row in range(28)]
    assert [i for i, stage in enumerate(first) if stage == "head"] == [18, 22, 26, 27]
    assert first.count("backbone") == 10
    seventh = [stage_of(YOLOv5v6(SCALE, 1), row) for row in range(25)]
    assert [i for i, stage in enumerate(seventh) if stage == "head"] == [24]
    assert seventh[:10] == ["backbone"] * 10


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (["backbone"], range(10)),
        (["10"], range(10)),
        (["0", "2"], [0, 2]),
        (["backbone", "neck"], [*range(18), 19, 20, 21, 23, 24, 25]),
        (["0"], []),
    ],
)
def test_what_freeze_means(words: list[str], rows: list[int]) -> None:
    assert list(rows_to_freeze(YOLOv5(SCALE, 1), words)) == list(rows)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tail"], "neither a row"),
        (["3", "99"], "rows 0 to 27"),
        (["28"], "nothing would be left"),
        (["backbone", "neck", "head"], "nothing would be left"),
        (["-1"], "neither a row"),
    ],
)
def test_impossible_freezing(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        rows_to_freeze(YOLOv5(SCALE, 1), words)


def test_a_frozen_stage_stays_bit_for_bit() -> None:
    """Weights and BatchNorm's statistics; the rest learns."""
    model = built(YOLOv5v6, ["a"], 0)
    freeze(model, rows_to_freeze(model, ["backbone"]))
    training_mode(model)
    optimizer = build_optimizer(model, RECIPES["reference"])
    apply_rates(optimizer, Rates(0.1, 0.1, 0.9, 1))
    before = learned(model)
    sum(x.square().mean() for x in model(torch.rand(2, 3, 64, 64))).backward()
    optimizer.step()
    changed = {name for name, x in learned(model).items() if not torch.equal(x, before[name])}
    frozen = {name for name in before if int(name.split(".")[1]) < 10}
    assert not changed & frozen
    assert changed == set(before) - frozen


def test_each_stage_learns_at_its_share() -> None:
    model = built(YOLOv5, ["a"], 0)
    shares = learning_shares(model, (0.1, 0.5, 1.0))
    assert set(shares) == {name for name, _ in model.named_parameters()}
    optimizer = build_optimizer(model, RECIPES["short"], shares)
    apply_rates(optimizer, Rates(bias_lr=0.02, lr=0.01, momentum=0.9, accumulate=1))
    names = {id(p): name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names.pop(id(parameter))
            share = {"backbone": 0.1, "neck": 0.5, "head": 1.0}[stage_of(model, int(name.split(".")[1]))]
            assert group["lr"] == pytest.approx(share * (0.02 if name.endswith("bias") else 0.01))
    assert not names
