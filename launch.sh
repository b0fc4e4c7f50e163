#!/usr/bin/env bash
# Sets up what Easel needs and starts it.
#
#   ./launch.sh [options]            start the server (options: ./launch.sh --help)
#   ./launch.sh generate "a prompt"  make a picture without a browser
#   ./launch.sh test [pytest args]   set up the test tools and run the whole suite
#   ./launch.sh check                linters and type checks
#
# PYTHON   the interpreter to build the virtual environment with (default: the newest suitable one found)
# VENV     where the virtual environment lies (default: .venv)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

venv=${VENV:-.venv}

die() {
    printf 'launch.sh: %s\n' "$*" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3 python; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "Python 3.11, 3.12 or 3.13 is needed and was not found. Install one, or name it: PYTHON=/path/to/python3 ./launch.sh"
}

# Installs a requirements file unless the stamp beside the environment says that exactly this one is installed.
install() {
    local file=$1 stamp=$venv/.installed-${1%.txt} wanted
    wanted=$(cksum <"$file")
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    printf 'Installing %s (once; this can take some minutes) ...\n' "$file"
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input -q -r "$file" ||
        die "pip could not install $file. The lines above say why; after mending it, run the same command again."
    printf '%s\n' "$wanted" >"$stamp"
}

set_up() {
    if [ ! -x "$venv/bin/python" ]; then
        local python
        python=$(find_python)
        printf 'Creating %s with %s ...\n' "$venv" "$python"
        "$python" -m venv "$venv" ||
            die "the virtual environment could not be made. On Debian and Ubuntu: apt install python3-venv"
    fi
    install requirements.txt
}

has_chromium() {
    local name
    for name in ${CHROMIUM:+"$CHROMIUM"} chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    return 1
}

# The browser tests drive an installed Chromium; Playwright's own download is not used.
need_chromium() {
    has_chromium && return
    local hint="Install Chromium or Chrome (Debian: apt install chromium) or name it: CHROMIUM=/path/to/chrome ./launch.sh test"
    command -v apt-get >/dev/null 2>&1 || die "no Chromium found for the browser tests. $hint"
    [ "$(id -u)" = 0 ] || die "no Chromium found for the browser tests, and only root can install it. $hint"
    printf 'Installing Chromium for the browser tests ...\n'
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null ||
        die "apt-get could not install chromium. $hint"
}

case "${1:-}" in
test)
    shift
    set_up
    install requirements-test.txt
    need_chromium
    exec "$venv/bin/python" -m pytest "$@"
    ;;
check)
    set_up
    install requirements-test.txt
    "$venv/bin/python" -m ruff check .
    "$venv/bin/python" -m ruff format --check .
    exec "$venv/bin/python" -m mypy
    ;;
-h | --help)
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    # The options need nothing installed.
    exec "$(find_python)" webui.py --help
    ;;
*)
    set_up
    exec "$venv/bin/python" webui.py "$@"
    ;;
esac
