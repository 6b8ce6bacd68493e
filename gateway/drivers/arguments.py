"""Options of the programs that load no command-line library: their help and mistakes in words.

The standard library's parser says both in English only. The words of a mistake are also those of
the other verbs (cli/misuse.py).
"""

import argparse
import re
import sys
from collections.abc import Iterable
from typing import NoReturn

from gateway.domain.text import Lang, Text

ERROR = Text("错误", "error")
ADVICE = Text("建议", "do")
HELP = Text("查看 {command} --help", "see {command} --help")
MEANT = Text("是不是 {meant}？{help}", "did you mean {meant}? {help}")
NO_OPTION = Text("没有 {word} 这个选项", "there is no option {word}")
NO_VALUE = Text("选项 {word} 后面缺少内容", "nothing stands after the option {word}")
TAKES_NONE = Text("选项 {word} 后面不能带内容", "the option {word} takes no value")
TOO_MUCH = Text("多出来的内容：{word}", "there is no place for: {word}")
LACKING = Text("缺少 {where}{meaning}", "{where} is missing{meaning}")
NO_CHOICE = Text("{where}：没有“{value}”", "{where}: there is no `{value}`")
CHOICES = Text("可用的有：{allowed}", "there are: {allowed}")
NOT_READ = Text("{where}：看不懂“{value}”", "{where}: `{value}` is not understood")
SUCH_AS = Text("写成如 {example}", "write it like {example}")
WRONG = Text("{where}：{value}", "{where}: {value}")
DASHES = Text(
    "选项以两个英文减号开头：--json；{help}",
    "an option begins with two plain minus signs: --json; {help}",
)
USAGE = Text("用法:", "Usage:")
SHOW_HELP = Text("显示这份说明。", "Show this message and exit.")
TITLES = {
    "usage:": USAGE,
    "positional arguments:": Text("参数:", "Arguments:"),
    "options:": Text("选项:", "Options:"),
}


class Arguments(argparse.ArgumentParser):
    """The standard library's parser, which tells help and mistakes in one language."""

    def __init__(self, lang: Lang, *, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, add_help=False)
        self.lang = lang
        self.add_argument("-h", "--help", action="help", help=SHOW_HELP.in_(lang))

    def format_usage(self) -> str:
        return self._said(super().format_usage())

    def format_help(self) -> str:
        return self._said(super().format_help())

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and one sentence, and what to type instead."""
        sys.stderr.write(mistake(*self._mistaken(message), self.lang))
        self.exit(2)

    def _said(self, text: str) -> str:
        for title, word in TITLES.items():
            text = re.sub(rf"^{title}", word.in_(self.lang), text, count=1, flags=re.MULTILINE)
        return text

    def _mistaken(self, message: str) -> tuple[str, str]:
        """What is wrong, and what to do about it."""
        help_, lang = HELP.in_(self.lang).format(command=self.prog), self.lang
        if found := re.match(r"unrecognized arguments: (.*)$", message, re.DOTALL):
            return self._unknown(found[1].split(), help_)
        if found := re.match(r"argument (\S+): (.*)$", message, re.DOTALL):
            return self._bad_value(found[1].split("/")[-1], found[2], help_)
        if found := re.match(r"the following arguments are required: (.*)$", message):
            return LACKING.in_(lang).format(where=found[1], meaning=""), help_
        if found := re.match(r"ambiguous option: (\S+) could match (.*)$", message):
            fact = NO_OPTION.in_(lang).format(word=found[1])
            return fact, meant(found[2].split(", "), help_, lang)
        return message, help_

    def _unknown(self, words: list[str], help_: str) -> tuple[str, str]:
        option = next((word for word in words if word.startswith("-")), None)
        if option is None:
            advice = DASHES.in_(self.lang).format(help=help_) if is_dashed(words) else help_
            return TOO_MUCH.in_(self.lang).format(word=" ".join(words)), advice
        name = option.partition("=")[0]
        near_ = near(name, self._option_string_actions)
        return NO_OPTION.in_(self.lang).format(word=name), meant(near_, help_, self.lang)

    def _bad_value(self, where: str, said: str, help_: str) -> tuple[str, str]:
        lang = self.lang
        if said == "expected one argument":
            return NO_VALUE.in_(lang).format(word=where), help_
        if said.startswith("ignored explicit argument"):
            return TAKES_NONE.in_(lang).format(word=where), help_
        if found := re.match(r"invalid choice: '?(.*?)'? \(choose from (.*)\)$", said):
            allowed = [each.strip(" '") for each in found[2].split(",")]
            listed = CHOICES.in_(lang).format(allowed=", ".join(allowed))
            fact = NO_CHOICE.in_(lang).format(where=where, value=found[1])
            return fact, meant(near(found[1], allowed), listed, lang)
        if found := re.match(r"invalid \S+ value: '(.*)'$", said, re.DOTALL):
            return NOT_READ.in_(lang).format(where=where, value=found[1]), help_
        if found := re.match(r"'(.*?)': (.+)$", said, re.DOTALL):
            fact = NOT_READ.in_(lang).format(where=where, value=found[1])
            return fact, SUCH_AS.in_(lang).format(example=found[2])
        return WRONG.in_(lang).format(where=where, value=said), help_


def mistake(fact: str, advice: str, lang: Lang) -> str:
    """The two lines that every verb tells a mistake in."""
    return f"{ERROR.in_(lang)}: {fact}\n  = {ADVICE.in_(lang)}: {advice}\n"


def near(word: str, known: Iterable[str]) -> list[str]:
    """The names that were probably meant; also of a word that begins one."""
    from difflib import get_close_matches  # noqa: PLC0415 - not kept by the daemon

    names = list(known)
    typed = word.casefold()
    return get_close_matches(typed, names, n=2, cutoff=0.6) or [
        name for name in names if len(typed) >= 3 and name.startswith(typed)
    ]


def meant(names: Iterable[str], help_: str, lang: Lang) -> str:
    """`did you mean ...?` and where more is said; only that where nothing is near."""
    said = Text(" 或 ", " or ").in_(lang).join(names)
    return MEANT.in_(lang).format(meant=said, help=help_) if said else help_


def is_dashed(words: Iterable[str]) -> bool:
    """A dash of another kind, as input methods and word processors make of two minus signs."""
    return any(word[0] in "—–－‐−" for word in words)
