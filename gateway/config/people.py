"""`people.yaml`, beside the site file: who works here, and what they show.

It is apart from the site file because names stay in the house: it goes into no record, no report
and no bundle, and nobody but root and the daemon's group may read it.
"""

import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gateway.config.problems import Place, Problem
from gateway.config.schema import CardPart, PeopleFile, PersonPart
from gateway.config.tree import Tree, Where, read_tree
from gateway.config.validate import error, validate, warning
from gateway.domain.people import Credential, CredentialKind, Person
from gateway.domain.text import Text

NAME = "people.yaml"
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
PIN = re.compile(r"\$argon2id\$v=\d+\$[A-Za-z0-9$,=+/]{20,200}")
TYPED_PIN = re.compile(r"(\bpin\s*[:：]\s*)([^\s,}]+)")
RANDOM = re.compile(r"08[0-9A-F]{6}")  # what a phone in card mode shows, anew each time


def read_people(folder: Path, found: list[Problem], *, file: str = "") -> dict[str, Person] | None:
    """Everybody by code; None where there is no such file. `file` is its name in messages."""
    path, said = folder / NAME, list[Problem]()
    if not path.exists():
        return None
    people = _people(path, file or str(path), said)
    found.extend(map(_masked, said))
    return people


def _people(path: Path, file: str, found: list[Problem]) -> dict[str, Person]:
    tree = read_tree(path, file, found)
    if tree is None:
        return {}
    _check_mode(path, tree, found)
    validate(PeopleFile, tree, (), found)
    data = tree.at(("people",))
    people, cards = {}, dict[str, Place]()
    for code in data if isinstance(data, dict) else ():
        person = _person(tree, str(code), cards, found)
        people[person.code] = person
    return people


def _check_mode(path: Path, tree: Tree, found: list[Problem]) -> None:
    """Names and hashes of PINs are nobody else's to read."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o007:
        fact = Text(
            f"权限是 {mode:04o}：这台机器上谁都能读",
            f"its mode is {mode:04o}: anybody here can read it",
        )
        advice = Text(f"chmod 0640 {NAME}", f"chmod 0640 {NAME}")
        found.append(warning(Place(tree.file), "people_readable", fact, advice))


def _person(tree: Tree, code: str, cards: dict[str, Place], found: list[Problem]) -> Person:
    where: Where = ("people", code)
    part = validate(PersonPart, tree, where, found)
    if not CODE.fullmatch(code):
        fact = Text(f"`{code}` 不能作人员代号", f"`{code}` cannot be a staff code")
        advice = Text(
            "代号会上送平台：用字母和数字，不用姓名，如 s01",
            "codes go to the platform: letters and digits, no name, such as s01",
        )
        found.append(error(tree.place(where, key=True), "bad_staff_code", fact, advice))
    credentials = [*_cards(tree, where, cards, found)]
    if part.pin is not None:
        pin_until = None if part.pin_until is None else part.pin_until.isoformat()
        credentials.append(Credential(CredentialKind.PIN, part.pin, until=pin_until))
        if not PIN.fullmatch(part.pin):
            fact = Text("PIN 不能明写在文件里", "a PIN does not stand in a file as it is")
            advice = Text(
                "用 care-gateway people pin 生成，写它给出的 $argon2id$…",
                "make it with care-gateway people pin, and write the $argon2id$... it prints",
            )
            found.append(error(tree.place((*where, "pin")), "pin_in_clear", fact, advice))
    until = None if part.until is None else part.until.isoformat()
    return Person(code, part.name or code, part.role, until, tuple(credentials))


def _masked(problem: Problem) -> Problem:
    """The problem without PINs, which may stand on its lines: messages are shown to others."""
    also = tuple(map(_masked_at, problem.also))
    return replace(problem, place=_masked_at(problem.place), also=also)


def _masked_at(place: Place) -> Place:
    text = TYPED_PIN.sub(lambda typed: typed[1] + "*" * len(typed[2]), place.text)
    return replace(place, text=text)


def _cards(
    tree: Tree, where: Where, cards: dict[str, Place], found: list[Problem]
) -> Iterator[Credential]:
    data = tree.at((*where, "cards"))
    for index in range(len(data) if isinstance(data, list) else 0):
        spot: Where = (*where, "cards", index)
        part = validate(CardPart, tree, spot, found)
        if part.uid is None:
            continue
        place = tree.place((*spot, "uid"))
        if part.uid in cards:
            fact = Text(f"卡 {part.uid} 给了两个人", f"the card {part.uid} is given to two people")
            advice = Text("一张卡只属于一个人", "a card belongs to one person")
            found.append(error(place, "card_twice", fact, advice, cards[part.uid]))
            continue
        if RANDOM.fullmatch(part.uid):
            fact = Text(
                f"{part.uid} 像手机的随机卡号", f"{part.uid} looks like a phone's random UID"
            )
            advice = Text("用实体卡；手机每次都不同", "use a card: a phone shows another each time")
            found.append(error(place, "phone_card", fact, advice))
        cards[part.uid] = place
        until = None if part.until is None else part.until.isoformat()
        yield Credential(CredentialKind.CARD, part.uid, str(part.label or ""), until)
