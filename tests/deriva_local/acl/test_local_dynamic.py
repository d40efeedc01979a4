"""Access bindings, enforced: who reads, changes and refers to which rows, by what lies in the rows."""

from __future__ import annotations

from typing import Any

import pytest
from rights_lab import DEFAULTS, SAMPLE, TEAM, Lab

TO_TEAM = {"outbound": ["lab", "to_team"]}
UP, DOWN = {"outbound": ["lab", "up"]}, {"inbound": ["lab", "up"]}


def binding(projection: Any, *types: str, **more: Any) -> dict[str, Any]:
    return {"types": list(types or ("select",)), "projection": projection, **more}


OPEN = {"enumerate": ["*"]}


@pytest.mark.parametrize(
    ("projection", "more", "ann", "bob", "nobody"),
    [
        ("Owner", {}, "ac", "b", ""),
        (["Owner"], {"scope_acl": ["reds"]}, "ac", None, None),
        ("Owner", {"projection_type": "nonnull"}, "abc", "abc", "abc"),
        ("Note", {"projection_type": "nonnull"}, "abc", "abc", "abc"),
        ([TO_TEAM, "Readers"], {}, "a", "bc", ""),
        ([TO_TEAM, "RID"], {"projection_type": "nonnull"}, "abc", "abc", "abc"),
        ([UP, "Owner"], {}, "bc", "d", ""),
        ([DOWN, "Owner"], {}, "a", "a", ""),
        ([UP, TO_TEAM, "Readers"], {}, "bc", "d", ""),
        ([{**UP, "alias": "p"}, {**TO_TEAM, "context": "base"}, "Readers"], {}, "", "bc", ""),
        ([{"filter": "Grade", "operand": "x"}, "RID"], {"projection_type": "nonnull"}, "ac", "ac", "ac"),
        ([{"filter": "Grade", "operand": "x"}, "Owner"], {}, "ac", "", ""),
        ([{"filter": "Grade", "operand": "x", "negate": True}, "RID"], {"projection_type": "nonnull"}, "bd", "bd", "bd"),
        ([{"filter": "Label", "operator": "::geq::", "operand": "c"}, "RID"], {"projection_type": "nonnull"}, "cd", "cd", "cd"),
        ([{"filter": "Note", "operator": "::null::"}, "RID"], {"projection_type": "nonnull"}, "d", "d", "d"),
        ([{"filter": "Note", "operator": "::ciregexp::", "operand": "^S"}, "RID"], {"projection_type": "nonnull"}, "b", "b", "b"),
        ([{"or": [{"filter": "Label", "operand": "a"}, {"and": [{"filter": "Grade", "operand": "y"},
          {"filter": "Owner", "operator": "::null::"}]}]}, "RID"], {"projection_type": "nonnull"}, "ad", "ad", "ad"),
        ([{**TO_TEAM, "alias": "t"}, {"filter": ["base", "Grade"], "operand": "x"}, "Readers"], {}, "a", "c", ""),
        ([TO_TEAM, {"filter": "Readers", "operand": "eve"}, "Name"], {"projection_type": "nonnull"}, "bc", "bc", "bc"),
    ],
)  # fmt: skip
def test_rows_that_a_binding_lets_through(
    lab: Lab, projection: Any, more: dict[str, Any], ann: str, bob: str | None, nobody: str | None
) -> None:
    lab.allow(**OPEN)
    lab.bind(SAMPLE, b=binding(projection, **more))
    then = f"{lab.base}@{lab.get('owner', '/')['snaptime']}"
    for base in (lab.base, then):
        for who, expected in (("ann", ann), ("bob", bob), ("nobody", nobody)):
            reply = lab.ask(who, "GET", "/entity/lab:Sample", base=base)
            if expected is None:
                assert reply.status == (401 if who == "nobody" else 403)
            else:
                assert (who, "".join(sorted(row["Label"] for row in reply.json()))) == (who, expected)
        lab.done("owner", "DELETE", f"{SAMPLE}/acl_binding")
        lab.done("owner", "DELETE", "/attribute/lab:Sample/Owner,Grade,Team,Parent")


