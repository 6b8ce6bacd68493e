"""What was mistyped on the command line, in one plain sentence and what to type instead.

The library that parses the line says it in English only, in a parser's words, and puts help under
English headings. Its exceptions are known by their names: where they live moves between versions.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer
from typer import rich_utils

from gateway.domain.text import Lang, Text
from gateway.drivers.arguments import (
    CHOICES,
    DASHES,
    HELP,
    LACKING,
    NO_CHOICE,
    NO_OPTION,
    NO_VALUE,
    NOT_READ,
    SHOW_HELP,
    SUCH_AS,
    TAKES_NONE,
    TOO_MUCH,
    USAGE,
    WRONG,
    is_dashed,
    meant,
    mistake,
    near,
)

UsageError: type[Exception] = typer.BadParameter.__mro__[1]

STOPPED = Text("已中止", "stopped")
NO_COMMAND = Text("没有“{word}”这个命令", "there is no command `{word}`")
LIMITS = {
    "greater_than_equal": ("ge", Text("至少 {limit}", "at least {limit}")),
    "greater_than": ("gt", Text("大于 {limit}", "above {limit}")),
    "less_than_equal": ("le", Text("最多 {limit}", "at most {limit}")),
    "less_than": ("lt", Text("小于 {limit}", "below {limit}")),
}
OUT_OF_RANGE = Text("{where}：{value} 超出范围", "{where}: {value} is out of range")
NUMBERS = {
    "int": Text("写一个整数，如 20", "write a whole number, such as 20"),
    "float": Text("写一个数，如 2.5", "write a number, such as 2.5"),
}

# Where the library keeps its headings, and what it calls things in the line of usage.
HEADINGS = {
    "ARGUMENTS_PANEL_TITLE": Text("参数", "Arguments"),
    "OPTIONS_PANEL_TITLE": Text("选项", "Options"),
    "COMMANDS_PANEL_TITLE": Text("命令", "Commands"),
    "DEFAULT_STRING": Text("[默认：{}]", "[default: {}]"),
    "REQUIRED_LONG_STRING": Text("[必填]", "[required]"),
}
OPTIONS = Text("[选项]", "[OPTIONS]")
SUBCOMMAND = Text("命令 [参数]...", "COMMAND [ARGS]...")


def speak(command: Any, lang: Lang) -> None:
    """Put what the library itself says in the help of a command and its verbs in `lang`."""
    for name, word in HEADINGS.items():
        setattr(rich_utils, name, word.in_(lang))
    _speak(command, lang)


def _speak(command: Any, lang: Lang) -> None:
    command.options_metavar = OPTIONS.in_(lang)
    usage, help_option = command.get_usage, command.get_help_option

    def get_usage(context: Any) -> str:
        return str(usage(context)).replace(USAGE.en, USAGE.in_(lang), 1)

    def get_help_option(context: Any) -> Any:
        option = help_option(context)
        if option is not None:
            option.help = SHOW_HELP.in_(lang)
        return option

    command.get_usage, command.get_help_option = get_usage, get_help_option
    if hasattr(command, "commands"):
        command.subcommand_metavar = SUBCOMMAND.in_(lang)
        for each in command.commands.values():
            _speak(each, lang)


def told(error: Any, command: Any, typed: Sequence[str], lang: Lang) -> str:
    """Return the lines for a `UsageError`; empty where the help was printed in its place."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""
    context = getattr(error, "ctx", None)
    program = getattr(context, "command_path", "") or " ".join(_verbs(command, typed))
    fact, advice = _said(error, context, HELP.in_(lang).format(command=program), lang)
    return mistake(fact, advice, lang)


def _verbs(command: Any, typed: Sequence[str]) -> Iterator[str]:
    """The program and its verbs as they were typed, for an exception that does not know them."""
    yield "care-gateway"
    for word in typed:
        if word in getattr(command, "commands", {}):
            yield word
            command = command.commands[word]


def _said(error: Any, context: Any, help_: str, lang: Lang) -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    message = str(getattr(error, "message", error))
    match type(error).__name__:
        case "NoSuchOption":
            names = error.possibilities or near(error.option_name, _options(context))
            return NO_OPTION.in_(lang).format(word=error.option_name), meant(names, help_, lang)
        case "BadOptionUsage":
            word = NO_VALUE if "requires" in message else TAKES_NONE
            return word.in_(lang).format(word=error.option_name), help_
        case "MissingParameter":
            return _lacking(error, lang), help_
        case "BadParameter" if not message:
            return _lacking(error, lang), help_
        case "BadParameter":
            return _bad_value(error, message, help_, lang)
    if found := re.match(r"No such command '(.*?)'\.", message):
        names = near(found[1], getattr(context.command, "commands", {}))
        return NO_COMMAND.in_(lang).format(word=found[1]), meant(names, help_, lang)
    if found := re.match(r"Got unexpected extra argument\S* \((.*)\)$", message):
        advice = DASHES.in_(lang).format(help=help_) if is_dashed(found[1].split()) else help_
        return TOO_MUCH.in_(lang).format(word=found[1]), advice
    return message, help_


def _lacking(error: Any, lang: Lang) -> str:
    meaning = str(getattr(error.param, "help", None) or "").rstrip("。.")
    said = Text(f"：{meaning}", f": {meaning[:1].lower()}{meaning[1:]}").in_(lang)
    return LACKING.in_(lang).format(where=_where(error), meaning=said if meaning else "")


def _bad_value(error: Any, message: str, help_: str, lang: Lang) -> tuple[str, str]:
    where = _where(error)
    cause = getattr(error.__cause__, "errors", None)
    detail: Mapping[str, Any] = cause()[0] if cause is not None else {}
    kind, value = str(detail.get("type", "")), detail.get("input")
    if found := re.search(r"'(.*)' is not one of (.*?)\.?$", message):
        allowed = re.findall(r"'(.*?)'", found[2])
        fact = NO_CHOICE.in_(lang).format(where=where, value=found[1])
        listed = CHOICES.in_(lang).format(allowed=", ".join(allowed))
        return fact, meant(near(found[1], allowed), listed, lang)
    if kind in LIMITS:
        name, limit = LIMITS[kind]
        fact = OUT_OF_RANGE.in_(lang).format(where=where, value=value)
        return fact, limit.in_(lang).format(limit=f"{detail.get('ctx', {}).get(name):g}")
    if number := NUMBERS.get(kind.partition("_")[0]):
        fact = NOT_READ.in_(lang).format(where=where, value=value)
        return fact, number.in_(lang)
    if found := re.fullmatch(r"'(.*?)': (.+)", message, re.DOTALL):
        fact = NOT_READ.in_(lang).format(where=where, value=found[1])
        return fact, SUCH_AS.in_(lang).format(example=found[2])
    return WRONG.in_(lang).format(where=where, value=message), help_


def _where(error: Any) -> str:
    """The option or argument that is meant, as it is typed."""
    if error.param_hint:
        return str(error.param_hint)
    names = [name for name in getattr(error.param, "opts", ()) if name.startswith("--")]
    return names[0] if names else str(getattr(error.param, "name", ""))


def _options(context: Any) -> list[str]:
    command = getattr(context, "command", None)
    return [name for each in command.get_params(context) for name in each.opts] if command else []
