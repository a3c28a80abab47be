"""The formats that grades are exported to, by name."""

from __future__ import annotations

from pathlib import Path

from ..grades import Grades
from . import autolab, canvas, csv_table, github, gradescope, junit, moodle, nbgrader, prairielearn
from .form import Exported, Format, Options

_MODULES = (canvas, moodle, gradescope, github, nbgrader, csv_table, junit, autolab, prairielearn)
FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in _MODULES}


def export(grades: Grades, name: str, out: str | Path, options: Options | None = None) -> Exported:
    """Write the grades in one format.

    Args:
        out: the file, or the folder for the formats that have files for each student.

    Raises:
        ValueError: for an unknown format, for a void batch, and for what the format cannot be made of.
        FileFormatError: for a template that is not what the platform gives.
    """
    if name not in FORMATS:
        raise ValueError(f"there is no format {name!r}; expected one of {', '.join(FORMATS)}")
    if grades.void:
        raise ValueError(f"the batch is void, and none of its grades may be used: {grades.void}")
    return FORMATS[name].write(grades, Path(out), options or Options())


__all__ = ["FORMATS", "Exported", "Format", "Options", "export"]