def test_rights_are_shown_as_depending_on_the_row(lab: Lab) -> None:
    lab.allow(**OPEN)
    lab.bind(SAMPLE, b=binding("Owner", "update", scope_acl=["reds"]))
    rights = {who: lab.get(who, SAMPLE)["rights"] for who in ("owner", "ann", "bob")}
    assert rights["owner"] == dict.fromkeys(rights["owner"], True)
    assert rights["ann"] == {"owner": False, "insert": False, "update": None, "delete": False, "select": None}
    assert rights["bob"] == {"owner": False, "insert": False, "update": False, "delete": False, "select": False}


@pytest.mark.parametrize(
    ("path", "ann"),
    [
        ("/entity/lab:Sample", "ac"),
        ("/entity/lab:Sample/Label=any(a,b,d)", "a"),
        ("/entity/lab:Sample/!(Label=a)", "c"),
        ("/entity/lab:Sample/*::ciregexp::second", ""),
        ("/entity/lab:Team/lab:Sample", "ac"),
        ("/entity/lab:Team/Name=blue/lab:Sample", "c"),
        ("/entity/A:=lab:Sample/B:=(Parent)=(lab:Sample:Label)", "a"),
        ("/entity/A:=lab:Sample/B:=(Parent)=(lab:Sample:Label)/$A", "c"),
        ("/entity/A:=lab:Sample/B:=left(Parent)=(lab:Sample:Label)/$A", "ac"),
        ("/entity/A:=lab:Team/B:=right(Name)=(lab:Sample:Team)", "ac"),
        ("/entity/A:=lab:Team/B:=full(Name)=(lab:Sample:Team)/$B/!(Label::null::)", "ac"),
        ("/entity/lab:Sample@sort(Label)?limit=1", "a"),
        ("/entity/lab:Sample@sort(Label)@after(a)?limit=5", "c"),
        ("/entity/lab:Sample@sort(Label::desc::)@before(a)?limit=1", "c"),
        ("/attribute/lab:Sample/Label", "ac"),
        ("/attributegroup/lab:Sample/Label;n:=cnt(*)", "ac"),
    ],
)  # fmt: skip
def test_no_path_leads_round_a_binding(lab: Lab, path: str, ann: str) -> None:
    lab.allow(**OPEN)
    lab.allow(TEAM, select=["*"])
    lab.bind(SAMPLE, b=binding("Owner"))
    assert lab.labels("ann", path) == ann


def test_aggregates_count_only_what_is_seen(lab: Lab) -> None:
    lab.allow(**OPEN)
    lab.allow(TEAM, select=["*"])
    lab.bind(SAMPLE, b=binding("Owner"))
    assert lab.get("ann", "/aggregate/lab:Sample/n:=cnt(*),last:=max(Label),all:=array_d(Label)") == [
        {"n": 2, "last": "c", "all": ["a", "c"]}
    ]
    found = lab.get(
        "ann", "/attributegroup/T:=lab:Team/S:=left(Name)=(lab:Sample:Team)/$T/Name;n:=cnt(S:Label)@sort(Name)"
    )
    assert found == [{"Name": "blue", "n": 1}, {"Name": "red", "n": 1}]


# ------------------------------------------------------------------------------------------------------------- columns


def test_values_that_a_binding_hides(lab: Lab) -> None:
    lab.allow(enumerate=["*"], select=["*"])
    lab.allow(f"{SAMPLE}/column/Note", select=[])
    lab.bind(f"{SAMPLE}/column/Note", b=binding("Owner"))
    shown = "/attribute/lab:Sample/Label,Note@sort(Label)"
    assert [row["Note"] for row in lab.get("owner", shown)] == ["first", "second", "third", None]
    assert [row["Note"] for row in lab.get("ann", shown)] == ["first", None, "third", None]
    assert [row["Note"] for row in lab.get("bob", shown)] == [None, "second", None, None]
    assert [row["Note"] for row in lab.get("nobody", shown)] == [None] * 4
    for path, ann in [
        ("/entity/lab:Sample/Note=second", ""),
        ("/entity/lab:Sample/Note=first", "a"),
        ("/entity/lab:Sample/Note::null::", "bd"),
        ("/entity/lab:Sample/!(Note=first)", "c"),
        ("/entity/lab:Sample/*::regexp::secon", ""),
        ("/entity/A:=lab:Sample/B:=(Note)=(lab:Sample:Note)/$A", "ac"),
        ("/entity/lab:Sample@sort(Note)@after(a)?limit=2", "ac"),
        ("/entity/lab:Sample@sort(Note::desc::)@after(::null::)", "ac"),
    ]:
        assert (path, lab.labels("ann", path)) == (path, ann)
    assert lab.get("ann", "/aggregate/lab:Sample/n:=cnt(Note),most:=max(Note)") == [{"n": 2, "most": "third"}]
    assert {row["Note"] for row in lab.get("ann", "/attributegroup/lab:Sample/Note;n:=cnt(*)")} == {
        "first",
        "third",
        None,
    }
    rows = lab.get("ann", "/aggregate/lab:Sample/all:=array(*)")[0]["all"]
    assert sorted(row["Note"] or "" for row in rows) == ["", "", "first", "third"]
    csv = lab.done("ann", "GET", shown, accept="text/csv").text
    assert csv == "Label,Note\na,first\nb,\nc,third\nd,\n"


