from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from moderation.sources.base import SourceError
from moderation.sources.listing import Tally
from moderation.sources.open import open_source
from moderation.sources.told import metadata_table

AT = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - the tables have no zone, and mean UTC
INVENTORY = pa.schema(
    [
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("sequence_number", pa.string()),
        ("version_id", pa.string()),
        ("is_delete_marker", pa.bool_()),
        ("size", pa.int64()),
        ("last_modified_date", pa.timestamp("us")),
        ("e_tag", pa.string()),
        ("storage_class", pa.string()),
        ("is_multipart", pa.bool_()),
        ("encryption_status", pa.string()),
        ("object_tags", pa.map_(pa.string(), pa.string())),
    ]
)
"""As the S3 user guide tells them, with a column more that is not read."""
JOURNAL = pa.schema([*INVENTORY, ("record_type", pa.string()), ("record_timestamp", pa.timestamp("us"))])


def row(key, number, version=None, *, etag="e", marker=False, record="CREATE", size=10):
    """One record; a permanent delete says nothing but which version."""
    gone = record == "DELETE" and not marker
    return {
        "bucket": "photos",
        "key": key,
        "sequence_number": f"{number:06x}",
        "version_id": version,
        "is_delete_marker": None if gone else marker,
        "size": None if gone or marker else size,
        "last_modified_date": None if gone else AT,
        "e_tag": None if gone or marker else etag,
        "record_type": record,
    }


@pytest.fixture
def properties(tmp_path):
    return {
        "type": "sql",
        "uri": f"sqlite:///{tmp_path / 'catalog.db'}",
        "warehouse": f"file://{tmp_path}",
    }


@pytest.fixture
def table(properties, monkeypatch):
    """Make a table in a catalog that pyiceberg's configuration names, or add to it; returns its address."""
    for name, value in properties.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__ARCHIVE__{name.upper()}", value)

    def table(schema, *appends, name="told"):
        with closing(load_catalog("archive", **properties)) as catalog:
            catalog.create_namespace_if_not_exists("b_photos")
            made = catalog.create_table_if_not_exists(f"b_photos.{name}", schema=schema)
            for rows in appends:
                made.append(pa.Table.from_pylist(rows, schema=schema))
        return f"table:archive/b_photos.{name}"

    return table


@pytest.mark.parametrize("schema", [INVENTORY, JOURNAL], ids=["inventory", "journal"])
def test_the_current_version_of_each_object_is_listed(table, scan, schema):
    source = table(
        schema,
        [row("a.jpg", 1, "v1", etag="old"), row("b 50%.jpg", 2, "v1"), row("gone.jpg", 3, "v1")],
        [row("gone.jpg", 9, "v2", marker=True, record="DELETE"), row("a.jpg", 8, "v2", etag="new")],
        [row("notes/", 1, "v1", size=0), row("plain.jpg", 5, None, etag="p-2")],
    )

    found, tally = scan(open_source(source))

    rows = {line["key"]: line for line in found.to_pylist()}
    assert {key: line["etag"] for key, line in rows.items()} == {
        "a.jpg": "new",
        "b 50%.jpg": "e",
        "plain.jpg": "p-2",
    }
    assert rows["a.jpg"]["source_ref"] == "s3://photos/a.jpg"
    assert rows["a.jpg"]["last_modified"] == AT.replace(tzinfo=UTC)
    assert (tally.listed, tally.by_rule) == (4, {"folder marker": 1})
    assert (tally.whole.prefix, tally.whole.is_now) == ("s3://photos/", False)
    deleted = tally.whole.deleted  # an inventory tells by what it does not show
    assert (None if deleted is None else deleted.to_pylist()) == (
        ["s3://photos/gone.jpg"] if schema is JOURNAL else None
    )


def test_what_a_journal_says_was_deleted_is_left_out(table, scan):
    source = table(
        JOURNAL,
        [
            row("back.jpg", 1, "v1", etag="first"),
            row("back.jpg", 2, "v2", etag="second"),
            row(
                "back.jpg", 3, "v2", record="DELETE"
            ),  # the newest version, for good: the one before is current
            row("old-gone.jpg", 1, "v1", etag="first"),
            row("old-gone.jpg", 2, "v2", etag="second"),
            row("old-gone.jpg", 3, "v1", record="DELETE"),  # an old version, for good
            row("unmarked.jpg", 1, "v1", etag="first"),
            row("unmarked.jpg", 2, "v2", marker=True, record="DELETE"),
            row("unmarked.jpg", 3, "v2", record="DELETE"),  # the marker itself
            row("tagged.jpg", 1, "v1", etag="first"),
            row("tagged.jpg", 2, "v2", etag="second"),
            row("tagged.jpg", 3, "v1", etag="first", record="UPDATE_METADATA"),
            row("plain.jpg", 1, None),
            row("plain.jpg", 2, None, record="DELETE"),
            row("again.jpg", 1, None, etag="first"),
            row("again.jpg", 2, None, record="DELETE"),
            row("again.jpg", 3, None, etag="second"),
        ],
    )

    found, tally = scan(open_source(source))

    assert tally.whole.prefix == "s3://photos/"
    assert sorted(tally.whole.deleted.to_pylist()) == ["s3://photos/plain.jpg"]
    assert {line["key"]: line["etag"] for line in found.to_pylist()} == {
        "back.jpg": "first",
        "old-gone.jpg": "second",
        "unmarked.jpg": "first",
        "tagged.jpg": "second",
        "again.jpg": "second",
    }


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("table:archive/b_photos.other", "cannot be read: NoSuchTableError"),
        ("table:elsewhere/b_photos.told", "no catalog 'elsewhere'"),
    ],
)
def test_a_table_that_is_not_there_is_named(table, scan, address, says):
    table(INVENTORY)
    with pytest.raises(SourceError, match=says):
        scan(open_source(address))


