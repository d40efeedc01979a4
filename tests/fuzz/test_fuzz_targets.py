"""The readers of text from outside, with inputs made by chance: none fails but by the refusals it documents."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inputs import READERS, SEEDS, one_input

FUZZ = settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
WORDS = b'/ ( ) : ; , = @ & ? ! $ := :: ::null:: any( all( @sort( * RID t n S:T {} [] null 1e999 \\u0000 " '.split(b" ")


@pytest.mark.parametrize("seed", SEEDS)
def test_each_seed_and_what_is_left_of_it_when_it_is_cut(seed: bytes) -> None:
    for end in range(len(seed) + 1):
        one_input(seed[:end])


@FUZZ
@given(reader=st.integers(0, len(READERS) - 1), data=st.binary(max_size=80))
def test_any_bytes(reader: int, data: bytes) -> None:
    one_input(bytes([reader]) + data)


@FUZZ
@given(seed=st.sampled_from(SEEDS), luck=st.randoms(use_true_random=False))
def test_seeds_with_pieces_exchanged(seed: bytes, luck: random.Random) -> None:
    data = bytearray(seed)
    for _ in range(luck.randint(1, 4)):
        place = luck.randint(1, len(data))
        data[place : place + luck.randint(0, 4)] = luck.choice(WORDS) + bytes(
            luck.choices(range(256), k=luck.randint(0, 2))
        )
    one_input(bytes(data))
