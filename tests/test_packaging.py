"""The files around the code say the same thing, and nothing in the repository belongs to one machine."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import build
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]

CONDA_NAMES = {"torch": "pytorch", "opencv-python-headless": "opencv"}  # the others are called the same

# Colab's image of August 2026. It has no JupyterLab (it is one) and no torchinfo (the set-up cell adds it).
COLAB = {
    "python": "3.13",
    "torch": "2.11",
    "torchvision": "0.26",
    "numpy": "2.1.3",
    "opencv-python-headless": "5.0",
    "matplotlib": "3.10",
    "ipywidgets": "7.7.1",
    "anywidget": "0.9.21",
}
# What the package index gave in the autumn of 2026.
TODAY = {
    "python": "3.11.7",
    "torch": "2.15.0",
    "torchvision": "0.29.2",
    "numpy": "2.4.6",
    "opencv-python-headless": "5.0.0.93",
    "matplotlib": "3.11.2",
    "tqdm": "4.70.1",
    "pyyaml": "6.0.3",
    "safetensors": "0.8.0",
    "pycocotools": "2.0.11",
    "ipywidgets": "8.1.9",
    "anywidget": "0.11.0",
    "torchinfo": "1.8.0",
    "jupyterlab": "4.6.6",
    "ipykernel": "7.4.0",
}


def requirements(*extras: str) -> dict[str, SpecifierSet]:
    """The version ranges of the module and of these extras, by normalized name."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    parsed = [Requirement(line) for line in lines]
    assert len({canonicalize_name(one.name) for one in parsed}) == len(parsed), "a package is listed twice"
    return {canonicalize_name(one.name): one.specifier for one in parsed}


def test_environment_yml_says_what_pyproject_says() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = {}
    for line in environment["dependencies"]:
        name, _, bounds = line.partition(" ")
        conda[name] = SpecifierSet(bounds)
    expected = {CONDA_NAMES.get(name, name): bounds for name, bounds in requirements("course").items()}
    expected["python"] = SpecifierSet(PROJECT["requires-python"])
    expected["pip"] = SpecifierSet()  # installs this repository itself, as the file's first lines say
    assert conda == expected
    assert environment["channels"] == ["conda-forge"]


@pytest.mark.parametrize("image", [COLAB, TODAY], ids=["Colab 2026", "today"])
def test_ranges_admit(image: dict[str, str]) -> None:
    ranges = {**requirements("course"), "python": SpecifierSet(PROJECT["requires-python"])}
    refused = [f"{name} {version}" for name, version in image.items() if Version(version) not in ranges[name]]
    assert not refused


def test_every_requirement_of_a_learner_is_a_floor_and_no_pin() -> None:
    ranges = requirements("course")
    assert ranges.keys() <= TODAY.keys()
    for name, bounds in ranges.items():
        assert [bound.operator for bound in bounds] == [">="], name


# --- the commands ----------------------------------------------------------------------------------------

TARGETS = [
    "help",
    "course",
    "train",
    "weights",
    "test",
    "lint",
    "format",
    "notebooks",
    "figures",
    "bench",
    "wheel",
    "clean",
]


