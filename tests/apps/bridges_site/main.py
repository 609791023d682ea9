"""A Flask application carried into ASGI by the bridges there are, alone and mounted in Starlette; and Starlette carried into WSGI."""

import hashlib
import warnings

from a2wsgi import ASGIMiddleware
from a2wsgi import WSGIMiddleware as A2wsgi
from asgiref.wsgi import WsgiToAsgi
from flask import Flask, Response, jsonify, redirect, request, url_for
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route

with warnings.catch_warnings():
    # It tells that it will be gone in a later release.
    warnings.simplefilter("ignore")
    from starlette.middleware.wsgi import WSGIMiddleware as Starlettes

flask = Flask(__name__)


def digest(data):
    return [len(data), hashlib.sha256(data).hexdigest()]


@flask.route("/tell/<path:rest>", methods=["GET", "POST", "PUT"])
def tell(rest):
    names = ["REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "wsgi.url_scheme", "REMOTE_ADDR", "HTTP_X_MINE"]
    told = {name: request.environ.get(name) for name in names}
    return jsonify(told, rest, request.content_length, digest(request.get_data()))


@flask.post("/form")
def form():
    file = request.files["file"]
    return jsonify(request.form.to_dict(flat=False), file.filename, digest(file.read()))


@flask.get("/parts")
def parts():
    return Response((b"part %d\n" % number for number in range(3)), mimetype="text/plain")


@flask.get("/away")
def away():
    return redirect(url_for("tell", rest="there", _external=True))


by_starlette, by_a2wsgi, by_asgiref = Starlettes(flask), A2wsgi(flask), WsgiToAsgi(flask)
inside = Starlette(
    routes=[
        Mount("/starlette", by_starlette),
        Mount("/a2wsgi", by_a2wsgi),
        Mount("/asgiref", by_asgiref),
    ]
)


async def scope(request):
    body = await request.body()
    scope = request.scope
    names = ["type", "method", "root_path", "path", "scheme"]
    return JSONResponse([{name: scope[name] for name in names}, request.headers.get("content-length"), digest(body)])


async def form_later(request):
    async with request.form() as form:
        file = form["file"]
        return JSONResponse([form["note"], file.filename, digest(await file.read())])


async def parts_later(request):
    async def parts():
        for number in range(3):
            yield b"part %d\n" % number

    return StreamingResponse(parts(), media_type="text/plain")


# The other way: an ASGI application as a WSGI application.
back = ASGIMiddleware(
    Starlette(
        routes=[
            Route("/tell/{rest:path}", scope, methods=["GET", "POST", "PUT"]),
            Route("/form", form_later, methods=["POST"]),
            Route("/parts", parts_later),
        ]
    )
)