def test_a_column_without_the_bindings_of_its_table(lab: Lab) -> None:
    lab.allow(**OPEN)
    lab.bind(SAMPLE, rows=binding("Label", projection_type="nonnull"), own=binding("Owner"))
    assert lab.labels("ann", "/entity/lab:Sample") == "abcd"
    lab.bind(f"{SAMPLE}/column/Note", rows=False)
    assert [row["Note"] for row in lab.get("ann", "/entity/lab:Sample@sort(Label)")] == ["first", None, "third", None]
    lab.bind(f"{SAMPLE}/column/Note", own=False)
    assert "Note" not in lab.get("ann", "/entity/lab:Sample")[0]
    assert lab.status("ann", "GET", "/attribute/lab:Sample/Note") == 403


def test_a_column_that_may_be_changed_in_some_rows(lab: Lab) -> None:
    lab.allow(enumerate=["*"], select=["*"])
    lab.allow(SAMPLE, update=["ann"])
    lab.allow(f"{SAMPLE}/column/Note", update=[], write=[])
    lab.bind(f"{SAMPLE}/column/Note", b=binding("Owner", "update"))
    change = "/attributegroup/lab:Sample/Label;Note"
    assert lab.status("ann", "PUT", change, [{"Label": "a", "Note": "new"}]) == 200
    assert lab.status("ann", "PUT", change, [{"Label": "a", "Note": "new"}, {"Label": "b", "Note": "new"}]) == 403
    assert lab.status("ann", "PUT", "/attributegroup/lab:Sample/Label;Grade", [{"Label": "b", "Grade": "z"}]) == 200
    assert lab.status("ann", "DELETE", "/attribute/lab:Sample/Label=b/Note") == 403
    assert lab.status("ann", "DELETE", "/attribute/lab:Sample/Label=c/Note") == 204


# ------------------------------------------------------------------------------------------------------------- changes


@pytest.mark.parametrize(
    ("types", "update", "delete"),
    [(["select"], False, False), (["update"], True, False), (["delete"], False, True),
     (["update", "delete"], True, True), (["owner"], True, True)],
)  # fmt: skip
def test_changes_of_ones_own_rows(lab: Lab, types: list[str], update: bool, delete: bool) -> None:
    lab.allow(enumerate=["*"], insert=["ann"])
    lab.bind(SAMPLE, see=binding("Label", projection_type="nonnull"), b=binding("Owner", *types))
    asked = [
        (update, "PUT", "/attributegroup/lab:Sample/Label;Note", [{"Label": "c", "Note": "new"}]),
        (
            False,
            "PUT",
            "/attributegroup/lab:Sample/Label;Note",
            [{"Label": "c", "Note": "x"}, {"Label": "b", "Note": "x"}],
        ),
        (update, "PUT", "/attributegroup/lab:Sample/Label;Note", [{"Label": "nothing", "Note": "new"}]),
        (update, "PUT", "/entity/lab:Sample", [{"Label": "c", "Owner": "ann", "Note": "n"}, {"Label": "e"}]),
        (False, "PUT", "/entity/lab:Sample", [{"Label": "b", "Note": "n"}]),
        (update, "DELETE", "/attribute/lab:Sample/Label=c/Note", b""),
        (False, "DELETE", "/attribute/lab:Sample/Grade=y/Note", b""),
        (False, "DELETE", "/entity/lab:Sample/Label=d", b""),
        (False, "DELETE", "/entity/lab:Sample/Label=any(c,d)", b""),
        (delete, "DELETE", "/entity/lab:Sample/Label=c", b""),
    ]
    for allowed, method, path, body in asked:
        assert (method, path, lab.status("ann", method, path, body) < 300) == (method, path, allowed)
        assert lab.status("nobody", method, path, body) == 401


