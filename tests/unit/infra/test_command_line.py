"""What the command line says of a command that cannot be understood."""

import pytest

from infra import cli


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["uoop", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("demo", "--orders", "x"), ("demo", "--nonsense"), ("status",), ("runs", "nonsense")],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(monkeypatch, *arguments)

    told = capsys.readouterr()
    assert (code, told.out, len(told.err.splitlines())) == (2, "", 1)
    assert "--help" in told.err


@pytest.mark.parametrize("arguments", [(), ("runs",)])
def test_a_group_without_a_command_shows_its_commands(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, *arguments)

    told = capsys.readouterr()
    assert "Commands" in told.out
    assert told.err == ""


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert not run(monkeypatch, "--version")
    assert capsys.readouterr().out.startswith("uoop 0.")
