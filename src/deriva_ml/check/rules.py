"""What must hold of the store's rows, as a table of questions: each answers with the rows for which it does not.

A question selects the execution and what to say of the row. Where a machine knows what the row should say, the rule knows it too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import apsw

from deriva_ml.check.findings import Finding, Weight
from deriva_ml.check.remedies import correct
from deriva_ml.clock import from_iso
from deriva_ml.execution.manifest import EntryState, Mode, plain_key
from deriva_ml.execution.states import TRANSITIONS, ExecutionStatus
from deriva_ml.rid import is_rid

FATAL, REPAIRABLE = Weight.FATAL, Weight.REPAIRABLE
SHOWN = 20
_TABLE = re.compile(r"\bFROM (\w+)")


def _among(values: Iterable[str]) -> str:
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


_STATES = _among(ExecutionStatus)
_EDGES = _among(f"{was}/{event}/{became}" for was, row in TRANSITIONS.items() for event, became in row.items())
_SAID = "e.asset_table || '/' || e.file_name"
_HEX = "length({0}) != {1} OR {0} GLOB '*[^0-9a-f]*'"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that must hold; ``sql`` selects (execution, what is wrong) where it does not."""

    kind: str
    weight: Weight
    sql: str
    does: str = ""
    """What a repair does about it; empty where only people can know."""
    fix: tuple[str, ...] = ()
    """The statements that do it, in one transaction; done twice they change nothing more."""

    @property
    def table(self) -> str:
        """The table that it asks about."""
        return str(_TABLE.findall(self.sql)[0])


def _column(
    kind: str, weight: Weight, table: str, condition: str, said: str, who: str = "execution", does: str = "", *fix: str
) -> Rule:
    return Rule(kind, weight, f"SELECT {who}, {said} FROM {table} e WHERE {condition}", does, fix)


def _moment(kind: str, table: str, column: str, who: str = "execution") -> Rule:
    condition = f"{column} IS NOT NULL AND NOT is_moment({column})"
    return _column(kind, FATAL, table, condition, f"'{column} is no moment: ' || {column}", who)


def _json(kind: str, table: str, column: str, shape: str = "", who: str = "execution") -> Rule:
    found = f"CASE WHEN json_valid({column}) THEN json_type({column}) ELSE json_shape({column}) END"
    wrong = f"{found} IS NOT '{shape}'" if shape else f"{found} IS NULL"
    return _column(kind, FATAL, table, f"{column} IS NOT NULL AND {wrong}", f"'{table}.{column} cannot be read'", who)


_DURATIONS = ("duration", "download_duration", "upload_duration")
_NEGATIVE = " OR ".join(f"{name} < 0" for name in _DURATIONS)
_MEASURED = "CASE WHEN julianday(stop_time) >= julianday(start_time) THEN round((julianday(stop_time) - julianday(start_time)) * 86400, 3) END"

