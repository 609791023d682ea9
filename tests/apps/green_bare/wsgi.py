"""Answers with what has become of `time.sleep` and `threading.local`."""

import threading
import time


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [("%s %s\n" % (time.sleep.__module__, threading.local.__module__)).encode()]
