"""The installer where it can be looked at without a tree of its own; `scripts/prove-install` has
the rest: it boots one."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALL, BUNDLE = ROOT / "scripts" / "install", ROOT / "scripts" / "bundle"
TOUCHED = [Path(name) for name in (
    "/opt/care-gateway", "/etc/care-gateway", "/etc/sysusers.d/care-gateway.conf",
    "/etc/udev/rules.d/60-care-gateway.rules", "/etc/modprobe.d/care-gateway.conf",
    "/etc/systemd/system/care-gateway.service", "/usr/local/bin/care-gateway",
)]  # fmt: skip


def is_debian() -> bool:
    release = Path("/etc/os-release")
    text = release.read_text("utf-8") if release.exists() else ""
    return bool(re.search(r"^ID=(debian|raspbian)$", text, re.MULTILINE)) and bool(
        re.search(r'^VERSION_ID="1[23]"$', text, re.MULTILINE)
    )


def run(*command: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(
    not is_debian() or shutil.which("dpkg") is None, reason="made for Debian 12 and 13"
)
def test_a_dry_run_says_every_step_and_takes_none() -> None:
    before = [path.exists() for path in TOUCHED]
    said = run(INSTALL, "--dry-run", "--reader", "platform-usb-0:1.3:1.0-port0")
    assert said.returncode == 0, said.stderr
    assert [path.exists() for path in TOUCHED] == before
    for step in ("sysusers", "wheels", "udev", "modprobe", "care-gateway.service", "reader.rules"):
        assert step in said.stdout, said.stdout


@pytest.mark.parametrize("script", [INSTALL, BUNDLE], ids=lambda path: path.name)
def test_help_is_the_head_of_the_script_and_a_slip_is_refused(script: Path) -> None:
    helped = run(script, "--help")
    assert helped.returncode == 0
    named = set(re.findall(r"^ {8}(--[a-z-]+)\)", script.read_text("utf-8"), re.MULTILINE))
    assert named - {"--help"} <= set(re.findall(r"--[a-z-]+", helped.stdout))
    slip = run(script, "--dryrun")
    assert slip.returncode == 2
    assert "--" in slip.stderr


def test_a_bundle_that_was_changed_is_not_installed(tmp_path: Path) -> None:
    """The wheels are trusted by their sums alone: pip checked them when the bundle was made."""
    if os.geteuid() != 0 or not is_debian():
        pytest.skip("needs root on Debian")
    (tmp_path / "wheels").mkdir()
    shutil.copytree(ROOT / "systemd", tmp_path / "systemd")
    shutil.copy(INSTALL, tmp_path / "install")
    (tmp_path / "target").write_text("amd64 bookworm 3.11\n")
    wheel = tmp_path / "wheels" / "pip-1-py3-none-any.whl"
    wheel.write_text("as it was")
    names = ("install", "target", "wheels/pip-1-py3-none-any.whl")
    sums = subprocess.run(["sha256sum", *names], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "SHA256SUMS").write_bytes(sums.stdout)
    wheel.write_text("as it is")
    said = run(tmp_path / "install", "--dry-run")
    assert said.returncode == 1
    assert "damaged" in said.stderr


def test_every_file_that_the_installer_puts_in_place_is_there() -> None:
    text = INSTALL.read_text("utf-8")
    for name in re.findall(r'\$source/((?:systemd|config)/[\w.-]+\.(?:conf|rules|yaml))"', text):
        assert (ROOT / name).is_file(), name


def test_the_examples_and_the_people_go_where_the_daemon_looks_for_them() -> None:
    install, bundle = INSTALL.read_text("utf-8"), BUNDLE.read_text("utf-8")
    assert "config/{site,people}.example.yaml" in bundle
    for name in ("site.yaml", "people.yaml", "site.example.yaml", "people.example.yaml"):
        assert f'put "$SETTINGS/{name}" 640 root:care-gateway' in install
    steps = ("$SETTINGS/people.yaml", "$SETTINGS/site.yaml")
    put = [install.index(step, install.index("install_settings()")) for step in steps]
    assert put == sorted(put)


def test_the_service_s_user_may_use_ports_and_pins_and_the_reader_s_only_ports() -> None:
    users = (ROOT / "systemd" / "sysusers.conf").read_text("utf-8")
    assert re.findall(r"^m care-gateway (\w+)$", users, re.MULTILINE) == ["dialout", "gpio"]
    assert set(re.findall(r"^u (\S+)", users, re.MULTILINE)) == {
        "care-gateway", "care-gateway-reader",
    }  # fmt: skip


LGPIO = """
dist={0}/dist
mkdir -p $dist {0}/bin
said() {{ echo "$*"; }}
say() {{ said "$@"; }}
link_packages() {{ touch {0}/site/lgpio.py; said linked; }}
need_packages() {{ said "needs $*"; case " {1} " in *" $1 "*) ;; *) return 1 ;; esac; }}
{2}
get_pins {0} {0}/sources
"""


@pytest.mark.parametrize(
    ("has_wheel", "has_source", "packages", "said"),
    [
        (True, True, "", []),
        (False, True, "python3-lgpio", ["needs python3-lgpio", "linked"]),
        (
            False,
            True,
            "gcc",
            ["needs python3-lgpio", "needs gcc libc6-dev python3-dev swig", "built"],
        ),
        (
            False,
            True,
            "",
            ["needs python3-lgpio", "needs gcc libc6-dev python3-dev swig", "NO PINS"],
        ),
        (False, False, "gcc", ["needs python3-lgpio", "NO PINS"]),
    ],
    ids=["a wheel", "the distribution's", "built here", "no compiler", "no source"],
)
def test_lgpio_is_the_wheel_s_else_the_distribution_s_else_built_else_told(
    tmp_path: Path, has_wheel: bool, has_source: bool, packages: str, said: list[str]
) -> None:
    """On Debian 13 no wheel fits; Raspberry Pi OS has a package, plain Debian has none."""
    for name in ("bin", "site", "sources", "dist"):
        (tmp_path / name).mkdir()
    (tmp_path / "dist" / "lgpio.py").touch()
    if has_wheel:
        (tmp_path / "site" / "lgpio.py").touch()
    if has_source:
        (tmp_path / "sources" / "lgpio-0.2.2.0.tar.gz").touch()
    python = tmp_path / "bin" / "python"
    python.write_text(f"#!/bin/sh\n[ $1 = -m ] && echo built || echo {tmp_path}/site\n")
    python.chmod(0o755)
    script = INSTALL.read_text("utf-8")
    (function,) = re.findall(r"(?ms)^get_pins\(\) \{.*?^\}$", script)
    function = function.replace("/usr/lib/python3/dist-packages", str(tmp_path / "dist"))
    told = run("bash", "-euo", "pipefail", "-c", LGPIO.format(tmp_path, packages, function))
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True)), lines


# -- the script's own functions, in folders of a test


def functions() -> str:
    """All of the script but its last part, which begins to act."""
    return INSTALL.read_text("utf-8").partition("\ndry_run=no mode=")[0]


PLACE = """
PROGRAMS={0}/opt SETTINGS={0}/etc UNITS={0}/units MODULES={0}/modules KEYS={0}/keys
BOOT="{0}/config.txt {0}/old.txt" MODEL={0}/model source={0}/source
dry_run=no credentials=()
site='' reader='' console='' restart=no units_changed=no changed=no work='' unfinished=''
mkdir -p $PROGRAMS/versions $SETTINGS $UNITS $MODULES $source/systemd
is_booted() {{ true; }}
put() {{
    changed=no new=$(cat)
    [ "$new" = "$(cat "$1" 2>&1)" ] || {{ changed=yes; echo "$new" >"$1"; }}
}}
trap leave EXIT
"""


def act(place: Path, script: str) -> "subprocess.CompletedProcess[str]":
    """`script` with the installer's functions, under `place` instead of the system's folders."""
    file = place / "script"
    file.write_text(functions() + PLACE.format(place) + script)
    return run("bash", file)


@pytest.mark.parametrize(
    ("system", "machine", "refused"),
    [
        ("debian 12", "arm64", ""),
        ("raspbian 13", "amd64", ""),
        ("debian 13", "armhf", "install the 64-bit system"),
        ("raspbian 12", "armhf", "install the 64-bit system"),
        ("debian 11", "arm64", "tried are Debian and Raspberry Pi OS 12 and 13"),
        ("ubuntu 24.04", "arm64", "tried are Debian and Raspberry Pi OS 12 and 13"),
    ],
)
def test_a_system_that_was_never_tried_is_refused_with_the_reason(
    tmp_path: Path, system: str, machine: str, refused: str
) -> None:
    said = act(tmp_path, f"check_system {system} {machine}")
    assert said.returncode == (1 if refused else 0)
    assert refused in said.stderr


@pytest.mark.parametrize(
    ("debian", "python", "is_taken"),
    [(12, "3.11", True), (13, "3.13", True), (12, "3.12", False), (13, "3.11", False),
     (12, "", False)],
)  # fmt: skip
def test_a_python_that_did_not_come_with_the_distribution_is_refused(
    tmp_path: Path, debian: int, python: str, is_taken: bool
) -> None:
    said = act(tmp_path, f"check_python {debian} '{python}'")
    assert (said.returncode == 0) is is_taken
    assert is_taken or "put the distribution's python3 back" in said.stderr


def test_a_clock_before_every_certificate_is_told_instead_of_tried(tmp_path: Path) -> None:
    clock = 'date() { [ "$1" = +%s ] && echo 1700000000 || echo 2023-11-14; }'
    said = act(tmp_path, f"timedatectl() {{ echo yes; }}; {clock}; check_clock")
    assert said.returncode == 1
    assert "the clock says 2023-11-14" in said.stderr
    assert act(tmp_path, "timedatectl() { echo yes; }; check_clock").returncode == 0


def test_a_card_that_is_nearly_full_is_left_alone(tmp_path: Path) -> None:
    """The folder of the programs is not there yet: its file system counts."""
    free = "df() { echo Avail; echo 349; }"
    said = act(tmp_path, f"rm -rf $PROGRAMS; {free}; check_room")
    assert said.returncode == 1
    assert "349 MB are free" in said.stderr
    assert act(tmp_path, "df() { echo Avail; echo 350; }; check_room").returncode == 0
    assert act(tmp_path, "NEEDED_MB=0; rm -rf $PROGRAMS; check_room").returncode == 0


MAKES = """
fill() {{ mkdir -p "$1/bin"; printf '#!/bin/sh\\nexit {0}\\n' >"$1/bin/care-gateway"
    chmod 755 "$1/bin/care-gateway"; {1}; }}
