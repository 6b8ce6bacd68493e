"""The demo's duty page: the real console where its packages are, and no harm where they are not."""

from gateway.domain.text import Lang
from gateway.sim import desk
from gateway.sim.desk import LOG, open_desk
from tests.web.rig import get, get_when, open_house


async def test_the_desk_is_the_real_console_on_a_free_port(short_path):
    async with (
        open_house(short_path / "s"),
        open_desk(short_path, short_path / "s", Lang.EN) as opened,
    ):
        assert opened.url.startswith("http://127.0.0.1:")
        port = int(opened.url.rstrip("/").rpartition(":")[2])
        assert "Normal" in (await get_when(port, "Normal", "/now?lang=en")).body
        assert '<html lang="en">' in (await get(port)).body
    assert opened.process.returncode == 0


async def test_without_its_packages_there_is_no_desk_and_nothing_is_started(
    short_path, monkeypatch
):
    monkeypatch.setattr(desk, "NEEDS", ("jinja2", "no_such_package_anywhere"))
    async with open_desk(short_path, short_path / "s", Lang.ZH) as opened:
        assert opened is None
    assert not (short_path / LOG).exists()


async def test_a_console_that_ends_at_once_is_no_desk(short_path, monkeypatch):
    monkeypatch.setattr(desk.sys, "executable", "/bin/false")
    async with open_desk(short_path, short_path / "s", Lang.ZH) as opened:
        assert opened is None
