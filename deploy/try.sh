#!/bin/sh
# Builds appliance and runs the demo site on 127.0.0.1, over HTTP and HTTPS. Ctrl-C ends it.
set -eu
cd "$(dirname "$0")/.."
. deploy/requirements.sh
need_rust
need_packages cc:build-essential cmake:cmake openssl:openssl python3:python3

cargo build --release --locked --package appliance
program="${CARGO_TARGET_DIR:-target}/release/appliance"

# The demo's own copy, with a certificate made on the spot.
site="${CARGO_TARGET_DIR:-target}/demo"
rm -rf "$site"
mkdir -p "$site"
cp -R deploy/demo/. "$site"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout "$site/localhost.key" -out "$site/localhost.crt" 2>/dev/null

cat <<'TEXT'

    http://127.0.0.1:8000/     the page          https://127.0.0.1:8443/   the same over TLS (self-signed)
    http://127.0.0.1:8000/app  the application

TEXT
exec "$program" --conf "$site/site.toml"
