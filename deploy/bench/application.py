"""What every server under measurement runs."""

from flask import Flask


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "12")])
    return [b"hello world\n"]


flask = Flask(__name__)


@flask.get("/")
def home():
    return "hello world\n"
