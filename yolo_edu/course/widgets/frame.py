"""What every widget stands in: a live view where widgets run, a picture of its default state elsewhere."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ipywidgets
from IPython.display import display

from yolo_edu.course.setup import in_colab

VIEW = "application/vnd.jupyter.widget-view+json"


class Explorer(NamedTuple):
    """A widget that has been shown: its controls by name, and the page that they redraw."""

    controls: dict[str, ipywidgets.Widget]
    view: ipywidgets.HTML


def show(widget: ipywidgets.Widget, fallback: str) -> None:
    """Display a widget, and with it the HTML that stands in its place where widgets do not run.

    One output holds both: a live front end takes the widget, an exported page or a viewer the HTML.
    """
    if in_colab():  # its page keeps what it shows, and takes HTML before widgets
        display(widget)
        return
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"text/plain": "an interactive widget", "text/html": fallback, VIEW: view}, raw=True)


def explore(
    controls: Mapping[str, ipywidgets.Widget],
    page: Callable[..., str],
    *,
    note: str = "Controls stand here when you run the cell; this is where they start.",
    still: str = "",
) -> Explorer:
    """Show controls above a page that follows them.

    Args:
        controls: name → widget with a `value`; keyboard reachable, as all of ipywidgets' own are.
        page: the controls' values by name → HTML. It must be quick: it is called on every move.
        note: said below the default page where no widgets run.
        still: HTML that stands above the default page there, for controls that are pictures themselves.

    Returns:
        What was shown. Setting `controls[name].value` redraws `view`.
    """
    named = dict(controls)

    def draw() -> str:
        return page(**{name: control.value for name, control in named.items()})

    view = ipywidgets.HTML(draw())

    def on_move(_: dict[str, Any]) -> None:
        view.value = draw()

    for control in named.values():
        control.observe(on_move, names="value")
    bar = ipywidgets.HBox(list(named.values()), layout=ipywidgets.Layout(flex_flow="row wrap"))
    show(ipywidgets.VBox([bar, view]), f"{still}{view.value}<p><i>{note}</i></p>")
    return Explorer(named, view)
