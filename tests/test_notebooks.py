"""The lessons run, the committed notebooks are what their scripts made, the builder sees what it must."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import build
import nbformat
import pytest

SCRIPTS = build.lessons()
EVERY_LESSON = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


# --- the course ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seconds(request: pytest.FixtureRequest) -> Iterator[dict[str, float]]:
    """How long each lesson took, printed when all of them have run."""
    table: dict[str, float] = {}
    yield table
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n" + "\n".join(f"{name:<28}{time:>7.1f} s" for name, time in table.items()))
        print(f"{'all lessons':<28}{sum(table.values()):>7.1f} s")


def test_the_course_has_its_first_lesson() -> None:
    assert "00_start_here" in [script.stem for script in SCRIPTS]


def test_committed_notebooks_agree_with_their_scripts() -> None:
    assert build.check(SCRIPTS) == []


def test_every_committed_notebook_has_a_script() -> None:
    orphans = {path.stem for path in build.NOTEBOOKS.glob("*.ipynb")} - {script.stem for script in SCRIPTS}
    assert not orphans


@EVERY_LESSON
def test_lesson_runs_from_top_to_bottom(script: Path, seconds: dict[str, float]) -> None:
    notebook = build.read_script(script)
    smoke = os.environ.get("YOLO_EDU_SMOKE", "1")
    seconds[script.stem] = build.execute(notebook, env={"YOLO_EDU_SMOKE": smoke})
    build.strip_widgets(notebook)
    assert build.problems(notebook) == []


@EVERY_LESSON
def test_committed_notebook_is_fit_to_be_read(script: Path) -> None:
    notebook = nbformat.read(build.NOTEBOOKS / f"{script.stem}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert build.problems(notebook) == []


# --- the builder -----------------------------------------------------------------------------------------


def write_script(folder: Path, *cells: str, name: str = "lesson") -> Path:
    """A percent script of code cells; a cell that starts with '#' is Markdown."""
    path = folder / f"{name}.py"
    marked = [f"# %% [markdown]\n{cell}" if cell.startswith("#") else f"# %%\n{cell}" for cell in cells]
    path.write_text("\n\n".join(marked) + "\n", encoding="utf-8")
    return path


def test_build_writes_a_clean_notebook_and_check_follows_edits(tmp_path: Path) -> None:
    cells = [
        "# # A lesson",
        "import os\nimport ipywidgets\nimport matplotlib.pyplot as plt",
        "print(os.path.samefile(os.getcwd(), os.environ['EXPECTED_FOLDER']))",
        "plt.plot([1, 2])\nplt.show()",
        "ipywidgets.IntSlider()",
    ]
    script = write_script(tmp_path, *cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPECTED_FOLDER", str(tmp_path))
        row = build.build(script, folder=tmp_path)
    path = tmp_path / "lesson.ipynb"
    assert (row.name, row.cells, row.size) == ("lesson", 5, path.stat().st_size)

    notebook = nbformat.read(path, as_version=4)
    counts = [cell.get("execution_count") for cell in notebook.cells]
    assert counts == [None, 1, 2, 3, 4]
    assert notebook.cells[2].outputs[0].text == "True\n"
    assert "image/png" in notebook.cells[3].outputs[0].data  # although the tests run with MPLBACKEND=Agg
    assert set(notebook.cells[4].outputs[0].data) == {"text/plain", "text/markdown"}
    assert notebook.metadata == build.METADATA
    assert build.check([script], folder=tmp_path) == []

    # A new cell in front changes no other cell's id: the diff of a rebuild stays small.
    ids = [cell.id for cell in notebook.cells]
    edited = write_script(tmp_path, "# New", *cells, "print('again')", "print('again')")
    edited_ids = [cell.id for cell in build.read_script(edited).cells]
    assert edited_ids[1:6] == ids
    assert len(set(edited_ids)) == 8
    assert build.check([edited], folder=tmp_path) == [
        "lesson.ipynb has 5 cells, its script 8",
        "lesson.ipynb differs from its script, first in cell 0",
    ]
    missing = Path(shutil.copy(edited, tmp_path / "other.py"))
    assert build.check([missing], folder=tmp_path) == ["other.ipynb is missing"]

    # The source was brought up to date by hand, the output was not: the id gives it away.
    notebook.cells[2].source = "print(1 + 1)"
    path.write_text(build.serialize(notebook), encoding="utf-8")
    agrees = write_script(tmp_path, *cells[:2], "print(1 + 1)", *cells[3:])
    assert build.check([agrees], folder=tmp_path) == ["lesson.ipynb differs from its script, first in cell 2"]


def test_a_cell_that_only_asks_hides_its_source(tmp_path: Path) -> None:
    asking = "quiz.ask('Which?', ['a', 'b'], answer=0, why='so')\nquiz.predict('how many', answer=3)"
    script = write_script(tmp_path, "from yolo_edu.course import quiz", asking, f"x = 3\n{asking}", "%time 1", "")
    hidden = [cell.metadata.get("jupyter") for cell in build.read_script(script).cells]
    assert hidden[:4] == [None, {"source_hidden": True}, None, None]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["x = 1", "print(undefined_name)"], r"(?s)cell 1 .*print\(undefined_name\).*NameError"),
        (["import os\nos._exit(1)"], r"(?s)cell 0 .*kernel died.*os\._exit"),
        (["while True:\n    pass"], r"(?s)cell 0 .*budget of 2 s.*while True"),
        (
            [
                "import ipywidgets\n"
                "slider = ipywidgets.IntSlider(1)\n"
                "ipywidgets.interactive(lambda n: 1 / n, n=slider)",
                "slider.value = 0",
            ],
            r"(?s)widget callback.*ZeroDivisionError",
        ),
    ],
    ids=["error", "dead kernel", "endless", "silent widget error"],
)
def test_execute_says_what_went_wrong(cells: list[str], message: str, tmp_path: Path) -> None:
    notebook = build.read_script(write_script(tmp_path, *cells))
    with pytest.raises(build.LessonError, match=message):
        build.execute(notebook, folder=tmp_path, budget=2 if "while True" in cells[-1] else 300)


def test_an_unfit_notebook_is_not_written(tmp_path: Path) -> None:
    script = write_script(tmp_path, "print('/ho' + 'me/ada/photos')")
    with pytest.raises(build.LessonError, match="cell 0 holds a path of one machine: /ho" + "me/ada"):
        build.build(script, folder=tmp_path)
    assert not (tmp_path / "lesson.ipynb").exists()


def test_problems_finds_each_kind() -> None:
    v4 = nbformat.v4
    notebook = v4.new_notebook(
        metadata={"kernelspec": {"name": "mine", "display_name": "Mine"}, "widgets": {}},
        cells=[
            v4.new_code_cell("1 + 1"),
            v4.new_code_cell("1 / 0", execution_count=1, outputs=[v4.new_output("error", ename="E")]),
            v4.new_code_cell(
                "w", execution_count=2, outputs=[v4.new_output("display_data", data={build.WIDGET_VIEW: {}})]
            ),
            v4.new_markdown_cell("![](a.png) <img src='b.png'> <img src='c.png' alt=''>"),
            v4.new_markdown_cell("![a](a.png) <img src='b.png' alt='b'>"),
            v4.new_raw_cell("x" * build.MAX_BYTES),
        ],
    )
    no_alt = "cell 3 has an image without alternative text"
    *found, size = build.problems(notebook)
    assert found == [
        "its kernelspec is not the plain python3 one",
        "its metadata holds widget state",
        "cell 0 was not executed",
        "cell 1 shows an error",
        "cell 2 refers to a widget whose state is not saved",
        *[no_alt] * 3,
    ]
    assert size == "it has 1.50 MB; 1.5 MB is the most"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /ho" + "me/ada/x.png", ["/ho" + "me/ada"]),
        ('File "/ro' + 'ot/a.py"', ["/ro" + "ot/a.py"]),
        ("C:\\Us" + "ers\\ada", ["C:\\Us" + "ers\\ada"]),
        (f"{build.REPOSITORY}/data", None),
        ("https://example.org/home/ada ~/jobs/x ./tmp/y runs/tmp/z /content/x /usr/bin", []),
        ("aGVsbG8/tmp/d29ybGQ+/home/abc", []),  # base64
    ],
)
def test_local_paths(text: str, found: list[str] | None) -> None:
    if found is None:
        assert any(path.startswith(str(build.REPOSITORY)) for path in build.local_paths(text))
    else:
        assert build.local_paths(text) == found


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(build, "lessons", lambda names: [write_script(tmp_path, "1 + 1", name=n) for n in names])
    monkeypatch.setattr(build, "check", lambda scripts: [f"{s.stem} differs" for s in scripts if s.stem == "b"])
    assert build.main(["--check", "a"]) == 0
    assert build.main(["--check", "a", "b"]) == 1
    assert "b differs" in capsys.readouterr().out

    def fake_build(script: Path, *, write: bool) -> build.Built:
        if script.stem == "bad":
            raise build.LessonError("cell 3 broke")
        return build.Built(script.stem, 5, 61.0, 1000 + write)

    monkeypatch.setattr(build, "build", fake_build)
    monkeypatch.delenv("YOLO_EDU_SMOKE", raising=False)
    assert build.main(["slow", "bad"]) == 1
    out = capsys.readouterr().out
    assert "over the promised 60 s" in out
    assert "cell 3 broke" in out
    assert "1 of 2 written" in out
    monkeypatch.setenv("YOLO_EDU_SMOKE", "1")
    assert build.main(["slow"]) == 0
    assert "none written" in capsys.readouterr().out


def test_unknown_lesson_is_named() -> None:
    with pytest.raises(build.LessonError, match="no such lesson: 99_nothing"):
        build.lessons(["99_nothing"])