def test_a_table_of_another_kind_is_refused(table, scan):
    with pytest.raises(SourceError, match="no column bucket: it is no table of S3 Metadata"):
        scan(open_source(table(pa.schema([("key", pa.string())]))))


@pytest.mark.parametrize(
    "text", ["table:", "table:archive", "table:archive/told", "table:/a.b", "table:archive/a.b c"]
)
def test_an_address_without_catalog_and_table_is_refused(text):
    with pytest.raises(SourceError, match="expected table:"):
        open_source(text)


def read_on(source, settings, s3, since):
    """Keys that are listed since a position, what is told to be deleted, and the position reached."""
    tally = Tally(since=since)
    keys = [
        key.as_py()
        for batch in open_source(source).batches(settings, s3, tally, dry_run=True)
        for key in batch.column("key")
    ]
    deleted = tally.whole.deleted.to_pylist() if tally.whole else []
    return sorted(keys), deleted, tally.reached


@pytest.fixture
def change(properties):
    """Do something to a table of the catalog."""

    def change(name, how):
        with closing(load_catalog("archive", **properties)) as catalog:
            how(catalog.load_table(f"b_photos.{name}"))

    return change


def expire(table):
    table.maintenance.expire_snapshots().older_than(datetime.now()).commit()  # noqa: DTZ005 - its own clock


def test_of_a_journal_what_has_come_since_the_position_is_read_and_no_more(
    table, settings, s3_client, change
):
    source = table(JOURNAL, [row("a.jpg", 1, "v1"), row("b.jpg", 2, "v1"), row("c.jpg", 3, "v1")])
    keys, _, first = read_on(source, settings, s3_client, None)
    assert keys == ["a.jpg", "b.jpg", "c.jpg"]
    assert read_on(source, settings, s3_client, first) == ([], [], first)

    table(
        JOURNAL,
        [
            row("d.jpg", 4, "v1"),
            row("a.jpg", 5, "v2", etag="new"),
            row("b.jpg", 6, "v2", marker=True, record="DELETE"),
        ],
        [row("c.jpg", 7, "v1", record="UPDATE_METADATA"), row("d.jpg", 8, "v1", record="UPDATE_METADATA")],
    )
    keys, deleted, second = read_on(source, settings, s3_client, first)
    assert (keys, deleted) == (["a.jpg", "d.jpg"], ["s3://photos/b.jpg"])
    assert second.sequence > first.sequence
    # Records of the past expire: nothing new is told by that.
    change("told", lambda journal: journal.delete("sequence_number <= '000003'"))
    assert read_on(source, settings, s3_client, second)[:2] == ([], [])


@pytest.mark.parametrize("inventory", [True, False])
@pytest.mark.parametrize("how", ["expired", "another table", "overwritten"])
def test_where_a_position_is_lost_the_inventory_beside_the_journal_is_read_and_that_is_said(  # noqa: PLR0917
    table, settings, s3_client, change, caplog, how, inventory
):
    source = table(JOURNAL, [row("new.jpg", 2, "v1")], name="journal")
    if inventory:
        kept = [row("old.jpg", 1, "v1"), row("new.jpg", 2, "v1"), row("stale.jpg", 1, "v1")]
        table(
            INVENTORY,
            [{k: v for k, v in one.items() if k != "record_type"} for one in kept],
            name="inventory",
        )
    _, _, since = read_on(source, settings, s3_client, None)
    table(JOURNAL, [row("stale.jpg", 5, "v1", record="DELETE")], [row("newer.jpg", 6, "v1")], name="journal")
    if how == "expired":
        change("journal", expire)
        table(JOURNAL, [row("newest.jpg", 7, "v1")], name="journal")
        change("journal", expire)
    elif how == "overwritten":
        table(JOURNAL, [row("newest.jpg", 7, "v1"), row("other.jpg", 8, "v1")], name="journal")
        change("journal", lambda journal: journal.delete("key = 'other.jpg'"))
    else:
        since = replace(since, table="another")

    keys, _, reached = read_on(source, settings, s3_client, since)

    newest = [] if how == "another table" else ["newest.jpg"]
    assert keys == ["new.jpg", "newer.jpg", *newest, *(["old.jpg"] if inventory else [])]
    assert "all of it is read, and the inventory beside it" in caplog.text
    assert ("has no b_photos.inventory beside it" in caplog.text) is not inventory
    assert read_on(source, settings, s3_client, reached)[0] == []


@pytest.mark.parametrize(("region", "domain"), [("eu-west-1", "com"), ("cn-north-1", "com.cn")])
def test_a_table_bucket_is_reached_by_its_own_endpoint_with_signed_requests(
    settings, monkeypatch, region, domain
):
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3TABLES", raising=False)
    arn = f"arn:aws:s3tables:{region}:111122223333:bucket/aws-s3"
    with metadata_table._properties(arn, settings) as found:
        expected = {
            "type": "rest",
            "uri": f"https://s3tables.{region}.amazonaws.{domain}/iceberg",
            "warehouse": arn,
            "rest.sigv4-enabled": "true",
            "rest.signing-name": "s3tables",
            "rest.signing-region": region,
            "s3.region": region,
        }
        assert expected.items() <= found.items()
