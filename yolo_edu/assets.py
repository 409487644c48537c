"""Where the shipped weights and sample data lie, in a checkout as in an installed wheel."""

import re
from pathlib import Path

from yolo_edu.errors import UserError

PACKAGE = Path(__file__).parent
# The wheel carries data/ as yolo_edu/_data (see pyproject.toml); a checkout has it beside the package.
DATA_FOLDERS = (PACKAGE.parent / "data", PACKAGE / "_data")
WEIGHTS_FOLDER = PACKAGE / "weights"


def sample_data(name: str = "train_5classes.yaml") -> Path:
    """Path of a shipped data set YAML: "train_5classes.yaml" (the cards) or "aquarium5.yaml".

    Raises:
        UserError: the sample data are not there.
    """
    for folder in DATA_FOLDERS:
        if (folder / name).is_file():
            return folder / name
    known = sorted({f.name for folder in DATA_FOLDERS for f in folder.glob("*.yaml")})
    raise UserError(f"{name}: no such sample data set. Shipped here: {', '.join(known) or 'none'}.")


def find_data(path: Path | None) -> Path:
    """The data set YAML at this path; the shipped one of its name if there is none; None: the cards.

    So the article's `--data ./data/train_5classes.yaml` works from any folder.
    """
    if path is None:
        return sample_data()
    shipped = (folder / path.name for folder in DATA_FOLDERS)
    return path if path.exists() else next((file for file in shipped if file.is_file()), path)


OFFICIAL_NAME = re.compile(r"yolov5[nsmlx]6?\.pt")


def find_weights(text: str | Path | None) -> Path | None:
    """The checkpoint at this path, or the shipped one of this name; None for '' and None.

    Raises:
        UserError: there is none; for a name of the official files it says where those come from.
    """
    if not text:
        return None
    path = Path(text)
    if path.exists():
        return path
    shipped = WEIGHTS_FOLDER / f"{path.name}.safetensors"
    if path.name == str(text) and shipped.is_file():
        return shipped
    if OFFICIAL_NAME.fullmatch(path.name):
        raise UserError(
            f"{path}: no such file. Official weights do not come with this package: they are files of the project "
            "ultralytics/yolov5 on GitHub (releases v1.0 and v7.0), under that project's licence (AGPL-3.0; GPL-3.0 "
            "in 2020), which also binds what you build on them. Download the file and give its path, or train from "
            "scratch: --weights ''."
        )
    known = ", ".join(sorted(file.stem for file in WEIGHTS_FOLDER.glob("*.safetensors")))
    raise UserError(f"{path}: no such file. Give a .safetensors or .pt file, a shipped name ({known}), or ''.")


def shipped_weights(name: str = "cards_n") -> Path:
    """Path of a trained model that comes with the package; its model card stands beside it as `NAME.md`.

    Raises:
        UserError: no shipped model of this name.
    """
    path = WEIGHTS_FOLDER / f"{name}.safetensors"
    if path.is_file():
        return path
    known = sorted(f.stem for f in WEIGHTS_FOLDER.glob("*.safetensors"))
    raise UserError(f"{name}: no such shipped model. Shipped here: {', '.join(known) or 'none'}.")


def sample_photo(name: str = "cat") -> Path:
    """Path of a shipped photo without labels: "cat", "coffee" or "astronaut"; free of rights, credits beside them.

    Raises:
        UserError: no photo of this name.
    """
    folders = [folder / "photos" for folder in DATA_FOLDERS]
    for folder in folders:
        if (folder / f"{name}.jpg").is_file():
            return folder / f"{name}.jpg"
    known = sorted({f.stem for folder in folders for f in folder.glob("*.jpg")})
    raise UserError(f"{name}: no such sample photo. Shipped here: {', '.join(known) or 'none'}.")
