"""The page of `browser_behind` and the WebSockets it opens, by Flask-Sock."""

import os
import pathlib

from flask import Flask, request
from flask_sock import Sock

HERE, GATE = pathlib.Path(__file__).parent, pathlib.Path(os.environ["GATE"])

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"subprotocols": ["chat"]}
sock = Sock(app)


@app.route("/")
def page():
    text = (HERE.parent / "browser_behind/page.html").read_text()
    # Chromium keeps an empty message back behind others whose compression goes on from one to the next, as it does here.
    return text.replace('""', '"end"')


@sock.route("/behind/talk")
def talk(ws):
    while True:
        ws.send(ws.receive())


@app.route("/behind/forbidden", websocket=True)
def forbidden():
    return "no", 403


@app.route("/tell/<name>", methods=["POST"])
def tell(name):
    part = GATE / "part"
    part.write_bytes(request.get_data())
    part.rename(GATE / name)
    return "thanks"
