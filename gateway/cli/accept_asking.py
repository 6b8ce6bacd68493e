"""Questions of an acceptance: put to a person, to what is piped in, or to a file of answers.

Every question has an id, `part/subject`. Enter leaves a thing for later; nothing counts as tried by
being passed over.
"""

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from fnmatch import fnmatchcase

from gateway.domain.text import Lang, Text

KEYS = Text(
    "ok=是  数值=仪表显示  s 原因=跳过  f 原因=不合格  r=再试  回车=以后再做  q=暂停",
    "ok=yes  number=the display shows it  s WHY=skip  f WHY=failed  r=again  Enter=later  q=pause",
)


class Kind(Enum):
    YES = auto()
    VALUE = auto()
    SKIP = auto()
    FAIL = auto()
    AGAIN = auto()
    LATER = auto()


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `text`: the value, or the reason."""

    kind: Kind
    text: str = ""


class Paused(Exception):
    """Nobody answers any more; what was accepted stays so."""


_YES = frozenset({"ok", "y", "yes", "=", "是", "对", "好"})
_REASONED = {"s": Kind.SKIP, "skip": Kind.SKIP, "跳过": Kind.SKIP, "f": Kind.FAIL,
             "fail": Kind.FAIL, "不合格": Kind.FAIL}  # fmt: skip


def understood(text: str) -> Said:
    """What was meant by what was typed. Raises Paused for `q`."""
    text = text.strip()
    first, _, rest = text.partition(" ")
    word = first.casefold()
    if not text:
        return Said(Kind.LATER)
    if text.casefold() in _YES:
        return Said(Kind.YES)
    if text.casefold() in ("q", "quit"):
        raise Paused
    if text.casefold() in ("r", "again"):
        return Said(Kind.AGAIN)
    if word in _REASONED:
        return Said(_REASONED[word], rest.strip())
    return Said(Kind.VALUE, text)


def read_line(prompt: str) -> str:
    """A line of stdin, asked for on stderr: stdout is for the result."""
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


@dataclass(slots=True)
class Asker:
    """Asks; counts what it asked. `answers`: of a file, else None and `read` is asked."""

    lang: Lang
    answers: Mapping[str, tuple[str, ...]] | None = None
    read: Callable[[str], str] = read_line
    prompts: int = 0
    _asked: Counter[str] = field(default_factory=Counter)

    def ask(self, key: str, question: Text | str) -> Said:
        """Put one question and return what was said."""
        words = question if isinstance(question, str) else question.in_(self.lang)
        self.prompts += 1
        if self.answers is None:
            print(words, file=sys.stderr)
            try:
                return understood(self.read(f"[{key}] > "))
            except EOFError:
                raise Paused from None
        answer = self._from_file(key)
        print(f"{words}\n[{key}] > {answer}", file=sys.stderr)
        return understood(answer)

    def _from_file(self, key: str) -> str:
        """The answer for this time; "" (later) where the file has none, or no further one."""
        known = self.answers or {}
        name = key if key in known else next((p for p in known if fnmatchcase(key, p)), None)
        turn = self._asked[key]
        self._asked[key] += 1
        listed = known[name] if name is not None else ()
        return listed[turn] if turn < len(listed) else ""
