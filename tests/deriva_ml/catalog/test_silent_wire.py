"""A wire that falls silent in the middle of a commit, before the effect of a request or after it: the catalog ends the same."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from wire_lab import Wire

from deriva_ml import DerivaML, DerivaMLUploadError, Workflow
from deriva_ml.execution import ExecutionStatus
from deriva_ml.schema import create_ml_catalog


@pytest.fixture
def over(served_ml: str, home: object) -> Iterator[tuple[Wire, DerivaML]]:
    """A fresh catalog of the shared server, reached over a wire."""
    parts = urlsplit(served_ml)
    wire = Wire(str(parts.hostname), int(parts.port or 0))
    made = create_ml_catalog(served_ml, "domain", credential={})
    ml = DerivaML(wire.host, made.catalog_id, credential={})
    yield wire, ml
    ml.session.port.close()
    wire.close()


@pytest.mark.parametrize(
    ("request_line", "after_effect"),
    [("POST /ermrest", True), ("PUT /ermrest", True), ("PUT /ermrest", False), ("PUT /hatrac", False)],
)
def test_a_commit_over_a_wire_that_falls_silent_ends_as_one_that_does_not(
    request_line: str, after_effect: bool, over: tuple[Wire, DerivaML], monkeypatch: pytest.MonkeyPatch
) -> None:
    wire, ml = over
    workflow = Workflow(name="w", workflow_type="Training", url="https://example.org/w", checksum="w")
    with ml.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Execution_Asset", "a.txt").write_text(uuid.uuid4().hex)
        exe.log_metrics({"loss": 1}, step=1)
    wire.silence, wire.after_effect = request_line.encode(), after_effect
    with monkeypatch.context() as hasty:
        hasty.setattr(ml.session.port, "_timeout", 0.5)
        for _ in range(20):  # a server that is busy is silent as well
            try:
                exe.commit_output_assets()
                break
            except DerivaMLUploadError:
                continue
    assert wire.silence is None
    assert ml.lookup_execution(exe.rid).status is ExecutionStatus.Uploaded
    assert sorted(asset.filename for asset in ml.list_execution_assets(exe.rid, "Output"))[:1] == ["a.txt"]
    assert [asset.filename for asset in ml.list_execution_assets(exe.rid, "Output")].count("metrics.jsonl") == 1
    assert len(ml.list_assets("Execution_Asset")) == 1
