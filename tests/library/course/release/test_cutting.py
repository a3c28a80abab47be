"""What of the library is in a student's edition."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from minicnn.course.holes import body, find
from minicnn.course.manifest import ManifestError, all_homework, homework
from minicnn.course.release.cutting import INSTRUCTORS, library, without

EVERYTHING = list(all_homework())


@pytest.fixture(scope="module")
def fourth() -> dict[str, bytes]:
    return library(EVERYTHING[3:])


def holes_of(files: dict[str, bytes], owner) -> list[str]:
    """The bodies of a homework's functions in an edition."""
    paths = {stem: module.replace(".", "/") + ".py" for stem, module in owner.modules.items()}
    return [
        body(files[paths[hole.stem]].decode(), hole.qualname) for hole in owner.holes() if paths[hole.stem] in files
    ]


def test_every_hole_of_this_and_later_homework_raises_and_earlier_ones_are_filled(fourth):
    for owner in EVERYTHING[:3]:
        assert not any("not written yet" in text for text in holes_of(fourth, owner)), owner.id
    for owner in EVERYTHING[3:]:
        bodies = holes_of(fourth, owner)
        assert bodies and all(text.startswith("raise NotImplementedError(") for text in bodies), owner.id
        assert all(len(text.splitlines()) == 1 for text in bodies)


def test_the_message_is_the_stubs(fourth):
    assert (
        b"hw4.1 residual_add: not written yet, see assignments/hw4_resnet/README.md"
        in fourth["minicnn/models/resnet.py"]
    )


def test_what_only_instructors_use_is_not_there(fourth):
    for name in INSTRUCTORS:
        assert not [path for path in fourth if path.startswith(f"minicnn/{name}")], name
    assert "minicnn/course/worker.py" in fourth and "minicnn/course/homework/hw4.toml" in fourth
    assert "minicnn/course/homework/hw5.toml" not in fourth


def test_all_that_is_left_is_python(fourth):
    for path, content in fourth.items():
        if path.endswith(".py"):
            ast.parse(content)


def test_while_convolution_is_homework_nothing_computes_it(fourth):
    second = library(EVERYTHING[1:])
    assert not [path for path in second if path.startswith("minicnn/backend/cpu/") or path.endswith("/conv.cu")]
    assert "minicnn/backend/cpu/conv.py" in fourth and "minicnn/backend/cuda/kernels/conv.cu" in fourth
    for path in ("minicnn/backend/reference/fused.py", "minicnn/backend/cuda/conv.py"):
        assert b"not in this edition, it is too near to hw2" in second[path]
    assert b"too near to hw4" in fourth["minicnn/models/senet.py"]


def test_helpers_that_only_holes_use_go_with_them_and_comments_above():
    source = "import math\n\n\n# For f alone.\ndef _helper(x):\n    return math.sqrt(x)\n\n\n"
    source += "def _shared(x):\n    return x\n\n\n"
    source += 'def f(x):\n    """Doc."""\n    return _helper(_shared(x))\n\n\ndef g(x):\n    return _shared(x)\n'
    (hole,) = [replace(homework("hw1").holes()[0], qualname="f")]
    text = without(source, {"f": "raise NotImplementedError('f')"}, [hole])
    assert "_helper" not in text and "For f alone" not in text and "_shared" in text
    assert find(ast.parse(text), "f").body[-1].lineno and '"""Doc."""' in text


def test_a_closed_name_that_is_not_there_is_an_error_of_its_manifest():
    wrong = replace(homework("hw7"), closed=("minicnn.models.vgg:no_such_function",))
    with pytest.raises(ManifestError, match="hw7.toml: closed: there is no no_such_function"):
        library([wrong])
    with pytest.raises(ManifestError, match="there is no module"):
        library([replace(wrong, closed=("minicnn.models.nowhere",))])
