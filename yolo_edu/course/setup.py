"""The first cell of every lesson: find the package, see that everything is there, name the device.

The search for the package has to stand in the notebook itself: nothing can be imported before it. So that it
is written once all the same, `first_cell` makes its text, and a test compares every lesson with it.
"""

import importlib
import os
import platform
import subprocess
import sys
from importlib.util import find_spec

import torch

from yolo_edu import __version__
from yolo_edu.errors import UserError

# Import name → what pip calls it. torch, torchvision and numpy are not here: they are never installed for a
# learner, because another build of them could lose the GPU or break the rest of the environment.
NEEDED = {
    "cv2": "opencv-python-headless",
    "matplotlib": "matplotlib",
    "tqdm": "tqdm",
    "yaml": "PyYAML",
    "safetensors": "safetensors",
    "pycocotools": "pycocotools",
    "ipywidgets": "ipywidgets",
    "anywidget": "anywidget",
}

FIRST_CELL = """\
try:
    from yolo_edu.course.setup import ready
except ImportError:  # not installed: use a checkout above this notebook, a wheel beside it, or the project's home
    import subprocess
    import sys
    from pathlib import Path

    home, here = "{repository}", Path.cwd()
    checkout = [f for f in (here, *here.parents) if (f / "yolo_edu/course/setup.py").is_file()]
    wheels = [str(w) for f in (Path("/content"), here) for w in sorted(f.glob("yolo_edu-*.whl"))]
    if checkout:
        sys.path.insert(0, str(checkout[0]))
    elif wheels or home:
        source = wheels[-1] if wheels else f"git+{{home}}"
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", source], check=True)
    else:
        raise ModuleNotFoundError(
            "yolo_edu is not here. Three ways out: open this notebook inside the project's folder; or put the file "
            "yolo_edu-….whl beside the notebook (in Colab: into /content); or run `pip install` on either of them."
        ) from None
    from yolo_edu.course.setup import ready

device = ready()"""


def first_cell(repository: str = "") -> str:
    """The text of a lesson's first code cell.

    Args:
        repository: https address of the project's public home, as in pyproject.toml's [tool.yolo_edu];
            empty: there is none yet.
    """
    return FIRST_CELL.format(repository=repository)


def in_colab() -> bool:
    """Whether this Python runs in Google Colab."""
    try:
        return find_spec("google.colab") is not None
    except ModuleNotFoundError:  # no package "google" at all
        return False


def ready() -> torch.device:
    """See that everything a lesson needs is installed, print versions, return the device to compute on.

    In Colab it installs what is missing, without dependencies, so torch, torchvision and numpy stay as they
    are. Elsewhere it installs nothing. A second call changes nothing.

    Raises:
        UserError: a package is missing; the message says how to get it.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing and in_colab():
        packages = [NEEDED[name] for name in missing]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *packages]
        if subprocess.run(command, check=False).returncode == 0:
            importlib.invalidate_caches()
            missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        packages_text = " ".join(NEEDED[name] for name in missing)
        raise UserError(
            f"The course also needs {', '.join(missing)}. Install it with\n    pip install {packages_text}\n"
            "then restart the kernel and run this cell again."
        )
    if torch.cuda.is_available():
        device, name = torch.device("cuda"), torch.cuda.get_device_name()
    else:
        device, name = torch.device("cpu"), f"CPU with {os.cpu_count()} cores, enough for this course"
    print(f"yolo_edu {__version__} · Python {platform.python_version()} · torch {torch.__version__.split('+')[0]}")
    print(f"computing on: {name}")
    return device
