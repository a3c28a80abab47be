"""The tests lie as the package does: each module has a test file of its name, in the folder of its folder's name."""

from __future__ import annotations

from pathlib import Path

import pytest

import minicnn

PACKAGE, TESTS = Path(minicnn.__file__).parent, Path(__file__).parent
FOLDERS = ("ops", "nn", "optim", "data", "compiler", "backend")
EXCEPTIONS = {
    "data/errors.py": "an exception class that does nothing of its own",
}


def file_for(module: Path) -> Path:
    return TESTS / module.parent / f"test_{module.name}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_module_has_a_test_file_of_its_name(folder: str) -> None:
    """An ``__init__`` collects what the other modules define."""
    modules = [path.relative_to(PACKAGE) for path in (PACKAGE / folder).rglob("*.py") if path.stem != "__init__"]
    assert len(modules) > 3
    missing = [str(module) for module in modules if not file_for(module).exists()]
    assert set(missing) <= set(EXCEPTIONS), "they have no test file of their name"


def test_no_exception_is_made_without_need() -> None:
    for module in map(Path, EXCEPTIONS):
        assert (PACKAGE / module).exists() and not file_for(module).exists(), f"take {module} off the list"


def test_each_folder_of_tests_has_the_name_of_one_of_the_package() -> None:
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    others = {"support", "typing"}  # what tests share, and users' programs before type checkers
    unknown = [folder for folder in folders if not {*folder.parts[:1]} & others and not (PACKAGE / folder).is_dir()]
    assert not unknown
