"""What every WSGI server under measurement runs."""

import time

from flask import Flask

BIG = b"x" * (1 << 20)


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "12")])
    return [b"hello world\n"]


def bulk(environ, start_response):
    """POST: reads the body. GET /big: answers with 1 MiB."""
    if environ["REQUEST_METHOD"] == "POST":
        source, count = environ["wsgi.input"], 0
        while piece := source.read(65536):
            count += len(piece)
        body = b"%d\n" % count
    else:
        body = BIG if environ["PATH_INFO"] == "/big" else b"hello world\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def pauses(environ, start_response):
    """GET /10: waits so many milliseconds, in the way that blocks. GET /: does not wait."""
    time.sleep(int(environ["PATH_INFO"][1:] or 0) / 1000)
    return hello(environ, start_response)


flask = Flask(__name__)


@flask.get("/")
def home():
    return "hello world\n"


@flask.get("/<int:pause>")
def wait(pause):
    """Waits so many milliseconds, in the way that blocks."""
    time.sleep(pause / 1000)
    return "hello world\n"
