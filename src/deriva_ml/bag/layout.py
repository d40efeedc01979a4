"""Where things lie in a bag, and which paths a bag may name.

Values only, no I/O::

    bagit.txt  bag-info.txt  manifest-md5.txt  manifest-sha256.txt  tagmanifest-md5.txt  tagmanifest-sha256.txt  [fetch.txt]
    data/schema.json                                     the model of the tables in the bag
    data/<schema>/<Table>.csv                            the rows, one file per table
    data/assets/<AssetTable>/<asset RID>/<Filename>      the bytes
"""

from __future__ import annotations

import unicodedata
from urllib.parse import quote, unquote, urlsplit

from deriva_ml.errors import DerivaMLIntegrityError, DerivaMLValidationError
from deriva_ml.names import safe_file_name
from deriva_ml.rid import check_rid

PAYLOAD = "data"
SCHEMA_FILE = "schema.json"
ASSETS = "assets"
ALGORITHMS = ("md5", "sha256")
FETCH_SCHEMES = frozenset({"http", "https", "hatrac"})
_LINE_ENDS = {"Cc", "Cs", "Zl", "Zp"}


def folder_name(name: str) -> str:
    """Return the name of a schema or table as one harmless path segment; :func:`name_of` takes it back.

    Example:
        >>> folder_name("my lab"), folder_name("a/b"), folder_name("assets")
        ('my lab', 'a%2Fb', '%61ssets')
    """
    text = "".join(quote(letter, safe="") if letter in "/\\%~" else letter for letter in name)
    if text == ASSETS or text.startswith("."):
        text = f"%{ord(text[0]):02x}{text[1:]}"
    return text


def name_of(segment: str) -> str:
    """Return the schema or table that a path segment stands for."""
    return unquote(segment)


def table_path(schema: str, table: str) -> str:
    """Return where the rows of a table lie, below ``data/``."""
    return check_payload_path(f"{folder_name(schema)}/{folder_name(table)}.csv")


def asset_path(table: str, rid: str, filename: str) -> str:
    """Return where the bytes of an asset lie, below ``data/``.

    Raises:
        DerivaMLValidationError: the RID or the file name is not one.

    Example:
        >>> asset_path("Image", "1-ABC", "scan 1.png")
        'assets/Image/1-ABC/scan 1.png'
    """
    return check_payload_path(f"{ASSETS}/{folder_name(table)}/{check_rid(rid)}/{safe_file_name(filename)}")


def check_payload_path(path: str) -> str:
    """Return ``path`` (below ``data/``) if it names a file inside the bag.

    Raises:
        DerivaMLValidationError: it is absolute, climbs out, is not in its shortest form, or breaks a line.
    """
    problem = path_problem(path)
    if problem:
        raise DerivaMLValidationError(f"A bag cannot hold the path {path!r}: {problem}.")
    return path


def path_problem(path: str) -> str:
    """Return what is wrong with a path below ``data/``, "" if nothing."""
    if not path or path.startswith(("/", "~")):
        return "it is empty or absolute"
    if "\\" in path or (not path.isprintable() and any(unicodedata.category(letter) in _LINE_ENDS for letter in path)):
        return "it has a backslash, a line end or a control character"
    if any(segment in {"", ".", ".."} for segment in path.split("/")):
        return "it climbs out of the bag or is not in its shortest form"
    if any(code in path.lower() for code in ("%0a", "%0d")):
        return "it has an encoded line end, which bag readers decode"
    return ""


def url_problem(url: str) -> str:
    """Return what is wrong with a URL in ``fetch.txt``, "" if nothing."""
    parts = urlsplit(url)
    if parts.scheme not in FETCH_SCHEMES or not parts.netloc:
        return f"only full {', '.join(sorted(FETCH_SCHEMES))} addresses are fetched"
    if any(letter.isspace() for letter in url):
        return "it has a space"
    return ""


def parse_manifest(text: str, name: str) -> dict[str, str]:
    """Return path (from the bag's root) → checksum of one manifest.

    Raises:
        DerivaMLIntegrityError: a line is not ``checksum  path``, or a path is listed twice.
    """
    entries: dict[str, str] = {}
    for line in filter(None, text.split("\n")):
        checksum, _, path = line.rstrip("\r").partition(" ")
        path = path.lstrip(" *")
        if not path or path in entries:
            raise DerivaMLIntegrityError(f"{name} has a line that is no entry, or a second one for its path: {line!r}.")
        entries[path] = checksum.lower()
    return entries


def parse_fetch(text: str) -> dict[str, tuple[str, int]]:
    """Return path (from the bag's root) → URL and length of ``fetch.txt``.

    Raises:
        DerivaMLIntegrityError: a line is not ``URL length path``.
    """
    entries: dict[str, tuple[str, int]] = {}
    for line in filter(None, text.split("\n")):
        parts = line.rstrip("\r").split(None, 2)
        if len(parts) != 3 or not parts[1].isdecimal():
            raise DerivaMLIntegrityError(f"fetch.txt has a line that is not `URL length path`: {line!r}.")
        entries[parts[2]] = (parts[0], int(parts[1]))
    return entries
