"""Quart's hello, and its WebSocket."""

from quart import Quart, jsonify, request, websocket

app = Quart(__name__)


@app.route("/")
async def hello():
    return "hello\n"


@app.route("/form", methods=["POST"])
async def form():
    fields = await request.form
    return jsonify(dict(fields))


@app.websocket("/ws")
async def ws():
    while True:
        text = await websocket.receive()
        await websocket.send(f"echo {text}")
