"""Names survive being written: in SQL, in YAML, as features."""

import doctest

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.schema import Type
from headrace.core.sql import quoted
from headrace.draft import expectations, meanings, names
from headrace.draft.meanings import names_a_moment, names_an_entity, names_an_id
from headrace.draft.names import distinct_slug, flow_scalar, scalar, slug, sql_name, usable
from headrace.expr import parse

printable = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="."), min_size=1, max_size=12
).filter(str.isprintable)


@pytest.mark.parametrize("module", [names, expectations, meanings])
def test_doctests(module):
    assert doctest.testmod(module).failed == 0


@given(printable)
@settings(max_examples=300, deadline=None)
def test_a_column_is_found_again_under_its_written_name(name):
    if usable(name):
        assert parse(sql_name(name), {name: Type.NUMBER}).node.param == name


@given(printable)
@settings(max_examples=100, deadline=None)
def test_duckdb_reads_the_written_name_as_the_same_column(name):
    with duckdb.connect() as db:
        db.execute(f"create table t ({quoted(name)} int)")
        assert db.execute(f"select {sql_name(name)} from t").description[0][0] == name


KEYWORDS = """order select end date time timestamp interval true null case cast year values left type name
count current_date group user default"""


@pytest.mark.parametrize("word", KEYWORDS.split())
def test_keywords_are_columns_too(word):
    assert usable(word)
    assert parse(sql_name(word), {word: Type.NUMBER}).node.param == word
    with duckdb.connect() as db:
        db.execute(f"create table t ({quoted(word)} int); insert into t values (7)")
        assert db.execute(f"select {sql_name(word)} from t").fetchall() == [(7,)]


def test_every_word_that_duckdb_reserves_is_quoted():
    with duckdb.connect() as db:
        found = db.execute(
            "select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'"
        ).fetchall()
    assert [w for (w,) in found if sql_name(w) == w and not _column(w)] == []


def _column(word):
    with duckdb.connect() as db:
        db.execute(f"create table t ({quoted(word)} int); insert into t values (7)")
        try:
            return db.execute(f"select {word} from t where {word} >= 0").fetchall() == [(7,)]
        except duckdb.Error:
            return False


def test_a_dot_or_a_line_break_can_not_be_named():
    assert not usable("a.b")
    assert not usable("a\nb")
    assert usable('a "quoted" name')


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
@settings(max_examples=500, deadline=None)
def test_yaml_reads_back_what_was_written(text):
    assert yaml.safe_load(f"key: {scalar(text)}")["key"] == text
    assert yaml.safe_load(f"key: {{inner: {flow_scalar(text)}}}")["key"]["inner"] == text


def test_slugs_are_names_and_differ():
    assert slug("1st value", fallback="x") == "n_1st_value"
    assert distinct_slug("my col", {"my_col"}, fallback="x") == "my_col_2"
    assert distinct_slug("My-Col", {"my_col", "my_col_2"}, fallback="x") == "my_col_3"
    assert distinct_slug("!!!", set(), fallback="column_4") == "column_4"


def test_what_names_tell():
    assert all(map(names_an_id, ["customer_id", "OrderID", "uuid", "patientid", "Row ID", "id"]))
    assert not any(map(names_an_id, ["paid", "valid", "humidity", "width"]))
    assert names_an_entity("patient_id") > names_an_entity("device_id") > names_an_entity("order_id") == 1
    assert names_an_entity("store_size") == 0
    assert names_a_moment("created_at") and not names_a_moment("amount")
