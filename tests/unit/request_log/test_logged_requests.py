"""The request log from a record to its Parquet file: nothing waits, nothing is torn, nothing is there twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import eventually
from support.server import free_port

from mlflow_serving_plugin.request_log import reader as reading
from mlflow_serving_plugin.request_log import spool as spooling
from mlflow_serving_plugin.request_log.columns import SCHEMA, table_of
from mlflow_serving_plugin.request_log.files import LogFiles
from mlflow_serving_plugin.request_log.reader import Wanted, bodies, newest, one
from mlflow_serving_plugin.request_log.record import Record, dump, load
from mlflow_serving_plugin.request_log.redact import redact_request, redact_response
from mlflow_serving_plugin.request_log.segments import Label, Segment, finished
from mlflow_serving_plugin.request_log.spool import Spool
from mlflow_serving_plugin.request_log.tally import Tally, take_lost
from mlflow_serving_plugin.request_log.writer import Writer

NOW = int(datetime(2026, 11, 26, 12, tzinfo=timezone.utc).timestamp())
COLUMNS = [
    *("databricks_request_id", "request_date", "client_request_id", "request_time", "status_code"),
    *("sampling_fraction", "execution_duration_ms", "request", "response", "logging_error_codes"),
    *("served_entity_id", "requester"),
]


def record(number: int = 0, **fields) -> Record:
    plain = Record(f"r{number}", (NOW + number) * 1_000_000, 12, 200, 1.0, "7", "ann", b'{"inputs": [1]}', b"{}")
    return plain._replace(**fields)


class Log:
    """A log in a directory, with its writer, which runs when it is told to."""

    def __init__(self, root: Path, **label) -> None:
        self.segments, self.place = root / "segments", root / "log"
        self.segments.mkdir(parents=True)
        fields = {"format": "parquet", "redact": (), "retention_days": 30.0, "max_bytes": 2**30} | label
        self.label = Label("e1", str(self.place), **fields)
        self.counts: Counter = Counter()
        self.now = NOW
        self.writer = self.new_writer()

    def new_writer(self) -> Writer:
        return Writer(self.segments, self.count, lambda: self.now)

    def count(self, labels, number) -> None:
        self.counts[labels[-1]] += number

    def segment(self, *records: Record) -> Path:
        segment = Segment(self.segments, self.label)
        segment.append([dump(one) for one in records])
        segment.close()
        return max(self.segments.glob("*.segment"))

    def rows(self) -> list[dict]:
        found = sorted(self.place.rglob("*.parquet"))
        return [row for path in found for row in pq.read_table(path).to_pylist()]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


text = st.text(max_size=20).filter(lambda found: found.isprintable())


@given(
    st.lists(
        st.builds(
            record,
            request_id=text,
            requester=st.none() | text,
            request=st.none() | st.binary(max_size=50),
            response=st.none() | st.binary(max_size=50),
            client_request_id=text,
            codes=st.sampled_from([(), ("MAX_REQUEST_SIZE_EXCEEDED", "RESPONSE_STREAMED")]),
        ),
        max_size=5,
    ),
    st.data(),
)
def test_records_survive_being_written_and_a_torn_end_costs_only_the_torn_record(records, data) -> None:
    written = [dump(found) for found in records]
    assert list(load(b"".join(written))) == records
    if written:
        cut = data.draw(st.integers(1, len(written[-1])))
        torn = b"".join(written)[:-cut] + b"\0" * data.draw(st.integers(0, 99))
        # Zeros may happen to be the very bytes that were lost.
        assume(not torn.startswith(b"".join(written)))
        assert list(load(torn)) == records[:-1]


def test_a_table_has_the_twelve_columns_of_databricks_inference_tables() -> None:
    table = table_of([record(request=b'{"client_request_id": "c1"}', codes=("RESPONSE_STREAMED",))], "e1")
    assert table.column_names == COLUMNS
    assert table.schema == SCHEMA
    (row,) = table.to_pylist()
    assert row == {
        "databricks_request_id": "r0",
        "request_date": date(2026, 11, 26),
        "client_request_id": "c1",
        "request_time": datetime(2026, 11, 26, 12, tzinfo=timezone.utc),
        "status_code": 200,
        "sampling_fraction": 1.0,
        "execution_duration_ms": 12,
        "request": '{"client_request_id": "c1"}',
        "response": "{}",
        "logging_error_codes": ["RESPONSE_STREAMED"],
        "served_entity_id": "e1/7",
        "requester": "ann",
    }


def test_a_body_that_is_no_text_is_null_with_a_code_and_others_stay() -> None:
    rows = table_of([record(0, request=b"\xff\xfe"), record(1)], "e1").to_pylist()
    assert [row["request"] for row in rows] == [None, '{"inputs": [1]}']
    assert [row["logging_error_codes"] for row in rows] == [["REQUEST_NOT_TEXT"], []]


@pytest.mark.parametrize(
    ("body", "names", "expected"),
    [
        (b'{"inputs":{"age":[3],"name":["x"]}}', ["name"], b'{"inputs":{"age":[3],"name":"[REDACTED]"}}'),
        (
            b'{"dataframe_split":{"columns":["a","b"],"data":[[1,2],[3,4]]}}',
            ["b"],
            b'{"dataframe_split":{"columns":["a","b"],"data":[[1,"[REDACTED]"],[3,"[REDACTED]"]]}}',
        ),
        (b'{"inputs":[{"name":"b","data":[1]}]}', ["b"], b'{"inputs":[{"name":"b","data":["[REDACTED]"]}]}'),
        (b'{"columns":[0,["x","b"]],"data":[[1,2]]}', ["b"], b'{"columns":[0,["x","b"]],"data":[[1,"[REDACTED]"]]}'),
        (b'{"columns":[0,1],"data":[[1,2]]}', ["1"], b'{"columns":[0,1],"data":[[1,"[REDACTED]"]]}'),
        (b'[{"a":{"b":1}}]', ["b"], b'[{"a":{"b":"[REDACTED]"}}]'),
        (b'data: {"b":1}\n\ndata: [DONE]\n\n', ["b"], b'data: {"b":"[REDACTED]"}\n\ndata: [DONE]\n\n'),
        (b'data: {"b":1}\n\ndata: {"b', ["b"], None),
        (b"a,b\n1,2\n", ["b"], None),
        (b"a,b\n1,2\n", [], b"a,b\n1,2\n"),
        (b"{}", ["$request"], None),
        (b"{}", ["$response"], b"{}"),
    ],
)
def test_values_are_left_out_by_the_names_of_fields_and_columns(body, names, expected) -> None:
    assert redact_request(body, names) == expected


def test_a_whole_answer_can_be_left_out() -> None:
    assert redact_response(b"{}", ["$response"]) is None


def test_what_is_logged_becomes_files_by_day_that_pyarrow_and_duckdb_read(log: Log) -> None:
    log.segment(record(0), record(3600 * 13))
    log.segment(record(1, status=503, response=None))
    assert log.writer.run_once() == 0
    assert [path.name for path in sorted(log.place.iterdir())] == ["2026-11-26", "2026-11-27"]
    assert pq.read_table(log.place).column_names == COLUMNS
    found = duckdb.sql(f"SELECT status_code, count(*) FROM '{log.place}/*/*.parquet' GROUP BY 1 ORDER BY 1").fetchall()
    assert found == [(200, 2), (503, 1)]
    assert log.counts == {"written": 3}
    assert list(log.segments.glob("*.segment")) == []


def test_a_segment_under_way_is_left_alone_and_that_of_a_killed_process_is_taken(log: Log) -> None:
    segment = Segment(log.segments, log.label)
    segment.append([dump(record())])
    log.writer.run_once()
    assert log.rows() == []
    # The end of a process takes its locks along.
    os.close(segment._fd)
    log.writer.run_once()
    assert len(log.rows()) == 1


def test_a_writer_that_is_killed_before_it_removes_a_segment_writes_nothing_twice(log: Log) -> None:
    path = log.segment(record(0), record(1))
    kept = path.read_bytes()
    log.writer.run_once()
    path.write_bytes(kept)
    log.new_writer().run_once()
    assert len(log.rows()) == 2


def test_a_place_that_cannot_be_had_keeps_its_segments_and_holds_up_no_other(log: Log, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log.segment(record(0))
    log.label = Label("e2", str(tmp_path / "file" / "log"), "parquet", (), 30.0, 2**30)
    log.segment(record(1))
    assert log.writer.run_once() == 1
    assert len(log.rows()) == 1
    (tmp_path / "file").unlink()
    assert log.writer.run_once() == 0


def test_damaged_segments_are_removed(log: Log) -> None:
    (log.segments / "1-1-a.segment").write_bytes(b"no label")
    log.segment(record(0)).open("ab").write(b"torn")
    log.writer.run_once()
    assert len(log.rows()) == 1
    assert finished(log.segments) == ([], [])


def test_many_small_files_become_one_also_when_the_writer_is_killed_meanwhile(log: Log, monkeypatch) -> None:
    for number in range(40):
        log.segment(record(number))
    with monkeypatch.context() as patch:
        patch.setattr(LogFiles, "remove", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        log.writer.run_once()
    assert len(log.rows()) == 80
    log.now += 3600
    log.new_writer().run_once()
    assert sorted(row["databricks_request_id"] for row in log.rows()) == sorted(f"r{number}" for number in range(40))
    assert len(list(log.place.rglob("*.parquet"))) == 1


def merge_during_questions(log: Log, monkeypatch) -> None:
    """Have small files become one after the reader has listed them."""
    list_files = reading.newest_first

    def merged_meanwhile(*of):
        found = list(list_files(*of))
        log.now += 3600
        log.writer.run_once()
        return iter(found)

    monkeypatch.setattr(reading, "newest_first", merged_meanwhile)


def test_a_reader_has_each_request_once_while_small_files_become_one(log: Log, monkeypatch) -> None:
    for number in range(40):
        log.segment(record(number))
        log.writer.run_once()
    before, place = len(list(log.place.rglob("*.parquet"))), str(log.place)
    ids = [f"r{number}" for number in reversed(range(40))]
    merge_during_questions(log, monkeypatch)
    assert [row["databricks_request_id"] for row in newest(place, "parquet", Wanted("e1"), 50)] == ids
    assert (before, len(list(log.place.rglob("*.parquet")))) == (40, 1)


def test_a_request_is_found_whose_file_becomes_part_of_another_meanwhile(log: Log, monkeypatch) -> None:
    for number in range(40):
        log.segment(record(number))
        log.writer.run_once()
    merge_during_questions(log, monkeypatch)
    assert one(str(log.place), "parquet", "e1", "r3", 0, 2**62)["databricks_request_id"] == "r3"


def test_a_reader_has_each_request_once_after_a_writer_was_killed_while_it_merged(log: Log, monkeypatch) -> None:
    for number in range(40):
        log.segment(record(number))
    monkeypatch.setattr(LogFiles, "remove", lambda *_: (_ for _ in ()).throw(OSError("killed")))
    log.writer.run_once()
    assert len(log.rows()) == 80
    assert len(newest(str(log.place), "parquet", Wanted("e1"), 100)) == 40
    assert len(newest(str(log.place), "parquet", Wanted("e1"), 30)) == 30


def test_a_large_file_is_read_in_parts_and_only_as_far_as_needed(log: Log, monkeypatch) -> None:
    monkeypatch.setattr("mlflow_serving_plugin.request_log.files._ROWS_IN_A_GROUP", 10)
    # Files of several web workers overlap, and are merged.
    for number in range(40):
        log.segment(*(record(number // 4 * 5 + step, request_id=f"{number}-{step}") for step in range(10)))
    log.writer.run_once()
    assert len(list(log.place.rglob("*.parquet"))) == 1
    read = []
    group = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *given: (read.append(given[1]), group(*given))[1])
    place = str(log.place)
    times = [row["request_time"] for row in newest(place, "parquet", Wanted("e1"), 400)]
    assert times == sorted(times, reverse=True)
    assert (len(times), len(read)) == (400, 40)
    del read[:]
    assert [row["request_time"] for row in newest(place, "parquet", Wanted("e1"), 7)] == times[:7]
    assert len(read) <= 5
    del read[:]
    assert len(list(bodies(place, "parquet", Wanted("e1"), 7))) == 7
    assert len(read) == 1


def test_two_hosts_that_write_to_one_place_merge_only_files_of_their_own(tmp_path: Path) -> None:
    hosts = [Log(tmp_path / name) for name in ("one", "two")]
    hosts[1].label = hosts[0].label
    for number in range(35):
        hosts[0].segment(record(number))
        hosts[1].segment(record(100 + number))
    for host in (*hosts, hosts[0].new_writer(), hosts[1].new_writer()):
        getattr(host, "writer", host).run_once()
    rows = [row["databricks_request_id"] for row in hosts[0].rows()]
    assert sorted(rows) == sorted(f"r{number}" for number in (*range(35), *range(100, 135)))
    assert len(list(hosts[0].place.rglob("*.parquet"))) == 2


def test_old_days_are_removed_by_age_and_old_files_by_size(tmp_path: Path) -> None:
    log = Log(tmp_path, retention_days=2.0, max_bytes=58_000)
    log.segment(record(0), record(-4 * 24 * 3600))
    log.writer.run_once()
    assert len(log.rows()) == 1
    log.now += 3600
    log.segment(record(60, request=os.urandom(50_000).hex().encode()))
    log.writer.run_once()
    assert [row["databricks_request_id"] for row in log.rows()] == ["r60"]


def test_requests_are_listed_newest_first_page_by_page_and_found_by_id(log: Log) -> None:
    for start in range(0, 30, 10):
        log.segment(*(record(number, status=200 + number % 2 * 300) for number in range(start, start + 10)))
    log.label = Label("e2", str(log.place), "parquet", (), 30.0, 2**30)
    log.segment(record(99))
    log.writer.run_once()
    place = str(log.place)
    first = newest(place, "parquet", Wanted("e1"), 4)
    assert [row["databricks_request_id"] for row in first] == ["r29", "r28", "r27", "r26"]
    before = (int(first[-1]["request_time"].timestamp() * 1e6), "r26")
    assert [row["databricks_request_id"] for row in newest(place, "parquet", Wanted("e1", before=before), 2)] == [
        "r25",
        "r24",
    ]
    failed = newest(place, "parquet", Wanted("e1", statuses=(500, 599), end_us=(NOW + 4) * 1_000_000), 9)
    assert [row["databricks_request_id"] for row in failed] == ["r3", "r1"]
    assert newest(place, "parquet", Wanted("e1", entity="8"), 9) == []
    assert one(place, "parquet", "e1", "r5", 0, 2**62)["request"] == '{"inputs": [1]}'
    assert one(place, "parquet", "e1", "r99", 0, 2**62) is None


def test_a_delta_table_has_each_request_once(tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake")
    log = Log(tmp_path, format="delta", redact=("inputs",))
    path = log.segment(record(0), record(1))
    kept = path.read_bytes()
    log.writer.run_once()
    path.write_bytes(kept)
    log.new_writer().run_once()
    table = deltalake.DeltaTable(str(log.place)).to_pyarrow_dataset().to_table()
    assert (table.num_rows, set(table.column_names)) == (2, set(COLUMNS))
    rows = newest(str(log.place), "delta", Wanted("e1"), 9)
    assert [row["databricks_request_id"] for row in rows] == ["r1", "r0"]
    assert one(str(log.place), "delta", "e1", "r1", 0, 2**62)["request"] == '{"inputs":"[REDACTED]"}'


def test_a_delta_table_of_which_nothing_is_written_yet_has_no_requests(tmp_path: Path) -> None:
    pytest.importorskip("deltalake")
    place = str(tmp_path / "log")
    assert newest(place, "delta", Wanted("e1"), 9) == []
    assert one(place, "delta", "e1", "r1", 0, 2**62) is None
    assert list(bodies(place, "delta", Wanted("e1"), 9)) == []


def test_of_a_delta_table_only_the_files_are_read_that_may_have_what_is_asked_for(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("deltalake")
    from mlflow_serving_plugin.request_log import delta

    log, day, read = Log(tmp_path, format="delta"), 24 * 3600, []
    for number in range(5):
        log.segment(record(number * day), record(number * day + 1))
        log.writer.run_once()
    parts = delta.newest_first
    monkeypatch.setattr(
        delta,
        "newest_first",
        lambda *asked: [
            part._replace(read=lambda part=part: read.append(part.last_us) or part.read()) for part in parts(*asked)
        ],
    )

    def ids(most: int, **wanted) -> list[str]:
        read.clear()
        found = newest(str(log.place), "delta", Wanted("e1", **wanted), most)
        return [row["databricks_request_id"] for row in found]

    assert (ids(3), len(read)) == ([f"r{4 * day + 1}", f"r{4 * day}", f"r{3 * day + 1}"], 2)
    only_one = {"begin_us": (NOW + day) * 1_000_000, "end_us": (NOW + day + 1) * 1_000_000}
    assert (ids(9, **only_one), len(read)) == ([f"r{day}"], 1)
    assert len(list(bodies(str(log.place), "delta", Wanted("e1"), 3))) == 3


def test_a_queue_that_is_full_drops_and_counts_and_the_rest_is_written(log: Log, monkeypatch) -> None:
    monkeypatch.setattr(spooling, "MOST_RECORDS", 3)
    spool = Spool(log.segments, log.count, 2**30)
    for number in range(5):
        spool.put(log.label, record(number))
    spool.start()
    spool.stop()
    assert log.counts == {"taken": 3, "dropped": 2}
    log.writer.run_once()
    assert len(log.rows()) == 3


KILLED = """
import os, signal, sys, time
from pathlib import Path
from mlflow_serving_plugin.request_log.record import Record
from mlflow_serving_plugin.request_log.segments import Label
from mlflow_serving_plugin.request_log.spool import Spool
label = Label("e1", sys.argv[2], "parquet", (), 30.0, 2**30)
counts = []
spool = Spool(Path(sys.argv[1]), lambda *count: counts.append(count), 2**30)
spool.start()
def put(number):
    spool.put(label, Record(f"r{number}", 1_764_000_000_000_000, 12, 200, 1.0, str(number % 2), None, b"{}", b"{}"))
