"""The first cell finds the package on every path, installs nothing it must not, and says what is missing."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.machinery import ModuleSpec
from pathlib import Path

import build
import pytest
import torch

from yolo_edu.course import setup
from yolo_edu.errors import UserError

REPOSITORY = Path(__file__).parents[1]
# Stands in for the real module: shows that the cell reached it, without the seconds that torch takes.
STAND_IN = (
    "from pathlib import Path\n\ndef ready():\n    print('found in', Path(__file__).parts[-4])\n    return 'cpu'\n"
)


def package(folder: Path) -> Path:
    """A tiny yolo_edu with the one module that the cell looks for."""
    course = folder / "yolo_edu" / "course"
    course.mkdir(parents=True)
    (folder / "yolo_edu" / "__init__.py").touch()
    (course / "__init__.py").touch()
    (course / "setup.py").write_text(STAND_IN)
    return folder


def run_cell(folder: Path, cell: str, *, times: int = 1, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run the cell in `folder`, as a kernel would, in a Python that has no yolo_edu (-S: no site-packages)."""
    script = folder / "cell.py"
    script.write_text(
        f"import os\nstart = os.getcwd()\n{before}\n" + f"{cell}\n" * times + "assert os.getcwd() == start\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-S", "-P", str(script)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


# What pip would be asked to do is printed instead of done; a wheel is "installed" by putting it on the path.
NO_PIP = """
import subprocess, sys
def run(command, check):
    print("pip", *command[3:-1], os.path.basename(command[-1]))
    sys.path.insert(0, command[-1])
subprocess.run = run
"""


def test_every_lesson_starts_with_the_one_cell() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    cell = setup.first_cell(project["tool"]["yolo_edu"]["repository"])
    for script in build.lessons():
        if not script.stem[:2].isdigit():  # an appendix, to be read
            continue
        first = next(c for c in build.read_script(script).cells if c.cell_type == "code")
        assert first.source == cell, script.name


def test_the_first_lesson_links_every_lesson_that_exists() -> None:
    text = (build.SOURCES / "00_start_here.py").read_text(encoding="utf-8")
    links = re.findall(r"^# \| \[[^\]]+\]\((\w+)\.ipynb\) \|", text, re.MULTILINE)
    assert links == [script.stem for script in build.lessons() if script.stem[:2].isdigit()]
    assert len(re.findall(r"^# \| \[?\d\d ", text, re.MULTILINE)) == 17


def test_cell_finds_a_checkout_above_the_notebook(tmp_path: Path) -> None:
    notebooks = package(tmp_path / "checkout") / "notebooks" / "deeper"
    notebooks.mkdir(parents=True)
    result = run_cell(notebooks, setup.first_cell(), times=2)
    assert result.stdout == "found in checkout\n" * 2, result.stderr


def test_cell_installs_a_wheel_beside_the_notebook(tmp_path: Path) -> None:
    source = package(tmp_path / "source")
    for version in ("0.1.0", "0.2.0"):
        with zipfile.ZipFile(tmp_path / f"yolo_edu-{version}-py3-none-any.whl", "w") as wheel:
            for file in sorted(source.rglob("*.py")):
                wheel.write(file, file.relative_to(source))
    result = run_cell(tmp_path, setup.first_cell(), times=2, before=NO_PIP)
    wheel_name = "yolo_edu-0.2.0-py3-none-any.whl"
    assert result.stdout == f"pip install --quiet --no-deps {wheel_name}\n" + f"found in {wheel_name}\n" * 2


def test_cell_takes_the_wheel_from_colab_s_folder(tmp_path: Path) -> None:
    source, content, notebooks = package(tmp_path / "source"), tmp_path / "content", tmp_path / "notebooks"
    content.mkdir()
    notebooks.mkdir()
    with zipfile.ZipFile(content / "yolo_edu-0.1.0-py3-none-any.whl", "w") as wheel:
        for file in sorted(source.rglob("*.py")):
            wheel.write(file, file.relative_to(source))
    cell = setup.first_cell().replace('"/content"', repr(str(content)))
    assert cell != setup.first_cell()
    result = run_cell(notebooks, cell, before=NO_PIP)
    assert result.stdout.splitlines()[0] == "pip install --quiet --no-deps yolo_edu-0.1.0-py3-none-any.whl"


def test_cell_takes_the_project_s_home_last(tmp_path: Path) -> None:
    home = "https://example.org/owner/yolo_edu"
    result = run_cell(tmp_path, setup.first_cell(home), before=NO_PIP)
    assert result.stdout == "pip install --quiet --no-deps yolo_edu\n"  # the last part of git+https://…


def test_cell_names_three_ways_out(tmp_path: Path) -> None:
    result = run_cell(tmp_path, setup.first_cell())
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: yolo_edu is not here. Three ways out:")
    assert "During handling" not in result.stderr


def test_ready_returns_a_device_and_is_idempotent(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path.cwd()
    first, second = setup.ready(), setup.ready()
    assert first == second
    assert isinstance(first, torch.device)
    text = capsys.readouterr().out
    assert text[: len(text) // 2] == text[len(text) // 2 :]
    assert re.match(r"yolo_edu \S+ · Python 3\.\d+\.\d+ · torch \d", text)
    assert Path.cwd() == folder


def lacking(monkeypatch: pytest.MonkeyPatch, *missing: str, colab: bool) -> list[list[str]]:
    """Hide packages, stand in for google.colab, and collect what would be installed instead of installing it."""
    gone = set(missing)
    commands: list[list[str]] = []

    def find_spec(name: str) -> ModuleSpec | None:
        if name == "google.colab":
            if not colab:
                raise ModuleNotFoundError(name)
            return ModuleSpec(name, None)
        return None if name in gone else ModuleSpec(name, None)

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        gone.clear()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(setup, "find_spec", find_spec)
    monkeypatch.setattr(setup.subprocess, "run", run)
    return commands


def test_ready_in_colab_installs_only_the_small_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = lacking(monkeypatch, "safetensors", "pycocotools", colab=True)
    setup.ready()
    setup.ready()  # the second time nothing is missing
    assert [command[2:] for command in commands] == [
        ["pip", "install", "--quiet", "--no-deps", "safetensors", "pycocotools"]
    ]
    assert not {"torch", "torchvision", "numpy"} & {*setup.NEEDED, *setup.NEEDED.values()}


def test_ready_elsewhere_installs_nothing_and_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = lacking(monkeypatch, "cv2", "yaml", colab=False)
    with pytest.raises(UserError, match=r"pip install opencv-python-headless PyYAML\n.*restart the kernel"):
        setup.ready()
    assert commands == []
