"""What does each part of the shipped card detector cost? One part of its answer at a time replaced by the truth.

Before suppression class, box and objectness, after it the ranking; then all mistakes of each type repaired, and the
mistakes counted above the confidence with the best F1. On the validation photos of the cards, about 10 seconds on one
core. Prints the tables, writes results/oracle_swap.json and .png. The same photos chose the weights (see the model
card), so the starting point is a little flattering.

    python benchmarks/oracle_swap.py
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import load_checkpoint, write_atomically
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.evaluate import Network
from yolo_edu.mistakes import Account, find_mistakes
from yolo_edu.mistakes_chart import gain_chart
from yolo_edu.oracle import AS_IT_IS, Gain, measure_gains, swap_outputs
from yolo_edu.repairs import repair_each

TARGET = Path(__file__).parent / "results" / "oracle_swap.json"
WEIGHTS, SIZE = "cards_n", 256


def measure(model: Network, data: DetectionData, *, progress: bool = True) -> tuple[list[Gain], list[Gain], Account]:
    """Gains of the swapped outputs, gains of the repaired mistakes, and the mistakes."""
    truth, found = swap_outputs(model, data, progress=progress)
    outputs = measure_gains(truth, found, data.names)
    repairs = measure_gains(truth, repair_each(truth, found[AS_IT_IS]), data.names)
    return outputs, repairs, find_mistakes(truth, found[AS_IT_IS], data.names)


def result(outputs: Sequence[Gain], repairs: Sequence[Gain], account: Account) -> dict[str, Any]:
    """As plain JSON values, rounded to four digits."""

    def plain(gains: Sequence[Gain]) -> list[dict]:
        return [{k: v if k == "name" else round(v, 4) for k, v in gain._asdict().items()} for gain in gains]

    columns = {"objects": account.objects, "detections": account.detections, "right": account.right}
    columns |= {"explained": account.explained, **account.counts()}
    return {
        "outputs": plain(outputs),
        "repairs": plain(repairs),
        "confidence": round(account.confidence, 4),
        "mistakes": {name: {key: values[k] for key, values in columns.items()} for k, name in enumerate(account.names)},
    }


def table(gains: Sequence[Gain]) -> str:
    lines = [f"{'':<14}{'mAP50':>7}{'mAP50-95':>10}{'gained':>9}{'gained':>9}"]
    lines += [f"{g.name:<14}{g.map50:>7.3f}{g.map:>10.3f}{g.gain50:>+9.3f}{g.gain:>+9.3f}" for g in gains]
    return "\n".join(lines)


def draw(outputs: Sequence[Gain], repairs: Sequence[Gain]) -> Figure:
    return gain_chart({"replaced by the truth": outputs, "all mistakes of one type repaired": repairs})


def main() -> None:
    data = DetectionData(read_spec(sample_data()), "val", SIZE)
    outputs, repairs, account = measure(load_checkpoint(shipped_weights(WEIGHTS)), data)
    print(table(outputs), table(repairs), account.table(), sep="\n\n")
    setting = {"weights": WEIGHTS, "data": "cards", "split": "val", "photos": len(data), "image_size": SIZE}
    text = json.dumps({"setting": setting, **result(outputs, repairs, account)}, indent=1) + "\n"
    TARGET.parent.mkdir(exist_ok=True)
    write_atomically(TARGET, lambda file: file.write_text(text, encoding="utf-8"))
    figure = draw(outputs, repairs)
    write_atomically(TARGET.with_suffix(".png"), lambda file: figure.savefig(file, format="png", dpi=110))


if __name__ == "__main__":
    main()
