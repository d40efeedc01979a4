"""The parser against two judges: its own inverse, and the published grammar read by an independent parser."""

from __future__ import annotations

import re

from addresses import ADDRESSES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lark import Lark
from lark.exceptions import LarkError

from deriva_local.url.ast import Address
from deriva_local.url.parse import parse
from deriva_local.url.unparse import unparse
from deriva_local.wire.errors import Refusal

GRAMMAR = r"""
url: "/ermrest" "/"? IGNORED? | "/ermrest/catalog"i "/"? IGNORED? | "/ermrest/alias"i ("/" name?)? IGNORED?
   | "/ermrest/catalog/"i name ("@" name)? ("/" sub?)? ("?" opts)?
sub: model | data | "entity_rid/"i name | "textfacet/"i name | hist
   | "acl"i ("/" name?)? | "annotation"i ("/" name?)?
model: "schema"i ("/" (name ("/" (sconf | "table"i ("/" (name ("/" tpart?)?)?)?)?)?)?)?
tpart: tconf
     | "column"i ("/" (name ("/" tconf?)?)?)?
     | "key"i ("/" (names ("/" (annotation | comment)?)?)?)?
     | "foreignkey"i ("/" (names ("/" ("reference"i ("/" (tref ("/" (names ("/" tconf?)?)?)?)?)?)?)?)?)?
annotation: "annotation"i ("/" name?)?
comment: "comment"i "/"?
sconf: "acl"i ("/" name?)? | annotation | comment
tconf: sconf | "acl_binding"i ("/" name?)?
hist: "history/"i name? "," name? ("/" (cfg ("/" name)? | "attribute/"i name ("/" name "=" name)?))?
cfg: "acl"i | "acl_binding"i | "annotation"i

data: what (order page*)?
what: "entity/"i path | "attribute/"i path "/" alist | "attributegroup/"i path "/" alist (";" glist)?
    | "aggregate/"i path "/" glist
order: "@sort("i sk ("," sk)* ")"
page: "@before("i pks ")" | "@after("i pks ")"
path: (name ":=")? tref ("/" step)*
step: (name ":=")? (tref | "(" cols ")" ("=" "(" cols ")")? | OUTER cols ")" "=" "(" cols ")")
    | filter | "$" name
OUTER: /(left|right|full)\(/i
tref: COLON? name (COLON name)?
cols: col ("," col)*
col: name (COLON name (COLON name)?)?
names: name ("," name)*
filter: conj (";" conj)*
conj: neg ("&" neg)*
neg: "!"? pred
pred: col op rhs | col "::null::"i | "(" filter ")"
op: "=" | OPERATOR
OPERATOR: /::(lt|leq|gt|geq|regexp|ciregexp|ts)::/i
rhs: TEXT? | QUANTIFIER TEXT? ("," TEXT?)* ")"
QUANTIFIER: /(any|all)\(/i
alist: aitem ("," aitem)*
aitem: (name ":=")? (col | bin)
glist: gitem ("," gitem)*
gitem: (name ":=")? (col | AGGREGATE col ")" | bin | rs)
AGGREGATE: /(min|max|avg|sum|cnt|cnt_d|array|array_d)\(/i
bin: "bin("i col ";" name ";" name ";" name ")"
rs: /(trs|tcrs)\(/i (name COLON)? /RID|%52ID/ ")"
sk: name "::desc::"i?
pks: pk ("," pk)*
pk: TEXT? | "::null::"i
opts: opt (/[&;]/ opt)*
opt: name ("=" (name ("," name)*)?)?
name: TEXT
IGNORED: /\?.*/
COLON: /:(?![:=])/
TEXT: /([A-Za-z0-9\-*_.~+]|%[0-9A-Fa-f]{2})+(?![A-Za-z0-9\-*_.~+%])/
"""
ORACLE = Lark(GRAMMAR, start="url", parser="earley", lexer="dynamic")
BEYOND_THE_GRAMMAR = re.compile(r"as many|needs @sort|must match|each once|UTF-8|NUL")
PIECES = [
    "(",
    ")",
    ":",
    ";",
    ",",
    "=",
    "@",
    "&",
    "/",
    "?",
    "!",
    "$",
    "::",
    ":=",
    "x",
    "any(",
    "left(",
    "::null::",
    "%3A",
]
PATIENT = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def accepts(target: str) -> bool:
    try:
        ORACLE.parse(target)
    except LarkError:
        return False
    return True


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ADDRESSES)
def test_what_is_written_reads_back(address: Address) -> None:
    target = unparse(address)
    assert parse(target) == address
    assert unparse(parse(target)) == target


@PATIENT
@given(ADDRESSES)
def test_what_is_written_follows_the_grammar(address: Address) -> None:
    assert accepts(unparse(address))


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """Return a target with one token taken out, put in, or doubled."""
    target = unparse(draw(ADDRESSES))
    tokens = re.findall(r"::|:=|[():;,=@&/?!$]|[^():;,=@&/?!$]+", target)
    at = draw(st.integers(3, max(3, len(tokens))))
    middle = draw(st.sampled_from([[], [draw(st.sampled_from(PIECES))], tokens[at : at + 1] * 2]))
    return "".join(tokens[:at] + middle + tokens[at + draw(st.integers(0, 1)) :])


@PATIENT
@given(spoilt())
def test_the_parser_takes_exactly_what_the_grammar_takes(target: str) -> None:
    try:
        parse(target)
    except Refusal as refusal:
        assert not accepts(target) or BEYOND_THE_GRAMMAR.search(refusal.detail), refusal.detail
    else:
        assert accepts(target) or target.endswith("?")
