"""Logging in over HTTP: sessions, tokens, the login page, and what a wrong password costs."""

from __future__ import annotations

import http.client
import re
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from deriva_local.service.admission import Admission
from deriva_local.service.app import Service
from deriva_local.service.messages import Client, Request
from deriva_local.service.places import own_place
from deriva_local.service.session import local_owner
from deriva_local.users.accounts import Accounts
from deriva_local.wire.errors import Refusal

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, start_server: Any) -> Iterator[Any]:
    """A server with users: ada of the group admin, ben of the group team."""
    folder = tmp_path_factory.mktemp("lab") / "store"
    accounts = Accounts(folder)
    accounts.add("ada", "ada's secret", ["admin"])
    accounts.add("ben", "ben's secret", ["team"])
    server = start_server(folder)
    yield server
    server.process.kill()
    server.process.communicate()


def log_in(server: Any, name: str, password: str, place: str = "/authn/session", **more: str) -> Any:
    form = urlencode({"username": name, "password": password, **more}).encode()
    return server.send("POST", place, form, FORM, token=False)


def session(server: Any, name: str) -> dict[str, str]:
    """Log in and return the header that carries the session."""
    answer = log_in(server, name, f"{name}'s secret")
    assert answer.status == 200, answer.text
    return {"Cookie": answer.headers["set-cookie"].split(";")[0]}


# ------------------------------------------------------------------------------------------------------------ sessions


def test_a_session_from_beginning_to_end(lab: Any) -> None:
    began = log_in(lab, "ada", "ada's secret")
    cookie, *rules = began.headers["set-cookie"].split("; ")
    assert set(rules) == {"Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"}
    assert re.fullmatch(r"webauthn=[A-Za-z0-9_-]{43}", cookie)
    shown = began.json()
    assert shown["client"] == {
        "id": "ada",
        "display_name": "ada",
        "full_name": "ada",
        "email": None,
        "identities": ["ada"],
    }
    assert {attribute["id"] for attribute in shown["attributes"]} == {"ada", "admin"}
    came = {"Cookie": cookie}
    again = lab.send("GET", "/authn/session", headers=came, token=False)
    assert {**again.json(), "seconds_remaining": 0} == {**shown, "seconds_remaining": 0, **_times(again.json())}
    assert again.headers["cache-control"] == "no-store"
    assert log_in_with(lab, came).status == 409
    extended = lab.send("PUT", "/authn/session", headers=came, token=False)
    assert (extended.status, extended.headers["set-cookie"].split(";")[0]) == (200, cookie)
    assert extended.json()["since"] == again.json()["since"]
    ended = lab.send("DELETE", "/authn/session", headers=came, token=False)
    assert (ended.status, "Max-Age=0" in ended.headers["set-cookie"]) == (204, True)
    assert lab.send("GET", "/authn/session", headers=came, token=False).status == 404


def _times(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in ("since", "expires")}


def log_in_with(server: Any, headers: dict[str, str]) -> Any:
    form = urlencode({"username": "ada", "password": "ada's secret"}).encode()
    return server.send("POST", "/authn/session", form, {**FORM, **headers}, token=False)


@pytest.mark.parametrize(
    "form",
    [
        {"username": "ada", "password": "ben's secret"},
        {"username": "nobody", "password": "ada's secret"},
        {"username": "ada"},
        {"password": "ada's secret"},
        {"username": "ADA", "password": "ada's secret"},
        {},
    ],
)
def test_a_wrong_password_is_a_401(service: Service, form: dict[str, str]) -> None:
    service.admission.accounts.add("ada", "ada's secret")
    answer = service.handle(Request("POST", "/authn/session", FORM, urlencode(form).encode()))
    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers


def test_a_session_ends_for_a_user_who_is_removed(lab: Any) -> None:
    Accounts(lab.folder).add("cid", "cid's secret")
    came = session(lab, "cid")
    assert lab.send("GET", "/authn/session", headers=came, token=False).status == 200
    Accounts(lab.folder).remove("cid")
    assert lab.send("GET", "/authn/session", headers=came, token=False).status == 404
    assert log_in(lab, "cid", "cid's secret").status == 401


