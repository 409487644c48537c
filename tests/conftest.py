"""What every test shares. Golden numbers lie in GOLDEN; tests/golden/README.md says what each file holds."""

import os
from pathlib import Path

from hypothesis import settings

GOLDEN = Path(__file__).parent / "golden"

# Read when matplotlib is first imported, also by the commands that tests start: no test needs a display.
os.environ["MPLBACKEND"] = "Agg"

# Tensors in tests are tiny, and threads that wait for one another on a busy machine turn seconds into minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test depends on the clock. On a CI machine every run draws the same examples: a red run can be repeated.
settings.register_profile("yolo_edu", deadline=None)
settings.register_profile("yolo_edu-ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("yolo_edu-ci" if os.environ.get("CI") else "yolo_edu")
