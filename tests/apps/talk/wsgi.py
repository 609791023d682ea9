"""Prints, logs and writes to wsgi.errors with its request's id in the text, in pieces, so that mixed lines would show."""

import logging
import sys
import time

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
print("talk is imported")


def application(environ, start_response):
    number = environ["QUERY_STRING"]
    identity = environ["HTTP_X_REQUEST_ID"]
    for piece in ("print-%s " % number, "of ", identity, "\n"):
        sys.stdout.write(piece)
        time.sleep(0.001)
    logging.warning("log-%s of %s", number, identity)
    environ["wsgi.errors"].write("errors-%s of %s\n" % (number, identity))
    sys.stdout.write("unended-%s of %s" % (number, identity))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [identity.encode()]
