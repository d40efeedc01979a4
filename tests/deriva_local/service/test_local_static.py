"""Static files beside the services: shown as browsers want them, and nothing outside of their folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_local.service.messages import FileSlice, Request
from deriva_local.service.static import CannotShow, Folder
from deriva_local.wire.errors import Refusal


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "sub").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "index.html").write_text("<p>home")
    (root / "sub" / "index.html").write_text("<p>sub")
    (root / "app.js").write_text("1")
    (root / "a b%.txt").write_text("odd")
    (root / ".secret").write_text("secret")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("secret")
    (tmp_path / "outside.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "inner.txt").symlink_to(root / "app.js")
    (root / "up").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")
    return root


def asked(folder: Folder, target: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    """Return the status, and the text that is shown or the place that is named instead."""
    try:
        answer = folder.answer(
            Request(method, target, {name.replace("_", "-"): text for name, text in headers.items()})
        )
    except Refusal as refusal:
        return refusal.status, refusal.headers.get("Allow")
    if isinstance(answer.body, FileSlice):
        return answer.status, answer.body.path.read_text()
    return answer.status, answer.headers.get("Location")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", (200, "<p>home")),
        ("/index.html", (200, "<p>home")),
        ("/index.html?x=y", (200, "<p>home")),
        ("/sub/", (200, "<p>sub")),
        ("/sub", (301, "/app/sub/")),
        ("//sub", (301, "/app/sub/")),
        ("/a%20b%25.txt", (200, "odd")),
        ("/inner.txt", (200, "1")),
        ("/empty/", (404, None)),
        ("/missing", (404, None)),
        ("/app.js/", (200, "1")),
        ("/app.js/x", (404, None)),
        ("/.secret", (404, None)),
        ("/.git/config", (404, None)),
        ("/%2Esecret", (404, None)),
        ("/../outside.txt", (404, None)),
        ("/sub/../../outside.txt", (404, None)),
        ("/%2e%2e/outside.txt", (404, None)),
        ("/..%2foutside.txt", (404, None)),
        ("/sub%2f..%2f..%2foutside.txt", (404, None)),
        ("/..%5coutside.txt", (404, None)),
        ("/..\\outside.txt", (404, None)),
        ("/%252e%252e/outside.txt", (404, None)),
        ("/index.html%00.txt", (404, None)),
        ("/%ff", (404, None)),
        ("/%c0%ae%c0%ae/outside.txt", (404, None)),
        ("/" + "x" * 5000, (404, None)),
        ("/link.txt", (404, None)),
        ("/up/outside.txt", (404, None)),
        ("/up", (404, None)),
        ("/loop", (404, None)),
        ("/pipe", (404, None)),
    ],
)
def test_what_is_shown_and_what_is_not(site: Path, path: str, found: tuple[int, Any]) -> None:
    folder = Folder.of(f"/app={site}")
    assert folder.has(f"/app{path}")
    assert asked(folder, f"/app{path}") == found


@pytest.mark.parametrize(
    ("prefix", "target", "has"),
    [
        ("/app", "/app", True),
        ("/app", "/app/x", True),
        ("/app", "/app?x", True),
        ("/app", "/apple", False),
        ("/app", "/hatrac/app", False),
        ("/a/b/", "/a/b/c", True),
        ("/a/b/", "/a", False),
        ("/", "/anything", True),
        ("/", "/", True),
        ("/", "/ermrest/catalog/1", False),
        ("/", "/hatrac;acl", False),
        ("/", "/authn/login?x", False),
        ("/", "/ermrestless", True),
    ],
)
def test_what_lies_below_a_prefix(site: Path, prefix: str, target: str, has: bool) -> None:
    assert Folder.of(f"{prefix}={site}").has(target) is has


@pytest.mark.parametrize(
    "text", ["", "/app", "app={}", "/hatrac={}", "/ermrest/x={}", "/../x={}", "/.x={}", "/a={}/no", "/a="]
)
def test_folders_that_cannot_be_shown(site: Path, text: str) -> None:
    with pytest.raises(CannotShow):
        Folder.of(text.format(site))


def test_what_a_browser_is_told(site: Path) -> None:
    folder = Folder.of(f"/app={site}")
    answer = folder.answer(Request("GET", "/app/app.js"))
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert folder.answer(Request("GET", "/app/")).headers["Content-Type"] == "text/html; charset=utf-8"
    unchanged = folder.answer(Request("GET", "/app/app.js", {"if-none-match": answer.headers["ETag"]}))
    assert unchanged.status == 304
    (site / "app.js").write_text("22")
    assert folder.answer(Request("GET", "/app/app.js")).headers["ETag"] != answer.headers["ETag"]
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert asked(folder, "/app/app.js", method) == (405, "GET, HEAD")


def test_a_folder_beside_the_services(serve: Callable[..., Any], site: Path) -> None:
    server = serve("--static", f"/app={site}", "--static", f"/={site / 'sub'}")
    shown = server.send("GET", "/app/", token=False)
    assert (shown.status, shown.body, shown.headers["x-content-type-options"]) == (200, b"<p>home", "nosniff")
    told = server.send("HEAD", "/app/", token=False)
    assert (told.status, told.body, told.headers["content-length"]) == (200, b"", "7")
    assert server.send("GET", "/", token=False).body == b"<p>sub"
    assert server.send("GET", "/app/../outside.txt", token=False).status == 404
    assert server.send("GET", "/app/", headers={"Host": "evil.example"}, token=False).status == 403
    assert server.send("GET", "/hatrac", token=False).status == 401
    assert server.send("GET", "/ermrest").status == 200