for number in range(3):
    put(number)
while sum(number for _, number in counts) < 3:
    time.sleep(0.01)
for number in range(3, 8):
    put(number)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_web_worker_had_in_memory_is_counted_as_lost(log: Log) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(log.segments), str(log.place)], check=False)
    found: Counter = Counter()
    Writer(log.segments, lambda labels, number: found.update({labels: number}), lambda: NOW).run_once()
    assert found == {
        ("e1", "0", "written"): 2,
        ("e1", "1", "written"): 1,
        ("e1", "0", "lost"): 2,
        ("e1", "1", "lost"): 3,
    }
    log.writer.run_once()
    assert not log.counts["lost"]


def test_a_web_worker_that_lives_or_has_stopped_has_lost_nothing(log: Log) -> None:
    spool = Spool(log.segments, log.count, 2**30)
    spool.put(log.label, record(0))
    log.writer.run_once()
    spool.start()
    spool.stop()
    spool.put(log.label, record(1))
    log.writer.run_once()
    assert log.counts == {"taken": 1, "written": 1}
    assert not list(log.segments.glob("*.tally"))


def test_more_entities_than_a_tally_has_slots_for_share_the_last_one(tmp_path: Path) -> None:
    tally = Tally(tmp_path)
    for number in range(300):
        tally.taken(("e1", str(number)))
        tally.taken(("e1", "x" * 300))
    tally.settled(("e1", "7"), 1)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    tally.close()
    path.write_bytes(data)
    lost = dict(take_lost(tmp_path))
    assert (len(lost), lost["e1", "8"], lost["", ""], ("e1", "7") in lost) == (254, 1, 346, False)
    assert not list(take_lost(tmp_path))


