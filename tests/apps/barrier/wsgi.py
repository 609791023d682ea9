"""Notes each request in $BARRIER/seen; those below /held wait until $BARRIER/open is there."""

import os
import pathlib
import time

BARRIER = pathlib.Path(os.environ["BARRIER"])


def application(environ, start_response):
    with open(BARRIER / "seen", "a") as seen:
        seen.write(environ["PATH_INFO"] + "\n")
    deadline = time.monotonic() + 60
    while environ["PATH_INFO"].startswith("/held") and not (BARRIER / "open").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("nobody opened the barrier")
        time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"through\n"]
