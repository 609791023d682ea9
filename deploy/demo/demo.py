"""The demo application: says what it was asked, and writes a line to the log."""

import html
import os

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>appliance: the application</title>
<link rel="stylesheet" href="/static/demo.css">
<h1>An application</h1>
<p>Worker process {pid} answers <code>{method} {path}</code> for <code>{client}</code> over <code>{scheme}</code>.</p>
<form method="post"><input name="word" placeholder="a word"> <button>Send</button></form>
<p>{sent}</p>
<p><a href="/">Back</a></p>
"""


def application(environ, start_response):
    sent = ""
    if environ["REQUEST_METHOD"] == "POST":
        body = environ["wsgi.input"].read()
        sent = "You sent %d bytes." % len(body)
    print("the application answers", environ["REQUEST_METHOD"], environ["PATH_INFO"] or "/")
    page = PAGE.format(
        pid=os.getpid(),
        method=html.escape(environ["REQUEST_METHOD"]),
        path=html.escape(environ["SCRIPT_NAME"] + environ["PATH_INFO"]),
        client=html.escape(environ["REMOTE_ADDR"]),
        scheme=environ["wsgi.url_scheme"],
        sent=sent,
    )
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [page.encode()]
