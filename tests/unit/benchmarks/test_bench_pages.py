"""What the bench writes."""

import json
from importlib import import_module
from xml.etree import ElementTree

import pytest

from benchmarks import blocks, check, pages, parts, performance, svg
from benchmarks.peers import lines

FIGURES = {"platform": 2.0, "API": 1.0, "workers, beat": 1.0, "load generator": 0.1}
POINT = {"p50_ms": 100.0, "p99_ms": 300.0, "cohort_size": 20.0, "cores": 0.5}


def test_every_part_can_be_measured_and_told():
    for name in (*parts.PARTS, *parts.ALONE):
        part = import_module(f"benchmarks.parts.{name}")
        assert part.TITLE and callable(part.measure) and callable(part.tell)


def test_a_table_has_a_line_a_row_and_shows_what_was_not_measured():
    assert pages.table(["a", "b"], [[1234, None], [0.1234, True]]) == (
        "| a | b |\n|---|---|\n| 1,234 | - |\n| 0.12 | yes |\n"
    )


@pytest.mark.parametrize("log", [False, True])
def test_a_plot_is_well_formed_and_has_a_line_for_each_series(log):
    drawn = svg.lines(
        "a < b", {"x": [(5, 20), (1000, 0.8)], "y & z": [(5, 7)]}, x="x", y="y", log_x=log, log_y=log
    )

    found = ElementTree.fromstring(drawn)

    assert len(found.findall("{*}polyline")) == 2


def test_a_plot_of_zeros_can_be_drawn():
    assert "polyline" in svg.lines("t", {"x": [(0, 0), (1, 0)]}, x="x", y="y")


def test_the_page_holds_what_was_found_and_its_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(performance, "PAGE", tmp_path / "performance.md")
    monkeypatch.setattr(performance, "PICTURES", tmp_path / "performance")
    monkeypatch.setattr(blocks, "PAGES", ())
    machine = dict.fromkeys(
        ("at", "version", "cores", "cpu", "memory_gb", "kernel", "python", "load_average"), 1
    )
    found = {
        "points": [
            POINT | {"rate": rate, "cpu_ms": FIGURES | {"platform": platform}}
            for rate, platform in ((20.0, 8.0), (1000.0, 0.9))
        ],
        "above_the_maximum": [2000.0],
        "bytes_per_order": {"tables": 5000, "wal": 6000},
    }
    kept = {"load_curve": {"command": "command", "machine": machine, "took_s": 9.0, "found": found}}

    performance.write(kept)

    page = (tmp_path / "performance.md").read_text()
    assert "## From one order to the maximum\n`command`" in page
    assert "falls from each rate to the next" in page
    assert (tmp_path / "performance" / "cost-per-order.svg").exists()


def test_the_figures_in_written_pages_are_those_that_were_measured(tmp_path, monkeypatch):
    pages = {page: tmp_path / page.name for page in blocks.PAGES}
    for page, copy in pages.items():
        copy.write_text(page.read_text())
    monkeypatch.setattr(blocks, "PAGES", tuple(pages.values()))

    performance.fill()

    for page, copy in pages.items():
        assert copy.read_text() == page.read_text()


def test_every_place_for_figures_is_known_and_filled_when_there_are_some():
    page = "above\n<!-- measured: relays -->\nold\n<!-- end -->\nbelow\n"
    found = {"relay": {"rates": {"kafka": {"events_per_s": 40_000}}}}

    assert "| kafka | 40,000 | 20,000 |\n<!-- end -->\nbelow" in blocks.filled(page, found)
    assert blocks.filled(page, {}) == page.replace("old", "*Not measured yet.*")
    assert all(name in blocks.BLOCKS for page in blocks.PAGES for name in blocks.places(page.read_text()))


@pytest.mark.parametrize(("ratio", "expected"), [(1.0, True), (1.14, True), (1.16, False), (0.5, True)])
def test_the_check_fails_beyond_fifteen_percent_of_the_median(ratio, expected):
    assert check.is_allowed([9.0, ratio, 0.1], baseline=1.0) is expected


def test_the_check_tells_of_a_gain_that_could_be_kept():
    assert "WRITE=1" in check.verdict([0.5], baseline=1.0)


def test_the_baseline_can_be_compared_with():
    assert json.loads(check.BASELINE.read_text())["ratio"] > 0


def test_peers_lines_are_of_one_length(tmp_path):
    told = lines.ended(tmp_path)
    told.append(lines.order(7), lines.CONFIRMED, 1.5)
    told.append(lines.order(12345), lines.FAILED)

    assert told.count() == 2
    assert next(told.read()) == ("000000000007", "c", 1.5)
