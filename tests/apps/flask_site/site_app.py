"""A Flask application made by a factory."""

import os
import sys

from flask import Flask, Response, abort, jsonify, request, session


def create_app():
    app = Flask(__name__)
    app.secret_key = "only-for-tests"

    @app.get("/")
    def home():
        return "home\n"

    @app.get("/who")
    def who():
        return jsonify(
            address=request.remote_addr,
            scheme=request.scheme,
            host=request.host,
            root=request.script_root,
            path=request.path,
            version=sys.version.split()[0],
            pid=os.getpid(),
        )

    @app.post("/echo")
    def echo():
        return Response(request.get_data(), content_type="application/octet-stream")

    @app.route("/count")
    def count():
        session["count"] = session.get("count", 0) + 1
        return str(session["count"])

    @app.get("/missing")
    def missing():
        abort(404)

    @app.get("/broken")
    def broken():
        raise RuntimeError("the view is broken")

    return app
