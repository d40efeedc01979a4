"""The model API of the unmodified deriva client, against the service over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from deriva.core.ermrest_catalog import ErmrestAlias, ErmrestSnapshot
from deriva.core.ermrest_model import Column, ForeignKey, Key, Schema, Table, builtin_types


@pytest.fixture
def catalog(deriva_server: Any) -> Iterator[Any]:
    made = deriva_server.create_ermrest_catalog()
    yield made
    made.delete_ermrest_catalog(really=True)


@pytest.fixture
def model(catalog: Any) -> Any:
    """The model with schema ``lab``: Subject, and Sample with a reference to it; one row each."""
    model = catalog.getCatalogModel()
    lab = model.create_schema(Schema.define("lab", comment="What we measured"))
    lab.create_table(
        Table.define(
            "Subject",
            [Column.define("Name", builtin_types.text, nullok=False, comment="as on the cage")],
            [Key.define(["Name"])],
        )
    )
    lab.create_table(
        Table.define(
            "Sample",
            [Column.define("Subject", builtin_types.text), Column.define("Mass", builtin_types.float8)],
            fkey_defs=[ForeignKey.define(["Subject"], "lab", "Subject", ["Name"], on_delete="CASCADE")],
        )
    )
    path = catalog.getPathBuilder().lab
    path.Subject.insert([{"Name": "m1"}])
    path.Sample.insert([{"Subject": "m1", "Mass": 1.5}])
    return catalog.getCatalogModel()


def test_what_is_made_is_read_back(model: Any) -> None:
    lab = model.schemas["lab"]
    assert (lab.comment, sorted(lab.tables.keys())) == ("What we measured", ["Sample", "Subject"])
    (link,) = [key for key in lab.tables["Sample"].foreign_keys if key.pk_table.name == "Subject"]
    assert (link.on_delete, [column.name for column in link.referenced_columns]) == ("CASCADE", ["Name"])
    assert lab.tables["Subject"].columns["Name"].comment == "as on the cage"
    assert {key.pk_table.name for key in lab.tables["Sample"].foreign_keys} == {"Subject", "ERMrest_Client"}


def test_vocabularies_assets_and_associations(catalog: Any, model: Any) -> None:
    lab = model.schemas["lab"]
    kinds = lab.create_table(Table.define_vocabulary("Kind", "LAB:{RID}"))
    image = lab.create_table(Table.define_asset("lab", "Image"))
    link = lab.create_table(Table.define_association([("Image", image), ("Kind", kinds)]))
    path = catalog.getPathBuilder().lab
    (term,) = path.Kind.insert([{"Name": "blurred", "Description": "out of focus"}], defaults={"ID", "URI"})
    assert term["ID"] == f"LAB:{term['RID']}"
    row = {"URL": "/hatrac/x:1", "Filename": "x", "Length": 1, "MD5": "0" * 32}
    (made,) = path.Image.insert([row])
    path.tables[link.name].insert([{"Image": made["RID"], "Kind": "blurred"}])
    joined = path.Image.link(path.tables[link.name]).link(path.Kind)
    assert [each["Name"] for each in joined.entities().fetch()] == ["blurred"]
    assert [each.table.name for each in image.find_associations()] == [link.name]


def test_alter(catalog: Any, model: Any) -> None:
    sample = model.schemas["lab"].tables["Sample"]
    mass = sample.columns["Mass"]
    mass.alter(name="Weight", type=builtin_types.text, comment="in grams", nullok=False)
    sample.create_column(Column.define("Checked", builtin_types.boolean, nullok=False, default=False))
    sample.create_key(Key.define(["Weight"], constraint_name="sample_weight"))
    sample.alter(table_name="Probe", annotations={"tag:x": {"a": 1}})
    (link,) = [key for key in sample.foreign_keys if key.pk_table.name == "Subject"]
    link.alter(on_delete="SET NULL", constraint_name="of_subject")
    shown = catalog.getCatalogModel().schemas["lab"].tables["Probe"]
    assert (shown.columns["Weight"].type.typename, shown.columns["Weight"].nullok) == ("text", False)
    assert (shown.annotations, shown.columns["Weight"].comment) == ({"tag:x": {"a": 1}}, "in grams")
    assert {key.constraint_name for key in shown.keys} >= {"sample_weight"}
    (link,) = [key for key in shown.foreign_keys if key.pk_table.name == "Subject"]
    assert (link.constraint_name, link.on_delete) == ("of_subject", "SET NULL")
    (row,) = catalog.getPathBuilder().lab.Probe.entities().fetch()
    assert (row["Weight"], row["Checked"]) == ("1.5", False)


def test_a_reference_is_made_in_one_step(catalog: Any, model: Any) -> None:
    lab = model.schemas["lab"]
    made = lab.tables["Sample"].create_reference(("Parent", True, lab.tables["Sample"]))
    assert made
    shown = catalog.getCatalogModel().schemas["lab"].tables["Sample"]
    assert shown.columns["Parent"].nullok
    assert [key.pk_table.name for key in shown.foreign_keys].count("Sample") == 1


def test_apply_writes_annotations_and_access_control(catalog: Any, model: Any) -> None:
    table = model.schemas["lab"].tables["Subject"]
    model.annotations["tag:model"] = True
    model.acls["select"] = ["*"]
    model.schemas["lab"].annotations["tag:schema"] = [1]
    model.schemas["lab"].acls["insert"] = ["somebody"]
    table.annotations["tag:table"] = {"x": None}
    table.acls["update"] = []
    table.acl_bindings["guard"] = {"types": ["update", "delete"], "projection": "RCB", "projection_type": "acl"}
    table.columns["Name"].annotations["tag:column"] = "y"
    table.columns["Name"].comment = "another"
    table.keys[0].annotations["tag:key"] = 1
    model.apply()
    shown = catalog.getCatalogModel()
    again = shown.schemas["lab"].tables["Subject"]
    assert (shown.annotations["tag:model"], shown.acls["select"]) == (True, ["*"])
    assert shown.schemas["lab"].annotations == {"tag:schema": [1]}
    assert shown.schemas["lab"].acls == {"insert": ["somebody"]}
    assert (again.annotations, again.acls) == ({"tag:table": {"x": None}}, {"update": []})
    assert again.acl_bindings == table.acl_bindings
    assert (again.columns["Name"].annotations, again.columns["Name"].comment) == ({"tag:column": "y"}, "another")
    assert again.keys[0].annotations == {"tag:key": 1}


def test_drops_follow_what_depends(catalog: Any, model: Any) -> None:
    subject = model.schemas["lab"].tables["Subject"]
    subject.columns["Name"].drop(cascade=True)
    shown = catalog.getCatalogModel().schemas["lab"]
    assert [key.pk_table.name for key in shown.tables["Sample"].foreign_keys if key.pk_table.name == "Subject"] == []
    shown.drop(cascade=True)
    assert "lab" not in catalog.getCatalogModel().schemas


def test_a_snapshot_keeps_the_model_and_its_rows(catalog: Any, model: Any) -> None:
    before = catalog.latest_snapshot()
    assert isinstance(before, ErmrestSnapshot)
    model.schemas["lab"].tables["Sample"].columns["Mass"].drop()
    catalog.getPathBuilder().lab.Subject.insert([{"Name": "m2"}])
    old = before.getPathBuilder().lab
    assert [row["Mass"] for row in old.Sample.entities().fetch()] == [1.5]
    assert [row["Name"] for row in old.Subject.entities().fetch()] == ["m1"]
    assert "Mass" not in catalog.getCatalogModel().schemas["lab"].tables["Sample"].columns.elements
    assert before.getCatalogModel().schemas["lab"].tables["Sample"].columns["Mass"].type.typename == "float8"


def test_an_alias_stands_for_its_catalog(deriva_server: Any, catalog: Any, model: Any) -> None:
    alias = deriva_server.create_ermrest_alias(alias_target=catalog.catalog_id, name="the latest")
    assert isinstance(alias, ErmrestAlias)
    assert alias.retrieve()["alias_target"] == catalog.catalog_id
    named = deriva_server.connect_ermrest(alias.alias_id)
    assert named.alias_target == catalog.catalog_id
    assert [row["Name"] for row in named.getPathBuilder().lab.Subject.entities().fetch()] == ["m1"]
    alias.update(alias_target=None)
    assert not named.exists()
    alias.delete_ermrest_alias(really=True)


def test_a_row_is_found_by_its_rid(catalog: Any, model: Any) -> None:
    (row,) = catalog.getPathBuilder().lab.Sample.entities().fetch()
    found = catalog.resolve_rid(row["RID"])
    assert (found.table.name, found.rid) == ("Sample", row["RID"])
    catalog.getPathBuilder().lab.Sample.path.delete()
    with pytest.raises(KeyError):
        catalog.resolve_rid("ZZZZ-ZZZZ-ZZZ0")


def test_a_catalog_is_cloned(deriva_server: Any, catalog: Any, model: Any) -> None:
    model.annotations["tag:model"] = "kept"
    model.apply()
    clone = catalog.clone_catalog()
    lab = clone.getPathBuilder().lab
    assert clone.getCatalogModel().annotations["tag:model"] == "kept"
    assert [row["Name"] for row in lab.Subject.entities().fetch()] == ["m1"]
    original = list(catalog.getPathBuilder().lab.Sample.entities().fetch())
    copied = list(lab.Sample.entities().fetch())
    assert [{**row, "RMT": None} for row in copied] == [{**row, "RMT": None} for row in original]
    clone.delete_ermrest_catalog(really=True)
