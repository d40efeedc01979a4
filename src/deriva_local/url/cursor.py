"""A place in the tokens of one stretch of an address, and the small words that every rule is made of.

Floor 1, pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from deriva_local.url.lex import Token, decode, tokens
from deriva_local.wire.errors import Refusal, bad_request

T = TypeVar("T")
_END: Token = ("", "")


DEEPEST = 64
"""So many parentheses may stand in each other; a tree of filters is walked by recursion."""


class Cursor:
    """Walks over the tokens of ``raw``; every refusal quotes it."""

    __slots__ = ("_tokens", "at", "depth", "raw")

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self._tokens = tokens(raw)
        self._tokens.append(_END)
        self.at = 0
        self.depth = 0

    @property
    def mark(self) -> str:
        """Return the punctuation under the cursor, or ``""`` at a text or at the end."""
        return self._tokens[self.at][1]

    @property
    def text(self) -> str:
        """Return the still encoded text under the cursor, or ``""`` at punctuation or at the end."""
        return self._tokens[self.at][0]

    def mark_after(self) -> str:
        """Return the punctuation one token further on."""
        return self._tokens[self.at + 1][1] if self.at + 1 < len(self._tokens) else ""

    def take(self, mark: str) -> bool:
        """Step over ``mark`` if it is here, and say whether it was."""
        if self._tokens[self.at][1] == mark:
            self.at += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        """Step over ``mark``.

        Raises:
            Refusal: 400, something else is here.
        """
        if self._tokens[self.at][1] != mark:
            raise self.refuse(f"'{mark}'")
        self.at += 1

    def name(self) -> str:
        """Step over a text and return it decoded.

        Raises:
            Refusal: 400, no text is here.
        """
        text = self._tokens[self.at][0]
        if not text:
            raise self.refuse("a name")
        self.at += 1
        return decode(text)

    def value(self) -> str:
        """Step over a text, which may be missing, and return it decoded."""
        text = self._tokens[self.at][0]
        if not text:
            return ""
        self.at += 1
        return decode(text)

    def word(self) -> str:
        """Return the text under the cursor in lower case, for comparison with keywords; escapes never match one."""
        return self._tokens[self.at][0].lower()

    def call(self, words: frozenset[str] | tuple[str, ...]) -> str:
        """Step over ``word(`` if one of ``words`` is called here, and return it in lower case, else ``""``."""
        if self.mark_after() != "(" or (word := self.word()) not in words:
            return ""
        self.at += 2
        return word

    def inside(self, one: Callable[[], T]) -> T:
        """Return what ``one`` reads between parentheses, the first of which has been read.

        Raises:
            Refusal: 400 where they stand in each other too deeply.
        """
        self.depth += 1
        if self.depth > DEEPEST:
            raise bad_request(f"Filters may stand in each other {DEEPEST} deep, not deeper.")
        found = one()
        self.expect(")")
        self.depth -= 1
        return found

    def listed(self, one: Callable[[], T], separator: str = ",") -> tuple[T, ...]:
        """Return what ``one`` reads, again after every separator."""
        found = [one()]
        while self.take(separator):
            found.append(one())
        return tuple(found)

    def end(self) -> None:
        """Make sure that nothing is left.

        Raises:
            Refusal: 400, something is.
        """
        if self.at < len(self._tokens) - 1:
            raise self.refuse("the end")

    def refuse(self, expected: str, hint: str = "") -> Refusal:
        """Return the refusal of what is here instead of what was expected."""
        here = "".join(self._tokens[self.at]) or "the end"
        return bad_request(f"Cannot read '{self.raw}': expected {expected}, found '{here}'.{' ' if hint else ''}{hint}")
