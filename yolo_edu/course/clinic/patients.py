"""What people say about each patient, what it is, how it is told from the others, and how it is mended."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Patient:
    """One case. The claims are about the end of training, against the healthy twins: see `records.holds`."""

    case: str  # letter under which the lesson presents it
    complaint: str  # in the words people use
    diagnosis: str  # the fault, as a choice
    acts: str  # "training" or "evaluation"
    shows: str  # how this fault shows, as a sentence that fits every patient that has it
    why: str  # what in the evidence leads to it
    claims: Mapping[str, str]  # name of a value → how it stands to the twins'
    causes: str  # what makes this symptom, this fault first
    measurement: str  # the one measurement, in words
    repair: str
    unlike: Mapping[str, str]  # key of a plausible other diagnosis → why not that one


LOSSES_SAME = {"box": "same", "objectness": "same", "classification": "same"}

PATIENTS: dict[str, Patient] = {
    "ema": Patient(
        "A",
        "My mAP stays 0 although the loss falls as it should.",
        "the average of the weights (EMA) is never updated",
        "training",
        "training is as good as ever, and what is evaluated stays at its first state: mAP near 0 from the first epoch "
        "to the last",
        "The three losses lie exactly on those of the twin: training is sound. The mAP does not move at all, and "
        "nothing "
        "that learns stands so still. What is evaluated is not what is trained.",
        {**LOSSES_SAME, "map50": "far below"},
        "the evaluated network is not the trained one: average never updated, or other weights loaded",
        "largest difference between a weight of the average and its start; it must not be 0",
        "call `ema.update(model)` after every step",
        {
            "classes": "Names moved by one would leave boxes in the pictures, with wrong names. Here there are none "
            "at all.",
            "no_warmup": "A wrecked start shows in the losses: they would lie above the twin's. These lie on it.",
            "train_mode": "BatchNorm in the wrong mode makes a network worse, but it leaves something that was "
            "learned, and "
            "it rises from epoch to epoch.",
        },
    ),
    "corners": Patient(
        "B",
        "The mAP is good. But every box lies up and to the left of its card.",
        "the label reader takes the left top corner for the center",
        "training",
        "boxes lie half a box up and to the left of their objects, in the labels and so in the predictions; the "
        "patient's own mAP does not tell",
        "All boxes are off by the same part of their own size, and in the same direction. That is no failure to "
        "learn: it is "
        "something learned well. The patient's own mAP is measured with labels that are wrong in the same way.",
        {"map50": "inside", "by_the_truth": "far below"},
        "the label file's format is not the reader's: corner or center, pixels or shares, x y w h or x1 y1 x2 y2",
        "IoU of labels as read with boxes drawn by hand on a few photos; it must be near 1",
        "convert: center = corner + half the size; then look at the labels on the photos",
        {
            "swapped": "Row and column exchanged mirrors positions on the diagonal: cards at the top right would be "
            "looked for "
            "at the bottom left. These boxes are near their cards, all shifted the same way.",
            "pixels": "Wrong anchors change which boxes are learned, and how large they may become. They shift "
            "nothing.",
            "bgr": "Colors do not move boxes.",
        },
    ),
    "sigmoid": Patient(
        "C",
        "The mAP is as good as in the tutorial. But `detect` draws hundreds of boxes on every photo.",
        "a sigmoid is applied twice at evaluation",
        "evaluation",
        "mAP hardly changes, but every cell is more than half sure: the most boxes that suppression allows are "
        "reported on every photo",
        "The order of the scores is nearly right, so the mAP is. Their size is not: the least sure cell says 0.50. A "
        "sigmoid of "
        "something that is already between 0 and 1 lies between 0.50 and 0.73.",
        {**LOSSES_SAME, "map50": "inside", "boxes": "far above"},
        "scores squeezed into 0.50 to 0.73 by a second sigmoid; or an objectness trained to 1 everywhere; or a "
        "threshold of 0",
        "share of all probabilities between 0.50 and 0.731; it must be small",
        "one sigmoid: in `decode`, nowhere else",
        {
            "objectness": "Close. But with an objectness target of 1 the objectness loss is far from the twin's. Here "
            "it "
            "is the twin's to the last digit, so training is sound and the fault acts afterwards.",
            "train_mode": "BatchNorm in the wrong mode makes scores worse, not all of them high, and the mAP would "
            "suffer.",
            "classes": "Wrong names do not make more boxes.",
        },
    ),
    "classes": Patient(
        "D",
        "The boxes are where the cards are. The mAP is a fraction of what it should be.",
        "class numbers are off by one in the training labels",
        "training",
        "well-placed boxes with wrong names, and the confusion matrix has its numbers beside the diagonal",
        "Box, objectness and class loss are all as low as the twin's: the network learned what it was told. The "
        "places are "
        "right, the names are not, and a wrong name is mostly the next one in the list.",
        {"box": "inside", "objectness": "inside", "classification": "inside", "map50": "far below"},
        "training labels and evaluation number the classes differently: counted from 1, another order of names",
        "of objects with a well-placed box: how many are called the next class, less how many the right one",
        "take the numbers from the names of the data set, `names.index(name)`, everywhere",
        {
            "bgr": "Other colors make the patient unsure of its names. This one is sure of them, and most are the "
            "next one "
            "in the list.",
            "ema": "An average that stands still finds nothing. This patient finds the cards.",
            "corners": "The boxes lie on the cards.",
        },
    ),
    "train_mode": Patient(
        "E",
        "It was good in the evaluation of the training run. In my app, one photo at a time, it is clearly worse.",
        "BatchNorm is left in training mode at evaluation",
        "evaluation",
        "the answer for a photo depends on the photos beside it; one photo at a time is worse than what training "
        "promised",
        "Training is the twin's, number for number. What changed is the way of asking: one photo at a time, and each "
        "layer "
        "standardizes with the statistics of that photo alone.",
        {**LOSSES_SAME, "map50": "below"},
        "the network is asked otherwise than in the evaluation: training mode, other colors, other sizes, no letterbox",
        "how many BatchNorms have other running statistics after an evaluation; it must be 0",
        "`model.eval()` before, and the former mode back afterwards",
        {
            "bgr": "Plausible: it also acts after training, and the two look alike in the pictures. Only a measurement "
            "tells them apart: reversing the channels makes this patient worse, not better.",
            "ema": "With an average that stands still the run's own evaluation would have been bad as well.",
            "sigmoid": "A second sigmoid reports hundreds of boxes. Here there are fewer than the twin has.",
        },
    ),
    "swapped": Patient(
        "F",
        "The mAP rises a little and then stays low. The box loss does not get below a certain value.",
        "row and column are swapped in the assignment",
        "training",
        "cells on the other side of the diagonal are asked to find the object; the box loss stays high; few boxes are "
        "sure, and objects far from the diagonal are missed",
        "All three losses stay above the twin's: the network is asked for something that it can hardly do, to see in "
        "one "
        "place what stands in another. Objects near the diagonal of the square still work: there row and column are "
        "alike.",
        {"box": "above", "objectness": "above", "classification": "above", "map50": "far below"},
        "targets that the features cannot tell: row and column swapped, labels of other photos, x and y swapped",
        "truth → assign → encode → decode: the worst IoU with the box itself; it must be 1",
        "row from y, column from x; never one name for both",
        {
            "no_warmup": "Plausible: too high a rate keeps losses high as well. But then the class loss would hardly "
            "move; "
            "here it falls. The round trip of the labels decides.",
            "corners": "A constant shift is easy to learn: the box loss would fall as the twin's does.",
            "pixels": "With anchors in pixels the box loss is smaller than the twin's, because most boxes are not "
            "asked for at all.",
        },
    ),
    "objectness": Patient(
        "G",
        "It sees cards everywhere, on tables and carpets too. And my objectness loss begins a hundred times as high "
        "as that of others.",
        "the objectness target is 1 in every cell",
        "training",
        "the objectness loss starts very high and falls towards 0 as the network learns to say yes everywhere; boxes "
        "on everything",
        "The objectness loss is far above the twin's, because a fresh network rightly says no nearly everywhere. It "
        "falls, as "
        "every cell learns to say yes. Boxes and classes are learned as ever.",
        {
            "box": "inside",
            "classification": "inside",
            "objectness": "far above",
            "map50": "below",
            "boxes": "far above",
        },
        "objectness is told yes too often: target 1 everywhere, no background cells in the loss, a huge positive "
        "weight",
        "mean objectness over all cells; it must be about as small as objects are rare",
        "start from zeros, write the overlap into assigned cells only",
        {
            "sigmoid": "Close. A second sigmoid at evaluation makes hundreds of boxes too, but it leaves the losses "
            "as they "
            "are. Here the objectness loss is wrong from the first batch on.",
            "no_warmup": "A start at too high a rate disturbs all three losses. Here box and class loss are as the "
            "twin's.",
            "classes": "Wrong names do not make more boxes.",
        },
    ),
    "bgr": Patient(
        "H",
        "On my own camera images many cards get no name or a wrong one. In the evaluation it was good.",
        "images arrive as BGR instead of RGB",
        "evaluation",
        "training is sound, scores fall, and some classes suffer far more than others",
        "Training is the twin's, number for number, so something is different afterwards. The scores are low, and "
        "names are "
        "wrong; the places of what is found are right.",
        {**LOSSES_SAME, "map50": "below"},
        "the network is asked otherwise than in the evaluation: colors reversed, training mode, other sizes, values "
        "up to 255",
        "mAP50 with the channels reversed, less mAP50 as it is; it must not be positive",
        "`image[..., ::-1]` after `cv2.imread`, once",
        {
            "train_mode": "Plausible: it also acts after training, and the two look alike in the pictures. Only a "
            "measurement tells them apart: no BatchNorm changes in this patient.",
            "classes": "Names moved by one in training would show in the run's own evaluation, and most "
            "names would be the next one.",
            "ema": "An average that stands still would have been bad in the run's own evaluation.",
        },
    ),
    "no_warmup": Patient(
        "I",
        "I started from trained weights and raised the learning rate to be faster. It is as if the network had "
        "forgotten everything.",
        "a high learning rate without warm-up",
        "training",
        "the first steps are so long that what was learned before is lost; all losses stay high",
        "All losses stay above the twin's, and the class loss has hardly moved from where it began. Backbone and neck "
        "knew how to "
        "tell cards apart before training, so something was lost. A first step that long can do it.",
        {"box": "above", "objectness": "above", "classification": "far above", "map50": "far below"},
        "steps that are too long: learning rate, no warm-up, loss summed where it should be averaged",
        "length of the first step, as a share of the weights; with a warm-up it is 0",
        "a lower rate first; then a warm-up",
        {
            "swapped": "Plausible: losses stay high there too. But a swapped assignment confuses places; names are "
            "learned in "
            "part. Here the class loss has hardly moved. The round trip of the labels, which is exact, decides.",
            "ema": "With an average that stands still the losses would be the twin's.",
            "objectness": "An objectness target of 1 would show in the objectness loss only.",
        },
    ),
    "pixels": Patient(
        "J",
        "My losses are a third of what others have. But the network is sure of hardly anything.",
        "anchors are in pixels where grid cells belong",
        "training",
        "most boxes fit no anchor of most levels and are never asked for: the losses are small because there is "
        "little to lose",
        "A loss that is much smaller than the twin's at the same data is no success. It is a mean over fewer "
        "questions: two of "
        "the three levels have no assigned box at all.",
        {
            "box": "far below",
            "objectness": "below",
            "classification": "far below",
            "map50": "inside",
            "boxes": "far below",
        },
        "few targets are assigned: anchors in another unit, labels in another unit, an image size that fits neither",
        "zero logits must decode to the anchor itself: largest decoded width by its anchor's; it must be 1",
        "divide the anchors by the stride of their level",
        {
            "corners": "Shifted labels are assigned as often as right ones: the losses would be as large as the "
            "twin's.",
            "ema": "With an average that stands still the losses would be the twin's.",
            "objectness": "An objectness target of 1 makes the objectness loss larger, not smaller.",
        },
    ),
}


def by_case() -> dict[str, str]:
    """Case letter → key of the patient, in the order of the letters."""
    return dict(sorted((patient.case, key) for key, patient in PATIENTS.items()))


def judge_diagnosis(key: str, chosen: str) -> tuple[bool, str]:
    """Whether a diagnosis is right for a patient, and why.

    Args:
        key: of the patient.
        chosen: key of the patient whose diagnosis was chosen.
    """
    patient = PATIENTS[key]
    if chosen == key:
        return True, patient.why
    if chosen in patient.unlike:
        return False, patient.unlike[chosen]
    return False, f"That fault shows otherwise: {PATIENTS[chosen].shows}."


def symptom_table() -> str:
    """Symptom, likely causes, the one measurement and the repair of every patient, as a Markdown table."""
    lines = ["| | what people say | likely causes | the one measurement | the repair |", "|---|---|---|---|---|"]
    for case, key in by_case().items():
        patient = PATIENTS[key]
        cells = (case, patient.complaint, patient.causes, patient.measurement, patient.repair)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
