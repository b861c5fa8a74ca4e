"""Which reservations collide, held against an enumeration of all paths."""

from __future__ import annotations

import glob
import itertools
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datalad_hpc.claims import (
    ClaimedPaths,
    CoveredFiles,
    beginning,
    claim_for,
    collide,
    matches,
    reaches,
    shown,
    spans_near,
    stem_of,
)
from datalad_hpc.globs import glob_pattern, has_magic, patterns_meet, split_glob
from datalad_hpc.job import Claim, ClaimKind, ClaimRole

NAMES = ["a", "b", "ab", "ba", "aa", ".a", "bab", "*", "[a]"]
"""All the names that the enumeration knows, two of them with glob characters."""

ALL_PATHS = [
    "/".join(names)
    for length in (1, 2, 3)
    for names in itertools.product(NAMES if length < 3 else NAMES[:6], repeat=length)
]

PARTS = st.sampled_from(
    """
    a b ab .a * ? a* *b *a* ?b .* .? [a] [a]* [!a] [ab]b [!b]* ** b** [ []a] [.]a ?? [a-b] *.a [!.]a
    b[a
    """.split()  # noqa: SIM905
)


@st.composite
def claim_strategy(draw: st.DrawFn) -> Claim:
    """A file, a folder (also the root) or a glob, up to three components deep."""
    path = "/".join(draw(st.lists(PARTS, min_size=0, max_size=3)))
    if not path:
        return claim_for(".")
    kinds = [ClaimKind.GLOB] if has_magic(path) else [ClaimKind.FILE, ClaimKind.FOLDER]
    # A file may be called like a glob: then it is not taken for one.
    return Claim(path, draw(st.sampled_from([*kinds, ClaimKind.FILE])))


def common_paths(one: Claim, other: Claim) -> list[str]:
    """What both cover, of all the paths that there are."""
    return [path for path in ALL_PATHS if matches(one, path) and matches(other, path)]


@settings(max_examples=400, deadline=None)
@given(claim_strategy(), claim_strategy())
def test_claims_that_share_a_path_collide_and_others_do_not(one: Claim, other: Claim) -> None:
    found = collide(one, other)
    assert found == collide(other, one)
    # Patterns whose common paths are longer than those of the enumeration are deep ones.
    if common_paths(one, other):
        assert found
    elif found:
        depth = len((one.path + "/" + other.path).split("/"))
        assert "**" in one.path + other.path or depth > 3 or _needs_other_names(one, other)


def _needs_other_names(one: Claim, other: Claim) -> bool:
    """Whether a common path exists among names that the enumeration does not know."""
    alphabet = "ab.[]*c"
    chars = [c for length in (1, 2, 3, 4) for c in itertools.product(alphabet, repeat=length)]
    parts = [claim.path.split("/") for claim in (one, other) if claim.path]
    names = [*("".join(each) for each in chars), *(part for each in parts for part in each)]
    return all(
        any(all(_alone(part, name) for part in level) for name in names)
        for level in zip(*parts, strict=False)
    )


def _alone(part: str, name: str) -> bool:
    return matches(Claim(part, ClaimKind.GLOB), name)


DEEP_PARTS = st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=3)
DEEP_PATHS = ["/".join(p) for n in range(1, 6) for p in itertools.product("abc", repeat=n)]


