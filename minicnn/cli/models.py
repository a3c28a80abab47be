"""``minicnn models``: what can be trained, summarised and used for prediction."""

from __future__ import annotations

import argparse

HELP = "list the models, with their size and what they are"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A part of the name picks some of the models."""
    parser.add_argument("part", nargs="?", default="", metavar="PART", help="only models with this in their name")


def run(args: argparse.Namespace) -> int:
    """One line a model."""
    from ..models import create_model, list_models, model_entry
    from ._errors import UsageError

    names = [name for name in list_models() if args.part in name]
    if not names:
        raise UsageError(f"no model has {args.part!r} in its name; `minicnn models` lists all {len(list_models())}")
    width = max(map(len, names))
    print(f"{'model':<{width}}  {'parameters':>11}  description")
    for name in names:
        model = create_model(name, init=False)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        print(f"{name:<{width}}  {parameters:>11,}  {model_entry(name).description}", flush=True)
    return 0
