"""The server on a socket: who comes in, from where, over what, and how it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from deriva_local.service.serve import Place
from deriva_local.service.tokens import Tokens, read_cookie
from deriva_local.service.wsgi import is_ours
from deriva_local.users.accounts import Accounts

SERVE = [sys.executable, "-m", "deriva_ml.cli.serve"]


# ----------------------------------------------------------------------------------------------------------- who


def test_without_the_token_nobody_comes_in(served: Any) -> None:
    for method, target in (("POST", "/ermrest/catalog"), ("GET", "/hatrac"), ("PUT", "/hatrac/x")):
        assert served.send(method, target, token=False).status == 401, target
    assert served.send("GET", "/authn/session", token=False).status == 404
    assert served.send("GET", "/elsewhere").status == 404


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer {token}", 200),
        ("bearer {token}", 200),
        ("Bearer {token}x", 401),
        ("Bearer", 401),
        ("Basic {token}", 401),
        ("{token}", 401),
    ],
)
def test_bearer_tokens(served: Any, header: str, status: int) -> None:
    headers = {"Authorization": header.format(token=served.token)}
    assert served.send("GET", "/hatrac", headers=headers, token=False).status == status


def log_in(served: Any, password: str) -> Any:
    form = urlencode({"username": "me", "password": password}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return served.send("POST", "/authn/session", form, headers, token=False)


def test_the_token_buys_a_session(served: Any) -> None:
    assert log_in(served, "guess").status == 401
    answer = log_in(served, served.token)
    assert answer.status == 200
    cookie, *rest = answer.headers["set-cookie"].split("; ")
    assert cookie.startswith("webauthn=")
    assert served.token not in cookie
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(rest)
    came = {"Cookie": f"other=1; {cookie}"}
    assert served.send("GET", "/hatrac", headers=came, token=False).status == 200
    shown = served.send("GET", "/authn/session", headers=came, token=False).json()
    assert shown["client"]["id"] in {attribute["id"] for attribute in shown["attributes"]}
    assert 0 < shown["seconds_remaining"] <= 12 * 3600
    assert served.send("PUT", "/authn/session", headers=came, token=False).status == 200
    assert served.send("POST", "/authn/session", headers=came, token=False).status == 409
    out = served.send("DELETE", "/authn/session?logout_url=/bye", headers=came, token=False)
    assert (out.json(), "Max-Age=0" in out.headers["set-cookie"]) == ({"logout_url": "/bye"}, True)
    assert served.send("GET", "/hatrac", headers=came, token=False).status == 401
    assert served.send("DELETE", "/authn/session", headers=came, token=False).status == 404


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("", ""),
        ("webauthn=W", "W"),
        ('webauthn="W"', "W"),
        ("a=1; webauthn=W; b=2", "W"),
        ('other={"a":1}; webauthn=W', "W"),
        ("a[b]=c; d e=f; g; webauthn=W", "W"),
        ("xwebauthn=E; webauthnx=E; WEBAUTHN=E", ""),
        ("webauthn", ""),
        ("webauthn=W; webauthn=E", "W"),
    ],
)
def test_our_cookie_among_others(said: str, word: str) -> None:
    assert read_cookie({"cookie": said}) == word


def test_a_token_taken_away_closes_the_door(serve: Callable[..., Any]) -> None:
    server = serve()
    ways = (
        {"Authorization": f"Bearer {server.token}"},
        {"Cookie": f"webauthn={server.token}"},
        {"Cookie": log_in(server, server.token).headers["set-cookie"].split(";")[0]},
    )
    assert [server.send("GET", "/hatrac", headers=way, token=False).status for way in ways] == [200] * 3
    (server.folder / "token").unlink()
    assert [server.send("GET", "/hatrac", headers=way, token=False).status for way in ways] == [401] * 3
    Tokens(server.folder).create()
    assert [server.send("GET", "/hatrac", headers=way, token=False).status for way in ways] == [401] * 3


def test_a_token_that_others_came_to_read_lets_nobody_in(serve: Callable[..., Any]) -> None:
    server = serve()
    word = server.token
    (server.folder / "token").chmod(0o644)
    answer = server.send("GET", "/hatrac", headers={"Authorization": f"Bearer {word}"}, token=False)
    assert (answer.status, "Remove the file" in answer.text) == (503, True)


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    tokens.create()
    assert tokens.path.stat().st_mode & 0o777 == 0o600
    tokens.path.chmod(0o640)
    with pytest.raises(PermissionError, match="Remove the file"):
        tokens.create()


def test_the_token_stays_the_same(tmp_path: Path) -> None:
    assert Tokens(tmp_path).create() == Tokens(tmp_path).create()
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_open_lets_every_caller_of_this_machine_in(serve: Callable[..., Any]) -> None:
    server = serve("--open")
    assert server.send("GET", "/hatrac", token=False).status == 200
    assert server.send("GET", "/authn/session", token=False).status == 200
    assert server.send("GET", "/hatrac", headers={"Host": "evil.example"}, token=False).status == 403


# ------------------------------------------------------------------------------------------------------- from where


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "LOCALHOST:1"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "192.168.1.1"}, 403),
        ({"Host": "localhost@evil.example"}, 403),
        ({"Host": "["}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://{netloc}"}, 200),
        ({"Origin": "https://{netloc}"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_host_and_origin(served: Any, headers: dict[str, str], status: int) -> None:
    sent = {name: text.format(netloc=served.netloc) for name, text in headers.items()}
    assert served.send("GET", "/hatrac", headers=sent).status == status


@pytest.mark.parametrize(
    ("netloc", "hosts", "ours"),
    [
        ("10.0.0.7:80", {"*"}, True),
        ("[fe80::1]", {"*"}, True),
        ("evil.example", {"*"}, False),
        ("lab.example", {"lab.example"}, True),
    ],
)
def test_a_server_of_the_whole_machine(netloc: str, hosts: set[str], ours: bool) -> None:
    assert is_ours(netloc, frozenset(hosts)) is ours


@pytest.mark.parametrize(
    ("host", "loopback", "shown"),
    [
        ("127.0.0.1", True, "localhost"),
        ("localhost", True, "localhost"),
        ("::1", True, "localhost"),
        ("0.0.0.0", False, "localhost"),
        ("192.168.1.5", False, "192.168.1.5"),
        ("fe80::1", False, "[fe80::1]"),
        ("lab.example", False, "lab.example"),
    ],
)
def test_places(host: str, loopback: bool, shown: str) -> None:
    place = Place(host)
    assert (place.is_loopback, place.shown_host) == (loopback, shown)


# ------------------------------------------------------------------------------------------------------- over what


def test_the_address_reaches_the_service_undecoded(served: Any) -> None:
    made = served.send("PUT", "/hatrac/a%2Fb%20c", b"x")
    assert made.text.startswith("/hatrac/a%2Fb%20c:")
    assert served.send("GET", "/hatrac/a/b%20c").status == 404


def test_bodies_that_are_too_long_or_have_no_length(served: Any) -> None:
    connection = http.client.HTTPConnection(served.netloc, timeout=60)
    authorization = {"Authorization": f"Bearer {served.token}"}
    connection.request("PUT", "/hatrac/long", iter([b"abc"]), authorization, encode_chunked=True)
    refused = connection.getresponse()
    assert (refused.status, b"Content-Length" in refused.read()) == (411, True)
    connection.request("GET", "/hatrac", headers=authorization)
    assert connection.getresponse().read().startswith(b"[")
    connection.close()


def test_a_put_of_more_than_128_mib_is_refused(served: Any) -> None:
    limit = 128 * 1024 * 1024

    class Zeros:
        left = limit + 1

        def read(self, size: int = -1) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return bytes(size)

    refused = served.send("PUT", "/hatrac/long", Zeros(), {"Content-Length": str(limit + 1)})
    assert (refused.status, "chunks" in refused.text) == (413, True)
    said = {"chunk-length": limit + 1, "content-length": limit + 1}
    job = served.send("POST", "/hatrac/long-chunk;upload", said).text.strip()
    assert served.send("PUT", f"{job}/0", b"", {"Content-Length": str(limit + 1)}).status == 413
    assert served.send("GET", "/hatrac/long").status == 404


def test_who_announces_too_much_hears_so_at_once(serve: Callable[..., Any]) -> None:
    server = serve("--body-limit", "1")
    head = (
        f"POST /ermrest/catalog HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
        "Content-Length: 1048577\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0)) as wire:
        wire.sendall(head.encode())
        wire.settimeout(20)
        answer = wire.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413"), answer
    assert server.send("POST", "/ermrest/catalog", {"description": "x" * 1_000_000}).status == 201
    assert server.send("POST", "/ermrest/catalog", {"description": "x" * 1_100_000}).status == 413


def test_a_sender_that_goes_away_leaves_nothing(served: Any) -> None:
    head = f"PUT /hatrac/cut HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n"
    with socket.create_connection(("127.0.0.1", urlsplit(served.url).port or 0)) as wire:
        wire.sendall(f"{head}Content-Length: 1000\r\n\r\nonly this".encode())
    deadline = time.monotonic() + 10
    incoming = served.folder / "objects" / "incoming"
    while any(incoming.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(incoming.iterdir()) == []
    assert served.send("GET", "/hatrac/cut").status == 404


def test_one_connection_carries_many_requests(served: Any) -> None:
    connection = http.client.HTTPConnection(served.netloc, timeout=60)
    authorization = {"Authorization": f"Bearer {served.token}"}
    for method, headers, status in (("HEAD", {"Host": "evil.example"}, 403), ("HEAD", {}, 401), ("GET", {}, 401)):
        connection.request(method, "/hatrac", headers=headers)
        refused = connection.getresponse()
        assert (refused.status, bool(refused.read())) == (status, method == "GET")
    for number in range(3):
        connection.request("PUT", f"/nowhere/{number}", b"x" * 100_000, authorization)
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Connection"), answer.getheader("Server")) == (
            404,
            None,
            "deriva-local",
        )
        answer.read()
    connection.close()


def test_stored_pages_have_no_rights(served: Any) -> None:
    served.send("PUT", "/hatrac/page.html", b"<script>alert(1)</script>", {"Content-Type": "text/html"})
    answer = served.send("GET", "/hatrac/page.html")
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_https_with_a_certificate_of_its_own(serve: Callable[..., Any]) -> None:
    server = serve("--tls")
    assert server.url.startswith("https://localhost:")
    pem = server.folder / "certificate.pem"
    assert pem.stat().st_mode & 0o777 == 0o600
    for name in ("localhost", "127.0.0.1"):
        context = ssl.create_default_context(cafile=str(pem))
        connection = http.client.HTTPSConnection(name, urlsplit(server.url).port, timeout=30, context=context)
        connection.request("GET", "/hatrac", headers={"Authorization": f"Bearer {server.token}"})
        assert connection.getresponse().status == 200
        connection.close()
    made = pem.read_bytes()
    assert server.stop() == 0
    serve("--tls")
    assert pem.read_bytes() == made


# ---------------------------------------------------------------------------------------------------- start and end


def refused_start(*options: str) -> str:
    done = subprocess.run([*SERVE, *options], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_port_in_use_is_said(served: Any, tmp_path: Path) -> None:
    port = str(urlsplit(served.url).port)
    assert f"Port {port} on 127.0.0.1 is in use" in refused_start("--store", str(tmp_path / "s"), "--port", port)


def test_a_port_is_free_again_as_soon_as_its_server_ends(serve: Callable[..., Any]) -> None:
    first = serve()
    connection = http.client.HTTPConnection(first.netloc)
    connection.request("GET", "/ermrest/")
    connection.getresponse().read()
    assert first.stop() == 0  # the server hangs up first, so that the old connection lingers at its end
    second = serve("--port", str(urlsplit(first.url).port))
    assert second.netloc == first.netloc
    assert second.send("GET", "/ermrest/").status == 200
    connection.close()


def test_open_access_is_for_this_machine_only(tmp_path: Path) -> None:
    told = refused_start("--store", str(tmp_path / "s"), "--host", "0.0.0.0", "--open")
    assert "leave out --open" in told
    assert not (tmp_path / "s").exists()


def test_a_host_of_another_machine_is_refused(tmp_path: Path) -> None:
    Accounts(tmp_path / "s").add("ada", "secret")
    assert "cannot be served" in refused_start("--store", str(tmp_path / "s"), "--host", "192.0.2.1", "--tls")


@pytest.mark.parametrize(
    ("options", "users", "missing"),
    [
        ([], False, "users (deriva-ml serve user add NAME) and encryption"),
        ([], True, "needs encryption (--tls"),
        (["--tls"], False, "needs users"),
        (["--behind-proxy"], False, "needs users"),
        (["--behind-proxy", "--open"], True, "leave out --open"),
    ],
)
def test_other_machines_need_users_and_encryption(
    tmp_path: Path, options: list[str], users: bool, missing: str
) -> None:
    if users:
        Accounts(tmp_path / "s").add("ada", "secret")
    told = refused_start("--store", str(tmp_path / "s"), "--host", "0.0.0.0", *options)
    assert missing in told
    assert not (tmp_path / "s" / "registry.sqlite").exists()


def test_a_proxy_on_this_machine_makes_open_access_unsafe(tmp_path: Path) -> None:
    assert "leave out --open" in refused_start("--store", str(tmp_path / "s"), "--behind-proxy", "--open")


def test_the_default_store_is_the_one_that_the_library_opens(tmp_path: Path) -> None:
    environment = {**os.environ, "DERIVA_ML_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(SERVE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://localhost:")
    process.terminate()
    told = process.communicate(timeout=60)[1]
    assert (tmp_path / "home" / "catalog" / "token").exists()
    assert told == f"Token: {tmp_path / 'home' / 'catalog' / 'token'}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly(serve: Callable[..., Any], number: int) -> None:
    server = serve()
    assert server.send("PUT", "/hatrac/x", b"x").status == 201
    server.process.send_signal(number)
    _, told = server.process.communicate(timeout=30)
    assert (server.process.returncode, "Traceback" in told) == (0, False)


def test_a_request_that_runs_is_finished(serve: Callable[..., Any]) -> None:
    server = serve()
    head = (
        f"PUT /hatrac/slow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
        "Content-Length: 4\r\n\r\nab"
    )
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0)) as wire:
        wire.sendall(head.encode())
        incoming = server.folder / "objects" / "incoming"
        deadline = time.monotonic() + 10
        while not any(incoming.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        sending = threading.Timer(0.3, wire.sendall, (b"cd",))
        sending.start()
        wire.settimeout(20)
        answer = wire.recv(65536)
    assert answer.startswith(b"HTTP/1.1 201"), answer
    assert server.process.wait(30) == 0


# -------------------------------------------------------------------------------------------------------- kill -9


def kill(server: Any) -> None:
    server.process.send_signal(signal.SIGKILL)
    server.process.communicate()


def test_a_put_that_was_killed_leaves_nothing(serve: Callable[..., Any]) -> None:
    server = serve()
    server.send("PUT", "/hatrac/x", b"whole")
    head = f"PUT /hatrac/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0)) as wire:
        wire.sendall(f"{head}Content-Length: 1000\r\n\r\nhalf".encode())
        incoming = server.folder / "objects" / "incoming"
        deadline = time.monotonic() + 10
        while not any(incoming.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(list(incoming.iterdir())) == 1
        kill(server)
    again = serve()
    assert list(incoming.iterdir()) == []
    assert again.send("GET", "/hatrac/x").body == b"whole"
    assert len(again.send("GET", "/hatrac/x;versions").json()) == 1


def test_an_upload_goes_on_at_a_server_that_was_killed(serve: Callable[..., Any]) -> None:
    server = serve()
    job = server.send("POST", "/hatrac/x;upload", {"chunk-length": 3, "content-length": 6}).text.strip()
    assert server.send("PUT", f"{job}/0", b"abc").status == 204
    kill(server)
    again = serve()
    assert again.send("PUT", f"{job}/1", b"def").status == 204
    assert again.send("POST", job).status == 201
    assert again.send("GET", "/hatrac/x").body == b"abcdef"


def test_two_servers_of_one_store(serve: Callable[..., Any]) -> None:
    one, two = serve(), serve()
    one.send("PUT", "/hatrac/x", b"one")
    assert two.send("GET", "/hatrac/x").body == b"one"
    assert one.token == two.token
    answers: list[int] = []

    def put(server: Any) -> None:
        answers.append(server.send("PUT", "/hatrac/y", b"y", {"If-None-Match": "*"}).status)

    threads = [threading.Thread(target=put, args=(server,)) for server in (one, two) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201] + [412] * 7