def test_groups_change_while_a_session_runs(lab: Any) -> None:
    Accounts(lab.folder).add("dee", "dee's secret")
    came = session(lab, "dee")

    def roles() -> set[str]:
        shown = lab.send("GET", "/authn/session", headers=came, token=False).json()
        return {attribute["id"] for attribute in shown["attributes"]}

    assert roles() == {"dee"}
    Accounts(lab.folder).set_groups("dee", ["team"])
    assert roles() == {"dee", "team"}


def test_bearer_tokens_of_users(lab: Any) -> None:
    word = Accounts(lab.folder).give("ben", "token", 60)
    came = {"Authorization": f"Bearer {word}"}
    shown = lab.send("GET", "/authn/session", headers=came, token=False).json()
    assert (shown["client"]["id"], shown["seconds_remaining"] <= 60) == ("ben", True)
    assert lab.send("PUT", "/authn/session", headers=came, token=False).json()["expires"] == shown["expires"]
    assert lab.send("GET", "/authn/session", headers={"Cookie": f"webauthn={word}"}, token=False).status == 404
    Accounts(lab.folder).take_back_tokens("ben")
    assert lab.send("GET", "/authn/session", headers=came, token=False).status == 404


def test_the_owner_s_word_still_opens_the_door(lab: Any) -> None:
    owner = lab.send("GET", "/authn/session").json()["client"]["id"]
    assert owner == local_owner().id
    assert log_in(lab, "whoever", lab.token).json()["client"]["id"] == owner


def test_a_user_who_is_called_as_the_owner_is_the_owner(tmp_path: Path) -> None:
    admission = Admission(tmp_path, Client.owner("ada"))
    admission.accounts.add("ada", "x", ["team"])
    admission.accounts.add("ben", "x")
    ada, ben = admission.log_in("ada", "x", ""), admission.log_in("ben", "x", "")
    assert (ada.identities, ben.identities) == (("ada", "local:ada"), ("ben",))
    assert ada.groups == {"team"} and not ada.is_store_owner


# ------------------------------------------------------------------------------------------------- who may do what, at first


def test_the_group_admin_creates_catalogs(lab: Any) -> None:
    ada, ben = session(lab, "ada"), session(lab, "ben")
    assert lab.send("POST", "/ermrest/catalog", {}, ben, token=False).status == 403
    assert lab.send("POST", "/ermrest/catalog", {}, token=False).status == 401
    made = lab.send("POST", "/ermrest/catalog", {}, ada, token=False)
    assert made.status == 201
    catalog = made.headers["location"]
    shown = lab.send("GET", catalog, headers=ada, token=False).json()
    assert (shown["acls"]["owner"], shown["rights"]["owner"]) == (["ada"], True)
    assert lab.send("GET", catalog, headers=ben, token=False).status == 403
    assert lab.send("GET", catalog, token=False).status == 401
    refused = lab.send("POST", "/ermrest/catalog", {"owner": ["ben"]}, ada, token=False)
    assert refused.status == 409
    assert lab.send("POST", "/ermrest/catalog", {"owner": ["admin"]}, ada, token=False).status == 201


def test_a_catalog_is_opened_to_a_group_and_then_to_everybody(lab: Any) -> None:
    ada, ben = session(lab, "ada"), session(lab, "ben")
    catalog = lab.send("POST", "/ermrest/catalog", {}, ada, token=False).headers["location"]
    rows = f"{catalog}/entity/public:ERMrest_RID_Lease"

    def statuses() -> list[int]:
        return [lab.send("GET", f"{catalog}/schema", headers=who, token=False).status for who in (ada, ben, {})]

    assert statuses() == [200, 403, 401]
    for roles, expected in ((["team"], [200, 200, 401]), (["*"], [200, 200, 200])):
        assert lab.send("PUT", f"{catalog}/acl/enumerate", roles, ada, token=False).status == 200
        assert statuses() == expected
    assert lab.send("POST", rows, [{"ID": "mine"}], ben, token=False).status == 403
    assert lab.send("POST", rows, [{"ID": "mine"}], token=False).status == 401
    assert lab.send("PUT", f"{catalog}/acl/insert", ["team"], ada, token=False).status == 200
    stored = lab.send("POST", f"{rows}?defaults=RID,RCB", [{"ID": "mine"}], ben, token=False)
    assert (stored.status, stored.json()[0]["RCB"]) == (200, "ben"), stored.text


