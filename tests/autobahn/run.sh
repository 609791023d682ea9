#!/bin/sh
# The Autobahn test suite's fuzzing client against appliance: more than 500 cases of RFC 6455 and RFC 7692, through proxy and worker.
#
#   sh tests/autobahn/run.sh [BINARY] [CASE...]       cases as '12.*'; all when none is named
#
# The suite is written for Python 2.7: it is taken from PyPI into a virtualenv of that Python, which is looked for on the PATH and
# among pyenv's. Without one the script says so and ends with 77, as tests that could not run do. SERVER=uvicorn runs the cases
# against uvicorn, where it is installed beside python3.
set -eu
cd "$(dirname "$0")/../.."
binary="${1:-target/release/appliance}"
[ $# = 0 ] || shift
work="${CARGO_TARGET_DIR:-$PWD/target}/tests/autobahn"
mkdir -p "$work"
server="${SERVER:-appliance}"

# pyenv's shim is on the PATH also where the version behind it is not chosen.
python2=""
for candidate in "$(command -v python2.7 || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
    if [ -z "$python2" ] && [ -n "$candidate" ] && "$candidate" --version >/dev/null 2>&1; then python2="$candidate"; fi
done
if [ -z "$python2" ]; then
    echo "skipped: the Autobahn test suite needs Python 2.7, and none was found" >&2
    exit 77
fi
if [ ! -e "$work/complete" ]; then
    # virtualenv 20.15 is the last that makes virtualenvs of Python 2.7. Debian's Python keeps others from installing beside it.
    python3 -m venv "$work/virtualenv"
    "$work/virtualenv/bin/pip" install --quiet --disable-pip-version-check virtualenv==20.15.1 'setuptools<81'
    "$work/virtualenv/bin/virtualenv" --quiet --python "$python2" "$work/python2"
    "$work/python2/bin/pip" install --quiet --no-python-version-warning --disable-pip-version-check autobahntestsuite==0.8.2
    touch "$work/complete"
fi

port=$(python3 -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])")
rm -rf "$work/report"
cat > "$work/site.toml" <<TEXT
[app.echo]
asgi = "echo:app"
directory = "$PWD/tests/autobahn"
python = "$(command -v python3)"
workers = 1
[app.echo.websocket]
message_max = "64MiB"
[[listener]]
address = "127.0.0.1:$port"
[[site]]
app = "echo"
[log.access]
to = "$work/access.log"
TEXT
cases=""
for case in "$@"; do cases="$cases${cases:+, }\"$case\""; done
cat > "$work/spec.json" <<TEXT
{"outdir": "$work/report", "servers": [{"agent": "$server", "url": "ws://127.0.0.1:$port"}],
 "cases": [${cases:-\"*\"}], "exclude-cases": [], "exclude-agent-cases": {}}
TEXT

if [ "$server" = uvicorn ]; then
    python3 -m uvicorn --app-dir tests/autobahn echo:app --port "$port" --ws-max-size 67108864 --log-level warning &
else
    "$binary" --conf "$work/site.toml" > "$work/output" 2>&1 &
fi
pid=$!
trap 'kill "$pid" 2>/dev/null || true' EXIT
python3 - "$port" <<'TEXT'
import socket, sys, time
for _ in range(300):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit("the server does not start")
TEXT
"$work/python2/bin/wstest" -m fuzzingclient -s "$work/spec.json" > "$work/client.log" 2>&1 || {
    tail -n 20 "$work/client.log" >&2
    exit 1
}
python3 tests/autobahn/totals.py "$work/report/index.json"
