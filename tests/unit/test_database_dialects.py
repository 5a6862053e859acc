"""What the migrations and the queries are for databases that no test starts: SQL Server, and MySQL beside MariaDB."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select
from sqlalchemy.dialects import mssql
from sqlalchemy.schema import CreateTable

from mlflow_serving_plugin.store import database
from mlflow_serving_plugin.store.tables import Base, EndpointRow


@pytest.fixture(scope="module")
def migrations():
    """``migrations("mssql")`` → the statements of all upgrades, as that database gets them."""

    def statements(dialect):
        config, out = Config(), io.StringIO()
        config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
        context = MigrationContext.configure(dialect_name=dialect, opts={"as_sql": True, "output_buffer": out})
        with Operations.context(context):
            for revision in reversed(list(ScriptDirectory.from_config(config).walk_revisions())):
                revision.module.upgrade()
        return out.getvalue()

    return statements


@pytest.mark.parametrize("dialect", ["mysql", "mssql", "postgresql"])
def test_every_migration_is_written_for_every_database(migrations, dialect):
    text = migrations(dialect)
    for table in Base.metadata.tables:
        assert re.search(rf"CREATE TABLE [`\[\"]?{table}\b", text), table


def test_mysql_is_given_no_default_of_a_text_but_an_expression(migrations):
    defaults = re.findall(r"\bTEXT\b[^,;\n]*DEFAULT ([^\s;]+)", migrations("mysql"))
    assert defaults == ["('')"]


@pytest.mark.parametrize("dialect", ["mysql", "mssql"])
def test_the_tables_of_the_newest_version_can_be_made(dialect):
    found = __import__(f"sqlalchemy.dialects.{dialect}", fromlist=["dialect"]).dialect()
    for table in Base.metadata.sorted_tables:
        assert f"{CreateTable(table).compile(dialect=found)}".strip().startswith("CREATE TABLE")


def test_a_key_of_mysql_stays_below_its_3072_bytes():
    for table in Base.metadata.tables.values():
        keys = [*table.indexes, *(constraint for constraint in table.constraints if hasattr(constraint, "columns"))]
        for key in keys:
            size = sum(4 * (getattr(column.type, "length", None) or 2) for column in key.columns)
            assert size <= 3072, f"{table.name}: {key}"


def test_sql_server_locks_rows_by_a_hint():
    query = database.locked(select(EndpointRow).where(EndpointRow.id == "1"), EndpointRow)
    text = f"{query.compile(dialect=mssql.dialect())}"
    assert "WITH (UPDLOCK, ROWLOCK)" in text
    assert "FOR UPDATE" not in text
