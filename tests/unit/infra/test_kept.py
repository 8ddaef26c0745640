import socket
import stat

from infra import kept


def test_a_secret_is_made_once_and_closed_to_others(home):
    made = kept.secret(home / "password")

    assert kept.secret(home / "password") == made
    assert stat.S_IMODE((home / "password").stat().st_mode) == 0o600


def test_an_empty_secret_is_made_anew(home):
    (home / "password").write_text("")

    assert kept.secret(home / "password")


def test_a_port_is_chosen_once(home):
    chosen = kept.port(home, "redis")

    assert kept.port(home, "redis") == chosen
    assert kept.ports(home) == {"redis": chosen}


def test_a_port_that_was_taken_meanwhile_is_replaced(home):
    chosen = kept.port(home, "redis")

    with socket.create_server((kept.LOOPBACK, chosen)):
        replaced = kept.port(home, "redis")

    assert replaced != chosen


def test_a_broken_file_of_ports_is_replaced(home):
    (home / "ports.json").write_text('{"redis": "x"')

    chosen = kept.port(home, "redis")

    assert kept.ports(home) == {"redis": chosen}
