"""Quizzes: one output with buttons for live pages and the folded answer for the others."""

from typing import Any

import ipywidgets
import pytest

from yolo_edu.course import quiz

Shown = list[tuple[ipywidgets.Widget, str]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    calls: Shown = []
    monkeypatch.setattr(quiz, "show", lambda widget, fallback: calls.append((widget, fallback)))
    return calls


def test_ask_explains_whatever_is_chosen(shown: Shown) -> None:
    quiz.ask("1 < 2?", ["no", "yes & always"], answer=1, why="One is < two.")
    (widget, fallback) = shown[0]
    _, buttons, verdict = widget.children
    assert buttons.value is None
    assert verdict.value == ""
    buttons.value = 0
    assert verdict.value == "<b>Not quite.</b> One is &lt; two."
    buttons.value = 1
    assert verdict.value == "<b>Right.</b> One is &lt; two."
    assert "<li>yes &amp; always</li>" in fallback
    assert "<details><summary>Answer</summary><p><b>B. yes &amp; always.</b> One is &lt; two." in fallback


@pytest.mark.parametrize(("choices", "answer"), [(["a", "b"], 2), (["a", "b"], -1), (["a"], 0)])
def test_ask_refuses_an_answer_that_is_not_there(choices: list[str], answer: int) -> None:
    with pytest.raises(ValueError, match="no index"):
        quiz.ask("?", choices, answer=answer, why="")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "Write a number first."),
        ("many", "That is not a number."),
        ("4000", "<b>Not quite.</b> The number is 4,032. Count."),
        ("4,032", "<b>Right.</b> The number is 4,032. Count."),
        (" 4032.0 ", "<b>Right.</b>"),
    ],
)
def test_predict_compares_with_the_answer(shown: Shown, typed: str, says: str) -> None:
    quiz.predict("boxes", answer=4032, why="Count.")
    widget, fallback = shown[0]
    _, line, verdict = widget.children
    field, button = line.children
    field.value = typed
    button.click()
    assert verdict.value.startswith(says)
    assert "<summary>Compare with the answer</summary><p><b>4,032</b> Count." in fallback


def test_predict_accepts_a_rounded_float(shown: Shown) -> None:
    quiz.predict("half", answer=0.1 + 0.2)
    widget: Any = shown[0][0]
    widget.children[1].children[0].value = "0.3"
    widget.children[1].children[1].click()
    assert widget.children[2].value.startswith("<b>Right.</b>")
