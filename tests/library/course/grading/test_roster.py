"""The class, extensions and what lateness costs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.course.grading.roster import LatePolicy, Roster, RosterError, extension, safe_name, squeezed

PLAIN = "Student ID,Name,E-Mail,GitHub Username,Canvas ID,Moodle Identifier,Section\n"
PEOPLE = (
    PLAIN
    + "al1815,Ada Lovelace,ada@example.edu,adal,101,Participant 301,A\nzm,Zoë Müller,zoe@example.edu,zm-1,102,,B\n"
)


def rostered(tmp_path: Path, text: str, encoding: str = "utf-8", name: str = "roster.csv") -> Roster:
    (tmp_path / name).write_bytes(text.encode(encoding))
    return Roster.read(tmp_path / name)


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_csv_as_any_program_writes_it(tmp_path, separator, encoding, line_end):
    roster = rostered(tmp_path, "\n" + PEOPLE.replace(",", separator).replace("\n", line_end), encoding)
    ada, zoe = roster.students
    assert (ada.id, ada.name, ada.section) == ("al1815", "Ada Lovelace", "A")
    assert ada.ids["github"] == "adal" and ada.ids["moodle"] == "Participant 301"
    assert (zoe.id, zoe.name) == ("zm", "Zoë Müller")
    assert not roster.problems


@pytest.mark.parametrize(
    "header",
    [
        "student_id,first name,LAST NAME",
        "ID,Given Name,Surname",
        "Login ID,First,Last",
        "SIS User ID,Vorname,First name,Last name",
    ],
)
def test_titles_may_be_spelled_as_people_spell_them(tmp_path, header):
    row = {"vorname": "x"}
    cells = ["al", *("x" for title in header.lower().split(",") if title in row), "Ada", "Lovelace"]
    (ada,) = rostered(tmp_path, f"{header}\n{','.join(cells)}\n").students
    assert (ada.id, ada.name) == ("al", "Ada Lovelace")


def test_the_gradebook_of_canvas_is_a_roster(tmp_path):
    text = (
        "Student,ID,SIS User ID,SIS Login ID,Section,HW4 (99)\n    Points Possible,,,,,100\n"
        '"Lovelace, Ada",101,s1815,ada,A,\n"Student, Test",5,,,A,\n'
    )
    roster = rostered(tmp_path, text)
    ada, test = roster.students
    assert ada.id == "s1815"
    assert ada.ids == {"canvas": "101", "sis": "s1815", "login": "ada"}
    assert (
        roster.match({"canvas": "101"})[0]
        == roster.match({}, "lovelaceada")[0]
        == roster.match({}, "Ada Lovelace")[0]
        == ada
    )
    assert test.id == "5"
    assert not roster.problems


def test_what_is_twice_or_nameless_is_reported(tmp_path):
    roster = rostered(tmp_path, "id,email,extension\na,x@y.z,\nb,X@Y.z,\na,q@y.z,\n,,3\n\n")
    assert [student.id for student in roster.students] == ["a", "b"]
    assert roster.problems == (
        "line 4: a is in the roster already; the first line counts",
        "line 5 names no student and is left out",
        "a and b share the email 'x@y.z'",
    )


@pytest.mark.parametrize("text", ["", "points,remarks\n1,2\n", "just text"])
def test_a_table_that_names_nobody_is_one_clear_error(tmp_path, text):
    with pytest.raises(RosterError, match=r"roster\.csv: expected a header with a column such as id"):
        rostered(tmp_path, text)


# --- matching ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ids, name",
    [
        ({"canvas": "101"}, ""),
        ({"moodle": "301"}, ""),
        ({"email": "ADA@example.edu"}, "somebody else"),
        ({"github": "AdaL"}, ""),
        ({"gradescope": "al1815"}, ""),
        ({"nbgrader": "ada@example.edu"}, ""),
        ({"folder": "al1815"}, ""),
        ({"folder": "ada_lovelace"}, ""),
        ({"folder": "Lovelace, Ada"}, ""),
        ({}, "ADA LOVELACE"),
        ({"canvas": "999"}, "lovelaceada"),
    ],
)
def test_any_id_finds_a_student_and_then_the_name(tmp_path, ids, name):
    student, reason = rostered(tmp_path, PEOPLE).match(ids, name)
    assert student is not None and student.id == "al1815" and not reason


def test_accents_do_not_count_in_names(tmp_path):
    student, _ = rostered(tmp_path, PEOPLE).match({}, "Muller Zoe")
    assert student is not None and student.id == "zm"


@pytest.mark.parametrize("ids", [{"canvas": "301"}, {"moodle": "101"}, {"folder": "101"}, {"canvas": "al1815"}])
def test_a_number_of_one_platform_means_nobody_on_another(tmp_path, ids):
    student, reason = rostered(tmp_path, PEOPLE).match(ids)
    assert student is None and "is not on the roster" in reason


def test_who_may_be_two_is_nobody(tmp_path):
    roster = rostered(tmp_path, "id,name\n1,Ada King\n2,King Ada\n")
    assert roster.match({}, "adaking") == (None, "'adaking' may be 1 or 2 of the roster")
    assert roster.match({}, "") == (None, "'' is not on the roster")


def test_missing_are_those_who_did_not_hand_in(tmp_path):
    roster = rostered(tmp_path, PEOPLE)
    assert roster.missing(["zm", "stranger"]) == ["al1815"]
    assert roster.student("zm").name == "Zoë Müller"
    with pytest.raises(KeyError):
        roster.student("stranger")


@given(st.text(max_size=80))
@settings(max_examples=300)
def test_a_safe_name_is_safe_on_every_system(text):
    name = safe_name(text)
    assert 0 < len(name) <= 65 and name.isascii() and not set(name) & set('/\\:*?"<>|\0 ')
    assert name[0] not in ".-" and name[-1] != "." and "--" not in name
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "text, name",
    [("CON", "CON_"), ("nul.txt", "nul.txt_"), ("../x", "x"), ("", "student"), ("李", "student"), ("a--b", "a-b")],
)
def test_safe_names(text, name):
    assert safe_name(text) == name


def test_a_name_is_squeezed():
    assert squeezed("Müller, Zoë-Ann") == "mullerzoeann"


# --- extensions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, expected",
    [
        (3, 3),
        ("3", 3),
        ("+2 days", 2),
        ("1d", 1),
        ("2.0", 2),
        ("2026-10-05", date(2026, 10, 5)),
        ("2026-10-05T12:00+02:00", datetime(2026, 10, 5, 10, tzinfo=UTC)),
        (date(2026, 10, 5), date(2026, 10, 5)),
    ],
)
def test_extensions_are_days_or_dates(value, expected):
    assert extension(value, "here") == expected


@pytest.mark.parametrize("value", ["soon", "-1", "05.10.2026", "1.5", 5000, True, None])
def test_any_other_extension_is_one_clear_error(value):
    with pytest.raises(RosterError, match="here: expected an extension as days or a date"):
        extension(value, "here")


def test_extensions_stand_in_the_roster_or_in_a_file_of_their_own(tmp_path):
    roster = rostered(tmp_path, "id,name,extension\na,Ada,2 days\nb,Bob,\nc,Cy,1\n")
    assert [student.extension for student in roster.students] == [2, None, 1]
    (tmp_path / "more.csv").write_text("name;extension\nBob;2026-10-05\nCy;\n")
    (tmp_path / "more.toml").write_text('[extensions]\nb = 4\n"Ada" = 2026-10-06\n')
    by_csv, by_toml = (roster.with_extensions(tmp_path / f"more.{kind}").students for kind in ("csv", "toml"))
    assert [student.extension for student in by_csv] == [2, date(2026, 10, 5), 1]
    assert [student.extension for student in by_toml] == [date(2026, 10, 6), 4, 1]


@pytest.mark.parametrize(
    "text, where", [("eve = 1", "eve: 'eve' is not on the roster"), ("a = 'x'", "a: expected"), ("a = ?", "line 1")]
)
def test_an_extension_for_nobody_is_one_clear_error(tmp_path, text, where):
    (tmp_path / "more.toml").write_text(text)
    with pytest.raises(RosterError, match=f"more.toml: .*{where}|more.toml: {where}"):
        rostered(tmp_path, "id\na\n").with_extensions(tmp_path / "more.toml")


# --- lateness ---------------------------------------------------------------------------------------------------------

DUE = datetime(2026, 10, 1, 23, 59, tzinfo=ZoneInfo("Europe/Zurich"))
POLICY = """\
policy = "percent"
due = 2026-10-01T23:59:00
zone = "Europe/Zurich"
per_day = 10
grace_minutes = 15
maximum_days = 3
floor = 40
"""


def policy(tmp_path: Path, text: str = POLICY, homework: str = "") -> LatePolicy:
    (tmp_path / "late.toml").write_text(text)
    return LatePolicy.read(tmp_path / "late.toml", homework)


@pytest.mark.parametrize(
    "late, left",
    [
        (timedelta(hours=-5), 90),
        (timedelta(minutes=15), 90),
        (timedelta(minutes=16), 80),
        (timedelta(days=1), 80),
        (timedelta(days=1, seconds=1), 70),
        (timedelta(days=3), 60),
        (timedelta(days=3, seconds=1), 0),
    ],
)
def test_each_day_that_has_begun_costs(tmp_path, late, left):
    points, penalty, sentence = policy(tmp_path).apply(90, 100, (DUE + late).isoformat())
    assert (points, penalty) == (left, 90 - left)
    assert "2026-10-01 23:59" in sentence


def test_lateness_takes_nobody_below_the_floor_and_lifts_nobody_to_it(tmp_path):
    late = (DUE + timedelta(days=2, hours=1)).isoformat()
    assert policy(tmp_path).apply(50, 100, late)[:2] == (40, 10)
    assert policy(tmp_path).apply(30, 100, late)[:2] == (30, 0)


def test_percent_is_of_the_most_there_are_and_points_are_points(tmp_path):
    late = (DUE + timedelta(hours=1)).isoformat()
    assert policy(tmp_path, POLICY.replace("= 40", "= 0")).apply(45, 50, late)[:2] == (40, 5)
    assert policy(tmp_path, POLICY.replace("= 40", "= 84")).apply(45, 50, late)[:2] == (42, 3)
    in_points = policy(tmp_path, POLICY.replace("percent", "points"))
    assert in_points.apply(45, 50, late)[:2] == (40, 5)  # the floor is in points, too
    in_points = policy(tmp_path, POLICY.replace("percent", "points").replace("floor = 40", "floor = 0"))
    assert in_points.apply(45, 50, late) == (35, 10, "1 day late (due 2026-10-01 23:59): 10 points less (10 a day).")


def test_the_time_zone_of_the_submission_does_not_matter(tmp_path):
    assert policy(tmp_path).apply(90, 100, "2026-10-01T21:59:00+00:00")[0] == 90
    assert policy(tmp_path).apply(90, 100, "2026-10-02T00:15:00+02:00")[0] == 80
    assert policy(tmp_path).apply(90, 100, "2026-10-01T15:00:00-07:00")[0] == 90  # a minute late


@pytest.mark.parametrize("more", [2, date(2026, 10, 3), datetime(2026, 10, 3, 23, 59), DUE + timedelta(days=2)])
def test_an_extension_moves_the_due_date(tmp_path, more):
    late = policy(tmp_path)
    assert late.apply(90, 100, "2026-10-03T23:58:00+02:00", more)[:2] == (90, 0)
    points, _, sentence = late.apply(90, 100, "2026-10-04T01:00:00+02:00", more)
    assert points == 80 and "due 2026-10-03 23:59, extended" in sentence


def test_days_are_those_of_the_calendar_when_the_clocks_change(tmp_path):
    """On 25 October 2026 Zurich's day has 25 hours."""
    late = policy(tmp_path, POLICY.replace("10-01", "10-24").replace("grace_minutes = 15", ""))
    assert late.apply(90, 100, "2026-10-25T23:58:00+01:00", 1)[0] == 90
    assert late.apply(90, 100, "2026-10-26T00:00:00+01:00", 1)[0] == 80
    with_offset = policy(tmp_path, POLICY.replace("10-01T23:59:00", "10-24T23:59:00+02:00"))
    assert with_offset.apply(90, 100, "2026-10-25T23:58:00+01:00", 1)[0] == 90


