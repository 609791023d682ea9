"""One difference, a kind of them, and the conditions that tell kinds apart."""

import re
from dataclasses import dataclass
from typing import Callable

from grammar import follows


@dataclass(frozen=True)
class Seen:
    """One difference: in the fact `name` of an answer to `shape`."""

    peer: str
    shape: object
    name: str
    #: All facts of the answer: ours and that of the peer.
    ours: dict
    theirs: dict

    @property
    def here(self):
        return self.ours.get(self.name)

    @property
    def there(self):
        return self.theirs.get(self.name)

    def told(self):
        """For somebody who looks for the reason."""
        lines = [
            "%s: %s" % (self.peer, self.shape.title()),
            "  %s: ours %.300r, theirs %.300r" % (self.name, self.here, self.there),
        ]
        return "\n".join(lines + ["    ours   %.1500r" % self.ours, "    theirs %.1500r" % self.theirs])


@dataclass(frozen=True, eq=False)
class Row:
    """Differences of one kind: in these facts, where `when` holds."""

    peers: tuple
    names: tuple
    why: str
    when: Callable = lambda seen: True

    def covers(self, seen):
        return seen.peer in self.peers and seen.name in self.names and bool(self.when(seen))

    def line(self, seen):
        """Of the table, with the first difference that was seen."""
        cells = [seen.peer, self.why, code(seen.shape.title()), code(seen.name)]
        return "| %s |" % " | ".join(cells + [code(short(seen.here)), code(short(seen.there))])


def short(value):
    if value is None:
        return "-"
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("unicode_escape").decode()
    return text if len(text) <= 60 else text[:50] + "..."


def code(text):
    """For a cell of a table."""
    text = text.replace("|", "\\|")
    return "`` %s ``" % text if "`" in text else "`%s`" % text if text.strip() else "(empty)"


NGINX, UVICORN = ("nginx",), ("uvicorn",)
BOTH = NGINX + UVICORN


def of_app(facts):
    return "field x-app" in facts


def http2(seen):
    return seen.shape.version == "2"


def sent(*names):
    """The client sent such a field."""
    return lambda seen: seen.shape.has(*names)


def old(seen):
    return seen.shape.version == "1.0" or b" HTTP/1.0\r\n" in seen.shape.raw


def statuses(*pairs):
    """Ours and theirs are one of these pairs."""
    return lambda seen: (seen.here, seen.there) in pairs


def refused(*ours):
    """One of these is ours, and the peer took it for a request."""
    return lambda seen: seen.here in ours and seen.there not in (0, 400, 405, 413, 414, 417, 431, 500, 501, 502, 505)


def answer(*names):
    """Of the application's answers of these names."""
    return lambda seen: (
        seen.shape.target in ["/answer/" + name for name in names]
        or any(b"/answer/%b " % name.encode() in seen.shape.raw for name in names)
    )


def every(*conditions):
    return lambda seen: all(condition(seen) for condition in conditions)


def some(*conditions):
    return lambda seen: any(condition(seen) for condition in conditions)


def told(fields):
    """What an application is told of request fields, by either interface."""
    names = ["told field " + field for field in fields]
    return tuple(names), tuple("told HTTP_" + field.upper().replace("-", "_") for field in fields)


def both(fields, why, when=Row.when, peers=BOTH):
    """Rows for what is told of request fields."""
    asgi, wsgi = told(fields)
    return [Row((peer,), wsgi if peer == "nginx" else asgi, why, when) for peer in peers]


def pseudo(seen, name):
    return dict(seen.shape.stream).get(name, "")


def target(seen):
    """As it was sent, as text."""
    if seen.shape.stream:
        return pseudo(seen, ":path")
    words = seen.shape.raw.split(b"\r\n")[0].split(b" ")
    return (words[1] if len(words) > 1 else b"").decode("latin-1") if seen.shape.raw else seen.shape.target


def path(seen):
    return target(seen).partition("?")[0]


def dotted(seen):
    decoded = re.sub("(?i)%2e", ".", re.sub("(?i)%2f", "/", path(seen)))
    return any(segment in (".", "..") for segment in decoded.split("/"))


def leaves_root(seen):
    depth = 0
    for segment in re.sub("(?i)%2e", ".", re.sub("(?i)%2f|/+", "/", path(seen))).split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(segment, 1)
        if depth < 0:
            return True
    return False


def undecodable(seen):
    return bool(re.search("%(?![0-9A-Fa-f]{2})|%00", path(seen)))


def above_ascii(seen):
    return not target(seen).isascii()


def malformed_stream(seen):
    """A request of HTTP/2 whose fields break the rules (RFC 9113 §8.2, §8.3)."""
    names = [name for name, _ in seen.shape.stream]
    pseudo_names = [name for name in names if name.startswith(":")]
    fields = names[len(pseudo_names) :]
    return seen.shape.stream and (
        sorted(pseudo_names) not in ([":authority", ":method", ":path", ":scheme"], [":method", ":path", ":scheme"])
        or names[: len(pseudo_names)] != pseudo_names
        or any(not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9a-z]+", name) for name in fields)
        or any(re.search(r"[\0-\x08\x0a-\x1f\x7f]", value) for _, value in seen.shape.stream)
        or not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", pseudo(seen, ":method"))
        or pseudo(seen, ":method") == "CONNECT"
        or not re.fullmatch(r"[A-Za-z]*", pseudo(seen, ":scheme"))
        or not pseudo(seen, ":path")
        or any(name in ("connection", "upgrade", "proxy-connection", "keep-alive") for name in fields)
        or any(name == "te" and value != "trailers" for name, value in seen.shape.stream)
    )


def fragment(seen):
    return "#" in target(seen)


def host_in(*names):
    return lambda seen: seen.shape.host in names


def no_uri(seen):
    """Over HTTP/2: characters that no URI has, or no path."""
    return not re.fullmatch(r"[/*][!-;=?-_a-z|~{}\"]*", path(seen)) or bool(re.search("[<>`\x80-\xff]| ", target(seen)))


def method_in(*names):
    return lambda seen: (
        (pseudo(seen, ":method") or seen.shape.raw.split(b" ")[0].decode("latin-1") or seen.shape.method) in names
    )


def raw(seen):
    return bool(seen.shape.raw)


def broken(seen):
    """It breaks the grammar of HTTP/1, by what that says and no server's parser."""
    return raw(seen) and not follows(seen.shape.raw)


def host(seen):
    return pseudo(seen, ":authority") if seen.shape.stream else seen.shape.host


def chunked(seen):
    return b"chunked\r\n\r\n" in seen.shape.raw.lower() or isinstance(seen.shape.body, list)


def many_fields(seen):
    return len(seen.shape.fields) > 100 or seen.shape.raw.count(b"\r\n") > 100


def long_field(seen):
    return any(len(value) > 8000 for _, value in seen.shape.fields + seen.shape.stream)
