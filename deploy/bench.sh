#!/bin/sh
# Measures the whole binary against nginx, gunicorn, uWSGI, granian, uvicorn and others on this machine: alternating rounds,
# medians, ratios. Servers share one core, the load runs on another. All of it takes more than an hour; a part:
# `sh deploy/bench.sh --row hello file --rounds 1`. Options are passed on: `sh deploy/bench.sh --help`.
set -eu
cd "$(dirname "$0")/.."
. deploy/requirements.sh
need_packages cc:build-essential cmake:cmake python3:python3 wrk:wrk taskset:util-linux nginx:nginx-light h2load:nghttp2-client openssl:openssl
need_rust
target="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build --profile dist --locked --package appliance
environment="$target/bench/virtualenv"
if [ ! -e "$environment/complete-4" ]; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check \
        gunicorn granian pyuwsgi flask django fastapi 'uvicorn[standard]' uvicorn-worker hypercorn uvloop gevent packaging \
        peregrine-server freastal bjoern-binary
    touch "$environment/complete-4"
fi
exec python3 deploy/bench/run.py --appliance "$target/dist/appliance" --environment "$environment" --scratch "$target/bench" "$@"
