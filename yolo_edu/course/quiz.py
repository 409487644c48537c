"""Questions to the reader: buttons where widgets run, a folded answer on a page where they do not."""

import html
from collections.abc import Sequence

import ipywidgets

from yolo_edu.course.widgets.frame import show

TOLERANCE = 1e-9  # a prediction that is off by rounding only is right


def ask(question: str, choices: Sequence[str], *, answer: int, why: str) -> None:
    """Show a question with several choices and explain the answer once one is chosen.

    Args:
        question, why: plain text.
        choices: at least two.
        answer: index of the right one.

    Raises:
        ValueError: `answer` is no index of `choices`, or there is nothing to choose.
    """
    if len(choices) < 2 or not 0 <= answer < len(choices):
        raise ValueError(f"answer {answer} is no index of {len(choices)} choices (at least 2)")
    buttons = ipywidgets.RadioButtons(
        options=[(choice, index) for index, choice in enumerate(choices)],
        index=None,
        layout=ipywidgets.Layout(width="auto"),
    )
    verdict = ipywidgets.HTML()

    def on_choice(change: dict[str, int]) -> None:
        verdict.value = _verdict(change["new"] == answer, why)

    buttons.observe(on_choice, names="value")
    title = ipywidgets.HTML(f"<b>{html.escape(question)}</b>")
    items = "".join(f"<li>{html.escape(choice)}</li>" for choice in choices)
    fallback = (
        f"<p><b>{html.escape(question)}</b></p><ol style='list-style-type:upper-alpha'>{items}</ol>"
        f"<details><summary>Answer</summary><p><b>{'ABCDEFGHIJ'[answer]}. {html.escape(choices[answer])}.</b> "
        f"{html.escape(why)}</p></details>"
    )
    show(ipywidgets.VBox([title, buttons, verdict]), fallback)


def predict(question: str, *, answer: float, why: str = "") -> None:
    """Ask for a number before it is revealed.

    Args:
        question: what the number is, plain text.
        answer: the number.
        why: how it comes about, plain text.
    """
    field = ipywidgets.Text(placeholder="your number", layout=ipywidgets.Layout(width="12em"))
    button = ipywidgets.Button(description="Compare")
    verdict = ipywidgets.HTML()

    def on_click(_: object) -> None:
        text = field.value.replace(",", "").replace(" ", "")
        try:
            guess = float(text)
        except ValueError:
            verdict.value = "Write a number first. A rough one will do." if not text else "That is not a number."
            return
        right = abs(guess - answer) <= TOLERANCE * max(1.0, abs(answer))
        verdict.value = _verdict(right, f"The number is {answer:,}. {why}".rstrip())

    button.on_click(on_click)
    title = ipywidgets.HTML(f"<b>Predict:</b> {html.escape(question)}")
    fallback = (
        f"<p><b>Predict:</b> {html.escape(question)}</p><details><summary>Compare with the answer</summary>"
        f"<p><b>{answer:,}</b> {html.escape(why)}</p></details>"
    )
    show(ipywidgets.VBox([title, ipywidgets.HBox([field, button]), verdict]), fallback)


def _verdict(right: bool, why: str) -> str:
    return f"<b>{'Right.' if right else 'Not quite.'}</b> {html.escape(why)}"