RULES: tuple[Rule, ...] = (
    # executions
    _column("status", FATAL, "executions", f"status NOT IN {_STATES}", "'its status is ' || status", "rid"),
    _column("catalog-status", FATAL, "executions", f"catalog_status NOT IN {_STATES}", "'the catalog status is ' || catalog_status", "rid"),
    _column("mode", FATAL, "executions", "mode NOT IN ('online', 'offline', 'dry')", "'its mode is ' || mode", "rid"),
    _json("config", "executions", "config", "object", "rid"),
    _json("owner", "executions", "owner", "object", "rid"),
    _moment("created-at", "executions", "created_at", "rid"),
    _moment("last-activity", "executions", "last_activity", "rid"),
    _moment("start-time", "executions", "start_time", "rid"),
    _moment("stop-time", "executions", "stop_time", "rid"),
    _column("duration", REPAIRABLE, "executions", _NEGATIVE,
            f"'a duration is negative: ' || concat_ws(', ', {', '.join(_DURATIONS)})", "rid",
            "computes it from start and stop, or says that it is not known",
            f"UPDATE executions SET duration = {_MEASURED} WHERE duration < 0",
            *(f"UPDATE executions SET {name} = NULL WHERE {name} < 0" for name in _DURATIONS)),
    Rule("rid", FATAL, "SELECT rid, 'its name is no RID' FROM executions WHERE NOT is_rid(rid)"),
    # history
    Rule("history-end", FATAL, "SELECT e.rid, 'its status is ' || e.status || ', its history ends with ' || v.became FROM executions e "
         "JOIN events v ON v.id = (SELECT max(id) FROM events WHERE execution = e.rid) WHERE v.became != e.status"),
    Rule("history-none", FATAL, "SELECT rid, 'it is ' || status || ' without a history' FROM executions e WHERE status != 'Created' "
         "AND uuid NOT LIKE 'rebuilt-%' AND NOT EXISTS (SELECT 1 FROM events WHERE execution = e.rid)"),
    Rule("history-gap", FATAL, "SELECT execution, 'its history jumps from ' || before || ' to ' || was FROM (SELECT execution, was, lag(became) "
         "OVER (PARTITION BY execution ORDER BY id) AS before FROM events) WHERE before IS NOT NULL AND before != was"),
    _column("history-edge", FATAL, "events", f"event IS NOT NULL AND was || '/' || event || '/' || became NOT IN {_EDGES}",
            "'no step leads from ' || was || ' by ' || event || ' to ' || became"),
    _moment("history-moment", "events", "at"),
    # assets
    _column("entry-state", FATAL, "entries", f"state NOT IN {_among(EntryState)}", f"{_SAID} || ' has the state ' || state"),
    _column("entry-mode", FATAL, "entries", f"mode NOT IN {_among(Mode)}", f"{_SAID} || ' has the mode ' || mode"),
    _json("entry-types", "entries", "asset_types", "array"),
    _json("entry-metadata", "entries", "metadata", "object"),
    _column("entry-name", FATAL, "entries", "file_name IN ('', '.', '..') OR instr(file_name, '/') OR "
            "'/' || file_name NOT IN (substr(key, -length(file_name) - 1), substr(base, -length(file_name) - 1))",
            "key || ' is a file named ' || quote(file_name)"),
    _column("entry-key", FATAL, "entries", "instr(key, asset_table || '/') != 1", "'the key ' || key || ' is not one of ' || asset_table"),
    _column("entry-base", REPAIRABLE, "entries", "base != plain_key(key)", f"{_SAID} || ' is found under ' || base || ', not under its plain name'",
            "execution", "corrects it", "UPDATE entries SET base = plain_key(key) WHERE base != plain_key(key)"),
    _column("entry-path", FATAL, "entries", "leads_out(staged) OR leads_out(coalesce(sealed, 'x'))", f"{_SAID} || ' lies outside its folder'"),
    _column("entry-unsealed", FATAL, "entries", "state = 'sealed' AND sealed IS NULL", f"{_SAID} || ' is sealed nowhere'"),
    _column("entry-checksum", FATAL, "entries", f"state IN ('sealed', 'uploaded') AND (md5 IS NULL OR sha256 IS NULL OR {_HEX.format('md5', 32)} "
            f"OR {_HEX.format('sha256', 64)}) OR (sha256 IS NULL) != (length IS NULL)", f"{_SAID} || ' has no checksum, or none that is one'"),
    _column("entry-length", FATAL, "entries", "length < 0 OR (state IN ('sealed', 'uploaded') AND length IS NULL)", f"{_SAID} || ' has no length'"),
    _column("entry-rid", FATAL, "entries", "(state = 'uploaded' AND rid IS NULL) OR (rid IS NOT NULL AND NOT is_rid(rid))",
            f"{_SAID} || ' has the RID ' || quote(rid)"),
    _column("entry-url", FATAL, "entries", "state = 'uploaded' AND mode != 'record' AND coalesce(url, '') = ''", f"{_SAID} || ' is in the catalog without an address'"),
    _moment("entry-moment", "entries", "uploaded_at"),
    Rule("entry-shared-rid", FATAL, "SELECT e.execution, e.asset_table || ': the RID ' || e.rid || ' is that of two contents' FROM entries e JOIN entries o "
         "ON o.execution = e.execution AND o.rid = e.rid AND o.id > e.id WHERE coalesce(o.url, '') != coalesce(e.url, '') OR coalesce(o.md5, '') != coalesce(e.md5, '')"),
    # feature values
    _column("feature-state", FATAL, "features", "state NOT IN ('pending', 'uploaded', 'dropped')", "feature_name || ': a value has the state ' || state"),
    _json("feature-record", "features", "record", "object"),
    _json("feature-identity", "features", "identity", "array"),
    _json("feature-assets", "features", "assets", "object"),
    Rule("feature-asset-gone", FATAL, "SELECT f.execution, f.feature_name || ': the value of ' || f.identity || ' names a file that is not staged' FROM features f, "
         "json_each(CASE WHEN json_valid(f.assets) THEN f.assets ELSE '{}' END) a LEFT JOIN entries e ON e.id = a.value AND e.execution = f.execution "
         "WHERE f.state = 'pending' AND (e.id IS NULL OR e.state = 'dropped')"),
    # what was logged
    _json("parameter", "parameters", "value"),
    _json("metric", "metrics", "record", "object"),
    _json("metric-step", "metrics", "step"),
    Rule("metric-file", FATAL, "SELECT execution, 'logged metrics are said to be in ' || entry || ', which is not staged' FROM metrics m WHERE entry IS NOT NULL "
         "AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.execution = m.execution AND e.key = m.entry) GROUP BY execution, entry"),
    Rule("parameter-file", FATAL, "SELECT execution, 'the parameter ' || name || ' is said to be in ' || entry || ', which is not staged' FROM parameters m "
         "WHERE entry NOT IN ('configuration.json', 'sealed') AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.execution = m.execution AND e.key = m.entry)"),
    # the rest
    _json("journal", "journal", "detail", "object"),
    _column("nesting", FATAL, "nestings", "state NOT IN ('waits', 'told', 'refused') OR NOT is_rid(parent) OR NOT is_rid(child)",
            "'the link to ' || child || ' has the state ' || state", "parent"),
    _column("download", REPAIRABLE, "downloads", "NOT is_rid(rid)", "'the input ' || path || ' has the RID ' || quote(rid)", "execution",
            "takes the RID from its folder's name, or moves the row into the journal; the catalog has the input's link",
            "UPDATE OR IGNORE downloads SET rid = rid_in(path) WHERE NOT is_rid(rid) AND is_rid(rid_in(path))",
            "INSERT INTO journal (execution, step, detail, at) SELECT execution, 'input', json_object('path', path, 'not a RID', rid), "
            "strftime('%Y-%m-%dT%H:%M:%fZ') FROM downloads WHERE NOT is_rid(rid)",
            "DELETE FROM downloads WHERE NOT is_rid(rid)"),
)  # fmt: skip