@pytest.mark.parametrize(
    ("keys", "row", "status", "hits"),
    [
        ("Note", {"Note": "third"}, 200, "c"),
        ("Note", {"Note": "second"}, 200, ""),
        ("Note", {"Note": "first"}, 200, ""),
        ("Note", {"Note": None}, 200, ""),
        ("Grade", {"Grade": "x"}, 200, "ac"),
        ("Grade", {"Grade": "y"}, 200, ""),
        ("Label,Note", {"Label": "c", "Note": "third"}, 200, "c"),
        ("Label,Note", {"Label": "a", "Note": "first"}, 200, ""),
        ("Label", {"Label": "b"}, 403, ""),
        ("Label,Grade", {"Label": "b", "Grade": "y"}, 403, ""),
        ("Label,Grade", {"Label": "b", "Grade": "x"}, 403, ""),
        ("Label,Grade", {"Label": "none", "Grade": "x"}, 200, ""),
    ],
)
def test_what_is_not_seen_is_not_found_by_trying_values(
    lab: Lab, keys: str, row: dict[str, Any], status: int, hits: str
) -> None:
    """The client owns rows a and c, and may read the note of c only."""
    lab.allow(**OPEN)
    lab.bind(SAMPLE, b=binding("Owner", "update"))
    lab.bind(f"{SAMPLE}/column/Note", b=False, n=binding([{"filter": "Label", "operand": "c"}, "Owner"]))
    reply = lab.ask("ann", "PUT", f"/attributegroup/lab:Sample/{keys};Team", [row | {"Team": None}])
    assert reply.status == status
    assert "".join(sorted(r["Label"] for r in lab.get("owner", "/entity/lab:Sample/Team::null::"))) == "".join(
        sorted({*hits, "d"})
    )


def test_what_is_not_seen_is_not_deleted(lab: Lab) -> None:
    lab.allow(**OPEN)
    lab.bind(SAMPLE, b=binding("Owner", "delete"))
    lab.done("owner", "DELETE", "/attribute/lab:Sample/Parent")
    assert lab.status("ann", "DELETE", "/entity/lab:Sample/Label=b") == 404
    assert lab.status("ann", "DELETE", "/entity/lab:Sample") == 204
    assert lab.labels("owner", "/entity/lab:Sample") == "bd"


def test_references_only_to_rows_that_may_be_referred_to(lab: Lab) -> None:
    lab.allow(write=["ann"])
    link = f"{SAMPLE}/foreignkey/Team/reference/lab:Team/Name"
    lab.allow(link, insert=[], update=[], write=[])
    lab.bind(link, b=binding("Readers", "insert", "update"))
    assert lab.get("ann", link)[0]["rights"] == {"insert": None, "update": None}
    assert lab.get("owner", link)[0]["rights"] == {"insert": True, "update": True}
    one = f"/entity/lab:Sample?{DEFAULTS}"
    assert lab.status("ann", "POST", one, [{"Label": "e", "Team": "red"}, {"Label": "f", "Team": None}]) == 200
    assert lab.status("ann", "POST", one, [{"Label": "g", "Team": "red"}, {"Label": "h", "Team": "blue"}]) == 403
    assert lab.status("ann", "PUT", "/attributegroup/lab:Sample/Label;Team", [{"Label": "a", "Team": "blue"}]) == 403
    assert lab.status("ann", "PUT", "/attributegroup/lab:Sample/Label;Team", [{"Label": "b", "Team": "red"}]) == 200
    assert lab.status("ann", "PUT", "/attributegroup/lab:Sample/Label;Note", [{"Label": "c", "Note": "x"}]) == 200
    assert lab.status("ann", "PUT", "/entity/lab:Sample", [{"Label": "k", "Team": "blue"}]) == 403
    lab.done("owner", "DELETE", f"{link}/acl_binding/b")
    assert lab.status("ann", "POST", one, [{"Label": "i", "Team": "red"}]) == 403
    assert lab.status("ann", "POST", one, [{"Label": "i"}]) == 200


def test_the_owner_of_the_table_is_not_bound(lab: Lab) -> None:
    lab.allow(**OPEN)
    lab.bind(SAMPLE, b=binding("Owner"))
    lab.allow(SAMPLE, owner=["bob"])
    assert lab.labels("bob", "/entity/lab:Sample") == "abcd"
    assert lab.labels("owner", "/entity/lab:Sample") == "abcd"


