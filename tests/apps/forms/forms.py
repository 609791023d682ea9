"""One application under every kind of name that a configuration can give."""


def answer(text):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text]

    return application


def create():
    return answer(b"factory")


class Site:
    inner = staticmethod(answer(b"attribute"))


handler = answer(b"callable")
application = answer(b"convention")
