"""``--mine``: the library with a student's modules in place of its own, and what it says when these fail."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicnn.course.build import answer
from minicnn.course.holes import body_span, find
from minicnn.course.manifest import homework, homework_ids, reference_source
from minicnn.course.mine import substitutes

from ..support.other_answers import AUTHORS, hand_in

pytestmark = pytest.mark.slow(seconds=2)
ROOT = Path(__file__).resolve().parents[3]


def desk(top: Path, *names: str) -> Path:
    """A course with some homework finished; returns the folder of the last one."""
    (top / "tests").mkdir(exist_ok=True)
    for name in names:
        owner = homework(name)
        folder = top / "assignments" / owner.folder
        folder.mkdir(parents=True)
        for stem in owner.modules:
            (folder / f"{stem}.py").write_text(answer(owner, stem), encoding="utf-8")
    return folder


def filled(path: Path, function: str, body: str) -> int:
    """Put another body into a function of a file; returns the number of its first line."""
    text = path.read_text(encoding="utf-8")
    node = find(ast.parse(text), function)
    start, stop = body_span(text, node)
    indent = " " * (node.col_offset + 4)
    lines = text.splitlines(keepends=True)
    lines[start:stop] = [f"{indent}{line}\n" for line in body.splitlines()]
    path.write_text("".join(lines), encoding="utf-8")
    return start + 1


def header(path: Path, function: str) -> int:
    """The line that a function begins on, decorators included."""
    node = find(ast.parse(path.read_text(encoding="utf-8")), function)
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def run(top: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "minicnn", *arguments]
    return subprocess.run(command, cwd=top, capture_output=True, text=True)


# --- whose code runs ------------------------------------------------------------------------------------------------


def test_a_module_is_taken_from_a_students_file_and_given_back(tmp_path):
    """In a process of its own, for all of minicnn is imported anew."""
    mine = tmp_path / "broadcast.py"
    mine.write_text(reference_source("minicnn.ops.broadcast") + "\nMINE = True\n")
    script = f"""
import sys
import minicnn
from pathlib import Path
from minicnn.course.mine import Mine, install, uninstall
finder = install({{"minicnn.ops.broadcast": Mine(Path({str(mine)!r}))}})
import minicnn
from minicnn.ops import arithmetic
module = sys.modules["minicnn.ops.broadcast"]
assert module.MINE and arithmetic.unbroadcast is module.unbroadcast
x = minicnn.ones(2, 3, requires_grad=True)
(x * minicnn.ones(3)).sum().backward()
uninstall(finder)
import minicnn.ops
assert not hasattr(sys.modules["minicnn.ops.broadcast"], "MINE")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", homework_ids())
def test_the_library_imports_with_a_students_modules_in_place_of_its_own(name, tmp_path):
    """Solved stubs stand in for the modules: nothing misses a helper, nothing imports what waits for it."""
    folders = [str(hand_in(tmp_path / author, homework(name), author)) for author in AUTHORS]
    script = f"""
import minicnn
from pathlib import Path
from minicnn.course.manifest import homework
from minicnn.course.mine import Mine, install, uninstall
owner = homework({name!r})
for folder in map(Path, {folders!r}):
    paths = {{module: folder / (stem + ".py") for stem, module in owner.modules.items()}}
    finder = install({{module: Mine(path) for module, path in paths.items()}})
    import pkgutil, importlib, minicnn
    for module in pkgutil.walk_packages(minicnn.__path__, "minicnn."):
        if "cuda" not in module.name and "__main__" not in module.name and "plugin" not in module.name:
            importlib.import_module(module.name)
    uninstall(finder)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_training_with_mine_runs_the_students_code(tmp_path):
    """Every function is called, one that fails on purpose fails the training, an unfinished file is left out."""
    owner = homework("hw2")
    (tmp_path / "tests").mkdir()
    folder = tmp_path / "assignments" / owner.folder
    folder.mkdir(parents=True)
    for stem in owner.modules:
        (folder / f"{stem}.py").write_text(answer(owner, stem), encoding="utf-8")
    command = [sys.executable, "-m", "minicnn", "train", "resnet20", "--epochs=1", "--mine=hw2", "--quiet"]
    watched = {"conv": ("conv2d", "conv2d_weight_grad"), "norm": ("batch_norm", "batch_norm_grad")}
    for stem, functions in watched.items():
        path = folder / f"{stem}.py"
        for function in functions:
            text = path.read_text(encoding="utf-8")
            start, _ = body_span(text, find(ast.parse(text), function))
            lines = text.splitlines(keepends=True)
            lines.insert(start, f"    print('my own {function} ran', file=__import__('sys').stderr)\n")
            if function == "conv2d_weight_grad":  # the last of them: enough seen
                lines.insert(start + 1, "    raise ArithmeticError('on purpose')\n")
            path.write_text("".join(lines))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "on purpose" in done.stderr, done.stderr
    for function in (*watched["conv"], *watched["norm"]):
        assert f"my own {function} ran" in done.stderr, done.stderr
    (folder / "norm.py").write_text(answer(owner, "norm"), encoding="utf-8")
    (folder / "conv.py").write_text((ROOT / "assignments" / owner.folder / "conv.py").read_text())
    done = subprocess.run(command[:-1], cwd=tmp_path, capture_output=True, text=True)
    assert "not yours: hw2_convolution/conv.py: hw2." in done.stderr and done.returncode == 0, done.stderr


def test_training_with_a_file_that_imports_what_waits_for_it_says_what_to_import(tmp_path):
    owner = homework("hw3")
    (tmp_path / "tests").mkdir()
    folder = hand_in(tmp_path / "assignments", owner, AUTHORS[0])
    path = folder / "conv.py"
    lines = path.read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("from minicnn"))
    path.write_text("\n".join([*lines[:number], "from minicnn.ops import softmax", *lines[number:]]))
    command = [sys.executable, "-m", "minicnn", "train", "resnet20", "--epochs=1", "--mine=hw3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert f"hw3_googlenet/conv.py, line {number + 1}: 'softmax' cannot be imported from minicnn.ops" in done.stderr
    assert "import it from minicnn.ops.probability" in done.stderr and done.returncode == 2, done.stderr


COMPILED = """

