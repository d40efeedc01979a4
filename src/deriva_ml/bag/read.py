"""Read a bag that lies in a folder: its tables, its model, its files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deriva_ml.bag import cells, layout
from deriva_ml.bag.write import Payload
from deriva_ml.errors import DerivaMLIntegrityError, DerivaMLTableNotFound
from deriva_ml.lazy import cached_property


class Bag:
    """A bag in ``folder``. Every path that it names is checked before it is opened; checksums are :func:`verify`'s."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "bagit.txt").is_file():
            raise DerivaMLIntegrityError(f"{folder} is not a bag: it has no bagit.txt.")

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The model document of the tables in the bag."""
        document = json.loads(self._inside(layout.SCHEMA_FILE).read_bytes())
        if not isinstance(document, dict):
            raise DerivaMLIntegrityError(f"{self.folder}/data/schema.json is not a model document.")
        return document

    @cached_property
    def info(self) -> dict[str, str]:
        """The facts of ``bag-info.txt``."""
        lines = (self.folder / "bag-info.txt").read_text("utf-8").splitlines()
        return {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}

    def tables(self) -> list[tuple[str, str]]:
        """Return (schema, table) of every table with rows in the bag, sorted."""
        found = []
        for path in self._listed:
            schema, _, file = path.partition("/")
            if file.endswith(".csv") and "/" not in file and schema != layout.ASSETS:
                found.append((layout.name_of(schema), layout.name_of(file.removesuffix(".csv"))))
        return sorted(found)

    def rows(self, schema: str, table: str) -> Iterator[dict[str, str | None]]:
        """Yield the rows of a table as text, None for NULL.

        Raises:
            DerivaMLTableNotFound: the bag has no such table.
            DerivaMLIntegrityError: the file is not the CSV that its header promises.
        """
        path = layout.table_path(schema, table)
        if path not in self._listed:
            raise DerivaMLTableNotFound(f"{schema}:{table}", known=(f"{name}:{of}" for name, of in self.tables()))
        with self._inside(path).open(encoding="utf-8", newline="\n") as file:
            records = cells.records(file)
            header = [name or "" for name in next(records, [])]
            for record in records:
                if len(record) != len(header):
                    raise DerivaMLIntegrityError(
                        f"{path} has {len(header)} columns and a row of {len(record)}: {record[:5]}."
                    )
                yield dict(zip(header, record, strict=True))

    def values(self, schema: str, table: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table with the values that the catalog shows as JSON: numbers, booleans, lists."""
        readers = {name: cells.reader(kind) for name, kind in cells.column_types(self.schema, schema, table).items()}
        for row in self.rows(schema, table):
            yield {name: text if text is None else readers.get(name, str)(text) for name, text in row.items()}

    def payloads(self) -> Iterator[Payload]:
        """Yield every file of the payload, with its URL where it is still to be fetched."""
        for path in self._listed:
            entry = f"{layout.PAYLOAD}/{path}"
            md5, sha256 = (self._manifests[name].get(entry, "") for name in layout.ALGORITHMS)
            url, length = self._fetch.get(entry, ("", 0))
            file = self._inside(path)
            if file.is_file():
                yield Payload(path, file.stat().st_size, md5, sha256, source=file)
            elif url and not layout.url_problem(url):
                yield Payload(path, length, md5, sha256, url=url)
            else:
                raise DerivaMLIntegrityError(
                    f"{entry} is missing from the bag {self.folder}, and fetch.txt has no address for it."
                )

    def file(self, path: str) -> Path:
        """Return the file at ``path`` (below ``data/``), which must be listed and lie inside the bag."""
        if path not in self._listed:
            raise DerivaMLIntegrityError(f"The bag {self.folder} lists no file {path!r}.")
        return self._inside(path)

    @cached_property
    def _manifests(self) -> dict[str, dict[str, str]]:
        found = {}
        for name in layout.ALGORITHMS:
            path = self.folder / f"manifest-{name}.txt"
            found[name] = layout.parse_manifest(path.read_text("utf-8"), path.name) if path.is_file() else {}
        return found

    @cached_property
    def _fetch(self) -> dict[str, tuple[str, int]]:
        path = self.folder / "fetch.txt"
        return layout.parse_fetch(path.read_text("utf-8")) if path.is_file() else {}

    @cached_property
    def _listed(self) -> dict[str, None]:
        """The listed paths below ``data/``, checked, in the manifest's order."""
        listed: dict[str, None] = {}
        for entries in self._manifests.values():
            for entry in entries:
                path = entry.removeprefix(f"{layout.PAYLOAD}/")
                if path == entry or layout.path_problem(path):
                    raise DerivaMLIntegrityError(
                        f"The bag {self.folder} lists {entry!r}, which is not a path inside data/."
                    )
                listed[path] = None
        return listed

    def _inside(self, path: str) -> Path:
        """Return the place of a checked path; nothing on the way may be a link out of the bag."""
        place = self.folder / layout.PAYLOAD / path
        for step in (place, *place.parents):
            if step == self.folder:
                return place
            if step.is_symlink():
                raise DerivaMLIntegrityError(f"{step} is a symbolic link: a bag may not lead out of itself.")
        raise DerivaMLIntegrityError(f"{place} lies outside the bag {self.folder}.")
