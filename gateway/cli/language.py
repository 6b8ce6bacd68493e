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
