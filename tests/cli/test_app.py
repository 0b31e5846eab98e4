import sys
from types import ModuleType

import pytest

from erpose_edge import __version__
from erpose_edge.cli import app
from erpose_edge.cli.app import COMMANDS, load_command, main
from erpose_edge.errors import ConfigError, IntegrityError, TargetError


@pytest.fixture
def command(monkeypatch):
    """Put a function in the place of the command ``info``."""

    def put(function):
        module = ModuleType("erpose_edge.cli.info")
        module.command = function
        monkeypatch.setitem(sys.modules, "erpose_edge.cli.info", module)

    return put


def raising(error):
    def command():
        raise error

    return command


def test_help_names_every_command_and_imports_none(capsys, monkeypatch):
    monkeypatch.setattr(app, "load_command", raising(AssertionError("loaded a command")))
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, help_line in COMMANDS.items():
        assert name in out
        assert help_line.split(".")[0] in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"erpose-edge {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_has_the_help_of_the_table(name, capsys):
    assert load_command(name).help.splitlines()[0] == COMMANDS[name]
    assert main([name, "--help"]) == 0
    assert f"Usage: erpose-edge {name}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["targets", "--nonsense"], ["targets", "x"]])
def test_a_mistake_in_usage_ends_with_2_and_an_empty_stdout(arguments, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert arguments[-1] in captured.err


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError, 2), (TargetError, 5), (IntegrityError, 6)]
)
def test_a_deliberate_error_is_one_line_and_its_exit_code(command, capsys, error, code):
    command(raising(error("config:\n  [red]x[/red] " + "long " * 60)))
    assert main(["info"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: config: [red]x[/red] long")
    assert captured.err.count("\n") == 1


def test_a_bug_keeps_its_traceback(command):
    command(raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["info"])


def test_a_package_of_an_extra_that_is_missing_names_the_extra(command, capsys):
    command(raising(ModuleNotFoundError("No module named 'torch'", name="torch.nn")))
    assert main(["info"]) == 2
    expected = "error: info: expected the package 'torch.nn', got none; run `pip install "
    assert capsys.readouterr().err == expected + "'erpose-edge[train]'`\n"


def test_a_missing_module_of_this_package_is_a_bug(command):
    command(raising(ModuleNotFoundError("no", name="erpose_edge.nothing")))
    with pytest.raises(ModuleNotFoundError):
        main(["info"])


def test_an_interrupt_ends_with_130(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