def test_when_too_much_waits_or_the_disk_is_full_requests_are_dropped_until_that_ends(log: Log) -> None:
    waiting = log.segments / "0-0-a.segment"
    waiting.write_bytes(b"x" * 1000)
    spool = Spool(log.segments, log.count, 500)
    spool.start()
    spool.put(log.label, record(0))
    eventually(lambda: log.counts["dropped"] == 1)
    waiting.unlink()
    eventually(lambda: (spool.put(log.label, record(1)), log.counts["taken"] > 0)[1])
    spool.stop()


def test_a_store_that_hangs_holds_up_no_other_log_and_has_each_request_once_afterwards(
    tmp_path: Path, monkeypatch
) -> None:
    log, goes_on = Log(tmp_path), threading.Event()
    log.writer = Writer(log.segments, log.count, lambda: log.now, patience_s=0.1)
    log.segment(record(0))
    log.segment(record(1))
    good, log.label = log.label, replace(log.label, place=str(tmp_path / "hangs"))
    log.segment(record(2))
    log.segment(record(3))
    log.label = good
    write = LogFiles.write

    def hang(files: LogFiles, table: object, name: str) -> None:
        if str(files._root).endswith("hangs"):
            goes_on.wait()
        write(files, table, name)

    monkeypatch.setattr(LogFiles, "write", hang)
    assert (log.writer.run_once(), len(log.rows()), log.counts["written"]) == (2, 2, 2)
    assert log.writer.run_once() == 2
    goes_on.set()
    eventually(lambda: log.writer.run_once() == 0)
    assert sorted(pq.read_table(tmp_path / "hangs").column("databricks_request_id").to_pylist()) == ["r2", "r3"]
    assert log.counts["written"] == 4


def test_a_log_in_s3_waits_while_the_store_is_away_and_is_read_back(tmp_path: Path, monkeypatch) -> None:
    boto3, server = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    port = free_port()
    log = Log(tmp_path)
    log.label = log.label.__class__(
        "e1", f"s3://logs/a?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1", "parquet", (), 30.0, 2**30
    )
    log.segment(record(0))
    assert log.writer.run_once() == 1
    store = server.ThreadedMotoServer("127.0.0.1", port)
    store.start()
    try:
        boto3.client("s3", "us-east-1", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket="logs")
        assert log.writer.run_once() == 0
        assert [row["databricks_request_id"] for row in newest(log.label.place, "parquet", Wanted("e1"), 9)] == ["r0"]
    finally:
        store.stop()