@pytest.mark.parametrize("moment", ["", "yesterday", "2026-10-09T00:00:00"])
def test_an_unknown_time_costs_nothing_and_says_so(tmp_path, moment):
    points, penalty, sentence = policy(tmp_path).apply(90, 100, moment)
    assert (points, penalty) == (90, 0) and "not known" in sentence


def test_no_policy_costs_nothing(tmp_path):
    late = policy(tmp_path, 'policy = "none"\n')
    assert late == LatePolicy()
    assert late.apply(90, 100, "2030-01-01T00:00:00+00:00") == (90, 0, "")


def test_one_file_has_the_due_dates_of_a_course(tmp_path):
    text = "per_day = 5\n[due]\nhw1 = 2026-10-01T12:00:00+02:00\nhw2 = 2026-11-01T12:00:00+01:00\n"
    assert policy(tmp_path, text, "hw2").due == datetime(2026, 11, 1, 11, tzinfo=UTC)
    with pytest.raises(RosterError, match="expected due of hw3"):
        policy(tmp_path, text, "hw3")


@pytest.mark.parametrize(
    "text, message",
    [
        ("due = 2026-10-01T12:00:00", "a time with its offset"),
        ("due = 2026-10-01", "a time with its offset"),
        ("per_day = 5", "expected due"),
        (POLICY + "per_hour = 5", r"unknown keys \['per_hour'\]"),
        (POLICY.replace("Europe/Zurich", "Mars/Base"), "no time zone 'Mars/Base'"),
        (POLICY.replace("percent", "harsh"), "must be 'points', 'percent' or 'none', got 'harsh'"),
        (POLICY.replace("= 10", "= -1"), "per_day must be a number, not negative, got -1"),
        (POLICY.replace("= 10", "= nan"), "per_day must be a number"),
        (POLICY.replace("= 15", "= true"), "grace_minutes must be a number"),
        (POLICY.replace("= 3", "= "), "late.toml: "),
    ],
)
def test_a_policy_that_is_not_clear_is_one_clear_error(tmp_path, text, message):
    with pytest.raises(RosterError, match=message):
        policy(tmp_path, text)


@given(
    points=st.floats(0, 100),
    hours=st.floats(-100, 1000),
    per_day=st.floats(0, 50),
    floor=st.floats(0, 100),
    percent=st.booleans(),
    most=st.floats(1, 200),
)
@settings(max_examples=200)
def test_lateness_never_gives_points_nor_takes_more_than_there_are(points, hours, per_day, floor, percent, most):
    late = LatePolicy(DUE, per_day, percent, floor=floor)
    left, penalty, _ = late.apply(points, most, (DUE + timedelta(hours=hours)).isoformat())
    assert -1e-6 <= left <= points + 1e-6 and left + penalty == pytest.approx(points, abs=2e-6)
