"""What a notebook shows of tensors, networks and summaries: HTML that loads nothing, in the page's own colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from .printing import writer

ROWS, COLUMNS = 24, 12  # of a matrix that is shown as a table
BOX = "color: inherit; background: transparent; border-collapse: collapse; font-family: monospace; margin: 0"
CELL = "padding: 0 .5em; border: 1px solid rgba(128, 128, 128, .4); color: inherit; background: transparent"


def tensor_html(tensor: Any) -> str:
    """A line about the tensor, and its text below; a small matrix is a table."""
    facts = [f"shape {tuple(tensor.shape)}", str(tensor.dtype), str(tensor.device)]
    if tensor.grad_fn is not None:
        facts.append(f"grad_fn=<{tensor.grad_fn.name()}>")
    elif tensor.requires_grad:
        facts.append("requires_grad=True, grad " + ("None" if tensor.grad is None else f"of {tensor.grad.dtype}"))
    said = f"<div><b>{escape(type(tensor).__name__)}</b> {escape(', '.join(facts))}</div>"
    if tensor.ndim == 2 and 0 < tensor.shape[0] <= ROWS and 0 < tensor.shape[1] <= COLUMNS:
        values = tensor.detach().cpu().numpy()
        write, _ = writer(values)
        return said + _table([[write(number) for number in row] for row in values.tolist()], ">" * tensor.shape[1])
    return f'{said}<pre style="color: inherit; background: transparent; margin: 0">{escape(repr(tensor))}</pre>'


def module_html(module: Any, name: str = "") -> str:
    """The tree of a network, one level open, with how many parameters each module has."""
    count = sum(parameter.numel() for parameter in module.parameters())
    kind = f"{escape(type(module).__name__)}({escape(module.extra_repr())})"
    line = f"{f'({escape(name)}) ' if name else ''}<b>{kind}</b>" + (f" {count:,} parameters" if count else "")
    children = "".join(module_html(child, key) for key, child in module._modules.items() if child is not None)
    style = f'style="font-family: monospace; color: inherit; margin-left: {1.5 if name else 0}em"'
    if not children:
        return f"<div {style}>{line}</div>"
    return f"<details {style}{'' if name else ' open'}><summary>{line}</summary>{children}</details>"


def summary_html(summary: Any) -> str:
    """The table of a summary, with every layer's whole name, and the totals."""
    rows = [(row.name or f"({summary.model})", row.kind, *row.numbers()) for row in summary.rows]
    totals = "".join(f"<div>{escape(line)}</div>" for line in summary.totals())
    return _table(rows, "<<<>>>>>", ("layer", "kind", *summary.columns)) + totals


def _table(rows: Iterable[Sequence[str]], align: str, head: Sequence[str] = ()) -> str:
    """A table whose columns are set as in ``terminal.table``."""
    lines = []
    for tag, row in [*([("th", head)] if head else []), *(("td", row) for row in rows)]:
        cells = (
            f'<{tag} style="{CELL}; text-align: {"left" if sign == "<" else "right"}">{escape(cell.strip())}</{tag}>'
            for cell, sign in zip(row, align, strict=True)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table style="{BOX}">{"".join(lines)}</table>'