def test_clients_and_groups_are_recorded(lab: Any) -> None:
    ada = session(lab, "ada")
    catalog = lab.send("POST", "/ermrest/catalog", {}, ada, token=False).headers["location"]
    assert lab.send("POST", f"{catalog}/schema/s", headers=ada, token=False).status == 201
    clients = lab.send("GET", f"{catalog}/entity/public:ERMrest_Client", headers=ada, token=False).json()
    assert [(row["ID"], row["Display_Name"], row["RCB"]) for row in clients] == [("ada", "ada", "ada")]
    assert clients[0]["Client_Object"]["identities"] == ["ada"]
    groups = lab.send("GET", f"{catalog}/entity/public:ERMrest_Group", headers=ada, token=False).json()
    assert [(row["ID"], row["Display_Name"]) for row in groups] == [("admin", "admin")]
    Accounts(lab.folder).set_groups("ada", ["admin", "later"])
    lab.send("POST", f"{catalog}/schema/t", headers=ada, token=False)
    groups = lab.send("GET", f"{catalog}/attribute/public:ERMrest_Group/ID@sort(ID)", headers=ada, token=False).json()
    assert groups == [{"ID": "admin"}, {"ID": "later"}]
    Accounts(lab.folder).set_groups("ada", ["admin"])


def test_the_owner_of_the_store_reaches_the_catalogs_of_everybody(lab: Any) -> None:
    ada = session(lab, "ada")
    catalog = lab.send("POST", "/ermrest/catalog", {}, ada, token=False).headers["location"]
    assert lab.send("POST", f"{catalog}/schema/hers", headers=ada, token=False).status == 201
    assert lab.send("GET", f"{catalog}/schema/hers").json()["rights"] == {"owner": True, "create": True}
    assert lab.send("GET", f"{catalog}/entity/public:ERMrest_Client").status == 200
    assert lab.send("PUT", f"{catalog}/schema/hers/comment", b"seen to", {"Content-Type": "text/plain"}).status == 204
    assert lab.send("PUT", f"{catalog}/acl/owner", ["ben"]).json() == ["ben"]
    assert lab.send("GET", catalog, headers=session(lab, "ben"), token=False).status == 200
    assert lab.send("GET", catalog, headers=ada, token=False).status == 403
    assert lab.send("DELETE", catalog).status == 204


def test_the_deriva_client_logs_in_with_a_password(lab: Any) -> None:
    from deriva.core import DerivaServer

    server = DerivaServer("http", lab.netloc, credentials={"username": "ada", "password": "ada's secret"})
    assert server.get_authn_session().json()["client"]["id"] == "ada"
    catalog = server.create_ermrest_catalog()
    assert catalog.getCatalogModel().acls["owner"] == ["ada"]


# ------------------------------------------------------------------------------------------------- attempts are slowed


def test_attempts_are_slowed_and_then_sent_away(tmp_path: Path) -> None:
    admission = Admission(tmp_path, Client.owner("me"))
    admission.accounts.add("ada", "right")
    started, statuses = time.monotonic(), []
    for _ in range(8):
        with pytest.raises(Refusal) as refused:
            admission.log_in("ada", "wrong", "10.0.0.1")
        statuses.append(refused.value.status)
    assert statuses[:6] == [401] * 6
    assert statuses[-1] == 429
    assert int(refused.value.headers["Retry-After"]) == 2
    assert time.monotonic() - started > 0.75
    with pytest.raises(Refusal) as refused:
        admission.log_in("ada", "right", "10.0.0.1")
    assert refused.value.status == 429, "the right password has to wait as well, or guessing would not be slowed"
    assert admission.log_in("ada", "right", "10.0.0.2").id == "ada"


def test_nothing_secret_is_in_the_log(serve: Callable[..., Any], tmp_path: Path) -> None:
    Accounts(tmp_path / "s").add("ada", "ada's secret")
    server = serve(folder=tmp_path / "s")
    word = session(server, "ada")["Cookie"].partition("=")[2]
    log_in(server, "ada", "wrong secret")
    server.send("GET", "/authn/session", headers={"Authorization": "Bearer secret-guess"}, token=False)
    token = server.token
    server.process.send_signal(signal.SIGTERM)
    told = "".join(server.process.communicate(timeout=30))
    for secret in ("secret", word, token):
        assert secret not in told.replace(str(server.folder), "")


