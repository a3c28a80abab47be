"""``minicnn completion``: what a shell needs to complete the commands, their options and what these take."""

from __future__ import annotations

import argparse
import re
from typing import Any

HELP = "print what lets bash, zsh or fish complete commands, options and values"

SHELLS = ("bash", "zsh", "fish")
INSTALL = """\
To have it in every new shell:

  bash:  minicnn completion bash > ~/.minicnn-completion.bash
         echo 'source ~/.minicnn-completion.bash' >> ~/.bashrc
  zsh:   mkdir -p ~/.zfunc && minicnn completion zsh > ~/.zfunc/_minicnn
         and in ~/.zshrc, before compinit:  fpath+=~/.zfunc
  fish:  minicnn completion fish > ~/.config/fish/completions/minicnn.fish

In this bash only:  source <(minicnn completion bash)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = INSTALL
    parser.add_argument("shell", choices=SHELLS, help="whose language it is written in")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    script = shtab.complete(full_parser(args.shell), args.shell)
    if args.shell == "zsh":  # shtab 1.13 lets an argument that may be repeated be completed only once
        script = re.sub(r'"\(\*\)::?', '"*:', script)
    print(script)
    return 0


def full_parser(shell: str) -> argparse.ArgumentParser:
    """The parsers of all commands in one, as the completion sees them: each argument has the values that it takes."""
    from . import command_names, load_command, parser_of, top_parser

    full = top_parser()
    commands = full.add_subparsers(metavar="COMMAND")
    known = values()
    for name in command_names():
        made = parser_of(name)
        entry = commands.add_parser(name, help=load_command(name).HELP, add_help=False, parents=[made])
        for action in entry._actions:
            found = known.get(f"{name} {action.dest}") or known.get(action.dest) or known.get(str(action.metavar))
            if isinstance(found, dict):
                action.complete = found  # type: ignore[attr-defined]
            elif found and not action.choices:
                action.choices = [word.replace(":", r"\:") for word in found] if shell == "zsh" else found
    return full


def values() -> dict[str, Any]:
    """What arguments take, by command and name, by name alone, or by what the help calls it.

    A list of words, or shtab's description of files.
    """
    from shtab import DIRECTORY, FILE

    from ..course.manifest import all_homework
    from ..data.sources import SPELLINGS
    from ..lecture import figure_names
    from ..models import list_models
    from .grade import VERBS

    homework = [owner.id for owner in all_homework()]
    tasks = [task.id for owner in all_homework() for task in owner.tasks]
    models, data = list_models(), [each.removesuffix("DIR") for each in SPELLINGS.values()]
    return {
        "bench models": [*models, "ladder"],
        "models part": models,
        "hw name": [*tasks, *homework],
        "course platform": ["gradescope", "github"],
        "grade words": _words_and_files(*VERBS),
        "device": ["cpu", "cuda:0"],
        "optimizer": ["sgd", "adam", "adamw"],
        "FIGURE": [*figure_names(), "all"],
        "MODEL": models,
        "HW": homework,
        "HW,...": homework,
        "SPEC": data,
        "DATA": data,
        **dict.fromkeys(("DIR", "RUN", "GRADES"), DIRECTORY),
        **dict.fromkeys(("FILE", "IMAGE", "PATH", "CSV", "TOML"), FILE),
    }


def _words_and_files(*words: str) -> dict[str, Any]:
    """What completes to one of some words or to a file, in each shell's language."""
    listed = " ".join(words)
    return {
        "bash": "_minicnn_words_and_files",
        "zsh": f"{{_alternative 'words:word:({listed})' 'files:file:_files'}}",
        "fish": rf"(printf '%s\n' {listed}; __fish_complete_path (commandline -ct))",
        "preamble": {
            "bash": f'''_minicnn_words_and_files() {{ compgen -W "{listed}" -- "$1"; compgen -f -- "$1"; }}''',
        },
    }