link_packages() {{ :; }}
get_pins() {{ :; }}
NEEDED_MB=0
set -euo pipefail
touch $source/systemd/care-gateway.service
"""


@pytest.mark.parametrize(
    ("starts", "pip"), [(0, "false"), (1, "true")], ids=["pip fails", "it does not start"]
)
def test_an_update_that_fails_half_way_leaves_nothing_behind(
    tmp_path: Path, starts: int, pip: str
) -> None:
    said = act(tmp_path, MAKES.format(starts, pip) + "make_version $PROGRAMS/versions/new w s")
    assert said.returncode != 0
    assert "the one in use was left alone" in said.stderr
    assert list((tmp_path / "opt/versions").iterdir()) == []


def test_what_a_power_cut_left_of_an_update_goes_with_the_next_one(tmp_path: Path) -> None:
    act(
        tmp_path,
        "mkdir -p $PROGRAMS/versions/{half,whole}; touch $PROGRAMS/versions/whole/complete",
    )
    said = act(tmp_path, MAKES.format(0, "true") + "make_version $PROGRAMS/versions/new w s")
    assert said.returncode == 0, said.stderr
    assert {path.name for path in (tmp_path / "opt/versions").iterdir()} == {"new", "whole"}
    assert (tmp_path / "opt/versions/new/systemd/care-gateway.service").exists()
    assert (tmp_path / "opt/versions/new/complete").exists()


UPDATES = """
set -euo pipefail
update() {{
    source=$PROGRAMS/versions/$1
    mkdir -p $source/bin $source/systemd
    touch $source/complete
    echo "unit of $1" >$source/systemd/care-gateway.service
    echo "timer" >$source/systemd/care-gateway-backup.timer
    printf '#!/bin/sh\\n! grep -q "not %s" "$2"\\n' $1 >$source/bin/care-gateway
    chmod 755 $source/bin/care-gateway
    check_house $source
    use_version $source
    install_units
    start_units
    forget_versions
}}
systemctl() {{
    echo "systemctl $*" >>{0}/asked
    case "$*" in
        "restart care-gateway.service") ! grep -q "$(cat {0}/bad)" $UNITS/care-gateway.service ;;
    esac
}}
run() {{ case "$*" in *"/usr/local/bin/"*) ;; *) "$@" ;; esac; }}
echo ${{bad:-none}} >{0}/bad
decide_console
[ ! -e "$PROGRAMS/restart-due" ] || restart=yes
"""


def update(place: Path, script: str) -> "subprocess.CompletedProcess[str]":
    return act(place, UPDATES.format(place) + script)


def in_use(place: Path) -> str:
    return (place / "opt/venv").resolve().name


def kept(place: Path) -> set[str]:
    return {path.name for path in (place / "opt/versions").iterdir()}


def asked(place: Path) -> list[str]:
    log = place / "asked"
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return [line for line in lines if "restart" in line or "start " in line]


def test_the_version_before_stays_until_the_next_update_and_can_be_had_back(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        done = update(tmp_path, f"update {name}")
        assert done.returncode == 0, done.stderr
    assert (in_use(tmp_path), kept(tmp_path)) == ("three", {"two", "three"})
    asked(tmp_path)
    assert update(tmp_path, "go_back; start_units").returncode == 0
    assert in_use(tmp_path) == "two"
    assert (tmp_path / "units/care-gateway.service").read_text("utf-8") == "unit of two\n"
    assert "systemctl restart care-gateway.service" in asked(tmp_path)
    assert update(tmp_path, "go_back; start_units").returncode == 0
    assert in_use(tmp_path) == "three"
    assert not (tmp_path / "opt/restart-due").exists()


def test_there_is_no_way_back_from_the_first_version(tmp_path: Path) -> None:
    assert update(tmp_path, "update one").returncode == 0
    said = update(tmp_path, "go_back")
    assert said.returncode == 1
    assert "no version before" in said.stderr
    assert in_use(tmp_path) == "one"


def test_a_new_version_whose_daemon_does_not_start_is_put_away_for_the_one_before(
    tmp_path: Path,
) -> None:
    assert update(tmp_path, "update one").returncode == 0
    assert update(tmp_path, "update two").returncode == 0
    asked(tmp_path)
    said = update(tmp_path, f"echo three >{tmp_path}/bad; update three")
    assert said.returncode == 1
    assert "versions/two is in use again" in said.stdout
    assert in_use(tmp_path) == "two"
    assert (tmp_path / "units/care-gateway.service").read_text("utf-8") == "unit of two\n"
    assert asked(tmp_path).count("systemctl restart care-gateway.service") == 2
    done = update(tmp_path, "update four")
    assert done.returncode == 0, done.stderr
    assert (in_use(tmp_path), kept(tmp_path)) == ("four", {"two", "four"})


def test_the_way_back_to_a_version_without_units_keeps_those_that_are_there(tmp_path: Path) -> None:
    update(tmp_path, "update one")
    update(tmp_path, "update two")
    shutil.rmtree(tmp_path / "opt/versions/one/systemd")
    assert update(tmp_path, "go_back; start_units").returncode == 0
    assert in_use(tmp_path) == "one"
    assert (tmp_path / "units/care-gateway.service").read_text("utf-8") == "unit of two\n"
    assert (tmp_path / "units/care-gateway-backup.timer").exists()


def test_a_first_version_whose_daemon_does_not_start_is_told(tmp_path: Path) -> None:
    said = update(tmp_path, f"echo one >{tmp_path}/bad; update one")
    assert said.returncode == 1
    assert "the daemon does not start" in said.stdout
    assert in_use(tmp_path) == "one"


def test_a_version_that_refuses_the_house_is_not_taken_into_use(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/site.yaml").write_text("not two\n")
    assert update(tmp_path, "update one").returncode == 0
    asked(tmp_path)
    said = update(tmp_path, "update two")
    assert said.returncode == 1
    assert "does not take" in said.stderr
    assert (in_use(tmp_path), asked(tmp_path)) == ("one", [])


def test_a_house_that_no_version_takes_keeps_nobody_from_an_update(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/site.yaml").write_text("not one, not two\n")
    update(tmp_path, "update one")
    assert update(tmp_path, "update two").returncode == 0
    assert in_use(tmp_path) == "two"


def test_a_site_file_that_is_refused_is_not_put_in_place(tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text("not two\n")
    assert update(tmp_path, "update one").returncode == 0
    said = update(tmp_path, f"site={tmp_path}/new.yaml; update two")
    assert said.returncode == 1
    assert "was not put in place" in said.stderr
    assert in_use(tmp_path) == "one"


def test_a_key_that_cannot_be_read_here_is_told_before_anything_restarts(tmp_path: Path) -> None:
    """As after a card was put back on another machine: systemd would start no daemon."""
    keys = """
