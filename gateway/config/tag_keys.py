"""Where the keys of NTAG 424 DNA tags lie, by a site file."""

from pathlib import Path

from gateway.config.problems import Problem
from gateway.config.schema import TagKeysPart
from gateway.config.tree import Tree
from gateway.config.validate import error, validate, warning
from gateway.domain.site import TagKeyFiles
from gateway.domain.text import Text


def read_tag_keys(tree: Tree, folder: Path, found: list[Problem]) -> TagKeyFiles | None:
    """Return the files, relative ones beside the site file; None where no tag signs."""
    if not isinstance(tree.at(("tag_keys",)), dict):
        return None
    part = validate(TagKeysPart, tree, ("tag_keys",), found)
    if not (part.meta_read_file and part.file_read_file):  # an error, already reported
        return None
    files = {"meta_read_file": part.meta_read_file, "file_read_file": part.file_read_file}
    for name, value in files.items():
        _check(tree, folder, name, value, found)
    if part.meta_read_file == part.file_read_file:
        fact = Text("两个密钥不能是同一个文件", "one file cannot be both keys")
        advice = Text("每个密钥各一个文件", "give each key a file of its own")
        place, also = (tree.place(("tag_keys", name)) for name in reversed(files))
        found.append(error(place, "one_key_twice", fact, advice, also))
    return TagKeyFiles(folder / part.meta_read_file, folder / part.file_read_file, part.per_tag)


def _check(tree: Tree, folder: Path, name: str, value: str, found: list[Problem]) -> None:
    """A key is a file's name, never the key; the file itself may come later."""
    place = tree.place(("tag_keys", name))
    if len(value) == 32 and all(digit in "0123456789abcdefABCDEF" for digit in value):
        fact = Text("密钥写在了站点文件里", "the key itself stands in the site file")
        advice = Text(
            "密钥存为文件（0600），这里写文件名；这把密钥要换掉",
            "keep it in a file (0600) and name that here; change this key, it has been seen",
        )
        found.append(error(place, "key_in_clear", fact, advice))
    elif not (folder / value).is_file():
        fact = Text(f"没有文件 {value}", f"there is no file {value}")
        advice = Text(
            "上线前放好它；没有它，加密标签的巡查不能记录",
            "put it there before going live; visits at signing tags need it",
        )
        found.append(warning(place, "file_missing", fact, advice))
