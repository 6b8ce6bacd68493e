"""Which language to speak."""

from collections.abc import Mapping, Sequence

from gateway.domain.text import Lang


def language(arguments: Sequence[str], environment: Mapping[str, str]) -> Lang:
    """Return the language to speak: `--lang` if given, else the locale's, else English.

    Looks before the arguments are parsed, because the help itself is in that language.
    """
    for at, argument in enumerate(arguments):
        if argument.startswith("--lang"):
            _, _, value = argument.partition("=")
            value = value or "".join(arguments[at + 1 : at + 2])
            if value in set(Lang):
                return Lang(value)
    locale = next(
        (environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)),
        "",
    )
    return Lang.ZH if locale.lower().startswith("zh") else Lang.EN


def in_front(arguments: Sequence[str]) -> list[str]:
    """The arguments with a `--lang` that can be obeyed before the verb: it may stand anywhere.

    A group of verbs (`alarm --lang zh list`) has no options of its own to hold it.
    """
    front, rest, words = list[str](), list[str](), list(arguments)
    while words:
        word = words.pop(0)
        _, sign, value = word.partition("=")
        if word == "--lang" and words and words[0] in set(Lang):
            front = [word, words.pop(0)]
        elif word.startswith("--lang=") and sign and value in set(Lang):
            front = [word]
        else:
            rest.append(word)
    return [*front, *rest]
