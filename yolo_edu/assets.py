"""Where the shipped weights and sample data lie, in a checkout as in an installed wheel."""

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
