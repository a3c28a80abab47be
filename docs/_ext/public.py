"""``{public}`` in a page: everything that a module offers, as autodoc documents it.

    ```{public} minicnn.optim
    ```

What is offered is the module's ``__all__``, or what ``dir`` shows of it: a new name is on the page without being
written there. Names after the module's document only these; a name with a minus in front is left out, because another
page has it.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from sphinx.application import Sphinx

BLOCK = re.compile(r"^```\{public\} +(?P<module>\S+)(?P<names>[^\n]*)\n```$", re.MULTILINE)


def public_names(module: str) -> list[str]:
    """The names that ``module`` offers, without the modules in it, in alphabetical order.

    Raises:
        ImportError: for a module that there is not.
    """
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", None)
    if names is None:
        names = [name for name in dir(loaded) if not name.startswith("_")]
        if "." in module:  # what it imports for itself is not its own
            names = [name for name in names if getattr(getattr(loaded, name), "__module__", "") == module]
    return sorted((name for name in names if not inspect.ismodule(getattr(loaded, name))), key=str.lower)


def _directive(name: str, value: Any) -> list[str]:
    """The lines that document ``value``. Of what is no function or class of minicnn, only the value is shown."""
    if getattr(value, "__module__", "").partition(".")[0] != "minicnn":
        return [f".. py:data:: {name}", "", f"   ``{value!r:.60}``", ""]
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
        return [f".. auto{kind}:: {name}", "   :members:", ""]
    return [f".. autofunction:: {name}", ""]


def _documented(block: re.Match[str]) -> str:
    """The directives that document a module, in reStructuredText, which autodoc speaks."""
    module = block["module"]
    loaded = importlib.import_module(module)
    lines = ["```{eval-rst}", f".. currentmodule:: {module}", ""]
    left_out = {name[1:] for name in block["names"].split() if name.startswith("-")}
    only = [name for name in block["names"].split() if not name.startswith("-")]
    for name in only or [name for name in public_names(module) if name not in left_out]:
        lines += _directive(name, getattr(loaded, name))
    return "\n".join([*lines, "```"])


def _replace(app: Sphinx, docname: str, content: list[str]) -> None:
    content[0] = BLOCK.sub(_documented, content[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", _replace)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
