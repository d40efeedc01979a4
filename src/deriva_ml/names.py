"""Names of tables, files and addresses: what they look like, and the one validator of each.

Floor 0: values only.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from urllib.parse import quote

from deriva_ml.errors import DerivaMLValidationError

ML_SCHEMA = "deriva-ml"
DRY_RUN_RID = "0000"
"""The RID of everything that a dry run pretends to write."""

SYSTEM_COLUMNS = ("RID", "RCT", "RMT", "RCB", "RMB")
LONGEST_NAME = 63


def encode(text: str) -> str:
    """Return ``text`` percent-encoded, so that it is a name or a value, never syntax, in an address."""
    return quote(text, safe="")


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """The full name of a table.

    Example:
        >>> TableName("deriva-ml", "Execution").path
        'deriva-ml:Execution'
        >>> str(TableName("my lab", "Image"))
        'my lab:Image'
    """

    schema: str
    name: str

    @property
    def path(self) -> str:
        """Return the name as it goes into an address."""
        return f"{encode(self.schema)}:{encode(self.name)}"

    def __str__(self) -> str:
        return f"{self.schema}:{self.name}"


def check_name(name: str, what: str = "name") -> str:
    """Return ``name`` if a schema, table or column may be called so.

    Raises:
        DerivaMLValidationError: it is empty, longer than 63 bytes, or has control characters.
    """
    if not isinstance(name, str) or not name.strip():
        raise DerivaMLValidationError(f"A {what} must be a text that is not empty, not {name!r}.")
    check_text(name, what)
    if len(name.encode()) > LONGEST_NAME:
        raise DerivaMLValidationError(f"The {what} {name!r} is longer than {LONGEST_NAME} bytes.")
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise DerivaMLValidationError(f"The {what} {name!r} has control characters.")
    return name


def check_text(text: str, what: str) -> str:
    """Return ``text`` if a catalog can keep it.

    Raises:
        DerivaMLValidationError: it has bytes that are no UTF-8, which Python reads from names of files and from arguments, or NUL.

    Example:
        >>> check_text("a café", "description")
        'a café'
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DerivaMLValidationError(
            f"The {what} {text!r} has bytes that are no UTF-8, which a catalog cannot keep: give another one."
        ) from error
    if "\0" in text:
        raise DerivaMLValidationError(f"The {what} {text!r} has a NUL, which a catalog cannot keep: give another one.")
    return text


def written_out(text: str) -> str:
    r"""Return ``text`` with bytes that are no UTF-8, and NUL, written out: a reason must be kept, whatever it holds.

    Example:
        >>> written_out("no such file: b\udcff")
        'no such file: b\\udcff'
    """
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def safe_file_name(name: str) -> str:
    """Return ``name`` if it names a file inside a folder, and nothing else.

    Raises:
        DerivaMLValidationError: it is empty, ``.`` or ``..``, has a slash or control characters, or exceeds 255 bytes.

    Example:
        >>> safe_file_name("model.pt")
        'model.pt'
    """
    problem = _file_name_problem(name)
    if problem:
        raise DerivaMLValidationError(f"{name!r} cannot be the name of a file: {problem}.")
    return name


def _file_name_problem(name: str) -> str:
    if not isinstance(name, str) or name in {"", ".", ".."}:
        return "it is empty or means a folder"
    if "/" in name or "\\" in name:
        return "it has a slash"
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name):
        return "it has control characters"
    if len(name.encode()) > 255:
        return "it is longer than 255 bytes"
    return ""
