"""A small laboratory written row by row: it does not depend on how executions record themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import ColumnDefinition, DerivaML, TableDefinition, tables
from deriva_ml.catalog import objects
from deriva_ml.catalog.port import Request, Response
from deriva_ml.catalog.rows import insert
from deriva_ml.dataset.dataset import Dataset, create_dataset
from deriva_ml.feature.feature import create_feature
from deriva_ml.names import TableName
from deriva_ml.vocabulary import add_term


@dataclass
class Lab:
    """A catalog with subjects, images of subjects, and a label for images."""

    ml: DerivaML
    folder: Path

    def table(self, name: str) -> TableName:
        return self.ml.session.model().find_table(name).name

    def insert(self, name: str, rows: Iterable[dict[str, Any]]) -> list[str]:
        return [row["RID"] for row in insert(self.ml.session, self.table(name), list(rows))]

    def execution(self, description: str = "run", status: str = "Uploaded") -> str:
        (workflow,) = self.insert("Workflow", [{"Name": f"{description} workflow", "Checksum": description}])
        return self.insert("Execution", [{"Description": description, "Status": status, "Workflow": workflow}])[0]

    def subjects(self, *names: str) -> list[str]:
        return self.insert("Subject", [{"Name": name} for name in names])

    def asset(self, table: str, filename: str, content: bytes, **columns: Any) -> str:
        md5, sha256 = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
        source = self.folder / md5
        source.write_bytes(content)
        path = objects.object_path(table, f"{md5}.{filename}")
        url = objects.put(self.ml.session, path, source, md5=md5, sha256=sha256, length=len(content))
        row = {"URL": url, "Filename": filename, "Length": len(content), "MD5": md5, **columns}
        return self.insert(table, [row])[0]

    def links(self, table: str, assets: Iterable[str], execution: str, role: str) -> None:
        self.links_at_once(table, ((asset, execution) for asset in assets), role)

    def links_at_once(self, table: str, pairs: Iterable[tuple[str, str]], role: str) -> None:
        rows = [{table: asset, "Execution": execution, "Asset_Role": role} for asset, execution in pairs]
        self.insert(f"{table}_Execution", rows)

    def images(self, count: int, execution: str, prefix: str = "image", **columns: Any) -> list[str]:
        made = [self.asset("Image", f"{prefix}-{n}.png", f"{prefix} {n}".encode(), **columns) for n in range(count)]
        self.links("Image", made, execution, "Output")
        return made

    def consumes(self, execution: str, dataset: Dataset, version: Any = None) -> None:
        entries = dataset.dataset_history()
        entry = next((one for one in entries if str(one.dataset_version) == str(version)), entries[-1])
        row = {"Dataset": dataset.rid, "Execution": execution, "Dataset_Version": entry.version_rid}
        self.insert("Dataset_Execution", [row])

    def dataset(self, execution: str | None, members: Any = None, release: str | None = None, **more: Any) -> Dataset:
        made = create_dataset(self.ml.session, execution, cache=self.ml.cache_dir, **more)
        if members:
            made.add_dataset_members(members)
        if release:
            made.release(release, "as told")
        return made


@dataclass
class Traffic:
    """The requests that went through a port."""

    sent: list[Request]

    def __len__(self) -> int:
        return len(self.sent)

    def clear(self) -> None:
        self.sent.clear()


@pytest.fixture
def traffic(ml: DerivaML, monkeypatch: pytest.MonkeyPatch) -> Traffic:
    port, seen = ml.session.port, Traffic([])
    send = port.send

    def counted(request: Request) -> Response:
        seen.sent.append(request)
        return send(request)

    monkeypatch.setattr(port, "send", counted)
    return seen


@pytest.fixture
def lab(ml: DerivaML, tmp_path: Path) -> Lab:
    folder = tmp_path / "sources"
    folder.mkdir()
    columns = [ColumnDefinition(name="Name", type="text")]
    tables.create_table(ml.session, TableDefinition(name="Subject", column_defs=columns))
    tables.create_vocabulary(ml.session, "Grade", "how bad it is", None, "lab")
    for term in ("Mild", "Severe"):
        add_term(ml.session, "Grade", term, term)
    tables.create_asset(ml.session, "Image", referenced_tables=["Subject"])
    tables.create_asset(ml.session, "Model")
    create_feature(ml.session, "Image", "Severity", terms=["Grade"])
    ml.add_dataset_element_type("Image")
    ml.add_dataset_element_type("Subject")
    return Lab(ml, folder)
