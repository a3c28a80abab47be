"""``minicnn models``: the models, what they cost, and the errors that their papers report."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..terminal import Layout, fill

if TYPE_CHECKING:
    from ..models import ModelEntry

HELP = "list the models, with their cost and the error that their papers report"

HEADER = ("model", "parameters", "mult-adds", "input", "top-1", "top-5", "", "lecture")
NOTES = (
    "mult-adds: in convolutions and matrix products, for one image of the input size; one is two FLOPs",
    "top-1, top-5: published error in per cent",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Part of a name, to list only some models."""
    parser.add_argument("part", nargs="?", metavar="PART", help="only models with this in their name")
    parser.add_argument("--variant", metavar="NAME", help="paper (default) or torchvision, where they differ")


def run(args: argparse.Namespace) -> int:
    """Print one line per model, then where the numbers come from."""
    from ..models import list_models, model_entry
    from ._errors import UsageError

    entries = [model_entry(name) for name in list_models() if (args.part or "") in name]
    if not entries:
        raise UsageError(f"no model has {args.part!r} in its name; `minicnn models` lists all {len(list_models())}")
    if args.variant is not None and not any(args.variant in entry.variants for entry in entries):
        known = sorted({variant for entry in entries for variant in entry.variants})
        raise UsageError(f"none of these models has a variant {args.variant!r}, only {' and '.join(known)}")
    name = max(len(HEADER[0]), *(len(entry.name) for entry in entries))
    layout = Layout([name, 11, 9, 5, 5, 5, 4, 7], "<>>>>><<")
    print(*layout.lines(HEADER), sep="\n")
    sources = _sources(entries)
    for entry in entries:
        print(*layout.lines(_cells(entry, args.variant, sources)), sep="\n", flush=True)
    print("", *map(fill, NOTES), sep="\n")
    for source, number in sources.items():
        print(fill(f"[{number}] {source}", hang="    "))
    return 0


def _cells(entry: ModelEntry, variant: str | None, sources: dict[str, int]) -> tuple[str, ...]:
    from ..models import create_model, preprocessing
    from ..nn.summary import multiply_adds

    variant = variant if variant in entry.variants else entry.variants[0]
    (side, _) = preprocessing(entry.name, variant).crop_size
    top1, top5, _ = entry.score
    source = _source(entry)
    try:
        model = create_model(entry.name, variant=variant, init=False)
        parameters = f"{sum(parameter.numel() for parameter in model.parameters()):,}"
        work = f"{multiply_adds(model, (3, side, side)) / 1e9:.3f} G"
    except NotImplementedError:  # homework, in a student's edition
        parameters = work = "-"
    return (
        entry.name,
        parameters,
        work,
        str(side),
        "" if top1 is None else f"{top1:.2f}",
        "" if top5 is None else f"{top5:.2f}",
        f"[{sources[source]}]" if source else "",
        entry.paper.lecture,
    )


def _sources(entries: list[ModelEntry]) -> dict[str, int]:
    """Where errors were published, numbered in the order in which the models need them."""
    return {source: number for number, source in enumerate(dict.fromkeys(filter(None, map(_source, entries))), 1)}


def _source(entry: ModelEntry) -> str:
    """``"He et al. 2015, Table 3: validation, 10 crops"``; empty for a model without a published error."""
    where = entry.score[2]
    first, *others = entry.paper.authors.split(", ")
    authors = f"{first} et al." if len(others) > 1 else " and ".join([first, *others])
    return f"{authors} {entry.paper.year}, {where}" if where.startswith("Table") else where
