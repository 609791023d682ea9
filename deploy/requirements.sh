# Sourced by try.sh and test.sh: makes sure that what a build needs is there. Debian and Ubuntu packages are installed when
# that is possible; anything else is named and left to the reader.

# The command that installs packages, as this user types it.
install_command() {
    if [ "$(id -u)" = 0 ]; then
        echo "apt-get install"
    elif command -v sudo >/dev/null 2>&1; then
        echo "sudo apt-get install"
    else
        echo "as root: apt-get install"
    fi
}

need_packages() {
    missing=""
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
    done
    # venv without ensurepip (a package of its own on Debian) can not make a virtualenv.
    python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing="$missing python3-venv"
    if command -v apt-get >/dev/null 2>&1; then
        # A minimal system trusts no certificate authority: nothing could be downloaded.
        [ -n "${SSL_CERT_FILE:-}" ] || [ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"
    fi
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "missing, please install (these are the names of Debian's packages):$missing" >&2
        exit 1
    fi
    as_root=""
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "missing, please install as root: apt-get install$missing" >&2
            exit 1
        fi
        as_root=sudo
    fi
    echo "installing:$missing"
    $as_root apt-get update -qq
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
}

# What only some tests need, program:package: installed where that is possible without asking anybody; what is not there in
# the end is told, and so are the tests that it costs.
want_packages() {
    wanted=""
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || wanted="$wanted ${pair#*:}"
    done
    [ -n "$wanted" ] || return 0
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        apt-get update -qq || true
        for package in $wanted; do
            echo "installing: $package"
            DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" >/dev/null 2>&1 ||
                echo "not to be had here: $package" >&2
        done
    else
        echo "some tests will be skipped without (these are the names of Debian's packages):$wanted" >&2
    fi
}

# Rust is the reader's to install: it belongs into their home directory. Looked at before anything is installed.
need_rust() {
    # Where rustup puts it; a shell that was there before does not have it on its PATH, and a distribution's own may be older.
    if [ -x "${HOME:-}/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if ! command -v cargo >/dev/null 2>&1; then
        echo "Rust is missing ($wanted or later is needed)." >&2
        say_rustup
        exit 1
    fi
    if ! found=$(cargo --version); then
        echo "cargo is there but does not run: 'rustup default stable' gives it a toolchain" >&2
        exit 1
    fi
    found=$(printf '%s\n' "$found" | sed 's/^cargo \([0-9]*\.[0-9]*\).*/\1/')
    if [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
        if command -v rustup >/dev/null 2>&1; then
            echo "Rust $found is too old, $wanted is needed: run 'rustup update'" >&2
        else
            echo "Rust $found of $(command -v cargo) is too old, $wanted is needed." >&2
            say_rustup
        fi
        exit 1
    fi
    for component in "$@"; do
        if ! cargo "${component#rust}" --version >/dev/null 2>&1; then
            echo "missing: 'rustup component add $component'" >&2
            exit 1
        fi
    done
}

say_rustup() {
    echo "Install it with rustup (https://rustup.rs), then run this command again:" >&2
    if ! command -v curl >/dev/null 2>&1; then
        echo "    $(install_command) curl ca-certificates" >&2
    fi
    echo "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
}