# ------------------------------------------------------------------------------------------------------------- browsers


@pytest.mark.parametrize(
    ("wanted", "ours"),
    [
        ("/", True),
        ("/chaise/recordset/#1/a:b?x=%20", True),
        ("http://lab:80/x", True),
        ("HTTP://LAB:80/x", True),
        ("https://lab:80/x", False),
        ("http://lab/x", True),  # 80 is the usual port
        ("http://lab:81/x", False),
        ("http://lab:80@evil/x", False),
        ("http://evil/", False),
        ("//evil/", False),
        ("/\\evil/", False),
        ("\\\\evil/", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("chaise", False),
        ("", False),
        (" //evil", False),
        ("/\t/evil", False),
        ("/x\r\nSet-Cookie: a=b", False),
        ("http://[", False),
        ("http://lab:80:80/x", False),
        ("http://lab:80.evil/x", False),
        ("///evil", False),
        ("/%09/evil", True),
        ("http:/lab:80/x", False),
        ("http:lab:80/x", False),
        ("vbscript:x", False),
        ("/x\x00", False),
        ("http://lab:80\\@evil/", False),
    ],
)
def test_places_of_our_own(wanted: str, ours: bool) -> None:
    assert (own_place(wanted, "http://lab:80") == wanted) is ours


def test_a_browser_is_told_where_to_log_in(lab: Any) -> None:
    for referrer in ("/chaise/?a=b", f"{lab.url}/chaise/"):
        told = lab.send("GET", f"/authn/preauth?referrer={quote(referrer, safe='')}", token=False)
        place = told.json()["redirect_url"]
        assert (told.status, place) == (200, f"{lab.url}/authn/login?referrer={quote(referrer, safe='')}")
        page = lab.send("GET", place.removeprefix(lab.url), token=False)
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert f'name="referrer" value="{referrer}"' in page.text.replace("&amp;", "&")
        assert "default-src 'none'" in page.headers["content-security-policy"]
    moved = lab.send("GET", "/authn/preauth?referrer=/x&do_redirect=true", token=False)
    assert (moved.status, moved.headers["location"]) == (303, f"{lab.url}/authn/login?referrer=%2Fx")
    for place in ("/authn/preauth", "/authn/login"):
        assert lab.send("GET", f"{place}?referrer=https://evil.example/", token=False).status == 400
        assert lab.send("PATCH", place, token=False).status == 405


def test_the_login_page_lets_in_and_sends_back(lab: Any) -> None:
    wrong = log_in(lab, "ben", "guess", "/authn/login", referrer="/x")
    assert (wrong.status, "is not right" in wrong.text, "set-cookie" in wrong.headers) == (401, True, False)
    right = log_in(lab, "ben", "ben's secret", "/authn/login", referrer="/x?y")
    assert (right.status, right.headers["location"], right.body) == (303, "/x?y", b"")
    came = {"Cookie": right.headers["set-cookie"].split(";")[0]}
    assert lab.send("GET", "/authn/session", headers=came, token=False).json()["client"]["id"] == "ben"
    assert log_in(lab, "ben", "ben's secret", "/authn/login", referrer="//evil").status == 400


def test_a_form_of_another_site_is_refused(lab: Any) -> None:
    form = urlencode({"username": "ben", "password": "ben's secret"}).encode()
    answer = lab.send("POST", "/authn/login", form, {**FORM, "Origin": "https://evil.example"}, token=False)
    assert (answer.status, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({}, 200),
        ({"Origin": "{url}"}, 200),
        ({"Referer": "{url}/chaise/?x"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "{url}.evil.example"}, 403),
        ({"Origin": "{url}@evil.example"}, 403),
        ({"Referer": "https://evil.example/{url}"}, 403),
        ({"Referer": "{url}.evil.example/"}, 403),
        ({"Referer": "about:blank"}, 403),
        ({"Origin": "{url}", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_pages_of_other_sites_change_nothing(lab: Any, said: dict[str, str], status: int) -> None:
    came = {**session(lab, "ada"), **{name: text.format(url=lab.url) for name, text in said.items()}}
    assert lab.send("PUT", "/authn/session", headers=came, token=False).status == status
    looking = 200 if "evil" not in came.get("Origin", "") and came.get("Origin") != "null" else 403
    assert lab.send("GET", "/authn/session", headers=came, token=False).status == looking


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/authn/login", {"x-frame-options": "DENY", "cache-control": "no-store", "referrer-policy": "same-origin"}),
        ("/authn/session", {"x-frame-options": "SAMEORIGIN", "cache-control": "no-store"}),
        ("/ermrest", {"cache-control": "private, no-cache", "x-content-type-options": "nosniff"}),
        ("/hatrac/page", {"content-security-policy": "sandbox", "cache-control": "private, no-cache"}),
        ("/hatrac", {"content-security-policy": "sandbox", "x-frame-options": "SAMEORIGIN"}),
    ],
)
def test_what_browsers_are_told(lab: Any, target: str, expected: dict[str, str]) -> None:
    lab.send("PUT", "/hatrac/page", b"<script>alert(1)</script>", {"Content-Type": "text/html"})
    shown = lab.send("GET", target).headers
    assert {name: shown.get(name) for name in expected} == expected


@pytest.mark.parametrize(("wanted", "told"), [("/bye", "/bye"), ("https://evil.example/", "/"), ("//evil", "/")])
def test_logging_out_leads_to_our_own_places(lab: Any, wanted: str, told: str) -> None:
    out = lab.send("DELETE", f"/authn/session?logout_url={wanted}", headers=session(lab, "ben"), token=False)
    assert (out.status, out.json()) == (200, {"logout_url": told})


def test_a_referrer_cannot_break_out_of_the_page(service: Service) -> None:
    evil = quote('/"><script>alert(1)</script>', safe="")
    page = service.handle(Request("GET", f"/authn/login?referrer={evil}"))
    assert b"<script" not in bytes(page.body)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------- TLS and proxies


def test_cookies_are_secure_with_tls(serve: Callable[..., Any], tmp_path: Path) -> None:
    Accounts(tmp_path / "s").add("ada", "ada's secret")
    server = serve("--tls", folder=tmp_path / "s")
    context = ssl.create_default_context(cafile=str(server.folder / "certificate.pem"))
    connection = http.client.HTTPSConnection("localhost", urlsplit(server.url).port, timeout=30, context=context)
    connection.request("POST", "/authn/session", urlencode({"username": "ada", "password": "ada's secret"}), FORM)
    answer = connection.getresponse()
    assert answer.status == 200
    assert {"Secure", "HttpOnly"} <= set((answer.getheader("Set-Cookie") or "").split("; "))
    connection.close()


def test_a_certificate_of_one_s_own(serve: Callable[..., Any], tmp_path: Path) -> None:
    from deriva_local.service.certificate import certificate_for

    pem = certificate_for(frozenset({"lab.example"}), tmp_path / "lab.pem")
    server = serve("--certificate", str(pem), "--name", "lab.example")
    context = ssl.create_default_context(cafile=str(pem))
    context.check_hostname = False
    connection = http.client.HTTPSConnection("localhost", urlsplit(server.url).port, timeout=30, context=context)
    for host, status in (("lab.example", 404), ("other.example", 403)):
        connection.request("GET", "/authn/session", headers={"Host": host})
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (status, True)
    connection.close()


def test_behind_a_proxy_its_word_counts(serve: Callable[..., Any], tmp_path: Path) -> None:
    Accounts(tmp_path / "s").add("ada", "ada's secret")
    server = serve("--behind-proxy", folder=tmp_path / "s")
    form = urlencode({"username": "ada", "password": "ada's secret"}).encode()
    outside = {**FORM, "Host": "lab.example", "Origin": "https://lab.example", "X-Forwarded-Proto": "https"}
    answer = server.send("POST", "/authn/session", form, outside, token=False)
    assert (answer.status, "; Secure" in answer.headers["set-cookie"]) == (200, True)
    preauth = server.send("GET", "/authn/preauth", headers={"X-Forwarded-Host": "evil, lab.example"}, token=False)
    assert preauth.json()["redirect_url"].startswith("https://lab.example/")
    other = server.send("GET", "/authn/session", headers={**outside, "Origin": "https://evil.example"}, token=False)
    assert other.status == 403


def test_without_a_proxy_forwarded_headers_mean_nothing(lab: Any) -> None:
    said = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    told = lab.send("GET", "/authn/preauth", headers=said, token=False)
    assert told.json()["redirect_url"].startswith(f"{lab.url}/")