import numba


@numba.njit(cache=True)
def triple(x):
    return 3 * x
"""
GRADED = """
from pathlib import Path
from minicnn.course.loading import load
from minicnn.course.manifest import homework
triple = load(homework("hw1"), "broadcast", Path("assignments/hw1_autograd/broadcast.py").resolve()).triple
"""
MINE = """
import sys
from pathlib import Path
from minicnn.course.mine import Mine, import_all, install
files = {"minicnn.ops.broadcast": Mine(Path("assignments/hw1_autograd/broadcast.py").resolve())}
install(files)
import_all(files)
triple = sys.modules["minicnn.ops.broadcast"].triple
"""


def test_what_numba_compiled_is_found_again_by_the_next_grading_by_training_and_after_a_move(tmp_path):
    """Numba's cache names the module that it was made in."""
    folder = tmp_path / "here" / "assignments" / "hw1_autograd"
    folder.mkdir(parents=True)
    (folder / "broadcast.py").write_text(reference_source("minicnn.ops.broadcast") + COMPILED)
    cached = "\nassert triple(14) == 42 and sum(triple.stats.cache_hits.values()) == {hits}, triple.stats"
    for number, script in enumerate((GRADED, MINE, GRADED)):
        if number == 2:
            (tmp_path / "here").rename(tmp_path / "elsewhere")
        where = tmp_path / ("elsewhere" if number == 2 else "here")
        code = script + cached.format(hits=int(number > 0))
        environment = {**os.environ, "NUMBA_CACHE_DIR": ""}  # where it is set, nothing moves along with the file
        done = subprocess.run([sys.executable, "-c", code], cwd=where, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


# --- what it says when that code fails ------------------------------------------------------------------------------

# homework, file, function, its body, and what the command says; LINE is the first line of the body.
FAILURES = {
    "an error of one's own": (
        "hw2", "conv", "conv2d", "raise ValueError('my own mistake')",
        "error: your code: ValueError: my own mistake (hw2_convolution/conv.py, line LINE, in conv2d)",
    ),
    "None": (
        "hw2", "conv", "conv2d", "return None",
        "; before that your conv2d (hw2_convolution/conv.py, line DEF) returned None",
    ),
    "None to one's own function": (
        "hw2", "conv", "im2col", "return None",
        "error: your code: AttributeError: 'NoneType' object has no attribute 'shape' (hw2_convolution/conv.py, ",
    ),
    "a wrong shape": (
        "hw2", "conv", "conv2d", "return np.zeros((1, 2, 3, 4), np.float32)",
        "ShapeError: CifarResNet.bn1: expected 16 channels",
    ),
    "float64": (
        "hw2", "conv", "conv2d", "return np.zeros((len(x), len(weight), *x.shape[2:]))",
        "before that your conv2d (hw2_convolution/conv.py, line DEF) returned float64 where it was given float32",
    ),
    "too few results": (
        "hw2", "norm", "batch_norm", "return x",
        "before that your batch_norm (hw2_convolution/norm.py, line DEF) returned float32 of shape (64, 16, 8, 8)",
    ),
    "no end": (
        "hw2", "conv", "conv2d", "return conv2d(x, weight, window, groups)",
        "error: your code: RecursionError: ",
    ),
    "exit()": (
        "hw2", "conv", "conv2d", "exit()",
        "error: your code: SystemExit: it leaves the program (hw2_convolution/conv.py",
    ),
    "minicnn's operations refuse": (
        "hw4", "resnet", "BasicBlock.forward", "return self.conv1(x).reshape(3, 7)",
        "; called from your hw4_resnet/resnet.py, line LINE, in BasicBlock.forward",
    ),
    "a list in backward": (
        "hw1", "activation", "ReLU.backward", "return [dy] * 2",
        "before that your ReLU.backward (hw1_autograd/activation.py, line DEF) returned a list of (float32 of shape",
    ),
    "an exception of one's own": (
        "hw1", "activation", "ReLU.backward", "class Odd(Exception): pass\nraise Odd('no\\nmore')",
        "error: your code: Odd: no (hw1_autograd/activation.py, line ",
    ),
}  # fmt: skip

SCRIPT = """
import contextlib, io, json, os, sys
said = {}
for name, (folder, homework) in json.loads(sys.argv[1]).items():
    os.chdir(folder)
    import minicnn.cli
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        status = minicnn.cli.main(["train", "resnet20", "--epochs=1", "--out=run", "--quiet", f"--mine={homework}"])
    said[name] = status, error.getvalue()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """What all of FAILURES say, with their line numbers: one process, which imports minicnn anew for each."""
    jobs, lines = {}, {}
    for name, (owner, stem, function, body, _) in FAILURES.items():
        top = tmp_path_factory.mktemp("course")
        path = desk(top, owner) / f"{stem}.py"
        first = filled(path, function, body)
        jobs[name] = str(top), owner
        lines[name] = first, header(path, function)
    done = subprocess.run([sys.executable, "-c", SCRIPT, json.dumps(jobs)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    return {name: (*said[name], *lines[name]) for name in FAILURES}


@pytest.mark.parametrize("name", FAILURES)
def test_an_error_of_a_students_code_is_told_as_such(failures, name):
    status, said, line, header = failures[name]
    words = FAILURES[name][-1].replace("LINE", str(line)).replace("DEF", str(header))
    assert status == 1 and words in said, said
    assert said.count("\n") == 1 and "does not fit images" not in said


def test_images_that_are_too_small_are_no_mistake_of_the_student(tmp_path):
    desk(tmp_path, "hw3")
    done = run(tmp_path, "train", "googlenet", "--mine=hw3")
    assert done.returncode == 2
    assert "googlenet does not fit images of 8x8 (see --image-size)" in done.stderr and "your code" not in done.stderr


# --- files that cannot be used --------------------------------------------------------------------------------------

CIFAR = answer(homework("hw4"), "cifar_resnet").encode()
STUB = (ROOT / "assignments" / "hw4_resnet" / "cifar_resnet.py").read_bytes()
STOP = "your code: RuntimeError: stop here (hw4_resnet/resnet.py, line "  # the file was taken
LEFT_OUT = "not yours: hw4_resnet/cifar_resnet.py: hw4.4 ZeroPadShortcut.forward is not written"

FILES = {
    "a comment in Latin-1": (CIFAR + "# caf\xe9\n".encode("latin-1"), STOP),
    "a string in Latin-1": (
        CIFAR + "X = 'caf\xe9'\n".encode("latin-1"),
        "your code: SyntaxError: (unicode error) 'utf-8' codec",
    ),
    "UTF-16": (CIFAR.decode().encode("utf-16"), "cifar_resnet.py is not text that Python can read (UTF-16?)"),
    "UTF-16 without a mark": (CIFAR.decode().encode("utf-16-le"), "cifar_resnet.py is not text that Python can read"),
    "a mark and the stub": (b"\xef\xbb\xbf" + STUB, LEFT_OUT),
    "another encoding and the stub": (b"# coding: latin-1\n# \xe9\n" + STUB, LEFT_OUT),
    "a syntax error": (
        b"def blocks_per_stage(layers,\n",
        "your code: SyntaxError: '(' was never closed (hw4_resnet/cifar_resnet.py, line 1)",
    ),
    "an import that fails": (
        b"import nowhere\n",
        "ModuleNotFoundError: No module named 'nowhere' (hw4_resnet/cifar_resnet.py, line 1, in <module>)",
    ),
    "exit() at the top": (
        b"exit()\n",
        "your code: SystemExit: it leaves the program (hw4_resnet/cifar_resnet.py, line 1",
    ),
    "an empty file": (b"", "hw4_resnet/cifar_resnet.py: there is no ZeroPadShortcut.forward (hw4.4)"),
    "another name": (CIFAR.replace(b"def blocks_per", b"def layers_per"), "there is no blocks_per_stage (hw4.8)"),
    "no file": (None, "cifar_resnet.py (`minicnn course build hw4` writes a missing stub)"),
    "a helper beside it": (CIFAR + b"import my_helper\nassert my_helper.X == 1\n", STOP),
    "a helper that fails": (
        CIFAR + b"import my_wrong_helper\n",
        "NameError: name 'y' is not defined (hw4_resnet/my_wrong_helper.py, line 1",
    ),
}  # fmt: skip

FILES_SCRIPT = SCRIPT.replace('"--quiet", ', "")


@pytest.fixture(scope="module")
def file_failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    jobs = {}
    for name, (content, _) in FILES.items():
        top = tmp_path_factory.mktemp("course")
        folder = desk(top, "hw4")
        filled(folder / "resnet.py", "BasicBlock.forward", "raise RuntimeError('stop here')")
        (folder / "my_helper.py").write_text("X = 1\n")
        (folder / "my_wrong_helper.py").write_text("X = y\n")
        (folder / "cifar_resnet.py").unlink()
        if content is not None:
            (folder / "cifar_resnet.py").write_bytes(content)
        jobs[name] = str(top), "hw4"
    done = subprocess.run([sys.executable, "-c", FILES_SCRIPT, json.dumps(jobs)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_taken_left_out_or_named_with_what_is_wrong(file_failures, name):
    status, said = file_failures[name]
    assert FILES[name][1] in said.replace("\n  ", " "), said
    assert status == (1 if FILES[name][1] in (STOP, LEFT_OUT) else 2)


def test_two_helpers_of_one_name_are_refused(tmp_path):
    desk(tmp_path, "hw3", "hw4")
    for folder in (tmp_path / "assignments").iterdir():
        (folder / "tools.py").write_text("X = 1\n")
    with pytest.raises(ValueError, match="tools.py is in 2 of the homework's folders"):
        substitutes(tmp_path, [homework("hw3"), homework("hw4")])


def test_the_option_is_understood_as_argparse_understands_it(tmp_path):
    """Shortened, and given twice."""
    filled(desk(tmp_path, "hw4") / "resnet.py", "BasicBlock.forward", "raise RuntimeError('stop here')")
    done = run(tmp_path, "train", "resnet20", "--min", "hw4", "--mine=hw4", "--qui")
    assert done.returncode == 1 and STOP in done.stderr and "yours:" not in done.stderr


# --- the lecture's figures ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_figure_is_drawn_with_the_students_functions(tmp_path):
    """Networks that cost nothing to count, none of which is run; kept until the student's file changes."""
    path = desk(tmp_path, "hw7") / "efficiency.py"
    path.write_text(reference_source(homework("hw7").modules["efficiency"]), encoding="utf-8")  # with what is given
    filled(path, "cost", "return Cost('my_' + name, 32, len(name), 10**6, 1, 30.0, 10.0, 'nowhere')")
    filled(path, "accuracy_density", "return np.full(len(accuracies), 4321.0)")
    command = ["lecture", "cost", "--quick", "--mine", "hw7"]
    first, again = run(tmp_path, *command), run(tmp_path, *command)
    filled(path, "cost", "return Cost('our_' + name, 32, len(name), 10**6, 1, 30.0, 10.0, 'nowhere')")
    changed = run(tmp_path, *command)
    assert first.returncode == again.returncode == changed.returncode == 0, first.stderr + again.stderr
    assert "yours: minicnn.lecture.analyses.efficiency from hw7_analysis/efficiency.py" in first.stderr
    assert "your functions ran: pareto_front" in first.stderr and "accuracy_density" in first.stderr
    assert "my_resnet18" in first.stdout and "4321" in first.stdout and "our_resnet18" in changed.stdout
    assert "from the cache" not in first.stderr + changed.stderr and "from the cache" in again.stderr
    names = {"cache", *(f"cost-mine-quick.{suffix}" for suffix in ("csv", "png", "svg"))}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names


def test_a_figure_that_the_students_code_cannot_compute_says_where(tmp_path):
    path = desk(tmp_path, "hw7") / "gradient_flow.py"
    line = filled(path, "output_gradient_norms", "return 1 / 0")
    done = run(tmp_path, "lecture", "vanishing", "--quick", "--mine=hw7")
    place = f"hw7_analysis/gradient_flow.py, line {line}, in output_gradient_norms"
    assert done.returncode == 1 and f"error: your code: ZeroDivisionError: division by zero ({place})" in done.stderr
