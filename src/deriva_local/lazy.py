"""Values that an object computes once: without the lock that Python 3.11 holds meanwhile, which a fork would copy as held."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

T_co = TypeVar("T_co", covariant=True)


class cached_property(functools.cached_property[T_co]):
    """As ``functools.cached_property`` is from Python 3.12 on: two threads at once may both compute the value."""

    def __init__(self, func: Callable[[Any], T_co]) -> None:
        super().__init__(func)
        self.lock = nullcontext()