def row_problems(connection: apsw.Connection, workspace: Path) -> Iterator[Finding]:
    """Yield the rows that break a rule, and those that belong to no execution."""
    know_functions(connection)
    known = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    for rule in RULES:
        if rule.table not in known:  # a store of an older version
            continue
        remedy = correct(workspace, rule.kind, rule.does) if rule.fix else None
        for execution, said in connection.execute(f"{rule.sql} LIMIT {SHOWN}"):
            yield Finding(
                rule.weight, rule.kind, f"execution {execution}", str(said), _BACKUP if remedy is None else "", remedy
            )
    orphans = {table for table, *_ in connection.execute("PRAGMA foreign_key_check")}
    for table in sorted(orphans):
        yield Finding(FATAL, "orphans", str(table), "it has rows of executions that are not recorded", _BACKUP)


_BACKUP = "restore a backup of store.sqlite"


def know_functions(connection: apsw.Connection) -> None:
    """Let a connection know the functions that the rules ask for."""
    for name, function in _FUNCTIONS.items():
        connection.create_scalar_function(
            name, cast("Callable[..., apsw.SQLiteValue]", function), 1, deterministic=True
        )


def rule_named(kind: str) -> Rule:
    """Return the rule that is called ``kind``."""
    return next(rule for rule in RULES if rule.kind == kind)


def _leads_out(path: str) -> bool:
    return path.startswith("/") or ".." in path.split("/")


def _rid_in(path: str) -> str:
    """Return the name of the folder that a file is in: that of a downloaded asset is its RID."""
    return Path(path).parent.name


def _is_moment(text: str) -> bool:
    try:
        from_iso(text)
    except ValueError:
        return False
    return True


def _json_shape(text: str) -> str | None:
    """Return what SQLite takes for no JSON and Python for one, as it holds NaN: object, array or real; None for no JSON at all."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return "object" if isinstance(found, dict) else "array" if isinstance(found, list) else "real"


_FUNCTIONS: dict[str, Callable[[str], object]] = {
    "is_rid": is_rid,
    "is_moment": _is_moment,
    "json_shape": _json_shape,
    "plain_key": plain_key,
    "leads_out": _leads_out,
    "rid_in": _rid_in,
}
