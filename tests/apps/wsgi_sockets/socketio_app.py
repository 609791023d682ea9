"""Flask-SocketIO, in the mode that `$MODE` names."""

import os

from flask import Flask, request
from flask_socketio import SocketIO, emit

app = Flask(__name__)
socketio = SocketIO(app, async_mode=os.environ["MODE"], cors_allowed_origins="*")


@socketio.on("say")
def say(text):
    emit("said", {"text": text, "transport": socketio.server.transport(request.sid)})


@socketio.on("blob")
def blob(data):
    emit("blob", data[::-1])
