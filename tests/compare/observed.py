"""What an answer was, as facts with names."""

import re

from application import told
from exchange import WHOLE

IMF_DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT"
)
PAGE = "a page of the server's own"


def facts(shape, answer, tags):
    """Of one answer. `tags`: the entity tags that this server has given to files so far, by target."""
    found = {"status": answer.status, "ends": answer.end}
    if answer.interim:
        found["interim"] = answer.interim
    if not answer.status:
        return found
    own = own_page(answer)
    if answer.version != "HTTP/2":
        found["version"], found["reason"] = answer.version, answer.reason
    for name, _ in answer.fields:
        found["field " + name] = [normalised(shape, answer, own, name, value, tags) for value in answer.all(name)]
    if answer.trailers:
        found["trailers"] = answer.trailers
    if answer.one("x-app") == "echo" and answer.end == WHOLE and answer.body:
        found.update({"told " + key: plain(key, value) for key, value in told(answer.body).items()})
    else:
        found["body"] = PAGE if own and answer.body else parts(answer) if boundary(answer) else answer.body
    return found


def from_app(answer):
    return answer.one("x-app") is not None


def own_page(answer):
    return answer.status >= 300 and not from_app(answer)


def normalised(shape, answer, own, name, value, tags):
    if name == "date" and IMF_DATE.fullmatch(value) and not (from_app(answer) and value.endswith("1994 08:49:37 GMT")):
        return "now"
    if name == "content-length" and own and value != "0":
        return "of the page"
    if name == "content-length" and answer.one("x-app") == "echo":
        return "of the echo" if answer.end != WHOLE or not answer.body or int(value) == len(answer.body) else value
    if name == "etag" and not from_app(answer):
        return tag(shape, answer, value, tags)
    if name == "location" and not from_app(answer):
        # Each server has a port of its own.
        return re.sub(r"^(https?://[^/]*?):\d+/", r"\1/", value)
    if name == "server":
        return value.partition("/")[0]
    if name == "x-request-id" and not from_app(answer):
        return "some id"
    if mark := boundary(answer):
        if name == "content-type":
            return value.replace(mark, "BOUNDARY")
        if name == "content-length":
            return "of the parts" if not answer.body or int(value) == len(answer.body) else value
    return value


def tag(shape, answer, value, tags):
    """Whether it is strong, and the same as before."""
    key = (shape.target.partition("?")[0].partition("#")[0], answer.one("content-encoding"))
    before = tags.setdefault(key, value)
    kind = "weak" if value.startswith("W/") else "strong"
    return kind if value == before else kind + ", another than before"


def plain(key, value):
    """Names of fields are the same for both interfaces; ids differ by nature."""
    return "some id" if re.search("(?i)x.request.id", key) else value


def boundary(answer):
    match = re.fullmatch(r"multipart/byteranges; boundary=(\S+)", answer.one("content-type") or "")
    return match and match.group(1)


def parts(answer):
    """Head and content of each part of a multipart answer."""
    mark = boundary(answer).encode()
    pieces = (b"\r\n" + answer.body).replace(b"\r\n\r\n--" + mark, b"\r\n--" + mark, 1).split(b"\r\n--" + mark)
    found = []
    for piece in pieces[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        found.append((sorted(line.strip().lower() for line in head.split(b"\r\n") if line.strip()), content))
    return found
