"""Copies are found, also disguised; what everybody was given or has is no copy."""

from __future__ import annotations

import re
import textwrap

from minicnn.course.build import answer, stub
from minicnn.course.returning.similarity import Part, near_identical, pairs, written

from .made import OWNER

OWN = """
total = 0
for row in range(height):
    for column in range(width):
        if image[row, column] > threshold and not seen[row, column]:
            total += fill(image, seen, row, column)
            seen[row, column] = True
        elif row % 2 == {0}:
            total -= {0} * column
result = numpy.zeros((total, {0}))
while stack:
    place = stack.pop()
    result[place] = sum(part * weight for part, weight in zip(place, weights)) / len(place)
return result.reshape(-1, {0}).transpose()
"""
OTHER = """
pieces = {}
with open(name) as source:
    for number, line in enumerate(source, start=1):
        key, _, value = line.partition(":")
        pieces.setdefault(key.strip(), []).append((number, value.lower()))
if not pieces:
    raise ValueError(f"{name} is empty")
best = max(pieces, key=lambda each: len(pieces[each]))
try:
    return [int(value, base=16) for _, value in pieces[best]][::-1]
except (TypeError, KeyError) as error:
    print(error, file=sys.stderr)
    return None
"""
COMMON = "".join(
    f"x = self.layer{n}(x, stride={n}) + shortcut(x).relu()\nif x.shape != {n}:\n    raise E\n" for n in range(9)
)


def parts(text: str, file: str = "a.py") -> list[Part]:
    return [Part(file, 0, text)]


def test_a_copy_with_other_names_numbers_comments_and_layout_is_found():
    disguised = OWN.format(7)
    for old, new in {"total": "summe", "row": "r", "column": "spalte", "result": "out", "place": "p"}.items():
        disguised = re.sub(rf"\b{old}\b", new, disguised)
    disguised = disguised.replace("for r in", "# my own idea\nfor r in").replace("> threshold", ">  threshold")
    disguised = '\n"""What it does."""' + disguised.replace("stack.pop()\n", 'stack.pop()\n    "a remark"\n')
    (pair,) = near_identical({"ada": parts(OWN.format(2)), "bob": parts(disguised), "cy": parts(OTHER)})
    assert (pair.one, pair.other) == ("ada", "bob") and pair.share > 0.95
    assert pair.lines == ("a.py:3-14",)


def test_lines_are_those_of_the_file():
    ada, bob = ([Part("a.py", start, OTHER)] for start in (40, 7))
    assert near_identical({"ada": ada, "bob": bob})[0].lines == ("a.py:42-54",)


def test_two_that_share_nothing_are_no_pair():
    assert near_identical({"ada": parts(OWN.format(2)), "bob": parts(OTHER)}) == []


def test_a_part_that_was_copied_into_more_is_contained():
    (pair,) = near_identical({"ada": parts(OWN.format(2)), "bob": parts(OTHER + OWN.format(2))})
    assert pair.share > 0.9


def test_what_a_third_of_a_class_has_is_nobodys():
    plain = {f"s{number}": parts(COMMON) for number in range(12)}
    assert near_identical(plain) == []
    assert len(near_identical(dict(list(plain.items())[:3]))) == 3  # three are no class
    (pair,) = near_identical(plain | {"ada": parts(COMMON + OWN.format(1)), "bob": parts(COMMON + OWN.format(1))})
    assert (pair.one, pair.other) == ("ada", "bob")


def test_what_was_given_does_not_count():
    assert near_identical({"ada": parts(COMMON), "bob": parts(COMMON)}, given=parts(COMMON)) == []


def test_last_years_class_and_the_reference_are_compared_with_but_not_each_other():
    earlier = {"2025: eve": parts(OWN.format(3)), "the reference": parts(OWN.format(3))}
    found = near_identical({"ada": parts(OWN.format(2)), "bob": parts(OTHER)}, earlier)
    assert [(pair.one, pair.other) for pair in found] == [("ada", "2025: eve"), ("ada", "the reference")]


def test_only_the_holes_and_files_of_ones_own_are_read():
    text, given = answer(OWNER, "resnet"), stub(OWNER, "resnet")
    found = written(OWNER, {"resnet.py": text, "helper.py": "x = 1\n"})
    assert [part.file for part in found] == ["resnet.py"] * len(OWNER.holes("resnet")) + ["helper.py"]
    lines = text.splitlines()
    for part in found[:-1]:
        first = part.text.splitlines()[0]
        assert lines[part.start].strip() == first.strip()
    assert "conv3x3 makes a convolution" not in "".join(part.text for part in found)
    assert all("NotImplementedError" in part.text for part in written(OWNER, {"resnet.py": given}))


def test_a_class_is_compared_with_itself_an_earlier_one_and_the_reference():
    def files(write, other=""):
        return {f"{stem}.py": write(OWNER, stem) + other for stem in OWNER.modules}

    copied = files(answer, "\n# mine\n")
    found = pairs(OWNER, {"ada": files(answer), "bob": copied, "cy": files(stub)}, {"eve": copied, "max": files(stub)})
    others = {(pair.one, pair.other) for pair in found}
    assert others == {("ada", "bob")} | {
        (one, other) for one in ("ada", "bob") for other in ("earlier: eve", "the reference")
    }
    assert {pair.share for pair in found} == {1.0} and found[0].lines[0].startswith("cifar_resnet.py:")


def test_a_file_that_is_not_python_is_read_as_far_as_it_goes():
    broken = "def f(:\n" + textwrap.indent(OWN.format(2), " ")
    (pair,) = near_identical({name: written(OWNER, {"resnet.py": broken}) for name in ("ada", "bob")})
    assert pair.share == 1
    for text in ("", "\x00", "'''", "(" * 500, "\ud800 = 1", "-" * 100_000 + "1", "x = (\n", "  x\n y"):
        near_identical({name: written(OWNER, {"resnet.py": text}) for name in ("ada", "bob")})


def test_the_same_stub_is_no_copy():
    given = written(OWNER, {f"{stem}.py": stub(OWNER, stem) for stem in OWNER.modules})
    assert near_identical({"ada": given, "bob": given}, given=given) == []
