"""WebSockets of WSGI applications: Flask-Sock, simple-websocket by itself, and some that do not keep to the rules."""

import os
import time

import simple_websocket
from flask import Flask, request
from flask_sock import Sock

flask = Flask(__name__)
flask.config["SOCK_SERVER_OPTIONS"] = {"subprotocols": ["chat"]}
sock = Sock(flask)


@flask.route("/page")
def page():
    return "page"


@sock.route("/echo")
def echo(ws):
    while True:
        message = ws.receive()
        ws.send(message)


@sock.route("/slow")
def slow(ws):
    while True:
        message = ws.receive()
        time.sleep(0.01)
        ws.send(message)


@sock.route("/leave")
def leave(ws):
    ws.send("bye")


@sock.route("/raise")
def raises(ws):
    ws.send("before")
    raise ValueError("a fault of the view")


@sock.route("/tick")
def tick(ws):
    try:
        while True:
            ws.send("tick")
            time.sleep(0.05)
    finally:
        with open(os.path.join(os.environ["GATE"], "ticked"), "a") as done:
            done.write("over\n")


@sock.route("/deaf")
def deaf(ws):
    ws.send("I hear nothing")
    time.sleep(60)


@flask.route("/simple", websocket=True)
def simple():
    ws = simple_websocket.Server.accept(request.environ)
    try:
        while True:
            ws.send(ws.receive() + "!")
    except simple_websocket.ConnectionClosed:
        pass
    return ""


def plain(environ, start_response):
    """Knows no WebSockets."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"plain"]


def environ(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    told = environ.get("HTTP_UPGRADE"), environ.get("HTTP_CONNECTION"), "gunicorn.socket" in environ
    return [repr(told).encode()]


def rubbish(environ, start_response):
    environ["gunicorn.socket"].sendall(b"hello\r\n\r\n")
    raise StopIteration


def forged(environ, start_response):
    answer = b"HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n"
    environ["gunicorn.socket"].sendall(answer)
    return []


def half(environ, start_response):
    environ["gunicorn.socket"].send(b"HTTP/1.1 101 Sw")
    start_response("200 OK", [])
    return [b"late"]


def silent(environ, start_response):
    time.sleep(30)


def stops(environ, start_response):
    raise StopIteration


def refused(environ, start_response):
    raise ConnectionRefusedError("a database")


WAYS = {"/" + way.__name__: way for way in (plain, environ, rubbish, forged, half, silent, stops, refused)}


def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/werkzeug"):
        # As the development server gives it.
        environ["PATH_INFO"] = environ["PATH_INFO"][len("/werkzeug"):]
        environ["werkzeug.socket"] = environ.pop("gunicorn.socket")
    return WAYS.get(environ["PATH_INFO"], flask)(environ, start_response)
