"""The header `traceparent`: what is read of it, and what is not valid."""

import pytest

from web import trace_context

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-{SPAN}-01", f"{TRACE}-01"),
        (f"00-{TRACE}-{SPAN}-00", f"{TRACE}-00"),
        (f"00-{TRACE}-{SPAN}-ff", f"{TRACE}-01"),
        (f"00-{TRACE}-{SPAN}-02", f"{TRACE}-00"),
        (f"cc-{TRACE}-{SPAN}-01", f"{TRACE}-01"),
        (f"cc-{TRACE}-{SPAN}-01-what-is-not-known-yet", f"{TRACE}-01"),
    ],
)
def test_the_id_and_the_sampled_flag_are_read(header: str, trace: str) -> None:
    assert trace_context.read(header) == trace


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        TRACE,
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
    ],
)
def test_what_is_not_valid_is_as_if_it_were_not_there(header: str | None) -> None:
    assert trace_context.read(header) is None