@settings(max_examples=150, deadline=None)
@given(DEEP_PARTS.map("/".join), DEEP_PARTS.map("/".join))
def test_deep_globs_collide_where_they_share_a_path_and_only_there(one: str, other: str) -> None:
    left, right = claim_for(one), claim_for(other)
    shared = any(matches(left, path) and matches(right, path) for path in DEEP_PATHS)
    assert collide(left, right) is shared


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("sub/x", "sub/x", True),
        ("sub/x", "sub", True),
        ("sub/x", "sub/", True),
        ("sub/x", ".", True),
        ("sub/x", "sub/x/y", True),
        ("sub/x", "sub/xy", False),
        ("sub/x", "sub/y", False),
        ("a*", "b*", False),
        ("*a", "b*", True),
        ("*.txt", "x.dat", False),
        ("*.txt", "x.txt/deep/er", True),
        ("out/*.txt", "out", True),
        ("out/*.txt", "*/x.txt", True),
        ("out/[!a]*", "out/a1", False),
        ("out/[!a]*", "out/[ab]*", True),
        ("out/[0-4]*", "out/[5-9]*", False),
        ("out/[!a]", "out/[!b]", True),
        ("out/[!a]", "out/[a]", False),
        ("**/x", "deep/er/x", True),
        ("**/x", "deep/er/y", True),
        ("**/x.txt", "**/y.txt", True),
        ("a/**/z", "a/z", True),
        ("a/**/z", "b/z", False),
        ("a/**", "a", True),
        ("**", "b", True),
        ("*", ".hidden", False),
        ("**", ".datalad/config", False),
        ("**/x", ".hidden/x", False),
        ("**/.x", "sub/.x", True),
        (".*", "*", False),
        ("[.]a", "?a", False),
        ("[.]a", "*a", True),  # a file of that very name
        ("*.a", "?a", False),
        ("*.a", "??a", True),
        ("a[1].txt", "a1.txt", True),
        ("a[1].txt", "a[1].txt", True),
        ("a[1].txt", "a2.txt", False),
        ("ä*", "äö", True),
        ("a\nb*", "a\nbc", True),
        ("slurm-12_*.out", "slurm-1_3.out", False),
        ("[]-a]x", "]x", True),
        ("[a", "[a", True),
        ("[a", "a", False),
        ("[!]a]", "b", True),
        ("[!]a]", "]", False),
    ],
)
def test_collisions(one: str, other: str, expected: bool) -> None:
    assert collide(claim_for(one), claim_for(other)) is expected
    assert collide(claim_for(other), claim_for(one)) is expected


def test_a_path_of_a_glob_that_lies_beneath_a_match_is_its_own() -> None:
    assert matches(claim_for("out*"), "out1/deep/er")
    assert matches(claim_for("out*"), "out1/.hidden")
    assert not matches(claim_for("out*"), "other/out1")


def test_a_role_does_not_matter() -> None:
    log = claim_for("logs/x", ClaimRole.LOG)
    assert log.role is ClaimRole.LOG
    assert collide(log, claim_for("logs/"))


GLOBS = """
* ** *.txt */* */*.txt **/x.txt **/*.txt sub/** sub/**/x.txt [ab]* [!a]* ?.txt .* .*/* **/.h
a[[]1].txt a[1].txt **/deep/** */**/x.txt *b* [a-b]*/x* **/**/x.txt **/** nothing* *_b*
"""
FILES = """
a_b.txt a1.txt a[1].txt .hidden .hid/x.txt .hid/.h sub/x.txt sub/.h sub/deep/x.txt
sub/deep/.hid/x.txt sub/deep/er/y.txt b1/x.txt ab/c/x.txt
"""


@pytest.mark.parametrize("pattern", GLOBS.split())
def test_a_glob_is_what_python_takes_it_for(pattern: str, tmp_path: Path) -> None:
    for file in FILES.split():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    hits = {hit.rstrip("/") for hit in glob.glob(pattern, root_dir=tmp_path, recursive=True)}
    hits.add(pattern)  # the literal reading
    expected = {
        file for file in FILES.split() if any(f"{file}/".startswith(f"{hit}/") for hit in hits)
    }
    assert {file for file in FILES.split() if matches(claim_for(pattern), file)} == expected


NAME_CHARS = "ab-]![^.c"


@settings(max_examples=400, deadline=None)
@given(
    st.text(NAME_CHARS + "*?", min_size=1, max_size=7).filter(lambda text: text != "."),
    st.text(NAME_CHARS, min_size=1, max_size=4).filter(lambda text: text[0] != "."),
)
def test_a_glob_is_read_as_fnmatch_reads_it(pattern: str, name: str) -> None:
    """A glob that spells a name out, a set for each letter, meets what matches the name."""
    spelled = "".join(char if char == "!" else f"[{char}]" for char in name)
    met = patterns_meet(glob_pattern(pattern), glob_pattern(spelled))
    assert met == matches(Claim(pattern, ClaimKind.GLOB), name) or pattern == name


@settings(max_examples=200, deadline=None)
@given(st.lists(claim_strategy(), max_size=6), claim_strategy())
def test_held_claims_answer_as_each_of_them_would(held: list[Claim], wanted: Claim) -> None:
    claimed = ClaimedPaths((claim, str(number)) for number, claim in enumerate(held))
    holder = claimed.holder(wanted)
    in_the_way = [str(number) for number, claim in enumerate(held) if collide(claim, wanted)]
    assert (holder in in_the_way) if in_the_way else holder is None


# Stems: what an index of claims is asked for


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("out/x", "out/x/"),
        ("out/", "out/"),
        (".", ""),
        ("out/*.txt", "out/"),
        ("out/a?b/c", "out/a"),
        ("a[1].txt", "a"),
        ("a/**", "a/"),
        ("**/x", ""),
        ("slurm-12_*.out", "slurm-12_"),
    ],
)
def test_the_stem_of_a_claim_ends_before_its_first_glob_character(path: str, stem: str) -> None:
    assert stem_of(claim_for(path)) == stem


def test_what_is_no_glob_is_its_stem_whatever_its_characters() -> None:
    assert stem_of(Claim("a[1].txt", ClaimKind.FILE)) == "a[1].txt/"
    assert stem_of(Claim("./a//*/", ClaimKind.FOLDER)) == "a/*/"


ANY_CLAIM = st.builds(
    Claim, st.text("ab/.*?[]!-", max_size=8), st.sampled_from(ClaimKind)
)  # also such as no user's request makes
TWO_CLAIMS = st.tuples(claim_strategy(), claim_strategy()) | st.tuples(ANY_CLAIM, ANY_CLAIM)


def begins(one: str, other: str) -> bool:
    """Whether one of two stems begins with the other."""
    return one.startswith(other) or other.startswith(one)


@settings(max_examples=800, deadline=None)
@given(TWO_CLAIMS)
def test_claims_collide_only_if_a_stem_begins_with_the_other(two: tuple[Claim, Claim]) -> None:
    one, other = two
    if collide(one, other):
        assert begins(stem_of(one), stem_of(other))


@settings(max_examples=200, deadline=None)
@given(claim_strategy(), st.sampled_from(ALL_PATHS))
def test_the_stem_begins_all_that_a_claim_covers(claim: Claim, path: str) -> None:
    if matches(claim, path):
        assert f"{path}/".startswith(stem_of(claim))


STEMS = st.text("ab/0\x00.\ud7ff\ue000\U0010ffff", max_size=5)
"""With the characters at both ends, and those around the ones that UTF-8 lacks."""


def holds(spans: list[tuple[str, str]], stem: str) -> bool:
    """Whether a stem is found, in the order of bytes that a database keeps."""
    text = stem.encode()
    return any(first.encode() <= text <= last.encode() for first, last in spans)


@settings(max_examples=500, deadline=None)
@given(st.lists(STEMS, max_size=4), STEMS)
def test_spans_hold_each_stem_that_begins_alike(wanted: list[str], held: str) -> None:
    spans = spans_near(wanted)
    near = any(begins(stem, held) for stem in wanted)
    if spans is None:
        assert any(not stem.strip("\U0010ffff") for stem in wanted)
        return
    assert not near or holds(spans, held)
    # No more than what ends a span is found beside those.
    if holds(spans, held) and "\U0010ffff" not in "".join(wanted):
        assert near or held in [last for _first, last in spans]


def test_spans_lie_in_order_and_not_within_each_other() -> None:
    wanted = ["out/", *(f"out/{number}/" for number in range(100)), "ou", "z/"]
    assert spans_near(wanted) == [("", ""), ("o", "o"), ("ou", "ov"), ("z", "z"), ("z/", "z0")]
    assert spans_near(["", "a/"]) is None
    assert spans_near([]) == []


@given(claim_strategy(), st.sampled_from(ALL_PATHS))
@settings(deadline=None)
def test_a_folder_is_entered_for_what_lies_in_it(claim: Claim, path: str) -> None:
    if matches(claim, path):
        folder = path
        while folder:
            folder = os.path.dirname(folder)
            assert reaches(claim, folder)


def test_a_folder_without_outputs_is_not_entered() -> None:
    assert not reaches(claim_for("*.txt"), "sub")
    assert not reaches(claim_for("slurm-1_*.out"), "data")
    assert not reaches(claim_for("a/*/c"), "b")
    assert reaches(claim_for("a/*/c"), "a/b")
    assert not reaches(claim_for("a/*/c"), "a/b/d")


def test_ten_thousand_held_files_are_asked_by_folder() -> None:
    held = ClaimedPaths((claim_for(f"run/{n % 100}/file-{n}.dat"), str(n)) for n in range(10_000))
    assert held.holder(claim_for("run/7/*-107.dat")) == "107"
    assert held.holder(claim_for("run/*/file-99[9]9.dat")) == "9999"
    assert held.holder(claim_for("run/*/*.txt")) is None
    assert held.holder(claim_for("other/*")) is None
    assert held.holder(claim_for("run/7/file-7.dat/below")) == "7"
    assert held.holder(claim_for("run/7/file-7")) is None
    assert held.holder(claim_for(".")) is not None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # Each of these takes ages where all ways through are tried.
        ("/".join(["a", "**"] * 30 + ["z"]), "/".join(["a"] * 200), True),
        ("/".join(["**", "a"] * 30 + ["z"]), "/".join(["**", "a"] * 30 + ["y"]), True),
        ("*a" * 40 + "*b", "a" * 200, False),
        ("*a" * 40 + "*b", "*a" * 40 + "*c", False),
        ("*a" * 40 + "*b", "?" * 200, True),
        ("**/" * 40 + "x", "**/" * 40 + "y", True),
        ("x/" + "**/a/" * 30 + "z", "y/" + "**/a/" * 30 + "z", False),
    ],
)
def test_hard_patterns_are_answered_at_once(one: str, other: str, expected: bool) -> None:
    left, right = claim_for(one), claim_for(other)
    assert collide(left, right) is expected
    assert (ClaimedPaths([(left, "1")]).holder(right) == "1") is expected
    assert not matches(left, "a/" * 200 + "q")


def test_a_name_may_be_longer_than_the_interpreters_stack() -> None:
    assert collide(claim_for("*" + "a" * 5000), claim_for("a" * 5000 + "*"))
    assert not collide(claim_for("a/" * 3000 + "*x"), claim_for("a/" * 3000 + "y"))


@pytest.mark.parametrize("path", ["file", "folder/", ".", "a/*.txt", "a[1]"])
def test_a_claim_shown_is_the_claim(path: str) -> None:
    assert claim_for(shown(claim_for(path))) == claim_for(path)


@pytest.mark.parametrize(
    ("path", "literal", "rest"),
    [("a/b", "a/b", ""), ("a/*/b", "a", "*/b"), ("*", "", "*"), ("a[/b", "", "a[/b"), ("", "", "")],
)
def test_a_glob_is_split_before_its_first_magic_part(path: str, literal: str, rest: str) -> None:
    assert split_glob(path) == (literal, rest)


@settings(max_examples=300, deadline=None)
@given(st.lists(claim_strategy() | ANY_CLAIM, max_size=4), st.sampled_from(ALL_PATHS))
def test_files_of_many_claims_are_those_of_each(many: list[Claim], path: str) -> None:
    assert (path in CoveredFiles(many)) == any(matches(claim, path) for claim in many)


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("out/*_{}.csv", "out/*_{}.log"),
        ("o*/{}-*.dat", "*/{}-*.txt"),
        ("o*/{}.txt", "out/{}.dat"),
        ("out/{}.txt", "o*/{}-*.dat"),
    ],
)
def test_thousands_of_globs_are_not_compared_with_each_of_thousands(held: str, wanted: str) -> None:
    """While they are compared nobody else can use the store; each with each took many minutes."""
    paths = ClaimedPaths((claim_for(held.format(task)), "job") for task in range(3000))
    start = time.process_time()
    assert not any(paths.holder(claim_for(wanted.format(task))) for task in range(3000))
    assert time.process_time() - start < 10
    assert paths.holder(claim_for(held.format(17))) == "job"


@settings(max_examples=300, deadline=None)
@given(claim_strategy() | ANY_CLAIM)
def test_the_way_to_each_file_begins_as_it_should(claim: Claim) -> None:
    """A name in a folder that does not begin so is not looked at when files are listed."""
    for path in ALL_PATHS:
        names = path.split("/")
        if matches(claim, path):
            for depth, name in enumerate(names):
                assert name.startswith(beginning(claim, "/".join(names[:depth])))
