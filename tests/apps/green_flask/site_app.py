"""A Flask application whose views wait: for each other, for another server, for a file, for their client."""

import os
import time

import requests
from flask import Flask, Response, request

app = Flask(__name__)
GATE = os.environ["GATE"]
running = 0
most = 0


@app.get("/meet/<int:count>")
def meet(count):
    """Answers when so many have run at the same time."""
    global running, most
    running += 1
    most = max(most, running)
    try:
        while most < count:
            time.sleep(0.01)
    finally:
        running -= 1
    return "met\n"


@app.get("/fetch/<int:port>")
def fetch(port):
    return requests.get("http://127.0.0.1:%d/" % port, timeout=20).text


@app.get("/events")
def events():
    def stream():
        yield "data: first\n\n"
        while not os.path.exists(os.path.join(GATE, "go")):
            time.sleep(0.02)
        yield "data: last\n\n"

    return Response(stream(), content_type="text/event-stream")


@app.get("/big")
def big():
    return Response((b"b" * 65536 for _ in range(480)), content_type="application/octet-stream")


@app.get("/hang")
def hang():
    print("about to hang")
    time.sleep(1000)


@app.post("/length")
def length():
    return "%d\n" % len(request.get_data())


@app.get("/pid")
def pid():
    return "%d" % os.getpid()
