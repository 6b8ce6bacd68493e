import subprocess
import sys

import pytest
import typer

from gateway.cli.durations import duration
from gateway.cli.main import language, main
from gateway.domain.text import Lang

LOADED = """
import sys
sys.argv = ["care-gateway", "run", "--help"]
from gateway.__main__ import main
try:
    main()
except SystemExit:
    pass
import gateway.app
print(*sorted({name.split(".")[0] for name in sys.modules} | set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("arguments", "locale", "spoken"),
    [
        ([], {}, Lang.EN),
        ([], {"LANG": "zh_CN.UTF-8"}, Lang.ZH),
        ([], {"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, Lang.EN),
        ([], {"LANG": "de_DE.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, Lang.ZH),
        (["check", "--lang", "zh"], {"LANG": "en_US.UTF-8"}, Lang.ZH),
        (["check", "--lang=en", "site.yaml"], {"LANG": "zh_CN.UTF-8"}, Lang.EN),
        (["check", "--lang"], {"LANG": "zh_CN.UTF-8"}, Lang.ZH),
        (["check", "--lang", "fr"], {"LANG": "zh_CN.UTF-8"}, Lang.ZH),
    ],
)
def test_language_is_the_one_asked_for_else_the_locales(
    arguments: list[str], locale: dict[str, str], spoken: Lang
) -> None:
    assert language(arguments, locale) is spoken


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60.0), ("60s", 60.0), ("500ms", 0.5), ("1.5m", 90.0), ("2h", 7200.0), (" 5 s ", 5.0)],
)
def test_duration_reads_the_units_people_write(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_a_duration_out_of_its_bounds_is_told_with_them() -> None:
    assert duration("10min", least=1, most=600) == 600
    assert duration(20.0) == 20.0
    with pytest.raises(typer.BadParameter, match=r"'2h': 1s \.\.\. 3600s"):
        duration("2h", least=1, most=3600)


@pytest.mark.parametrize("text", ["", "s", "-5s", "5x", "1e3", "5 s 3", "nan"])
def test_duration_refuses_what_it_cannot_read(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["chek"],
        ["check", "--lang", "fr"],
        ["demo", "--for", "5x"],
        ["status", "--unknown"],
        ["panel"],
        [],
    ],
)
def test_input_that_is_not_understood_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err or not arguments or arguments == ["panel"]


@pytest.mark.parametrize(
    ("lang", "phrase"), [("en", "not a fire alarm"), ("zh", "不是火灾报警控制器")]
)
def test_help_is_in_the_language_of_the_locale(
    lang: str,
    phrase: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LC_ALL", {"en": "C.UTF-8", "zh": "zh_CN.UTF-8"}[lang])
    assert main(["--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert phrase in told
    for verb in ("run", "check", "status", "demo", "panel", "platform"):
        assert f"│ {verb} " in told


def test_running_the_daemon_loads_no_command_line_library_and_no_simulation() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, text=True
    )
    loaded = set(shown.stdout.splitlines()[-1].split())
    assert "gateway.app" in loaded
    assert loaded & {"typer", "rich", "amqtt", "gateway.sim", "gateway.cli.main"} == set()


@pytest.mark.parametrize("verb", [["run"], ["platform", "sim"]])
def test_verbs_that_stand_alone_read_their_own_arguments(
    verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out
    assert main([*verb, "--unknown"]) == 2
    told = capsys.readouterr().err
    assert f"care-gateway {' '.join(verb)} --help" in told
