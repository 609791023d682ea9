#!/bin/sh
# The policy of .cargo/deny.toml against advisory databases made by hand, so that it also holds where the real one cannot be
# reached: the exceptions pass, a crate without a maintainer and a vulnerability fail. The argument is cargo-deny:
# sh tests/advisories.sh cargo-deny
set -eu
deny=$1
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
# What cargo-deny calls its copy of https://github.com/RustSec/advisory-db.
database=$scratch/databases/advisory-db-3157b0e258782691
sed "s|^\[advisories\]$|&\ndb-path = \"$scratch/databases\"|" .cargo/deny.toml > "$scratch/deny.toml"
git init -q "$database"

# advisory PACKAGE ID [LINE]
advisory() {
    mkdir -p "$database/crates/$1"
    printf '```toml\n[advisory]\nid = "%s"\npackage = "%s"\ndate = "2026-01-01"\n%s\n\n[versions]\npatched = []\n```\n\n# %s\n\nMade by hand.\n' \
        "$2" "$1" "${3:-}" "$2" > "$database/crates/$1/$2.md"
}

check() {
    git -C "$database" add -A
    git -C "$database" -c user.name=tests -c user.email=tests@localhost commit -q -m "$1"
    # That it was fetched just now.
    touch "$database/.git/FETCH_HEAD"
    "$deny" --offline --config "$scratch/deny.toml" check advisories > "$scratch/told" 2>&1
}

# refused WHAT: the check fails, and because of this.
refused() {
    if check "$1" || ! grep -q "^error\[$1\]" "$scratch/told"; then
        cat "$scratch/told"
        echo "not refused: $1"
        exit 1
    fi
}

advisory derivative RUSTSEC-2024-0388 'informational = "unmaintained"'
advisory rustls-pemfile RUSTSEC-2025-0134 'informational = "unmaintained"'
check exceptions || { cat "$scratch/told"; echo "the exceptions do not hold"; exit 1; }
advisory bytes RUSTSEC-2026-9001 'informational = "unmaintained"'
refused unmaintained
rm "$database/crates/bytes/RUSTSEC-2026-9001.md"
advisory bytes RUSTSEC-2026-9002
refused vulnerability
# An exception that nothing needs any more is to go.
rm -r "$database/crates/bytes" "$database/crates/derivative"
refused advisory-not-detected
echo "the policy for advisories holds"
