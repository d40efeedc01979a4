"""After a commit: what the catalog has now leaves the execution's folder, or a receipt is left there; users' own files stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from deriva_ml.clock import iso, now
from deriva_ml.execution.folders import sweep, take_away
from deriva_ml.execution.report import UploadReport
from deriva_ml.execution.rewritten import is_rewritten, take_again
from deriva_ml.execution.run import Run
from deriva_ml.execution.staging import COPYING, MANIFEST
from deriva_ml.files import write_whole
from deriva_ml.names import written_out

_OURS = ("sealed", "commit", "downloaded-assets", MANIFEST)
"""What deriva-ml alone puts into the folder of an execution. Beside the files in ``assets`` there may be others."""


def tidy(run: Run, report: UploadReport, clean: bool) -> None:
    """Remove what the catalog has now, or leave a receipt; a failure here is a note, the commit is done."""
    try:
        report.notes += take_again(run)
        if not clean:
            _leave_receipt(run, report)
        else:
            report.notes += _clean(run)
    except OSError as error:
        report.notes.append(f"The folder {run.folder} could not be tidied: {error}")


def _leave_receipt(run: Run, report: UploadReport) -> None:
    if not report.total_uploaded:
        return
    folder = run.folder / "commit"
    taken = [
        int(path.stem.removeprefix("receipt-")) for path in folder.glob("receipt-*.json") if path.stem[8:].isdigit()
    ]
    number = max(taken, default=0) + 1
    content = {"execution": run.rid, "at": iso(now()), "per_table": report.per_table, "notes": report.notes}
    write_whole(folder / f"receipt-{number}.json", json.dumps(content, indent=1).encode())
    run.staging.write_manifest()


def _clean(run: Run) -> list[str]:
    """Remove from the execution's folder what deriva-ml put there and the catalog has; return what is to be said of the rest."""
    stays: list[str] = []
    aside = take_away(run.store, run.rid, lambda: _ours(run, stays))
    if aside is None:  # more was staged meanwhile
        run.staging.write_manifest()
    sweep(run.store, aside)
    more = f" and {len(stays) - 3} more" if len(stays) > 3 else ""
    return [f"not registered, and left where it is: {', '.join(stays[:3])}{more}"] if stays else []


def _ours(run: Run, stays: list[str]) -> Iterator[Path]:
    """Yield what goes; name in ``stays`` what no asset names."""
    yield from (run.folder / name for name in _OURS)
    assets = run.folder / "assets"
    files = [path for path in assets.rglob("*") if path.is_symlink() or not path.is_dir()]
    known = run.staged.sealed_as(path.relative_to(run.folder).as_posix() for path in files)
    others = [
        path
        for path in files
        if path.relative_to(run.folder).as_posix() not in known and not COPYING.fullmatch(path.name)
    ]
    stays += (written_out(str(path)) for path in others)
    again = [path for path in files if _is_again(path, known.get(path.relative_to(run.folder).as_posix()))]
    keep = {*others, *again}
    yield from [path for path in files if path not in keep] if keep else [assets]


def _is_again(path: Path, sealed: tuple[str | None, str | None] | None) -> bool:
    """Return whether a file was written again after it was sealed: the next commit takes it."""
    return sealed is not None and sealed[0] is not None and not path.is_symlink() and is_rewritten(path, *sealed)
