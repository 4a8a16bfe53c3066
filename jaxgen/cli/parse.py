"""Flags to arguments by tyro, whose reports of a wrong command line become one line."""

import contextlib
import dataclasses
import functools
import inspect
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from jaxgen.core import Option


class _Text(io.StringIO):
    encoding = "utf-8"  # tyro asks what it may draw boxes with


def call_of(
    function: Callable[..., int], arguments: Sequence[str], prog: str, unknown: str = "unknown:"
) -> Callable[[], int] | None:
    """The call of a function that a command line asks for; nothing is called yet.

    A field of a nested choice is a flag without its choice being named, as long as it is the choice by default
    (`--model.network.features 32`); whatever tyro cannot make a flag of is none (`Hashable`, functions).

    Args:
        function: Its annotated arguments are the flags, its docstring the help.
        arguments: The words after the command.
        prog: The command, as the help names it.
        unknown: Beginning of the message about words that are no flags.

    Returns:
        The call without arguments; None where help was printed instead.

    Raises:
        ValueError: A word that is no flag, a value that cannot be, or one that is missing.
    """
    for before, word in zip([prog, *arguments], arguments, strict=False):
        if not word:
            raise ValueError(f"{before} is followed by an empty word")
    if "--help-all" in arguments:
        print(_help_of_all_choices(function, prog))
        return None
    errors, prints = _Text(), any(word in ("-h", "--help") for word in arguments)
    prints |= bool(arguments) and arguments[0].startswith("--tyro-")
    try:
        with _wide(not prints), contextlib.redirect_stderr(errors):
            return _tyro(function, arguments, prog)
    except SystemExit as end:
        if not end.code:
            return None
        raise ValueError(_sentence(errors.getvalue(), prog, unknown)) from None
    except AssertionError as error:  # of tyro's own flags
        raise ValueError(str(error)) from None


def _tyro(function: Callable[..., int], arguments: Sequence[str], prog: str) -> Callable[[], int]:
    import tyro

    @functools.wraps(function)
    def bound(*positional: Any, **named: Any) -> Callable[[], int]:
        return functools.partial(function, *positional, **named)

    markers = (tyro.conf.CascadeSubcommandArgs, tyro.conf.SuppressFixed)
    return tyro.cli(bound, args=list(arguments), prog=prog, config=markers)


def value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """The value of a flag that is needed before all flags are known; None without one.

    Args:
        flag: The flag, with its dashes.
        arguments: The words after the command.
    """
    for word, following in zip(arguments, [*arguments[1:], None], strict=True):
        if word == flag or word.startswith(f"{flag}="):
            return following if word == flag else word.partition("=")[2]
    return None


def options_of(arguments: Mapping[str, inspect.Parameter]) -> type:
    """A dataclass whose fields are the arguments that a model's `sample` offers to the command line.

    Args:
        arguments: Arguments by name, of which those annotated by an `Option` are offered.
    """
    import tyro

    fields = [
        (name, Annotated[option.kind, tyro.conf.arg(help=option.help)], dataclasses.field(default=argument.default))
        for name, argument in arguments.items()
        for option in getattr(argument.annotation, "__metadata__", ())
        if isinstance(option, Option)
    ]
    return dataclasses.make_dataclass("Options", fields, frozen=True)


@contextlib.contextmanager
def _wide(wanted: bool) -> Iterator[None]:
    """A terminal in which no message is broken into lines, and which is none, so that nothing is coloured."""
    if not wanted:
        yield
        return
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"
    try:
        with contextlib.redirect_stdout(_Text()):
            yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _sentence(box: str, prog: str, unknown: str) -> str:
    """The message of tyro's box in one line: its first part, in jaxgen's words where they are known."""
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).strip("│|╭╮╰╯ \n") for line in box.splitlines()]
    parts: list[list[str]] = [[]]
    for line in lines[1:]:
        if line and not line.strip("─-+"):
            parts.append([])
        elif line:
            parts[-1].append(line)
    said, rest = " ".join(parts[0]), [line for part in parts[1:] for line in part]
    said = _not_recognised(said, rest, unknown)
    for pattern, ours in _WORDS.items():
        said = re.sub(pattern, ours, said)
    return f"{said} ({prog} --help lists the flags)"


_WORDS = {
    r"^Error parsing (?:config\.)?": "",
    r"(\S+): invalid literal for int\(\) with base 10: ": r"\1 must be an integer, got ",
    r"(\S+): could not convert string to float: ": r"\1 must be a number, got ",
    r"^Missing value for argument '(.*)'\. Expected 1 values\.$": r"\1 needs a value",
    r"(\S+): no type matching (\S+) could be instantiated from \['?(.*?)'?\]\..*": r"\1 must be \2, got \3",
    r"(\S+): Could not find valid parse for arguments: (.*)": r"\1 takes no such values, got \2",
    r"^Cannot select subcommand '(.*?)' because .*? when you used the flag '(.*?)'\..*": r"\1 must be named before \2",
    r"^Missing from [\w ]*: (.*?)\.? \(required\)$": r"missing: \1",
}
"""Words of tyro, and the same in jaxgen's."""


def _not_recognised(said: str, rest: list[str], unknown: str) -> str:
    """Name what is no flag, what may have been meant, or the choice that the flag belongs to."""
    # The list has the values of unknown flags too, and it may say where each word stood.
    found = re.findall(r"(\S+) \(applied to [^)]*\)", said) or re.findall(r"^Unrecognized options: (.*)", said)
    if not found:
        return said
    words = [word for text in found for word in text.split(", ")]
    close = dict.fromkeys(word for line in rest if line.startswith("--") for word in re.findall(r"--[\w.-]+", line))
    if any(word in close for word in words):
        owners = dict.fromkeys(re.findall(r"in .* (\S+:\S+) --help", "\n".join(rest)))
        return f"{' '.join(words)} belongs to {' or '.join(owners)}, which must be named before it"
    choices = re.findall(r"^Available subcommands: (.*)", "\n".join(rest), re.M)
    close = list(close)[:3] or [
        name for name in (choices or [""])[0].split(", ") if name.partition(":")[0] == words[0].partition(":")[0]
    ]
    return f"{unknown} {' '.join(words)}" + (f"; did you mean {' or '.join(close)}?" if close else "")


def _help(function: Callable[..., int], arguments: Sequence[str], prog: str) -> str:
    text = _Text()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        _tyro(function, [*arguments, "--help"], prog)
    return text.getvalue()


def _help_of_all_choices(function: Callable[..., int], prog: str) -> str:
    """The help, and after it the fields of every choice that is not one by default."""
    found = [_help(function, [], prog).rstrip()]
    waiting, seen = _choices(found[0]), set()
    while waiting:
        choice = waiting.pop(0)
        if choice in seen:
            continue
        seen.add(choice)
        shown = _help(function, [choice], prog)
        waiting += _choices(shown)
        place = choice.partition(":")[0]
        boxes = re.findall(rf"^[╭+][─-] {re.escape(place)}[\w.]* options .*?^[╰+][^\n]*$", shown, re.M | re.S)
        found.append("\n".join([f"\n{choice}" + ("" if boxes else ": no fields"), *boxes]))
    return "\n".join(found)


def _choices(text: str) -> list[str]:
    """The choices in a help text that are not the default of theirs."""
    defaults = set(re.findall(r"\(default: ([\w.-]+:[\w.-]+)\)", text))
    return [choice for choice in re.findall(r"• ([\w.-]+:[\w.-]+)", text) if choice not in defaults]
