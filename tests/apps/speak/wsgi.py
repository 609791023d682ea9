"""Writes a line to the log, with the id of its request in it."""


def application(environ, start_response):
    print("spoken for", environ["HTTP_X_REQUEST_ID"], file=environ["wsgi.errors"], flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["HTTP_X_REQUEST_ID"].encode()]
