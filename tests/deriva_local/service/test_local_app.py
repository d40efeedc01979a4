"""The service's front: which room answers, what every answer has, and what happens when a room breaks."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from deriva_local.service import hatrac
from deriva_local.service.app import Service
from deriva_local.service.attach import attach, detach
from deriva_local.service.messages import Client, Request


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/ermrest", 200),
        ("GET", "/ermrest/", 200),
        ("GET", "/hatrac", 200),
        ("GET", "/authn/session", 200),
        ("GET", "/authn/preauth?referrer=x", 400),
        ("GET", "/authn/discovery", 404),
        ("PATCH", "/authn/session", 405),
        ("GET", "/", 404),
        ("GET", "/elsewhere", 404),
        ("GET", "/ermrestless", 404),
        ("GET", "/ermrest/strange", 404),
        ("GET", "/ermrest/catalog/999", 404),
        ("GET", "/ermrest/catalog/999/entity/a b", 400),
    ],
)
def test_rooms(send: Any, method: str, target: str, status: int) -> None:
    assert send(method, target.replace(" ", "^")).status == status


def test_a_refusal_is_one_line_of_text(send: Any) -> None:
    refused = send("GET", "/elsewhere")
    assert refused.headers["content-type"] == "text/plain"
    assert refused.text == "Not Found. Detail: This service has /ermrest, /hatrac and /authn/session.\n"
    assert refused.headers["content-length"] == str(len(refused.body))


def test_json_has_exactly_its_type(send: Any, catalog: str) -> None:
    for target in ("/ermrest", catalog, f"{catalog}/schema", f"{catalog}/entity/public:ERMrest_Client"):
        assert send("GET", target).headers["content-type"] == "application/json", target


def test_head_is_get_without_the_body(send: Any, catalog: str) -> None:
    for target in (catalog, f"{catalog}/schema", f"{catalog}/entity/public:ERMrest_Client", "/elsewhere"):
        got, told = send("GET", target), send("HEAD", target)
        assert (told.status, told.body) == (got.status, b"")
        assert told.headers["content-length"] == str(len(got.body))


def test_an_unchanged_answer_is_304_and_a_change_shows(send: Any, catalog: str) -> None:
    for number, target in enumerate((catalog, f"{catalog}/schema", f"{catalog}/entity/public:ERMrest_Client")):
        etag = send("GET", target).headers["etag"]
        unchanged = send("GET", target, headers={"If-None-Match": etag})
        assert (unchanged.status, unchanged.body, unchanged.headers["etag"]) == (304, b"", etag)
        assert send("POST", f"{catalog}/schema/s{number}").status == 201
        assert send("GET", target, headers={"If-None-Match": etag}).status == 200


@pytest.mark.parametrize(
    ("place", "methods"),
    [
        ("/hatrac", {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"}),
        ("/hatrac;upload", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/ermrest/catalog", {"POST", "OPTIONS"}),
        ("/authn/session", {"GET", "PUT", "POST", "DELETE", "OPTIONS"}),
    ],
)
def test_options_lists_the_methods(send: Any, place: str, methods: set[str]) -> None:
    told = send("OPTIONS", place)
    assert (told.status, set(told.headers["allow"].split(", "))) == (204, methods)


def test_nobody_in_particular_gets_no_further_than_the_door(service: Service) -> None:
    assert service.handle(Request("POST", "/ermrest/catalog", client=service.owner)).status == 201
    for method, target in (
        ("POST", "/ermrest/catalog"),
        ("GET", "/ermrest/catalog/1"),
        ("DELETE", "/ermrest/catalog/1"),
        ("GET", "/ermrest/catalog/1/schema"),
        ("GET", "/ermrest/catalog/1/entity/public:ERMrest_Client"),
        ("GET", "/ermrest/alias/1"),
        ("GET", "/hatrac"),
        ("PUT", "/hatrac/x"),
    ):
        answer = service.handle(Request(method, target))
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), target
    assert service.handle(Request("GET", "/ermrest")).status == 200
    assert service.handle(Request("GET", "/authn/session")).status == 404
    for target, status in (("/authn/session", 413), ("/ermrest/catalog", 401)):
        long = Request("POST", target, {}, BytesIO(b"password=" + bytes(100_000)))
        assert service.handle(long).status == status


def test_a_broken_room_is_a_500_with_a_line_in_the_log(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*given: Any) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(hatrac, "handle", broken)
    with caplog.at_level(logging.ERROR):
        answer = service.handle(Request("GET", "/hatrac", client=service.owner))
    assert (answer.status, answer.body) == (500, b"Internal Server Error. Detail: KeyError: 'oops'\n")
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("kind", ["bytes", "stream", "path"])
def test_a_body_comes_in_three_kinds(service: Service, tmp_path: Path, kind: str) -> None:
    document = json.dumps({"id": "mine"}).encode()
    (tmp_path / "f").write_bytes(document)
    body = {"bytes": document, "stream": BytesIO(document), "path": tmp_path / "f"}[kind]
    headers = {"content-type": "application/json"}
    answer = service.handle(Request("POST", "/ermrest/catalog", headers, body, service.owner))
    assert (answer.status, json.loads(bytes(answer.body))) == (201, {"id": "mine"})


def test_a_document_without_end_is_refused(tmp_path: Path) -> None:
    service = Service(tmp_path, body_limit=10)

    class Never(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("what was announced as too long was read")

    for body, headers in (
        (BytesIO(b"[" * 11), {}),
        (Never(), {"content-length": "11"}),
        (Never(), {"content-length": "9" * 30}),
    ):
        answer = service.handle(Request("POST", "/ermrest/catalog", headers, body, service.owner))
        assert (answer.status, b"At most 10 bytes" in bytes(answer.body)) == (413, True)  # type: ignore[arg-type]
    service.close()


def test_the_owner_is_the_user_of_the_process(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert service.owner.display_name != "somebody-else"
    assert service.owner == Client.owner(service.owner.display_name)


# ------------------------------------------------------------------------------------------------------------- attach


def test_one_folder_has_one_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services: list[Service] = []
    threads = [threading.Thread(target=lambda: services.append(attach(tmp_path / "s"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.chdir(tmp_path)
    assert {id(service) for service in services} == {id(attach(Path("s")))}
    assert attach(tmp_path / "t") is not services[0]
    detach(tmp_path / "s")
    assert attach(tmp_path / "s") is not services[0]
    for name in "st":
        detach(tmp_path / name)


def test_a_forked_child_has_its_own_and_may_use_its_parent_s(tmp_path: Path) -> None:
    service = attach(tmp_path / "s")
    assert service.handle(Request("PUT", "/hatrac/parent", {}, b"x", service.owner)).status == 201
    child = os.fork()
    if child == 0:
        status = 1
        try:
            own = attach(tmp_path / "s")
            first = own.handle(Request("PUT", "/hatrac/own", {}, b"x", own.owner)).status
            second = service.handle(Request("PUT", "/hatrac/kept", {}, b"x", own.owner)).status
            status = 0 if (own is not service, first, second) == (True, 201, 201) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    listed = service.handle(Request("GET", "/hatrac", client=service.owner))
    assert json.loads(bytes(listed.body)) == ["/hatrac/kept", "/hatrac/own", "/hatrac/parent"]
    detach(tmp_path / "s")


def test_processes_that_start_at_once_share_one_store(tmp_path: Path, run_python: Callable[[str], str]) -> None:
    script = f"""
    from pathlib import Path
    from deriva_local.service.attach import attach
    from deriva_local.service.messages import Request
    service = attach(Path({str(tmp_path / "s")!r}))
    print(service.handle(Request("POST", "/ermrest/catalog", client=service.owner)).status)
    """
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.append(run_python(script))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["201"] * 6


@pytest.mark.parametrize("problem", ["read-only", "a file"])
def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path: Path, problem: str) -> None:
    folder = tmp_path / "s"
    if problem == "a file":
        folder.write_text("")
    elif os.geteuid() == 0:
        folder = Path("/proc/store")  # root may write everywhere but here
    else:
        tmp_path.chmod(0o500)
    with pytest.raises(OSError, match=r".{10}"):
        attach(folder)
