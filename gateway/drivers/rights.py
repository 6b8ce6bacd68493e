"""Who may use a file, as its modes have it: the daemon's rights count, not the technician's."""

import grp
import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SERVICE_USER = "care-gateway"
READER_USER = "care-gateway-reader"
READER_GROUPS = ("dialout", "plugdev")  # SupplementaryGroups= of its unit
_READ, _WRITE, _PASS = 4, 2, 1


@dataclass(frozen=True, slots=True)
class Who:
    """A user and the groups whose rights it has."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, path: Path, bits: int) -> bool:
        """True when the mode of `path` gives this user the rights `bits` (4 read, 2 write)."""
        if self.uid == 0:
            return True
        found = path.stat()
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid in self.gids else 0
        return (found.st_mode >> shift) & bits == bits

    def way_to(self, path: Path) -> Path | None:
        """The folder above `path` that this user may not pass; None: the way is free."""
        above = reversed(path.absolute().parents)
        return next((each for each in above if not self.may(each, _PASS)), None)


def service_user() -> Who:
    """Whom the daemon runs as: the service's user, or who asks where there is no such user."""
    return _user(SERVICE_USER) or Who(
        own_name(), os.getuid(), frozenset({os.getgid(), *os.getgroups()})
    )


def reader_user() -> Who:
    """Whom the NFC reader's process runs as; systemd lends the user where there is none."""
    if _user(SERVICE_USER) is None:
        return service_user()
    lent = frozenset(_group_ids(READER_GROUPS))
    known = _user(READER_USER)
    return Who(READER_USER, -1, lent) if known is None else Who(*_named(known), known.gids | lent)


def _named(who: Who) -> tuple[str, int]:
    return who.name, who.uid


def _user(name: str) -> Who | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    also = {group.gr_gid for group in grp.getgrall() if name in group.gr_mem}
    return Who(name, entry.pw_uid, frozenset({entry.pw_gid, *also}))


def _group_ids(names: Iterable[str]) -> Iterable[int]:
    for name in names:
        try:
            yield grp.getgrnam(name).gr_gid
        except KeyError:  # the distribution has no such group
            continue


def own_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def group_that_may(path: Path, bits: int) -> str | None:
    """The group to join for the rights `bits` on `path`; None when no group but root's has them."""
    found = path.stat()
    if found.st_gid == 0 or (found.st_mode >> 3) & bits != bits:
        return None
    try:
        return grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        return str(found.st_gid)
