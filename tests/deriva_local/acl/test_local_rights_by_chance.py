"""Random questions of somebody who sees a part, against a catalog in which there is nothing but that part.

The shadow holds only the rows that ann sees, with NULL for the values that she does not see, and asks as the owner:
whatever path leads through the real catalog, she must get what the shadow says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rights_lab import SAMPLE, SYSTEM, TEAM, TYPES, Lab

FUZZ = settings(max_examples=100, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
COLUMNS = {"Team": ["Name", "Readers"], "Sample": ["Label", "Note", "Grade", "Owner", "Team", "Parent"]}
TEXTS = {"Team": ["Name"], "Sample": COLUMNS["Sample"]}
VALUES = ["a", "b", "c", "f", "red", "blue", "green", "first", "second", "x", "y", "ann", "bob", "note 7"]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, str]]:
    """The lab with three bindings, and the address of ann's shadow of it."""
    lab = Lab(tmp_path_factory.mktemp("chance") / "store")
    lab.fill("Team", [{"Name": "green", "Readers": ["ann", "bob"]}, {"Name": "grey", "Readers": []}])
    teams, owners = ["red", "blue", "green", "grey", None], ["ann", "bob", "reds", None]
    rows = [
        {"Label": letter, "Note": f"note {place}", "Grade": "xyz"[place % 3], "Owner": owners[place % 4],
         "Team": teams[place % 5], "Parent": "abcd"[place % 4]}
        for place, letter in enumerate("efghijklmnop")
    ]  # fmt: skip
    lab.fill("Sample", rows)
    lab.allow(enumerate=["*"])
    lab.bind(TEAM, readers=_binding("Readers"))
    lab.bind(SAMPLE, own=_binding("Owner"), team=_binding([{"outbound": ["lab", "to_team"]}, "Readers"]))
    lab.bind(f"{SAMPLE}/column/Note", own=False)
    yield lab, _shadow(lab)
    lab.service.close()


def _binding(projection: Any) -> dict[str, Any]:
    return {"types": ["select"], "projection": projection}


def _shadow(lab: Lab) -> str:
    base = lab.ask("owner", "POST", "", {}, base="/ermrest/catalog").headers["Location"]
    tables = {}
    for name, columns in COLUMNS.items():
        own = [{"name": each, "type": TYPES.get(each, {"typename": "text"})} for each in columns]
        keys = [{"unique_columns": ["RID"]}]
        tables[name] = {"table_name": name, "column_definitions": SYSTEM + own, "keys": keys}
    made = lab.ask("owner", "POST", "/schema", {"schemas": {"lab": {"tables": tables}}}, base=base)
    assert made.status == 201
    for name in COLUMNS:
        rows = lab.get("ann", f"/entity/lab:{name}")
        assert 0 < len(rows) < len(lab.get("owner", f"/entity/lab:{name}"))
        stored = lab.ask("owner", "POST", f"/entity/lab:{name}?nondefaults=RID,RCT,RCB", rows, base=base)
        assert stored.status == 200
    return base


@st.composite
def filters(draw: st.DrawFn, alias: str, table: str) -> str:
    column = draw(st.sampled_from(TEXTS[table]))
    value = draw(st.sampled_from(VALUES)).replace(" ", "%20")
    some = draw(st.sampled_from(VALUES)).replace(" ", "%20")
    forms = [
        f"{alias}:{column}={value}", f"{alias}:{column}::null::", f"!({alias}:{column}={value})",
        f"{alias}:{column}::gt::{value}", f"{alias}:{column}=any({value},{some})", f"{alias}:*::ciregexp::{value[0]}",
        f"{alias}:{column}::regexp::%5E{value[0]}", f"{alias}:{column}={value};{alias}:RID::null::",
    ]  # fmt: skip
    return draw(st.sampled_from(forms))


@st.composite
def questions(draw: st.DrawFn) -> str:
    """Return a path with joins, filters and one of four endings."""
    tables = [draw(st.sampled_from(list(COLUMNS)))]
    steps = [f"A0:=lab:{tables[0]}"]
    for place in range(1, draw(st.integers(1, 3))):
        near = draw(st.integers(0, place - 1))
        table = draw(st.sampled_from(list(COLUMNS)))
        left, right = draw(st.sampled_from(TEXTS[tables[near]])), draw(st.sampled_from(TEXTS[table]))
        word = draw(st.sampled_from(["", "", "left", "right", "full"]))
        steps.append(f"A{place}:={word}(A{near}:{left})=(lab:{table}:{right})")
        tables.append(table)
    for place, table in enumerate(tables):
        if draw(st.booleans()):
            steps.append(draw(filters(f"A{place}", table)))
    context = draw(st.integers(0, len(tables) - 1))
    path = "/".join([*steps, f"$A{context}"])
    table = tables[context]
    place = draw(st.integers(0, len(tables) - 1))
    column, other = draw(st.sampled_from(TEXTS[table])), draw(st.sampled_from(COLUMNS[tables[place]]))
    listed = ",".join(COLUMNS[table])
    return draw(
        st.sampled_from(
            [
                f"/attribute/{path}/RID,{listed}",
                f"/attribute/{path}/RID,{listed}@sort({column},RID)?limit=5",
                f"/attributegroup/{path}/{column};n:=cnt(A{place}:{other}),all:=cnt(*)@sort({column})",
                f"/aggregate/{path}/n:=cnt(*),m:=cnt_d(A{place}:{other}),low:=min({column}),r:=cnt_d(A{place}:RID)",
            ]
        )
    )


@FUZZ
@given(question=questions())
def test_ann_gets_what_her_shadow_holds(worlds: tuple[Lab, str], question: str) -> None:
    lab, shadow = worlds
    mine, expected = lab.ask("ann", "GET", question), lab.ask("owner", "GET", question, base=shadow)
    assert (mine.status, _sorted(mine.text)) == (expected.status, _sorted(expected.text)), question


def _sorted(text: str) -> list[str] | str:
    return sorted(json.dumps(row) for row in json.loads(text)) if text.startswith("[") else text
