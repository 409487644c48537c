"""What the committed benchmarks measured before, for lessons that cannot train for an hour.

Each file is a copy of `benchmarks/results/NAME.json`, so that a lesson finds it in an installed wheel too; a test
holds the copies equal to what the benchmarks wrote.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def read_measured(name: str) -> dict[str, Any]:
    """The result of a benchmark: "freebies" is what `benchmarks/freebies.py` wrote, and so on.

    Raises:
        ValueError: no such result is shipped.
    """
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
        raise ValueError(f"{name!r}: no such measurement. Shipped here: {known}.")
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result
