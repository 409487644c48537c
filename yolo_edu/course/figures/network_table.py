"""The article's 191 rows beside ours, as a table to scroll through."""

import html
from collections.abc import Container, Sequence

from IPython.display import HTML

from yolo_edu.course.article import PrintedRow
from yolo_edu.summary import ParameterRow

HEIGHT = 460  # pixels of the box that the table scrolls in
_HEADS = (
    ("layer", "number of the row"),
    ("name", "path of the parameter in the model"),
    ("parameters", "how many numbers it holds"),
    ("shape", "out, in, kernel height, kernel width"),
    ("mu, article", "mean, as printed in the article"),
    ("mu, ours", "mean, measured here"),
    ("mu, theory", "mean that the initialization implies"),
    ("mu, off", "the article's mean minus theory, in standard errors"),
    ("sigma, article", "standard deviation, as printed in the article"),
    ("sigma, ours", "standard deviation, measured here"),
    ("sigma, theory", "standard deviation that the initialization implies"),
    ("sigma, off", "the article's deviation minus theory, in standard errors"),
)

_STYLE = """<style>
.rows-of-both {font-size: 11px !important; margin: 0 !important}
.rows-of-both td, .rows-of-both tbody th {padding: 2px 3px !important; white-space: nowrap; text-align: right}
.rows-of-both tr.bold > * {font-weight: bold; background: #fff3c4; color: #1c1c1c}
.rows-of-both tr > :nth-child(2) {text-align: left !important}
.rows-of-both thead th {position: sticky; top: 0; background: #f6f6f6; color: #1c1c1c}
.rows-of-both thead th {padding: 4px 3px !important; white-space: normal; text-align: right}
</style>"""


def _signed(errors: float) -> str:
    return f"{round(errors, 1) + 0.0:+.1f}"  # + 0.0: no "−0.0"


def parameter_comparison(
    printed: Sequence[PrintedRow],
    ours: Sequence[ParameterRow],
    theory: Sequence[tuple[float, float]],
    deviations: Sequence[tuple[float, float]],
    *,
    caption: str,
    bold: Container[int] = (),
) -> HTML:
    """A row for every parameter tensor: what both agree in once, mu and sigma side by side.

    Args:
        printed: the article's rows; their first columns are shown, with our counts, which have all digits.
        ours: the live model's.
        theory: (mu, sigma) that the initialization implies, one pair a row.
        deviations: (mu, sigma) of the article minus theory in standard errors, one pair a row; 0 where both are exact.
        caption: of the table, plain text.
        bold: numbers of the rows to point out.
    """
    heads = "".join(f'<th scope="col" title="{meaning}">{name}</th>' for name, meaning in _HEADS)
    lines = []
    for p, o, (mu, sigma), (mu_off, sigma_off) in zip(printed, ours, theory, deviations, strict=True):
        exact = p.std == 0 == sigma
        off = ("exact", "exact") if exact else (_signed(mu_off), _signed(sigma_off))
        cells = (
            *(p.name, f"{o.parameters:,}", "×".join(map(str, p.shape))),
            *(f"{p.mean:.3g}", f"{o.mean:.3g}", f"{mu:.3g}", off[0]),
            *(f"{p.std:.3g}", f"{o.std:.3g}", f"{sigma:.3g}", off[1]),
        )
        body = "".join(f"<td>{html.escape(cell).replace('-', '−')}</td>" for cell in cells)
        start = '<tr class="bold">' if p.layer in bold else "<tr>"
        lines.append(f'{start}<th scope="row">{p.layer}</th>{body}</tr>')
    return HTML(
        f"{_STYLE}"
        f'<div tabindex="0" role="region" aria-label="{html.escape(caption)}" '
        f'style="max-height:{HEIGHT}px;overflow:auto;border:1px solid #9a9a9a">'
        '<table class="rows-of-both">'
        f'<caption style="text-align:left;padding:4px">{html.escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )
