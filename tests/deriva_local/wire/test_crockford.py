"""RIDs and snapshot times: known pairs, forgiving reading, and a round trip for every 64-bit integer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_local.wire.crockford import ALPHABET, decode, encode, micros_to_snap, normalise, snap_to_micros

NUMBERS = st.integers(-(2**63), 2**63 - 1)

PAIRS = [
    (0, "0"),
    (1, "2"),
    (15, "Y"),
    (16, "10"),
    (-1, "Z-ZZZZ-ZZZZ-ZZZY"),
    (2**63 - 1, "F-ZZZZ-ZZZZ-ZZZY"),
    (-(2**63), "G-0000-0000-0000"),
    (2**18 - 1, "FZZY"),
    (2**19, "1-0000"),
    (1924950896789012, "3DD-EWED-7318"),
]


@pytest.mark.parametrize(("number", "text"), PAIRS)
def test_known_pairs(number: int, text: str) -> None:
    assert encode(number) == text
    assert decode(text) == number


def test_a_snapshot_time_is_microseconds_since_1970() -> None:
    assert micros_to_snap(1924950896789012) == "3DD-EWED-7318"
    assert snap_to_micros("3dd-ewed-7318") == 1924950896789012


@given(NUMBERS)
def test_every_integer_survives(number: int) -> None:
    text = encode(number)
    assert decode(text) == number
    assert normalise(text) == text


@given(NUMBERS)
def test_the_text_is_canonical(number: int) -> None:
    groups = encode(number).split("-")
    assert all(len(group) == 4 for group in groups[1:])
    assert ALPHABET.index(groups[-1][-1]) % 2 == 0
    assert set("".join(groups)) <= set(ALPHABET)


@pytest.mark.parametrize(
    ("given_text", "canonical"),
    [("1abo", "1AB0"), ("i-lO0", "1100"), ("0001-0000", "1-0000"), ("1ABCDE", "1A-BCDE"), ("3", "2"), ("000", "0")],
)
def test_spelling_is_forgiven(given_text: str, canonical: str) -> None:
    assert normalise(given_text) == canonical


@pytest.mark.parametrize("text", ["", "-", "U", "1-AU00", "1 2", "é", "12345678901234", "1.5"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a RID"):
        decode(text)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_more_than_64_bits_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        encode(number)