def test_makefile_has_its_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    documented = re.findall(r"^([a-z]+):.*## \S", makefile, flags=re.MULTILINE)
    assert documented == TARGETS
    assert set(TARGETS) == set(re.findall(r"^\.PHONY:(.*)$", makefile, flags=re.MULTILINE)[0].split())


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
class TestMake:
    """Run in an empty folder that holds nothing but the Makefile and pyproject.toml."""

    @pytest.fixture
    def clone(self, tmp_path: Path) -> Path:
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, tmp_path)
        return tmp_path

    @staticmethod
    def make(clone: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        # An outer `make test VENV=...` hands its settings to this process; they are not meant for this one.
        outer = re.compile(r"MAKE.*|MFLAGS|VENV|PYTHON|TRAIN|NOTEBOOK|NAMES")
        env = {key: value for key, value in os.environ.items() if not outer.fullmatch(key)}
        env["PATH"] = path or env["PATH"]
        make = shutil.which("make")
        assert make
        return subprocess.run([make, *arguments], cwd=clone, env=env, capture_output=True, text=True)

    def test_help_is_the_default_and_lists_every_target(self, clone: Path) -> None:
        shown = self.make(clone).stdout
        assert [line.split()[1] for line in shown.splitlines()] == TARGETS

    @pytest.mark.parametrize("target", TARGETS)
    def test_target_can_be_planned(self, clone: Path, target: str) -> None:
        result = self.make(clone, "--dry-run", target)
        assert result.returncode == 0, result.stderr

    def fake_python(self, clone: Path, script: str) -> str:
        """A PATH whose every Python is this shell script."""
        folder = clone / "bin"
        folder.mkdir()
        for name in ("python", "python3", *(f"python3.{minor}" for minor in range(11, 15))):
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        return f"{folder}{os.pathsep}{os.environ['PATH']}"

    @pytest.mark.parametrize(
        ("script", "message"),
        [
            ("exit 1", "No Python 3.11 or newer found"),
            ('case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac', "apt install python3-venv"),
        ],
        ids=["too old", "no ensurepip"],
    )
    def test_missing_prerequisite_is_named(self, clone: Path, script: str, message: str) -> None:
        result = self.make(clone, "course", path=self.fake_python(clone, script))
        assert result.returncode != 0
        assert message in result.stderr
        assert not (clone / ".venv").exists()

    def test_a_folder_that_is_no_environment_is_left_alone(self, clone: Path) -> None:
        keep = clone / "precious" / "file"
        keep.parent.mkdir()
        keep.touch()
        result = self.make(clone, "course", f"VENV={keep.parent.name}")
        assert result.returncode != 0
        assert "is not a virtual environment" in result.stderr
        assert keep.exists()

    def test_an_interrupted_installation_is_taken_up_again(self, clone: Path) -> None:
        """pip fails the first time; the second `make` installs, the third has nothing to do."""
        python = clone / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(
            '#!/bin/sh\ncase "$*" in\n'
            '*"pip install"*) echo asked >> log; [ "$(wc -l < log)" -gt 1 ];;\n'
            "*) exit 0;;\nesac\n"
        )
        python.chmod(0o755)
        outcomes = [self.make(clone, "lint").returncode == 0 for _ in range(3)]
        assert outcomes == [False, True, True]
        assert (clone / "log").read_text().splitlines() == ["asked"] * 2
        # `lint` installed what `course` needs as well.
        assert self.make(clone, "course").returncode == 0
        assert len((clone / "log").read_text().splitlines()) == 2


def test_ci_runs_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in text
    assert re.search(r"^exec make .*\btest\b", text, flags=re.MULTILINE)
    subprocess.run(["bash", "-n", str(script)], check=True)


# --- what is in the repository ---------------------------------------------------------------------------


def repository_files() -> list[Path]:
    """What is tracked, or would be by `git add .`; outside a git checkout there is nothing to judge."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of each text file; label files hold nothing but numbers."""
    for path in repository_files():
        name = path.relative_to(ROOT).as_posix()
        raw = path.read_bytes()
        if b"\0" not in raw and not re.fullmatch(r"data/.*/labels/.*\.txt", name):
            try:
                yield name, raw.decode()
            except UnicodeDecodeError:
                continue


def registry_hosts() -> re.Pattern[str]:
    """Addresses of package registries: the well-known ones and those this environment names."""
    hosts = ["files.python" + "hosted.org", "registry.npm" + "js.org", "conda.ana" + "conda.org"]
    for variable, value in os.environ.items():
        if re.search(r"INDEX_URL|DEFAULT_INDEX|REGISTRY|GOPROXY", variable):
            found = [urlsplit(url).hostname for url in re.split(r"[\s,|]+", value)]
            hosts += [host for host in found if host and host not in ("pypi.org", "localhost")]
    index = r"https?://[^\s\"'<>()]+/sim" + r"ple\b"
    return re.compile("|".join([*map(re.escape, hosts), index]))


def test_no_file_names_this_machine() -> None:
    registry = registry_hosts()
    found = []
    for name, text in texts():
        found += [f"{name}: {path}" for path in build.local_paths(text)]
        found += [f"{name}: {match.group()}" for match in registry.finditer(text)]
    assert not found


def test_the_search_for_registries_finds_one() -> None:
    assert registry_hosts().search("index-url = https://mirror.example.org/py/sim" + "ple/")
    assert not registry_hosts().search("a simple link: https://example.org/course")


def test_no_file_is_too_large() -> None:
    """5 MB; 25 MB for weights. Data sets have their own measure: they are photos, each of them small."""
    found = []
    for path in repository_files():
        name = path.relative_to(ROOT).as_posix()
        limit = 25e6 if name.startswith("yolo_edu/weights/") else 5e6
        if path.stat().st_size > limit and not name.startswith("data/"):
            found.append(f"{name}: {path.stat().st_size / 1e6:.1f} MB")
    assert not found


def test_import_is_light() -> None:
    heavy = ("matplotlib", "cv2", "ipywidgets", "anywidget", "IPython")
    program = f"import sys, yolo_edu; print(yolo_edu.__file__, [n for n in {heavy} if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"{ROOT / 'yolo_edu' / '__init__.py'} []"


def test_the_repository_address_has_one_place() -> None:
    address = PYPROJECT["tool"]["yolo_edu"]["repository"]
    assert address == "" or re.fullmatch(r"https://[\w.\-]+/[\w.\-]+/[\w.\-]+", address)


def test_wheel_is_complete(tmp_path: Path) -> None:
    """The module with its weights and the sample data, and neither the course's notebooks nor the tests."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
        entry_points = wheel.read(f"yolo_edu-{PROJECT['version']}.dist-info/entry_points.txt").decode()
        licenses = [name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
    tracked = {path.relative_to(ROOT).as_posix() for path in repository_files()}
    expected = {name for name in tracked if name.startswith("yolo_edu/")}
    expected |= {f"yolo_edu/_{name}" for name in tracked if name.startswith("data/")}
    assert packed == expected
    assert any(name.startswith("yolo_edu/weights/") for name in packed)
    assert any(name.startswith("yolo_edu/_data/") for name in packed)
    assert "yolo-edu = yolo_edu.cli:main" in entry_points
    assert licenses
