#!/bin/sh
# The engine's tests on the newest CPythons, those of Debian unstable, in a root of its own below target/tests. Needs root,
# debootstrap, the right to mount, and some minutes. Arguments go to the tests: sh tests/unstable.sh life:: wsgi::
set -eu
cd "$(dirname "$0")/.."
here=$PWD
root=$here/target/tests/unstable

if [ ! -e "$root/complete" ]; then
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --include=ca-certificates unstable "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    # A mirror may lag behind.
    chroot "$root" apt-get -q -o Acquire::Check-Valid-Until=false update
    chroot "$root" apt-get -q install -y --no-install-recommends python3.14-venv python3.15-venv
    touch "$root/complete"
fi

# The binaries are of this system; only the interpreters, and what they load, are of the other. The engine is built with the program.
cargo build --workspace --locked
tests=$(cargo test --workspace --locked --no-run --test engine 2>&1 | sed -n 's/.*tests\/engine\/main.rs (\(.*\))/\1/p')
[ -n "$tests" ] || { echo "the tests do not build"; exit 1; }
# Virtualenvs may be kept elsewhere, behind a link.
mkdir -p target/tests/virtualenvs
venvs=$(readlink -f target/tests/virtualenvs)
mkdir -p "$root$here" "$root$venvs"
export here root tests venvs
exec unshare -m sh -eu -c '
    mount --make-rprivate /
    mount --rbind /proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --bind /etc/ssl "$root/etc/ssl"
    mount --bind "$here" "$root$here"
    [ -e "$root$venvs/." ] && mount --bind "$venvs" "$root$venvs"
    exec chroot "$root" env -u PYENV_ROOT HOME=/root PATH=/usr/bin:/bin RUST_BACKTRACE=0 \
        ENGINE_BUILT="$here/target/engine/release/libappliance_worker.so" \
        sh -c "cd $here && exec \"\$@\"" sh "$here/$tests" "$@"
' sh "$@"
