"""A browser at work: the login page, a page beside the services, and what pages of other places may not do.

Chromium is the system's own (``apt-get install chromium``); without it these tests fail and say so.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from deriva_local.users.accounts import Accounts

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 30

HOME = """<!DOCTYPE html>
<title>Lab</title>
<p id="who"></p>
<ul id="rows"></ul>
<p id="told"></p>
<button id="in">Log in</button> <button id="add">Add</button> <button id="out">Log out</button>
<script src="app.js"></script>
"""

APP = """
const CATALOG = "/ermrest/catalog/lab";
const at = (id) => document.getElementById(id);
async function show() {
  const session = await fetch("/authn/session");
  at("who").textContent = session.ok ? (await session.json()).client.display_name : "nobody";
  const rows = await fetch(CATALOG + "/attribute/public:ERMrest_Client/ID@sort(ID)");
  at("rows").replaceChildren(...(rows.ok ? await rows.json() : []).map((row) => {
    const item = document.createElement("li");
    item.textContent = row.ID;
    return item;
  }));
  at("told").textContent = "rows " + rows.status;
}
at("in").onclick = async () => {
  const place = await fetch("/authn/preauth?referrer=" + encodeURIComponent(location.href));
  location.assign((await place.json()).redirect_url);
};
at("add").onclick = async () => {
  const put = await fetch("/hatrac/made", {method: "PUT", body: "by a page", headers: {"Content-Type": "text/plain"}});
  at("told").textContent = "put " + put.status + " " + document.cookie;
};
at("out").onclick = async () => {
  const left = await fetch("/authn/session?logout_url=/app/", {method: "DELETE"});
  location.assign((await left.json()).logout_url);
};
show();
"""

STRANGER = """<!DOCTYPE html>
<title>Elsewhere</title>
<p id="told"></p>
<script>
const there = "%s";
const tried = [
  fetch(there + "/hatrac/stolen", {method: "POST", mode: "no-cors", credentials: "include", body: "x"}),
  fetch(there + "/hatrac/stolen", {method: "PUT", credentials: "include", body: "x"}),
  fetch(there + "/ermrest/catalog/lab/schema", {credentials: "include"}).then((answer) => answer.text()),
];
Promise.allSettled(tried).then((all) => {
  document.getElementById("told").textContent = all.map((each) => each.status).join(" ");
});
</script>
<form method="post" action="%s/ermrest/catalog"><button>Win</button></form>
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.fail("There is no Chromium: install it (Debian: apt-get install chromium), and try again.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(ignore_https_errors=True)
    context.set_default_timeout(SECONDS * 1000)
    expect.set_options(timeout=SECONDS * 1000)
    yield context.new_page()
    context.close()


@pytest.fixture
def lab(serve: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """``lab(*options)``: a server with ada of the group admin, and a page at ``/app``."""

    def started(*options: str) -> Any:
        site = tmp_path / "site"
        site.mkdir()
        (site / "index.html").write_text(HOME)
        (site / "app.js").write_text(APP)
        Accounts(tmp_path / "served").add("ada", "ada's secret", ["admin"])
        return serve("--static", f"/app={site}", *options)

    return started


def log_in(page: Page, url: str) -> None:
    page.goto(f"{url}/app/#here")
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill("ada's secret")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#who")).to_have_text("ada")


@pytest.mark.parametrize("options", [[], ["--tls"]])
def test_logging_in_working_and_logging_out(lab: Callable[..., Any], page: Page, options: list[str]) -> None:
    server = lab(*options)
    page.goto(f"{server.url}/app/#here")
    expect(page.locator("#told")).to_have_text("rows 404")
    expect(page.locator("#who")).to_have_text("nobody")
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill("a guess")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    log_in(page, server.url)
    assert page.url == f"{server.url}/app/#here"
    made = page.request.post(f"{server.url}/ermrest/catalog", data={"id": "lab"}, headers={"Origin": server.url})
    assert made.status == 201
    page.reload()
    expect(page.locator("#rows li")).to_have_text(["ada"])
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#told")).to_have_text("put 201")  # and no cookie that a script could read
    (cookie,) = [each for each in page.context.cookies() if each["name"] == "webauthn"]
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, bool(options), "Strict")
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("#who")).to_have_text("nobody")
    expect(page.locator("#told")).to_have_text("rows 401")


def test_what_a_page_of_another_place_may_not_do(
    lab: Callable[..., Any], serve: Callable[..., Any], page: Page, tmp_path: Path
) -> None:
    server = lab()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "index.html").write_text(STRANGER % (server.url, server.url))
    (elsewhere / "frame.html").write_text(f'<iframe src="{server.url}/authn/login"></iframe>')
    stranger = serve("--static", f"/={elsewhere}", folder=tmp_path / "another")
    log_in(page, server.url)
    made = page.request.post(f"{server.url}/ermrest/catalog", data={"id": "lab"}, headers={"Origin": server.url})
    assert made.status == 201
    page.goto(f"{stranger.url}/")
    expect(page.locator("#told")).to_have_text("fulfilled rejected rejected")  # the first cannot read its answer
    page.get_by_role("button", name="Win").click()
    page.wait_for_url(f"{server.url}/ermrest/catalog")
    assert "Forbidden" in page.content()
    assert server.send("GET", "/hatrac/stolen").status == 404
    page.goto(f"{stranger.url}/frame.html")
    assert page.frames[1].get_by_label("Password").count() == 0
    page.goto(f"{server.url}/app/")
    expect(page.locator("#who")).to_have_text("ada")


def test_a_stored_page_runs_no_script(lab: Callable[..., Any], page: Page) -> None:
    server = lab()
    text = b"<title>still</title><script>document.title = 'ran'</script><p>shown"
    assert server.send("PUT", "/hatrac/page.html", text, {"Content-Type": "text/html"}).status == 201
    server.send("PUT", "/hatrac/page.html;acl/subtree-read", ["*"])
    page.goto(f"{server.url}/hatrac/page.html")
    expect(page.locator("p")).to_have_text("shown")
    assert page.title() == "still"
