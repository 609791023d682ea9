"""Takes a few milliseconds, so that at any moment every thread of a busy worker is in the middle of a request."""

import time


def application(environ, start_response):
    time.sleep(0.005)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"rested\n"]
