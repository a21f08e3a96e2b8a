#!/bin/sh
# Install programs that tests drive and pip cannot bring: needs.sh chromium node
# Where that is not possible it says what to do, and ends with status 1.
set -u

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt() {
    command -v apt-get >/dev/null || return 1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null 2>&1
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" </dev/null >/dev/null 2>&1
}

have() {
    for program; do
        command -v "$program" >/dev/null && return 0
    done
    return 1
}

missing=0
for need; do
    case $need in
    chromium)
        # Most of them take half of the processor's time in one without windows, which Debian has.
        if ! have chromium-headless-shell && grep -qs "^ID=debian" /etc/os-release; then
            echo "Installing a Chromium without windows for the browser tests (a minute) ..."
            apt chromium-headless-shell
        fi
        have chromium chromium-browser google-chrome && continue
        echo "Installing Chromium for the browser tests (a minute or two) ..."
        apt chromium
        have chromium chromium-browser google-chrome && continue
        ;;
    node)
        have node && have npm && continue
        echo "Installing Node.js for the contract tests (a minute or two) ..."
        apt nodejs npm
        have node && have npm && continue
        ;;
    nginx)
        have nginx && continue
        echo "Installing nginx for the proxy tests ..."
        apt nginx-light
        have nginx && continue
        ;;
    pgbouncer)
        # Debian has it where only root looks for programs.
        PATH=$PATH:/usr/sbin have pgbouncer && continue
        echo "Installing PgBouncer for the tests of PostgreSQL behind it ..."
        apt pgbouncer
        PATH=$PATH:/usr/sbin have pgbouncer && continue
        ;;
    cc)
        have cc && continue
        echo "Installing a C compiler for the tests that set a clock (a minute or two) ..."
        apt gcc libc6-dev
        have cc && continue
        ;;
    ip)
        have ip && continue
        echo "Installing iproute2 for the tests with several machines ..."
        apt iproute2
        have ip && continue
        ;;
    esac
    echo "$need is missing and could not be installed here; the tests that need it are skipped." \
        "On Debian and Ubuntu: sudo apt install $need" >&2
    missing=1
done
exit $missing
