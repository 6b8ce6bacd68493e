import subprocess
import sys

import pytest

from gateway.cli.run import main
from gateway.config.shipped import shipped_dir
from gateway.sim import platform
from gateway.store.files import DirectoryLock


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("- a\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("locale", "arguments", "word"),
    [
        ("zh_CN.UTF-8", [], "错误["),
        ("en_US.UTF-8", [], "error["),
        ("C", [], "error["),
        ("en_US.UTF-8", ["--lang", "zh"], "错误["),
        ("zh_CN.UTF-8", ["--lang=en"], "error["),
    ],
)
def test_a_site_that_run_cannot_take_is_explained_in_the_language_of_the_locale(
    locale, arguments, word, broken, monkeypatch, capsys
):
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", locale)
    assert main([broken, *arguments]) == 2
    assert capsys.readouterr().err.startswith(word)


def test_a_second_daemon_on_one_folder_is_told_what_to_do_in_the_language_spoken(tmp_path):
    lock = DirectoryLock(tmp_path / "store")
    lock.take()
    site = shipped_dir() / "site.demo.yaml"
    words = ("--store", tmp_path / "store", "--socket", tmp_path / "s", "--panel", "mock")
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "gateway", "run", site, *words, "--lang", "zh"],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    finally:
        lock.release()
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    said = f"{tmp_path / 'store'}: 另一个守护进程正在用这个数据目录"
    assert ended.stderr.splitlines()[-1].startswith(said)


@pytest.mark.parametrize(
    ("locale", "arguments", "lang"),
    [("zh_CN.UTF-8", [], "zh"), ("C", [], "en"), ("C", ["--lang", "zh"], "zh")],
)
def test_the_simulated_platform_speaks_the_language_of_the_locale(
    locale, arguments, lang, monkeypatch
):
    from gateway.cli.main import main as command_line

    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", locale)
    spoken = []

    def simulate(broker, history, *, lang, **others):
        spoken.append(lang.value)
        return 0

    monkeypatch.setattr(platform, "simulate", simulate)
    assert command_line(["platform", "sim", "--broker", "mqtt://host", *arguments]) == 0
    assert spoken == [lang]
