"""One process among many on a store: ``python store_worker.py VERB FOLDER …``. Not a test by itself."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

from deriva_local.service.app import Service
from deriva_local.service.messages import Request
from deriva_local.store.registry import Store

SYSTEM = [
    {"name": name, "type": {"typename": f"ermrest_{name.lower()}"}, "nullok": name in ("RCB", "RMB")}
    for name in ("RID", "RCT", "RMT", "RCB", "RMB")
]
NOTES = {
    "table_name": "Note",
    "column_definitions": [*SYSTEM, {"name": "Text", "type": {"typename": "text"}, "nullok": False}],
    "keys": [{"unique_columns": ["RID"]}, {"unique_columns": ["Text"]}],
}


def send(service: Service, method: str, target: str, body: Any = None) -> Any:
    """Send one request in process; return the parsed reply, and raise for anything but success."""
    raw = b"" if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    response = service.handle(Request(method, target, headers, raw, service.owner))
    assert isinstance(response.body, bytes)
    if response.status >= 300:
        raise RuntimeError(f"{method} {target}: {response.status} {response.body.decode()}")
    return json.loads(response.body) if response.headers.get("Content-Type") == "application/json" else None


def tell(line: str) -> None:
    """Print a line in one piece, whoever else prints there."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def notes(folder: Path) -> str:
    """Make a catalog with the table ``S:Note``; return the address of its rows."""
    service = Service(folder)
    id = send(service, "POST", "/ermrest/catalog", {})["id"]
    send(service, "POST", f"/ermrest/catalog/{id}/schema", [{"schema_name": "S", "tables": {"Note": NOTES}}])
    service.close()
    return f"/ermrest/catalog/{id}/entity/S:Note"


def start(folder: Path) -> None:
    """Open the store, whether it is there or not, and make a catalog; print its id."""
    service = Service(folder)
    tell(send(service, "POST", "/ermrest/catalog", {})["id"])


def insert(folder: Path, target: str, label: str, count: str) -> None:
    """Insert ``count`` rows, one request each, and print each RID when it is acknowledged."""
    service = Service(folder)
    for number in range(int(count)):
        row = send(service, "POST", f"{target}?defaults=RID", [{"Text": f"{label} {number}"}])[0]
        tell(f"{row['RID']} {row['Text']}")


def hold(folder: Path, id: str) -> None:
    """Take the writers' turn, say so, and keep it until the input ends."""
    service = Service(folder)
    with Store(folder).catalog(id).write(service.owner):
        print("holding", flush=True)
        sys.stdin.read()


def unprivileged(folder: Path) -> None:
    """Open the store as a user who may read everything and write nothing; print what that says."""
    if os.getuid() == 0:
        os.setuid(65534)
    try:
        Store(folder)
    except OSError as error:
        print(type(error).__name__, error)


def crowd(folder: Path, count: str, verb: str, *arguments: str) -> None:
    """Do a verb in so many processes at one moment; ``{}`` in the arguments is the number of the process."""
    fork = multiprocessing.get_context("fork")
    each = [[argument.format(number) for argument in arguments] for number in range(int(count))]
    members = [fork.Process(target=VERBS[verb], args=(folder, *given)) for given in each]
    for member in members:
        member.start()
    for member in members:
        member.join()
    sys.exit(any(member.exitcode for member in members))


VERBS = {"start": start, "insert": insert, "hold": hold, "unprivileged": unprivileged, "crowd": crowd}

if __name__ == "__main__":
    verb, place, *rest = sys.argv[1:]
    VERBS[verb](Path(place), *rest)
