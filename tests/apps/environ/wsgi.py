"""Answers with its environ: strings as they are, other values by their type and text."""

import json


def application(environ, start_response):
    shown = {key: value if type(value) is str else "%s %s" % (type(value).__name__, value) for key, value in environ.items()}
    body = json.dumps(shown, indent=1, sort_keys=True).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
