"""Turn a finished run into weights that travel with the package, with a model card of what they measure.

    python benchmarks/ship_weights.py runs/train/cards_n cards_n

`make weights` trains and ships in one go.
"""

import argparse
import dataclasses
from pathlib import Path

from yolo_edu.assets import WEIGHTS_FOLDER
from yolo_edu.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.evaluate import Report, evaluate
from yolo_edu.recipe import Recipe
from yolo_edu.run import Run


def card(name: str, run: Run, recipe: Recipe, metadata: dict, size_mb: float, report: Report) -> str:
    """The model card, Markdown; every number in it was measured or read a moment ago."""
    _, options, others = run.read_config()
    rows = "\n".join(f"| {c} | {report.ap50[c]:.3f} | {report.ap[c]:.3f} |" for c in report.ap50)
    changed = ", ".join(
        f"{field.name} {getattr(recipe, field.name)}"
        for field in dataclasses.fields(Recipe)
        if field.name in ("epochs", "batch", "image_size", "optimizer", "lr", "schedule")
    )
    return f"""# {name}

| | |
|---|---|
| network | {others["model"]["release"]}, depth {others["model"]["depth"]}, width {others["model"]["width"]} |
| classes | {", ".join(others["model"]["names"])} |
| data | {Path(others["data"]).name}, split train; measured on val: {report.images} photos, {report.boxes} boxes |
| recipe | {changed}; best weights at epoch {metadata["epoch"]}; seed {options.seed} |
| made for | {metadata["image_size"]} px |
| file | float16, {size_mb:.1f} MB |
| mAP50 | {report.map50:.3f} |
| mAP50-95 | {report.map:.3f} |
| precision, recall at confidence {report.confidence:.2f} | {report.precision:.3f}, {report.recall:.3f} |

| class | AP50 | AP50-95 |
|---|---|---|
{rows}

The best epoch was chosen on the same validation photos that measure it, so expect a little less on new ones. The photos
of both splits show the same deck on the same kinds of surface; other decks, places and lights are another matter.
Licence of the weights: MIT, like the code; of the photos: see the data set's ATTRIBUTION.md.
"""


def main() -> None:
    """Measure the run's best weights as float16, write them and their card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    args = parser.parse_args()
    run = Run(args.run)
    recipe, _, others = run.read_config()
    metadata = read_metadata(run.best)
    path = WEIGHTS_FOLDER / f"{args.name}.safetensors"
    WEIGHTS_FOLDER.mkdir(exist_ok=True)
    save_checkpoint(path, load_checkpoint(run.best), metadata, half=True)
    # Read back: the card must describe the rounded weights, not the ones they came from.
    data = DetectionData(read_spec(others["data"]), "val", recipe.image_size)
    model = load_checkpoint(path)
    report = evaluate(model, data, size=metadata["image_size"], progress=False)
    save_checkpoint(path, model, metadata | {"map50": report.map50, "map": report.map}, half=True)
    size = path.stat().st_size / 1e6
    (WEIGHTS_FOLDER / f"{args.name}.md").write_text(card(args.name, run, recipe, metadata, size, report))
    print(report.table())
    print(path.name, f"{size:.1f} MB")


if __name__ == "__main__":
    main()
