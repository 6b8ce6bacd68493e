"""Slips of the keyboard that YAML reports in its own jargon, said in plain words."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from gateway.config.problems import Level, Place, Problem
from gateway.domain.text import Text

FULL_WIDTH = (
    str.maketrans("：，｛｝［］“”‘’　（）％．－＃＿", ":,{}[]\"\"'' ()%.-#_")
    | {ord("０") + digit: ord("0") + digit for digit in range(10)}
    | {ord("Ａ") + letter: ord("A") + letter for letter in range(26)}
    | {ord("ａ") + letter: ord("a") + letter for letter in range(26)}
)
INVISIBLE = re.compile("[\u00a0\u00ad\u200b-\u200f\u2028\u2029\u2060\u3000\ufeff]")
# No screen, table or log line takes these in a text: control characters but the line's end, half
# characters, marks that turn the direction of reading.
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_KEY = r"[A-Za-z_][\w./-]*"
_ODD = "\u00a0\u2000-\u200b\u202f\u205f\u3000\ufeff"  # spaces of typography
_MERGE = re.compile(r"(?:<{7}|={7}|>{7}|\|{7})(?: |$)")  # what git leaves where two edits meet


@dataclass(frozen=True, slots=True)
class _Slip:
    """What was mistyped at `column` (from 0) of a line, over `length` characters."""

    column: int
    length: int
    code: str
    fact: Text
    advice: Text


@dataclass(frozen=True, slots=True)
class _At:
    """Where the grammar gave up, counted from 0."""

    lines: Sequence[str]
    line: int
    column: int

    @property
    def text(self) -> str:
        return self.lines[self.line] if self.line < len(self.lines) else ""

    @property
    def above(self) -> int | None:
        """The nearest line above that says something."""
        return next((n for n in range(self.line - 1, -1, -1) if _is_written(self.lines[n])), None)


def problem_of(error: YAMLError, lines: Sequence[str], file: str) -> Problem:
    """The plain words for what ruamel.yaml refused, at the place where it was mistyped."""
    if isinstance(error, ReaderError):
        return _unprintable(error, lines, file)
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return _fallback(Place(file), str(error).split("\n", 1)[0])
    for number, text in enumerate(lines):
        if _MERGE.match(text):
            return _placed(_merge_left_over(text), number, lines, file)
    looks = (_odd_indent, _full_width_key, _full_width_in_brackets, _odd_after_colon, _no_space)
    for line in _suspects(error, lines):
        for look in looks:
            slip = look(lines[line])
            if slip is not None:
                return _placed(slip, line, lines, file)
    return _by_grammar(error, lines, file)


def full_width(typed: str) -> str | None:
    """The text with half-width punctuation, digits and spaces; None when it had no other."""
    plain = INVISIBLE.sub("", typed.translate(FULL_WIDTH)) if typed else typed
    return None if plain == typed else plain


def no_colon(typed: str) -> tuple[Text, Text] | None:
    """Why a text is no `key: value`, if it was meant as one: `unit：3`, `unit:3`."""
    slip = _full_width_key(typed) or _odd_after_colon(typed) or _no_space(typed)
    return None if slip is None else (slip.fact, slip.advice)


def _suspects(error: MarkedYAMLError, lines: Sequence[str]) -> Iterable[int]:
    """The line that was refused, the written one above it, and where the refused part began."""
    at: int = error.problem_mark.line
    above = _At(lines, min(at, len(lines)), 0).above or 0
    begun = error.context_mark.line if error.context_mark is not None else at
    return [n for n in dict.fromkeys((at, above, begun)) if n < len(lines)]


def _is_written(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _placed(slip: _Slip, line: int, lines: Sequence[str], file: str) -> Problem:
    place = Place(file, line + 1, slip.column + 1, lines[line], slip.length)
    return Problem(place, Level.ERROR, slip.code, slip.fact, slip.advice)


def _odd_indent(line: str) -> _Slip | None:
    lead = line[: len(line) - len(line.lstrip("\t \u00a0\u3000\u200b\ufeff"))]
    if not _is_written(line) or not lead.strip(" "):
        return None
    at = next(n for n, char in enumerate(lead) if char != " ")
    length = len(lead) - at
    if lead[at] == "\t":
        fact = Text("缩进用了 Tab 键", "this line is indented with a tab")
        advice = Text(
            "YAML 只认空格：删掉它，每一级用两个空格（编辑器里可设“用空格代替 Tab”）",
            "YAML takes spaces only: replace it, two spaces for each level"
            " (editors have a setting for it)",
        )
        return _Slip(at, length, "tab", fact, advice)
    return _Slip(at, length, "odd_space", *odd_space())


def unfit(char: str) -> tuple[str, Text, Text]:
    """Code and words for a character that no text may have."""
    shown = f"U+{ord(char):04X}"
    fact = Text(f"文字里有控制字符 {shown}", f"this text has the control character {shown}")
    return "control_character", fact, Text("删掉它重新输入", "delete it and type the text again")


def odd_space() -> tuple[Text, Text]:
    """The words for an indentation that only looks like spaces."""
    fact = Text(
        "缩进里有全角或看不见的空格", "this line is indented with full-width or invisible spaces"
    )
    advice = Text(
        "删掉行首的空白，用半角空格重新输入（多半是从微信或 Word 复制来的）",
        "delete the space in front and type it again (it often comes from Word or a chat)",
    )
    return fact, advice


def _merge_left_over(line: str) -> _Slip:
    fact = Text("这一行是 git 合并时留下的", "git left this line where two edits meet")
    advice = Text(
        "两份里留一份，删掉 <<<<<<<、=======、>>>>>>> 三行",
        "keep one of the two, remove the lines <<<<<<<, ======= and >>>>>>>",
    )
    return _Slip(0, len(line), "merge_left_over", fact, advice)


def directive(line: str) -> tuple[Text, Text]:
    """The words for a `%YAML 1.1` on top: it would make `no` false and `010` eight."""
    fact = Text(f"不支持 `{line[:20]}`", f"`{line[:20]}` is not supported here")
    return fact, Text("删掉这一行", "remove this line")


def _odd_after_colon(line: str) -> _Slip | None:
    match = re.match(rf"\s*(?:-\s+)?(?P<key>{_KEY}):(?P<odd>[{_ODD}]+)", line)
    if match is None:
        return None
    key = match["key"]
    fact = Text(
        f"`{key}:` 后面的空格是全角或看不见的",
        f"the space after `{key}:` is a full-width or invisible one",
    )
    advice = Text(
        f"删掉它，用半角空格重新输入：`{key}: `", f"delete it and type a plain space: `{key}: `"
    )
    length = match.end("odd") - match.start("odd")
    return _Slip(match.start("odd"), length, "odd_space", fact, advice)


def _full_width_key(line: str) -> _Slip | None:
    match = re.match(rf"\s*(?:-\s+)?(?P<key>{_KEY})\s*(?P<colon>：)", line)
    if match is None:
        return None
    key = match["key"]
    fact = Text(f"`{key}` 后面是中文冒号 `：`", f"a Chinese colon `：` stands after `{key}`")
    advice = Text(
        f"换成英文冒号加一个空格：`{key}: `", f"type an English colon and a space: `{key}: `"
    )
    return _Slip(match.start("colon"), 1, "full_width", fact, advice)


def _full_width_in_brackets(line: str) -> _Slip | None:
    """Chinese punctuation that ought to end or begin a key inside `{...}`; prose may have it."""
    match = re.search(rf"[{{,，｛]\s*{_KEY}(?P<sign>：)|(?P<comma>，)\s*{_KEY}\s*[:：]", line)
    match = match or re.search(r":\s+(?P<sign>[｛［])|(?P<comma>[｝］])\s*$", line)
    if match is None or not re.search(r"[{\[｛［]", line[: match.end()]):
        return None
    group = "sign" if match["sign"] else "comma"
    char = match[group]
    plain = char.translate(FULL_WIDTH)
    fact = Text(f"这里是中文标点 `{char}`", f"this is the Chinese sign `{char}`")
    after = " " if char in "：，" else ""
    advice = Text(
        f"换成英文的 `{plain}`" + ("，后面加空格" if after else ""),
        f"type the English `{plain}`" + (" and a space" if after else ""),
    )
    return _Slip(match.start(group), 1, "full_width", fact, advice)


def _no_space(line: str) -> _Slip | None:
    match = re.match(rf"\s*(?:-\s+)?(?P<key>{_KEY})(?P<colon>:)(?P<rest>[^\s/].*)", line)
    if match is None:
        return None
    key = match["key"]
    fact = Text(f"`{key}:` 后面没有空格", f"there is no space after `{key}:`")
    right = f"`{key}: {match['rest'].strip()[:30]}`"
    advice = Text(f"冒号后面留一个空格：{right}", f"leave a space after the colon: {right}")
    return _Slip(match.start("key"), len(key) + 1, "no_space", fact, advice)


def _by_grammar(error: MarkedYAMLError, lines: Sequence[str], file: str) -> Problem:
    mark, begun = error.problem_mark, error.context_mark
    problem, context = error.problem or "", error.context or ""
    for text, explain in _GRAMMAR:
        if text in f"{problem}, {context}":
            slip, line = explain(_At(lines, mark.line, mark.column))
            return _placed(slip, line, lines, file)
    if begun is not None and "but got" in problem and begun.line == mark.line < len(lines):
        return _placed(_comma_missing(mark.column), mark.line, lines, file)
    if begun is not None and ("flow" in context or "quoted scalar" in context):
        return _placed(_not_closed(lines[begun.line], begun.column), begun.line, lines, file)
    text = lines[mark.line] if mark.line < len(lines) else ""
    said = ", ".join(part for part in (problem, context) if part)
    return _fallback(Place(file, mark.line + 1, mark.column + 1, text), said)


def _second_document(at: _At) -> tuple[_Slip, int]:
    fact = Text("文件里有两份内容（`---`）", "the file holds two documents (`---`)")
    advice = Text(
        "一个文件只能有一份：删掉 `---` 和多余的一份", "keep one of them and remove the `---`"
    )
    return _Slip(at.column, 3, "two_documents", fact, advice), at.line


def _needs_quotes(at: _At) -> tuple[_Slip, int]:
    char = at.text[at.column : at.column + 1]
    if char == "\t":
        return _odd_indent(at.text) or _tab_inside(at), at.line
    fact = Text(f"`{char}` 不能放在开头", f"a value cannot begin with `{char}`")
    advice = Text("给整个值加引号", "put the whole value in quotes")
    return _Slip(at.column, 1, "needs_quotes", fact, advice), at.line


def _tab_inside(at: _At) -> _Slip:
    length = len(at.text[at.column :]) - len(at.text[at.column :].lstrip("\t"))
    fact = Text("这里有 Tab", "there is a tab")
    if not at.text[at.column :].strip():
        return _Slip(at.column, length, "tab", fact, Text("删掉它", "delete it"))
    advice = Text("换成一个空格", "type a space in its place")
    return _Slip(at.column, length, "tab", fact, advice)


def _backslash(at: _At) -> tuple[_Slip, int]:
    fact = Text("双引号里的 `\\` 有特殊含义", "`\\` has a special meaning between double quotes")
    return _Slip(
        max(0, at.column - 1), 2, "needs_quotes", fact, Text("改用单引号", "use ' '")
    ), at.line


def _mapping_here(at: _At) -> tuple[_Slip, int]:
    """`a: b: c`, a line indented under a value, or under a word without a colon."""
    before = at.text[: at.column]
    inner = re.match(rf"\s*(?:-\s+)?{_KEY}:\s+(?P<value>\S.*)", before)
    if inner is not None:
        fact = Text("值里又有一个冒号加空格", "there is a second colon and space in this value")
        advice = Text("给整个值加引号", "put the whole value in quotes")
        return _Slip(at.column, 1, "needs_quotes", fact, advice), at.line
    if at.above is not None and ":" not in at.lines[at.above]:
        return _colon_missing(at.lines, at.above)
    return _indent(at)


def _no_colon(at: _At) -> tuple[_Slip, int]:
    return _colon_missing(at.lines, at.above or 0)


def _colon_missing(lines: Sequence[str], line: int) -> tuple[_Slip, int]:
    typed = lines[line].strip()
    fact = Text("这一行没有冒号", "this line has no colon")
    advice = Text("写成 名字: 值", "write it as name: value")
    column = len(lines[line]) - len(lines[line].lstrip())
    return _Slip(column, len(typed), "no_colon", fact, advice), line


def _indent(at: _At) -> tuple[_Slip, int]:
    lead = len(at.text) - len(at.text.lstrip(" "))
    fact = Text(
        f"缩进对不上：这一行前面有 {lead} 个空格，上面没有同级的行",
        f"the indentation fits no line above (spaces in front: {lead})",
    )
    advice = Text(
        "同一级的行左边对齐，下一级多两个空格；只多一个括号或引号也会这样",
        "lines of one level begin in one column, the next level two spaces further;"
        " a bracket or quote too many looks like this too",
    )
    rest = len(at.text.strip()) or 1
    return _Slip(lead, rest, "indentation", fact, advice), at.line


def _mixed(at: _At) -> tuple[_Slip, int]:
    fact = Text(
        "同一级里有的行带 `- `，有的不带", "some lines of this level begin with `- `, others do not"
    )
    advice = Text(
        "列表每行都以 `- ` 开头；“键: 值”的行不带 `- `",
        "each line of a list begins with `- `; lines of `key: value` do not",
    )
    return _Slip(at.column, len(at.text.strip()) or 1, "indentation", fact, advice), at.line


def _too_many(at: _At) -> tuple[_Slip, int]:
    char = at.text[at.column : at.column + 1]
    fact = Text(f"这里多了 `{char}`", f"there is a `{char}` too many")
    advice = Text("括号要成对：删掉它", "brackets come in pairs: remove it")
    return _Slip(at.column, 1, "not_closed", fact, advice), at.line


def _ends_inside(at: _At) -> tuple[_Slip, int]:
    """The file is over, a bracket above is not: its sign, and the `#` that may have hidden it."""
    for line in range(min(at.line, len(at.lines) - 1), -1, -1):
        text = at.lines[line]
        shown = text if (hides := re.search(r"(?:^|\s)#", text)) is None else text[: hides.start()]
        column = max(shown.rfind("{"), shown.rfind("["))
        if column < 0 or not _is_open(shown[column:]):
            continue
        if hides is None:
            return _not_closed(text, column), line
        fact = Text(
            "`#` 后面的都当作说明，括号没有结束", "after `#` all is comment: this never ends"
        )
        advice = Text("`#` 开头的值加引号", "put a value that begins with `#` in quotes")
        return _Slip(hides.end() - 1, len(text) - hides.end() + 1, "not_closed", fact, advice), line
    return _not_closed(at.text, at.column), at.line


def _is_open(text: str) -> bool:
    return sum(text.count(sign) for sign in "{[") > sum(text.count(sign) for sign in "}]")


def _something_else(at: _At) -> tuple[_Slip, int]:
    fact = Text("上面已经是一个完整的值", "what stands above is a whole value already")
    advice = Text(
        "从 site.example.yaml 开始改：整个文件都是 名字: 值",
        "start from site.example.yaml: all of the file is lines of `name: value`",
    )
    return _Slip(at.column, len(at.text.strip()) or 1, "not_a_mapping", fact, advice), at.line


def _after_quotes(at: _At) -> tuple[_Slip, int]:
    fact = Text("引号后面还有字", "there is more text after the closing quote")
    advice = Text(
        "引号要包住整个值；值里有单引号时外面用双引号",
        "quotes go round the whole value; round one that holds a ' put \"",
    )
    return _Slip(at.column, len(at.text) - at.column, "not_closed", fact, advice), at.line


def _not_closed(line: str, column: int) -> _Slip:
    sign = line[column : column + 1]
    other = {"{": "}", "[": "]"}.get(sign, sign)
    fact = Text(f"这个 `{sign}` 没有结束", f"this `{sign}` is never closed")
    advice = Text(
        f"在这一项的末尾补上 `{other}`，并检查各项之间的逗号",
        f"put a `{other}` where it ends, and look for missing commas",
    )
    return _Slip(column, 1, "not_closed", fact, advice)


def _comma_missing(column: int) -> _Slip:
    fact = Text("这之前少了逗号或括号", "a comma or a closing bracket is missing before this")
    advice = Text("各项之间用逗号隔开：{a: 1, b: 2}", "put commas between them: {a: 1, b: 2}")
    return _Slip(column, 1, "not_closed", fact, advice)


_Explain = Callable[[_At], tuple[_Slip, int]]
_GRAMMAR: tuple[tuple[str, _Explain], ...] = (
    ("found another document", _second_document),
    ("expected '<document start>'", _something_else),
    ("but found '<stream end>'", _ends_inside),
    ("that cannot start any token", _needs_quotes),
    ("found undefined alias", _needs_quotes),
    ("unknown escape character", _backslash),
    ("mapping values are not allowed", _mapping_here),
    ("could not find expected ':'", _no_colon),
    ("but found '}'", _too_many),
    ("but found ']'", _too_many),
    ("but found '<scalar>'", _after_quotes),
    ("but found '-'", _mixed),
    ("but found '?'", _mixed),
    ("expected <block end>", _indent),
)


def _unprintable(error: ReaderError, lines: Sequence[str], file: str) -> Problem:
    left: int = error.position
    number, line = 1, ""
    for number, line in enumerate(lines, 1):  # noqa: B007 - the last ones are wanted
        if left <= len(line):
            break
        left -= len(line) + 1
    shown = f"U+{error.character:04X}"
    fact = Text(f"文件里有控制字符 {shown}", f"there is a control character {shown}")
    advice = Text("删掉这一行重新输入", "delete this line and type it again")
    place = Place(file, number, left + 1, line)
    return Problem(place, Level.ERROR, "control_character", fact, advice)


def _fallback(place: Place, said: str) -> Problem:
    fact = Text(f"YAML 语法错误：{said}", f"YAML syntax: {said}")
    advice = Text(
        "看这一行和上一行：缩进用空格，冒号后留空格，引号和括号成对；改好后再检查其余部分",
        "look at this line and the one above: indent with spaces, a space after each colon,"
        " quotes and brackets in pairs; the rest is checked once this is right",
    )
    return Problem(place, Level.ERROR, "yaml_syntax", fact, advice)
