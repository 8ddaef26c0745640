"""The client's journal of promises."""

from pathlib import Path

from infra.demo import journal
from infra.demo.journal import Journal, Promise

PROMISE = Promise("01a2-b", "run-1", 1000.25, 1001.5, 1002.0)


def test_what_was_appended_is_read(tmp_path: Path):
    with Journal(tmp_path / "journals" / "run.jsonl") as kept:
        kept.append(PROMISE)
        kept.append(PROMISE._replace(id="other"))

    assert [promise.id for promise in journal.read(kept.path)] == ["01a2-b", "other"]
    assert next(journal.read(kept.path)) == PROMISE


def test_flushed_lines_are_there_before_the_end(tmp_path: Path):
    kept = Journal(tmp_path / "run.jsonl")
    kept.append(PROMISE)
    kept.flush()

    assert list(journal.read(kept.path)) == [PROMISE]
    kept.__exit__()


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path):
    with Journal(tmp_path / "run.jsonl") as kept:
        kept.append(PROMISE)
    with kept.path.open("ab") as file:
        file.write(b'{"id": "half')

    assert list(journal.read(kept.path)) == [PROMISE]
