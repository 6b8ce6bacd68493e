# shellcheck shell=bash
# Sourced by the other scripts: finds a Python, installs what is missing, says what it installs.
#
#   set_up demo     what the demo needs
#   set_up check    what format, lint, types and layering need
#   set_up test     what the tests need: also a compiler, libmodbus, socat, mosquitto, chromium
#
# A second run finds everything in place, touches no network and takes no time.
#   VENV     where the virtual environment lies (default: .venv in the checkout)
#   PYTHON   which interpreter to make it with (default: the first of 3.11 or newer)
# pip's own variables (PIP_CERT, PIP_INDEX_URL, ...) are respected.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV=${VENV:-$ROOT/.venv}
case $VENV in /*) ;; *) VENV=$PWD/$VENV ;; esac

say() { printf '%s\n' "set-up: $*" >&2; }

stop() {
    say "$@"
    exit 1
}

# --- the machine's packages -----------------------------------------------------------------

has_mosquitto() { command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ]; }
has_library() { command -v pkg-config >/dev/null && pkg-config --exists "$1"; }
has_usable_python() { find_python >/dev/null; }
has_ensurepip() { "$(find_python)" -c 'import ensurepip, venv' 2>/dev/null; }
has_chinese_font() { command -v fc-list >/dev/null && [ -n "$(fc-list :lang=zh file)" ]; }
has_python_headers() {
    "$(find_python)" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' 2>/dev/null
}

# Prints the Debian packages that the use $1 misses on this machine, by what is really there.
missing_packages() {
    has_usable_python || echo python3
    { has_usable_python && has_ensurepip; } || echo python3-venv
    [ "$1" = check ] && return
    has_mosquitto || echo mosquitto
    [ "$1" = demo ] && return
    command -v gcc >/dev/null || echo gcc
    # gcc alone does not bring the C library's headers where recommended packages are left out.
    [ -e /usr/include/stdio.h ] || echo libc6-dev
    { has_usable_python && has_python_headers; } || echo python3-dev
    command -v pkg-config >/dev/null || echo pkg-config
    has_library libsystemd || echo libsystemd-dev
    has_library libmodbus || echo libmodbus-dev
    command -v socat >/dev/null || echo socat
    # The duty page is looked at in a browser, and most of its words are Chinese.
    command -v chromium >/dev/null || echo chromium
    has_chinese_font || printf '%s\n' fontconfig fonts-noto-cjk
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo --preserve-env=http_proxy,https_proxy,no_proxy,DEBIAN_FRONTEND "$@"
    fi
}

# Installs packages without letting Debian start what they bring: the demo and the tests run
# their own mosquitto on their own sockets, and a broker on port 1883 that nobody asked for
# would be a surprise. While apt runs, policy-rc.d (the switch Debian has for this) says no;
# on systemd the new unit is also disabled, so that it stays quiet after the next boot.
install_packages() {
    local policy=/usr/sbin/policy-rc.d forbid=no brings_mosquitto=no status=0 output
    case " $* " in *" mosquitto "*) brings_mosquitto=yes ;; esac
    if [ ! -e "$policy" ]; then
        forbid=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    output=$({ as_root apt-get -qq update &&
        as_root apt-get -qq install --yes --no-install-recommends "$@"; } 2>&1 </dev/null) || {
        status=$?
        printf '%s\n' "$output" >&2
    }
    [ "$forbid" = no ] || as_root rm -f "$policy"
    if [ "$status" = 0 ] && [ "$brings_mosquitto" = yes ] && [ -d /run/systemd/system ]; then
        as_root systemctl --quiet disable mosquitto.service || true # already disabled is as good
    fi
    return "$status"
}

# Installs what the use $1 misses. Only the demo's broker may stay missing: it has another.
need_packages() {
    local missing reason=
    mapfile -t missing < <(missing_packages "$1")
    [ "${#missing[@]}" -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        reason="there is no apt-get here; install what these Debian packages hold yourself"
    elif [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        reason="you are not root and there is no sudo; as root: apt-get install ${missing[*]}"
    else
        say "installing Debian packages: ${missing[*]}"
        if install_packages "${missing[@]}"; then
            return
        fi
        reason="apt-get failed, see above"
    fi
    if [ "$1" = demo ] && [ "${missing[*]}" = mosquitto ]; then
        say "no mosquitto ($reason): the demo uses its embedded broker, which speaks MQTT 3.1.1 only"
        return
    fi
    stop "missing: ${missing[*]}; $reason"
}

# --- Python ---------------------------------------------------------------------------------

# Prints the interpreter: $PYTHON if set, else the first on PATH that runs and is new enough.
find_python() {
    local name
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

# Prints the locks of the use $1, in the order of installation.
locks_of() {
    case $1 in
        demo) echo demo.lock nfc.lock ;;
        check) echo dev.lock ;;
        test) echo dev.lock nfc.lock systemd.lock ;;
        *) stop "no such use: $1" ;;
    esac
}

# Prints what the environment must have been made from: interpreter, checkout, command and locks.
stamp_of() {
    local lock
    {
        printf '%s\n' "$("$VENV/bin/python" -c 'import sys; print(sys.version)' 2>&1)" "$ROOT"
        sed -n '/^\[project\]/,/^\[tool/p' "$ROOT/pyproject.toml"
        for lock in $(locks_of "$1"); do cat "$ROOT/requirements/$lock"; done
    } | sha256sum
}

is_set_up() {
    [ -x "$VENV/bin/python" ] && [ -f "$VENV/.set-up-$1" ] &&
        [ "$(cat "$VENV/.set-up-$1")" = "$(stamp_of "$1")" ]
}

# A larger use that is in place serves the smaller ones: their locks agree on every version.
is_covered() {
    is_set_up "$1" && return
    case $1 in
        demo) is_set_up test ;;
        check) is_set_up test ;;
        *) false ;;
    esac
}

install_locks() {
    local lock
    for lock in $(locks_of "$1"); do
        say "installing Python packages: requirements/$lock ($(grep -c '==' "$ROOT/requirements/$lock"))"
        # No isolation: what is built from source is built with the tools of the lock, not with
        # whatever is newest that day.
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
            --require-hashes --no-deps --no-build-isolation \
            --requirement "$ROOT/requirements/$lock" >&2 ||
            stop "pip could not install requirements/$lock, see above"
    done
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --no-deps --no-build-isolation --editable "$ROOT" >&2 ||
        stop "pip could not install this checkout into $VENV, see above"
}

fill_venv() {
    local python
    if [ ! -x "$VENV/bin/python" ] || ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
        python=$(find_python) || stop "no Python 3.11 or newer found; set PYTHON to one"
        say "making $VENV with $("$python" --version) ($python)"
        "$python" -m venv "$VENV" >&2 || stop "could not make $VENV"
    fi
    install_locks "$1"
    stamp_of "$1" >"$VENV/.set-up-$1"
}

set_up() {
    need_packages "$1"
    is_covered "$1" && return
    mkdir -p "$VENV"
    # Two scripts started at once shall not fill one environment together.
    exec 9>"$VENV/.set-up.lock"
    flock 9
    is_covered "$1" || fill_venv "$1"
    exec 9>&-
}
