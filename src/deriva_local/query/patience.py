"""Searches that can be stopped: the one door to the ``regex`` library, which is loaded when a search needs it.

Floor 1, pure but for the time that it takes.
"""

from __future__ import annotations

from deriva_local.wire.errors import bad_request

LONGEST_SEARCH = 10.0
"""Seconds that one text may be searched."""


def finds(pattern: str, ignore_case: bool, text: str) -> bool:
    """Tell whether a regular expression, as Python writes them, is found in a text; other threads go on meanwhile.

    Raises:
        Refusal: 400 when it takes too long.

    Example:
        >>> finds("(a+)+b", False, "aaab")
        True
    """
    import regex

    search = regex.compile(pattern, regex.IGNORECASE if ignore_case else 0).search
    try:
        return search(text, timeout=LONGEST_SEARCH, concurrent=True) is not None
    except TimeoutError as stopped:
        raise bad_request("Query run time limit exceeded.") from stopped