mkdir -p $KEYS $UNITS/care-gateway.service.d
touch $KEYS/care-gateway.{{good,bad,loose}}
touch $UNITS/care-gateway.service.d/credential-{{good,bad}}.conf
systemd-creds() {{ echo "$*" >>{0}/creds; case "$*" in *.bad*) false ;; esac; }}
set -euo pipefail
"""
    script = keys.format(tmp_path)
    said = act(tmp_path, f"{script} check_keys; echo went on")
    assert (said.returncode, said.stdout) == (1, "")
    assert "--credential bad=FILE" in said.stderr
    assert "loose" not in (tmp_path / "creds").read_text("utf-8")
    given = act(tmp_path, f"{script} credentials=(bad=/srv/key); check_keys; echo went on")
    assert (given.returncode, given.stdout) == (0, "went on\n")


def test_a_run_that_broke_off_before_the_restart_is_made_up_for_by_the_next(tmp_path: Path) -> None:
    assert update(tmp_path, "update one").returncode == 0
    asked(tmp_path)
    broken = update(tmp_path, "start_units() { kill -KILL $$; }; update two")
    assert broken.returncode == -9
    assert asked(tmp_path) == []
    assert update(tmp_path, "update two").returncode == 0
    assert "systemctl restart care-gateway.service" in asked(tmp_path)
    assert update(tmp_path, "update two").returncode == 0
    assert asked(tmp_path) == []


def test_the_version_before_is_the_last_one_that_was_seen_to_start(tmp_path: Path) -> None:
    """Two updates broke off: what never ran is no way back."""
    assert update(tmp_path, "update one").returncode == 0
    for name in ("two", "three"):
        update(tmp_path, f"start_units() {{ kill -KILL $$; }}; update {name}")
    said = update(tmp_path, f"echo three >{tmp_path}/bad; update three")
    assert said.returncode == 1
    assert in_use(tmp_path) == "one"


GHOST = "echo ghost >$PROGRAMS/versions/one/systemd/care-gateway-old.timer"
CONSOLE = "echo page >$PROGRAMS/versions/one/systemd/care-gateway-console.service"


def test_a_house_without_the_duty_page_stays_without_until_it_is_asked_for(tmp_path: Path) -> None:
    page = tmp_path / "units/care-gateway-console.service"
    update(tmp_path, "update one")
    page.unlink(missing_ok=True)
    assert update(tmp_path, f"{CONSOLE}; update one").returncode == 0
    assert not page.exists()
    assert update(tmp_path, "console=yes; update one").returncode == 0
    assert page.exists()
    assert update(tmp_path, "console=no; update one").returncode == 0
    assert not page.exists()
    (tmp_path / "units/care-gateway.service").unlink()  # as if nothing was installed
    assert update(tmp_path, "update one").returncode == 0
    assert page.exists()


def test_a_unit_that_the_new_version_has_no_more_is_taken_away(tmp_path: Path) -> None:
    ghost = tmp_path / "units/care-gateway-old.timer"
    own = tmp_path / "units/care-gateway-own.service"
    update(tmp_path, "update one")
    update(tmp_path, f"{GHOST}; update one")
    assert ghost.exists()
    own.write_text("a technician's own\n")
    assert update(tmp_path, "update two").returncode == 0
    assert not ghost.exists()
    assert own.exists()


def test_the_firmware_s_line_is_added_once_and_only_where_it_holds_for_every_board(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config.txt"
    before = "# dtparam=strict_gpiod\n[cm4]\ndtparam=strict_gpiod\n[all]\narm_64bit=1"
    config.write_text(before)
    for _ in range(2):
        assert act(tmp_path, "set -e; install_boot").returncode == 0
    assert config.read_text("utf-8") == f"{before}\n[all]\ndtparam=strict_gpiod\n"
    assert [path.name for path in tmp_path.glob("config.txt*")] == ["config.txt"]
    config.write_bytes(b"arm_64bit=1\r\ndtparam=strict_gpiod\r\n")
    (tmp_path / "model").write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    assert act(tmp_path, "set -e; install_boot").returncode == 0
    assert config.read_bytes().endswith(b"strict_gpiod\r\n\n[all]\ndtparam=sd_cqe=off\n")


def test_settings_of_the_firmware_that_cannot_be_written_are_told_and_end_nothing(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config.txt"
    config.write_text("arm_64bit=1\n")
    said = act(tmp_path, "set -e; cat() { command cat; false; }; install_boot; echo went on")
    assert (said.returncode, said.stdout.splitlines()[-1]) == (0, "went on")
    assert "NOT WRITTEN" in said.stdout
    assert config.read_text("utf-8") == "arm_64bit=1\n"


@pytest.mark.parametrize(
    "name",
    ["platform-xhci-hcd.0-usb-0:1:1.0-port0", "platform-xhci-hcd.0-usbv2-0:1:1.0-port0",
     "platform-xhci-hcd.0-usb-0:1:1.0"],
)  # fmt: skip
def test_the_reader_s_socket_may_be_named_as_either_debian_names_it(
    tmp_path: Path, name: str
) -> None:
    assert act(tmp_path, f"path_of {name}").stdout == "platform-xhci-hcd.0-usb-0:1:1.0\n"


def test_the_kernel_s_drivers_let_go_of_a_reader_that_was_plugged_in_before(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "systemd", tmp_path / "source/systemd")
    script = "modprobe() { echo modprobe $*; }; unload_drivers"
    said = act(tmp_path, f"mkdir -p $MODULES/{{pn533,pn533_usb,usbcore}}; {script}").stdout
    asked_for = [line.split()[-1] for line in said.splitlines() if line.startswith("modprobe")]
    assert asked_for == ["pn533_usb", "pn533"]
    assert act(tmp_path, f"rm -r $MODULES; {script}").stdout == ""


def test_what_the_service_runs_never_comes_from_elsewhere_than_the_distribution() -> None:
    text = INSTALL.read_text("utf-8")
    assert "\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin\n" in text
    assert '"$PYTHON" -m venv' in text
    assert re.search(r"^umask 022\b", text, re.MULTILINE)


def test_two_installs_at_once_are_one_too_many(tmp_path: Path) -> None:
    first = functions().replace("/run/care-gateway-install.lock", str(tmp_path / "lock"))
    second = f"( exec 9>{tmp_path}/lock; flock --nonblock 9 || echo refused ); echo first"
    (tmp_path / "script").write_text(f"{first}\ndry_run=no; be_alone; {second}")
    done = run("bash", tmp_path / "script")
    assert done.stdout.split() == ["refused", "first"]


BUILDS = """
set -euo pipefail
work={0} tools={0}/tools
say() {{ echo "said $*"; }}
{1}
mkdir -p {0}/tools/bin {0}/bundle/wheels
printf '#!/bin/sh\\necho "$PYPI $*" >>{0}/built; [ -e {0}/gcc ]\\n' >{0}/tools/bin/python
chmod 755 {0}/tools/bin/python
here_arch() {{ echo arm64; }}
here_suite() {{ echo trixie; }}
build_pins {0}/bundle {2}
"""


@pytest.mark.parametrize(
    ("target", "has_source", "has_compiler", "is_built", "is_told"),
    [
        ("arm64 trixie", True, True, True, False),
        ("arm64 trixie", True, False, True, True),
        ("amd64 trixie", True, True, False, False),
        ("arm64 bookworm", False, True, False, False),
    ],
    ids=["a machine like it", "no compiler", "another machine", "there is a wheel"],
)
def test_a_bundle_made_on_a_machine_like_the_target_has_lgpio_built(
    tmp_path: Path,
    target: str,
    has_source: bool,
    has_compiler: bool,
    is_built: bool,
    is_told: bool,
) -> None:
    if has_source:
        (tmp_path / "bundle/sources").mkdir(parents=True)
    if has_compiler:
        (tmp_path / "gcc").touch()
    (function,) = re.findall(r"(?ms)^build_pins\(\) \{.*?^\}$", BUNDLE.read_text("utf-8"))
    told = run("bash", "-c", BUILDS.format(tmp_path, function, target))
    assert told.returncode == 0, told.stderr
    built = (tmp_path / "built").read_text("utf-8") if (tmp_path / "built").exists() else ""
    assert built.startswith("1 -m pip wheel") is is_built
    assert ("lgpio was not built" in told.stdout) is is_told


def test_a_package_that_cannot_be_had_is_told_with_the_reason_and_left_whole(
    tmp_path: Path,
) -> None:
    fakes = """
HERE={0}
has_package() {{ false; }}
dpkg() {{
    echo "dpkg $*" >>{0}/done
    case "$1" in --install) echo "depends on libfoo"; false ;; esac
}}
apt-get() {{ echo "apt-get $*" >>{0}/done; echo "no such package"; false; }}
"""
    (tmp_path / "debs").mkdir()
    (tmp_path / "debs/python3-systemd_235_arm64.deb").touch()
    script = fakes.format(tmp_path)
    said = act(tmp_path, f"{script} need_packages python3-systemd || echo without")
    assert "depends on libfoo" in said.stderr
    assert "without" in said.stdout
    done = (tmp_path / "done").read_text("utf-8").splitlines()
    assert [line.split()[1] for line in done] == ["--install", "--purge"]
    said = act(tmp_path, f"{script} need_packages python3-lgpio || echo without")
    assert "no such package" in said.stderr
    assert "without" in said.stdout
    asked = (tmp_path / "done").read_text("utf-8").splitlines()[2:]
    assert all("DPkg::Lock::Timeout=300" in line for line in asked)
    assert [line.split()[4] for line in asked] == ["update", "install"]
