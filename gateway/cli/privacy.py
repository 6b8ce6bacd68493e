"""What may leave the house: text and data without people and without secrets.

Two nets. What the house knows of itself (names, staff codes, cards, tags, contents of key files) is
taken out wherever it stands, in whatever way it is written. What looks like a person's or a secret
(telephone numbers, addresses, tokens, passwords beside their word) is taken out whoever's it is.
Rather too much than too little: who helps can ask.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from gateway.config.people import NAME as PEOPLE
from gateway.config.people import read_people
from gateway.config.tree import read_tree
from gateway.domain.site import Site

GONE = "(removed)"
MAX_FILE = 2**20

# keys whose value is a person's, a card's or a secret, in answers and in the site file
_PRIVATE = frozenset(
    {
        "by", "owner", "leader", "person", "partner", "persons", "people", "staff", "supervisor",
        "witness", "witnesses", "username", "uid", "uids", "card", "cards", "tag_uid", "token",
        "tokens", "pin", "password", "secret", "key", "cmac", "photo", "photos", "phone", "phones",
        "name_of", "signed", "signer", "signatures",
    }
)  # fmt: skip
_TYPED = frozenset({"text", "note", "notes", "cause", "order", "scenario", "comment", "answer"})
_OF_SITE = ("owner", "username", "uid", "token", "pin", "password", "leader")

_COMMENT = re.compile(r"(^|[ \t])#[^\n]*", re.MULTILINE)
_LINE_OF_SITE = re.compile(
    rf"([\"']?\b(?:{'|'.join(_OF_SITE)})[\"']?\s*:\s*)(\"[^\"]*\"|'[^']*'|[^,}}#\n]+)"
)
_SCALAR_OF_PEOPLE = re.compile(
    r"[\"']?\b(?:name|uid|pin|label)[\"']?\s*[:：]\s*(\"[^\"\n]*\"|'[^'\n]*'|[^,}\]#\n]+)"
)
_CODE_OF_PEOPLE = re.compile(r"^[ \t]+[\"']?([A-Za-z0-9][\w.@-]*)[\"']?[ \t]*:", re.MULTILINE)
_WORDS_OF_PEOPLE = frozenset({"name", "role", "until", "cards", "uid", "label", "pin", "pin_until"})
_PIECE = re.compile(r"[A-Za-z0-9_-]+")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[ :-]?){3,9}[0-9A-Fa-f]{2}")

_BESIDE = (  # words beside which a secret stands
    r"(?:pass(?:word|wd|phrase)?|pwd|pin|token|secret|api[_-]?key|key|cmac|picc_data|enc|cookie"
    r"|authorization|bearer|sid|session|user(?:name)?|login|uid|card)"
)
_VALUE = r"(?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s,;&}\]\"']+)"
_NO_MORE_HEX, _NO_HEX_BEFORE = r"(?![0-9A-Za-z])", r"(?<![0-9A-Za-z])"
_UNITS_OF_SYSTEMD = r"(?!\S{1,60}\.(?:service|timer|socket|slice|target)\b)"  # getty@tty1.service


def _looks(*parts: str, also: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    return re.compile("".join(parts), re.IGNORECASE | also)


_PEM = _looks(r"-----BEGIN [^-\n]{1,40}-----.*?(?:-----END [^-\n]{1,40}-----|\Z)", also=re.DOTALL)
_LOGIN = _looks(r"(\b[a-z][a-z0-9+.-]{1,20}://)[^\s\"'<>]{0,500}@")
_QUERY = _looks(r"([?&][\w.-]{1,40}=)[^&\s\"'<>]+")
_TOLD = _looks(
    rf"(\b(?:[\w-]{{0,20}}_)?{_BESIDE}[\"']?[ \t]*[=:：][ \t]*)(?!\(removed\))",
    rf"((?:(?:Basic|Bearer)[ \t]+)?{_VALUE})",
)
_BEARER = _looks(r"(\bBearer\s+)[\w.~+/=-]+")
_WHOLE = (
    _PEM,
    _looks(r"\$argon2[a-z]{0,2}\$[^\s\"']+"),
    _looks(rf"(?<![\w.+%-])[\w.+%-]{{1,64}}@{_UNITS_OF_SYSTEMD}[\w-]{{1,60}}(?:\.[\w-]{{1,60}})+"),
    _looks(r"(?<![\dA-Za-z])\d{17}[\dX](?![\dA-Za-z])"),  # identity card
    _looks(r"(?<![\d.])(?:\+?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}(?!\d)"),  # mobile
    _looks(r"(?<![\d.])(?:\(0\d{2,3}\)[ -]?|0\d{2,3}[ -])\d{3,4}[ -]?\d{4}(?!\d)"),
    _looks(  # a card's number in pairs
        _NO_HEX_BEFORE, r"[0-9A-F]{2}([ :-])(?:[0-9A-F]{2}\1){2,8}[0-9A-F]{2}", _NO_MORE_HEX
    ),
    _looks(  # a card's number, a key, a digest
        _NO_HEX_BEFORE, r"(?:[0-9A-F]{14}|[0-9A-F]{20}|[0-9A-F]{32,})", _NO_MORE_HEX
    ),
    re.compile(  # a token
        r"(?<![\w/.-])(?=[\w-]{0,200}[0-9])(?=[\w-]{0,200}[a-z])(?=[\w-]{0,200}[A-Z])"
        r"[A-Za-z0-9_-]{24,200}(?![\w-])"
    ),
    _looks(r"(?<![\w./-])[\w./-]{1,200}\.(?:jpe?g|png|heic|webp)\b"),
)


class PeopleUnknown(Exception):
    """The file of people is there and cannot be read: nobody could be taken out."""


def without_people(value: Any) -> Any:
    """The same data; whatever stands for a person, or was typed by one, replaced."""
    if isinstance(value, dict):
        typed = _TYPED | {"why"} if any(map(_is_private, value)) else _TYPED
        return {
            key: GONE if item and (_is_private(key) or key in typed) else without_people(item)
            for key, item in value.items()
        }
    return [without_people(each) for each in value] if isinstance(value, list) else value


def _is_private(key: object) -> bool:
    return isinstance(key, str) and (key in _PRIVATE or key.endswith(("_by", "_uid", "_token")))


def site_text(text: str) -> str:
    """The site file line by line, without comments, owners, logins, tags."""
    return _LINE_OF_SITE.sub(rf"\1{GONE}", _COMMENT.sub(rf"\1# {GONE}", text))


def house_words(path: Path, site: Site | None) -> frozenset[str]:
    """What this house must not tell of itself; PeopleUnknown when it cannot be known."""
    return frozenset(
        word.strip()
        for words in (_people(path.parent), _of_site(path), _of_files(path.parent, site))
        for word in words
        if len(word.strip()) > 1
    )


def _people(folder: Path) -> Iterator[str]:
    """Names, codes and cards; of a file with mistakes whatever looks like one."""
    path = folder / PEOPLE
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise PeopleUnknown(f"{path}: {error.strerror}") from error
    for person in (read_people(folder, []) or {}).values():
        yield from (person.code, person.name)
        yield from (each for card in person.credentials for each in (card.secret, card.label))
    for found in _SCALAR_OF_PEOPLE.finditer(text):
        yield found[1].strip().strip("\"'")
    yield from set(_CODE_OF_PEOPLE.findall(text)) - _WORDS_OF_PEOPLE


def _of_site(path: Path) -> Iterator[str]:
    tree = read_tree(path, str(path), [])
    yield from () if tree is None else _scalars(tree.data, is_private=False)


def _scalars(value: Any, *, is_private: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _scalars(item, is_private=is_private or key in _OF_SITE)
    elif isinstance(value, list):
        for each in value:
            yield from _scalars(each, is_private=is_private)
    elif is_private and value is not None:
        yield str(value)


def _of_files(folder: Path, site: Site | None) -> Iterator[str]:
    """What stands in the files of secrets, line by line; a file that cannot be read is no use."""
    if site is None:
        return
    uplink, tags = site.uplink, site.tag_keys
    paths = [uplink.password_file, uplink.key_file] if uplink is not None else []
    paths += [tags.meta_read, tags.file_read] if tags is not None else []
    for path in filter(None, paths):
        try:
            with (folder / path).open("rb") as file:
                text = file.read(MAX_FILE).decode("utf-8", errors="replace")
        except OSError:
            continue
        yield from (line for line in text.splitlines() if not line.startswith("-----"))


def cleaner(words: Iterable[str]) -> Callable[[str], str]:
    """What takes people and secrets out of a text; `words`: those of the house.

    Words of one piece are looked up, which costs the same for five people and for five hundred.
    """
    known = frozenset(words)
    pieces = frozenset(form.lower() for word in known for form in _pieces(word))
    ascii_, others = _any_of(_spaced(known), re.IGNORECASE), _any_of(_written(known))
    return partial(_clean, pieces, [each for each in (ascii_, others) if each is not None])


def _clean(pieces: frozenset[str], own: Iterable[re.Pattern[str]], text: str) -> str:
    for pattern in own:
        text = pattern.sub(_line_by_line, text)
    text = _PIECE.sub(lambda found: GONE if found[0].lower() in pieces else found[0], text)
    text = _LOGIN.sub(rf"\1{GONE}@", text)
    text = _TOLD.sub(_quoted, text)
    for pattern in (_QUERY, _BEARER):
        text = pattern.sub(rf"\1{GONE}", text)
    for pattern in _WHOLE:
        text = pattern.sub(GONE, text)
    return text


def _any_of(forms: Iterable[str], flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str] | None:
    longest_first = sorted(set(forms), key=len, reverse=True)
    return re.compile("|".join(longest_first), flags) if longest_first else None


def _pieces(word: str) -> Iterator[str]:
    """A code, a name of one word, a card without its blanks (with them it is seen by its looks)."""
    if _PIECE.fullmatch(word):
        yield word
    if _HEX.fullmatch(word):
        yield re.sub(r"[ :-]", "", word)


def _spaced(words: Iterable[str]) -> Iterator[str]:
    """Latin words of several pieces, with whatever blanks between them."""
    for word in words:
        if word.isascii() and not _PIECE.fullmatch(word):
            body = r"[\s_]*".join(re.escape(part) for part in word.split())
            yield rf"(?<![A-Za-z0-9_-]){body}(?![A-Za-z0-9_-])"


def _written(words: Iterable[str]) -> Iterator[str]:
    """All other words: as they are, and escaped as in JSON."""
    for word in words:
        if not word.isascii():
            yield r"[\s_]*".join(re.escape(part) for part in word.split())
            yield re.escape(json.dumps(word)[1:-1])


def _line_by_line(found: re.Match[str]) -> str:
    """A name may be written over two lines; those that follow keep their numbers."""
    return GONE + "\n" * found[0].count("\n")


def _quoted(found: re.Match[str]) -> str:
    """JSON stays JSON."""
    mark = found[2][0] if found[2][0] in "\"'" else ""
    return f"{found[1]}{mark}{GONE}{mark}"
