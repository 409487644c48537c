"""Every exercise of every lesson: left unfilled it stops nothing, its solution passes, wrong answers are explained."""

import importlib
import re
from pathlib import Path

import build
import pytest
from exercises import Exercise, attempt, exercises

SCRIPTS = [script for script in build.lessons() if script.stem[:2].isdigit()]
ALL = [(script, exercise) for script in SCRIPTS for exercise in exercises(script)]
EVERY_EXERCISE = pytest.mark.parametrize(("script", "exercise"), ALL, ids=lambda x: getattr(x, "number", ""))


def wrong_answers(lesson: str) -> dict[str, list[tuple[str, str]]]:
    """Number of an exercise → wrong answers, each with what the learner must read (a regular expression)."""
    return importlib.import_module(f"wrong_answers.lesson_{lesson[:2]}").WRONG


ATTEMPTS = [
    pytest.param(script, exercise, answer, says, id=f"{exercise.number}-{index}")
    for script, exercise in ALL
    for index, (answer, says) in enumerate(wrong_answers(exercise.lesson).get(exercise.number, []))
]


def earlier(exercise: Exercise) -> tuple[str, ...]:
    """Solutions of the same lesson's exercises before this one."""
    return tuple(e.solution for _, e in ALL if e.lesson == exercise.lesson and e.number < exercise.number)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_lesson_has_two_exercises_with_hints_and_wrong_answers(script: Path) -> None:
    found = exercises(script)
    assert len(found) >= 2
    assert [e.number for e in found] == [f"{int(script.stem[:2])}.{i + 1}" for i in range(len(found))]
    known = wrong_answers(script.stem)
    assert set(known) == {e.number for e in found}
    for exercise in found:
        assert exercise.hints >= 2, f"{exercise.number}: a ladder needs two hints"
        assert len(known[exercise.number]) >= 3, f"{exercise.number}: fewer than three wrong answers"
        assert "None" in exercise.stub or "NotImplementedError" in exercise.stub, f"{exercise.number} is filled in"


@EVERY_EXERCISE
def test_an_unfilled_exercise_stops_nothing(script: Path, exercise: Exercise) -> None:
    printed = attempt(script, exercise, exercise.stub, earlier=earlier(exercise))
    assert re.match(rf"{re.escape(exercise.number)} not attempted yet", printed), printed


@EVERY_EXERCISE
def test_the_folded_solution_passes(script: Path, exercise: Exercise) -> None:
    printed = attempt(script, exercise, exercise.solution, earlier=earlier(exercise))
    assert re.match(rf"{re.escape(exercise.number)} is right", printed), printed


@pytest.mark.parametrize(("script", "exercise", "answer", "says"), ATTEMPTS)
def test_a_wrong_answer_is_refused_with_what_the_learner_needs(
    script: Path, exercise: Exercise, answer: str, says: str
) -> None:
    printed = attempt(script, exercise, answer, earlier=earlier(exercise))
    assert printed.startswith(f"{exercise.number}: "), printed
    assert re.search(says, printed), printed
    assert re.search(r"Until it is right, the lesson goes on with .+\.\n$", printed), printed
