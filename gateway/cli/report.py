"""`care-gateway report`: one file for whoever helps, without secrets and without people.

It holds what `doctor`, `check`, `status` and `uplink status` say, whether records and databases are
sound, the site file, the service's journal and what the machine is. Keys and passwords are in none
of them; owners, staff codes and the names in people.yaml are taken out.
"""

import io
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from gateway.cli.doctor import findings, plain
from gateway.config.load import load_site
from gateway.config.people import read_people
from gateway.domain.text import Lang, Text
from gateway.drivers.adapters import list_adapters
from gateway.drivers.checkup_units import UNITS
from gateway.drivers.host import host_figures
from gateway.drivers.sockets import NoAnswer, ask

GONE = "(removed)"
WRITTEN = Text("已写好：{}（{:.0f} kB）", "written: {} ({:.0f} kB)")
CANNOT = Text("写不了 {}：{}", "cannot write {}: {}")
JOURNAL_LINES = 5_000
MOST_BYTES = 4 * 2**20  # of one part

_OF_PEOPLE = frozenset(
    {"by", "owner", "leader", "person", "partner", "persons", "people", "staff", "supervisor"}
)
_OWNER = re.compile(r"(\b(?:owner|username)\s*:\s*)(\"[^\"]*\"|'[^']*'|[^,}#\n]+)")
_LOGIN = re.compile(r"(\w+://)[^/@\s]+@")


def report(path: Path, socket: Path, into: Path, *, lang: Lang) -> int:
    """Write the bundle into the folder `into`; print its path. 0 written, 1 it cannot be."""
    names = _people(path.parent)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        for name, make in _parts(path, socket):
            _add(bundle, name, _clean(_made(make), names))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = into / f"care-gateway-report-{stamp}.tar.gz"
    try:
        with target.open("xb") as file:
            file.write(buffer.getvalue())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        print(CANNOT.in_(lang).format(target, error.strerror), file=sys.stderr)
        return 1
    print(target)
    print(WRITTEN.in_(lang).format(target.name, len(buffer.getvalue()) / 1000), file=sys.stderr)
    return 0


def _parts(path: Path, socket: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    loaded = load_site(path)
    yield "machine.json", lambda: _json(_machine())
    yield "site.yaml", lambda: _without_owners(path.read_text("utf-8", errors="replace"))
    yield "check.json", lambda: _json([_problem(each) for each in loaded.problems])
    for verb in ("status", "uplink_status", "cases"):
        yield f"{verb}.json", partial(_answer, socket, verb)
    site = loaded.site
    if site is not None:
        yield "doctor.json", lambda: _json(plain(findings(site, path, socket)))
        store = site.store.directory
        yield "records.json", lambda: _own("record", "verify", "--store", str(store), "--json")
        yield "databases.json", lambda: _own("db", "check", "--store", str(store), "--json")
    yield "journal.txt", _journal
    yield "units.txt", lambda: _output("systemctl", "status", "--no-pager", "--full", *UNITS)


def _answer(socket: Path, verb: str) -> str:
    return _json(without_people(ask(socket, {"verb": verb})))


def _made(make: Callable[[], str]) -> str:
    """What a part says; a part that cannot be had says why and costs no other."""
    try:
        return make()
    except (OSError, NoAnswer, ValueError, subprocess.SubprocessError) as error:
        return f"not available: {type(error).__name__}: {error}\n"


def without_people(value: Any) -> Any:
    """The same data; whatever stands for a person replaced."""
    if isinstance(value, dict):
        return {
            key: GONE if _names_people(key) and item is not None else without_people(item)
            for key, item in value.items()
        }
    return [without_people(each) for each in value] if isinstance(value, list) else value


def _names_people(key: object) -> bool:
    return key in _OF_PEOPLE or (isinstance(key, str) and key.endswith("_by"))


def _without_owners(text: str) -> str:
    return _OWNER.sub(rf"\1{GONE}", text)


def _people(folder: Path) -> list[str]:
    """Names, staff codes and cards of the house, longest first: none of them leaves it."""
    people = read_people(folder, []) or {}
    found = {
        word
        for person in people.values()
        for word in (person.code, person.name, *(card.secret for card in person.credentials))
    }
    return sorted((each for each in found if len(each) > 1), key=len, reverse=True)


def _clean(text: str, names: Sequence[str]) -> str:
    text = _LOGIN.sub(rf"\1{GONE}@", text)
    for name in names:
        bounds = r"(?<![\w-]){}(?![\w-])" if name.isascii() else "{}"
        text = re.sub(bounds.format(re.escape(name)), GONE, text)
    return text


def _add(bundle: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode("utf-8", errors="replace")[-MOST_BYTES:]
    entry = tarfile.TarInfo(f"care-gateway-report/{name}")
    entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o644
    bundle.addfile(entry, io.BytesIO(data))


def _machine() -> dict[str, Any]:
    packages = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    return {
        "system": platform.platform(),
        "release": _release(),
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items())),
        "figures": host_figures(),
        "adapters": [
            {"node": each.node, "usb": f"{each.vendor}:{each.product}", "by_path": each.by_path}
            for each in list_adapters()
        ],
        "mounts": Path("/proc/self/mounts").read_text("utf-8", errors="replace").splitlines(),
        "uptime_s": float(Path("/proc/uptime").read_text("ascii").split()[0]),
    }


def _release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _problem(problem: Any) -> dict[str, Any]:
    return {
        "level": problem.level.value,
        "code": problem.code,
        "line": problem.place.line,
        "fact": problem.fact.en,
    }


def _journal() -> str:
    units = [part for unit in UNITS for part in ("-u", unit)]
    return _output("journalctl", "--no-pager", "-o", "short-iso", "-n", str(JOURNAL_LINES), *units)


def _own(*words: str) -> str:
    """What one of our own verbs prints; it reads the databases without touching them."""
    return _output(sys.executable, "-m", "gateway", *words)


def _output(*command: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own words only
        command, capture_output=True, text=True, errors="replace", timeout=120, check=False
    )
    return done.stdout or done.stderr


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n"