RENAMINGS: list[tuple[str, dict[str, Any]]] = [
    (f"{SAMPLE}/column/Label", {"name": "Title"}),
    (f"{TEAM}/column/Readers", {"name": "Members"}),
    (f"{TEAM}/column/Name", {"name": "Called"}),
    (f"{SAMPLE}/foreignkey/Team/reference/lab:Team/Called", {"names": [["lab", "of_team"]]}),
    (SAMPLE, {"table_name": "Specimen"}),
    ("/schema/lab", {"schema_name": "house"}),
    ("/schema/house/table/Specimen", {"schema_name": "public"}),
]


def test_bindings_follow_renamings(lab: Lab) -> None:
    lab.allow(**OPEN)
    filters = {
        "and": [{"filter": ["T", "Name"], "operator": "::null::", "negate": True}, {"filter": ["base", "Label"]}]
    }
    filters["and"][1].update(operator="::regexp::", operand="[abc]")
    lab.bind(SAMPLE, b=binding([{**TO_TEAM, "alias": "T"}, filters, "Readers"]))
    lab.bind(f"{SAMPLE}/column/Note", n=binding("Label", projection_type="nonnull"), b=False)
    lab.bind(TEAM, b=binding([{"inbound": ["lab", "to_team"]}, "Owner"]))
    before = lab.get("ann", "/entity/lab:Sample")
    assert [row["Label"] for row in before] == ["a"]
    for address, document in RENAMINGS:
        lab.done("owner", "PUT", address, document)
    (after,) = lab.get("ann", "/entity/public:Specimen")
    assert (after["Title"], after["Note"]) == ("a", "first")
    assert len(lab.get("ann", "/entity/house:Team")) == 2
    bound = lab.get("owner", "/schema/public/table/Specimen/acl_binding/b")["projection"]
    assert bound[0]["outbound"] == ["public", "of_team"]
    assert bound[1]["and"][0]["filter"] == ["T", "Called"]
    assert bound[2] == "Members"


def test_a_binding_may_be_changed_with_the_name(lab: Lab) -> None:
    changed = {"name": "Title", "acl_bindings": {"b": binding("Title")}}
    lab.done("owner", "PUT", f"{SAMPLE}/column/Label", changed)
    assert lab.get("owner", f"{SAMPLE}/column/Title/acl_binding/b")["projection"] == "Title"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (binding([{"filter": "Label", "operand": ["x"]}, "RID"]), 400),
        (binding([{"filter": "Label", "operator": "::regexp::", "operand": "("}, "RID"]), 400),
        (binding("RCT", projection_type="acl"), 400),
        (binding("RCT"), 200),
        (binding([{"filter": "RCT", "operator": "::gt::", "operand": "yesterday"}, "RID"]), 409),
    ],
)
def test_bindings_that_could_never_work_are_refused(lab: Lab, given: Any, status: int) -> None:
    assert lab.status("owner", "PUT", f"{SAMPLE}/acl_binding/b", given) == status


def test_the_rights_of_each_row_as_a_column(lab: Lab) -> None:
    lab.allow(enumerate=["*"], select=["*"])
    lab.bind(SAMPLE, b=binding("Owner", "update", "delete"))
    lab.bind(f"{SAMPLE}/column/Note", b=binding([TO_TEAM, "Readers"], "update"))
    path = "/attributegroup/S:=lab:Sample/Label=any(a,b)/Label;trs:=trs(RID),t:=tcrs(S:RID)@sort(Label)"
    yes, no = {"update": True, "delete": True}, {"update": False, "delete": False}
    for who, a, b, notes in [
        ("owner", yes, yes, [True, True]),
        ("ann", yes, no, [True, False]),
        ("nobody", no, no, [False] * 2),
    ]:
        rows = lab.get(who, path)
        assert [row["trs"] for row in rows] == [a, b]
        assert [{name: row["t"][name] for name in yes} for row in rows] == [a, b]
        assert [row["t"]["column_update"]["Note"] for row in rows] == notes
        assert all(row["t"]["column_update"]["RID"] is False for row in rows)
    past = f"{lab.base}@{lab.get('owner', '/')['snaptime']}"
    assert [row["trs"] for row in lab.ask("owner", "GET", path, base=past).json()] == [no, no]
    assert lab.status("owner", "GET", "/attributegroup/lab:Sample/trs(RID)") == 400
