"""Where appliance answers otherwise than nginx with gunicorn and than uvicorn, and why.

One row for each kind of difference. What no row covers is a fault, of ours or of the list; a row that no request shows is one as
well.
"""

import re

from seen import (
    BOTH,
    NGINX,
    UVICORN,
    Row,
    above_ascii,
    answer,
    both,
    broken,
    chunked,
    dotted,
    every,
    fragment,
    host,
    host_in,
    http2,
    leaves_root,
    long_field,
    malformed_stream,
    many_fields,
    method_in,
    no_uri,
    of_app,
    old,
    path,
    pseudo,
    raw,
    refused,
    sent,
    some,
    statuses,
    target,
    undecodable,
)

#: What we say of the client; the last one is the id of the access log.
SAID = (
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "forwarded",
    "x-request-id",
)
#: What a stranger may not say.
UNHEARD = ("x-forwarded-prefix", "x-script-name", "script-name")
HOP_BY_HOP = ("connection", "keep-alive", "te", "trailer", "upgrade", "http2-settings", "x-mine", "cookie")

LATER = ("Sat, 03 Jan 2026 00:00:00 GMT", "Tue, 01 Jan 2999 00:00:00 GMT", "Friday, 02-Jan-26 03:04:06 GMT")
BAD_HOSTS = (
    "a?b",
    "a#b",
    "a@b",
    "a:b",
    "a:99999",
    "[::1",
    "caf\xe9",
    "a%41",
    "a b",
    "a/b",
    "a\tb",
    "",
    None,
    ":80",
    "a,b",
    ".",
)
INVALID = tuple(
    "length-letters length-negative length-twice-differently line-break line-feed zero-byte name-blank name-colon name-empty "
    "status-0 status-99 status-101 status-letters reason-line-break starts-twice".split()
)

LISTED = [
    # Fields of answers.
    Row(BOTH, ("field server",), "each server has its own name; `headers` changes it, an application does not"),
    Row(
        NGINX,
        ("field content-type", "body"),
        'text names its charset; `charset = ""` turns it off, and HTML and XML declare their own',
        lambda seen: str(seen.here).replace("; charset=utf-8", "") == str(seen.there),
    ),
    Row(NGINX, ("field content-type",), "types are those of IANA", lambda seen: target(seen).endswith((".gz", ".js"))),
    Row(UVICORN, ("field content-type",), "error pages are HTML", lambda seen: not of_app(seen.ours)),
    Row(
        NGINX,
        ("field content-type",),
        "over HTTP/2 nginx drops the type of a 204, over HTTP/1.1 it does not",
        lambda seen: http2(seen) and seen.ours["status"] == 204,
    ),
    Row(
        NGINX,
        ("field location", "field content-type", "field content-length", "body"),
        "a redirect to the slash is a path (RFC 9110 §10.2.2), good behind any port and proxy, and needs no page",
        lambda seen: seen.ours["status"] == 301 and not of_app(seen.ours),
    ),
    Row(
        NGINX,
        ("field connection",),
        "an HTTP/1.1 connection is kept open unless something else is said (RFC 9112 §9.3)",
        lambda seen: seen.here is None and seen.there == ["keep-alive"],
    ),
    Row(NGINX, ("field allow",), "a 405 has Allow (RFC 9110 §15.5.6)", lambda seen: seen.there is None),
    Row(NGINX, ("reason",), "the reason phrases are those of the RFCs", lambda seen: not of_app(seen.ours)),
    Row(NGINX, ("reason",), "a status without a reason phrase gets the usual one", answer("reason-none", "reason-blank")),
    Row(
        NGINX,
        ("field vary",),
        "a file with a compressed sibling has Vary in either form, for caches (RFC 9110 §12.5.5)",
        lambda seen: seen.there is None,
    ),
    Row(
        NGINX,
        ("body", "field content-length", "field content-encoding", "field accept-ranges"),
        "`*` and `x-gzip` are gzip too (RFC 9110 §12.5.3, §8.4.1.3), two fields are one list, HTTP/1.0 may ask as well",
        lambda seen: seen.shape.has("accept-encoding") and "field content-encoding" in seen.ours,
    ),
    Row(
        BOTH,
        ("field content-length", "field transfer-encoding", "field connection", "after"),
        "an answer that is complete at once is sent with its length, though its application gave none, and the connection goes on",
        lambda seen: of_app(seen.ours) and "field content-length" in seen.ours and "field content-length" not in seen.theirs,
    ),
    Row(
        BOTH,
        ("field content-length",),
        "no length with 204, which may not have one (RFC 9110 §8.6), or with 304, where the client knows it",
        lambda seen: seen.ours["status"] in (204, 304) and seen.here is None,
    ),
    Row(UVICORN, ("field content-length",), "the same length twice is sent once", answer("length-twice")),
    Row(
        NGINX,
        ("field x-accel-buffering", "field x-accel-expires", "field x-pad"),
        "fields that are meant for an nginx pass: one may be in front",
        lambda seen: seen.there is None,
    ),
    Row(
        BOTH,
        ("field trailer", "field upgrade", "field keep-alive"),
        "said of a connection, which is the server's matter",
        answer("trailer", "upgrade", "connection-kept"),
    ),
    Row(
        UVICORN,
        ("field connection", "after"),
        "said of a connection, which is the server's matter",
        answer("connection", "connection-kept", "connection-named", "426"),
    ),
    Row(BOTH, ("field upgrade",), "HTTP/2 has none (RFC 9113 §8.2.2)", every(http2, answer("426"))),
    Row(NGINX, ("field connection",), "Upgrade concerns this connection (RFC 9110 §7.8)", answer("426")),
    Row(UVICORN, ("field date",), "one Date, of the server", answer("date")),
    Row(UVICORN, ("body", "ends", "after"), "as many bytes as the length says are sent", answer("too-long")),
    Row(
        UVICORN,
        ("field transfer-encoding", "ends"),
        "chunks are for HTTP/1.1 alone, and not behind HEAD (RFC 9112 §6.1)",
        some(old, http2, method_in("HEAD")),
    ),
    # Connections.
    Row(
        UVICORN,
        ("field connection", "after"),
        "HTTP/1.0 is kept open where the client asks for it",
        lambda seen: old(seen) and (seen.here == "open" or "keep-alive" in (seen.here or [])),
    ),
    Row(
        BOTH,
        ("field connection", "after"),
        "a request that is understood and refused leaves the connection open",
        lambda seen: seen.ours["status"] >= 400 and seen.here in ("open", None, ["keep-alive"]),
    ),
    Row(
        NGINX,
        ("field connection", "after"),
        "a head that breaks the rules or a limit is the last of its connection, and so is one whose body nobody has asked for",
        lambda seen: seen.ours["status"] >= 400 and seen.here in ("closed", ["close"]),
    ),
    Row(
        NGINX,
        ("field connection", "after"),
        "`close` closes wherever it is in the list, and `closed` is another word (RFC 9110 §7.6.1)",
        lambda seen: (
            seen.shape.has("connection")
            and "close" in str(seen.shape.fields).lower()
            and of_app(seen.ours) | seen.shape.is_file()
        ),
    ),
    Row(
        UVICORN,
        ("after",),
        "a body where none may be is left out, and the connection goes on",
        every(lambda seen: seen.here == "open", answer("204-body", "304-body", "304-length")),
    ),
    Row(
        BOTH,
        ("interim",),
        "100 is for a client that waits: not where the body has come or there is none, not over HTTP/1.0; over HTTP/2 as well",
        sent("expect"),
    ),
    # What applications are told; `tests/scopes` compares it in full.
    *both(SAID, "as nginx can be told to: who asked for what, and the id in the logs; a stranger is not believed"),
    *both(UNHEARD, "a stranger is not believed; from `trusted_proxies` they pass", sent(*UNHEARD)),
    *both(
        ("proxy", "proxy-authorization", "proxy-connection"),
        "for a proxy; `Proxy` would be HTTP_PROXY, which programs take for their configuration",
    ),
    *both(("trailer", "http2-settings"), "for one connection only", peers=NGINX),
    *both(
        HOP_BY_HOP,
        "for one connection only, or named by `Connection` (RFC 9110 §7.6.1)",
        some(sent("connection"), lambda seen: seen.name.split()[-1] != "cookie"),
        UVICORN,
    ),
    *both(("x-mine", "cookie"), "named by `Connection` (RFC 9110 §7.6.1)", sent("connection"), NGINX),
    *both(("expect",), "answered by the proxy: the application has the body already", peers=UVICORN),
    *both(
        ("transfer-encoding", "content-length"),
        "bodies are buffered, so their length is a number that is known",
        peers=UVICORN,
    ),
    Row(
        UVICORN,
        (
            "told field x_under",
            "told field _",
            "told field content_length",
            "told field transfer_encoding",
            "told field !#$%&'*+-.^_`|~09",
        ),
        "an application could not tell it from the name with hyphens; `underscores_in_headers` keeps it",
    ),
    Row(
        NGINX,
        ("told HTTP_X.DOT", "told HTTP_X!#$%&'*+.^`|~"),
        "any token is a name (RFC 9110 §5.1)",
        lambda seen: seen.there is None,
    ),
    Row(
        UVICORN,
        ("told field x-blank", "told field x"),
        "blanks around a value do not belong to it (RFC 9110 §5.5)",
        lambda seen: seen.here == [seen.there[0].strip()],
    ),
    *both(
        ("cookie",),
        "over HTTP/2 it is one field again (RFC 9113 §8.2.3), and none when it is empty; WSGI has `; ` between two",
    ),
    *both(
        ("host",),
        "an absolute target says the host, whatever Host says (RFC 9112 §3.2.2)",
        lambda seen: "://" in target(seen),
    ),
    Row(
        UVICORN,
        ("told field host", "told field x-sum", "told field x-more"),
        "trailer fields are no header fields (RFC 9110 §6.5.1)",
        chunked,
    ),
    Row(BOTH, ("told path", "told PATH_INFO"), "dot segments are resolved, so that no route is gone around", dotted),
    Row(
        UVICORN,
        ("told path",),
        "`OPTIONS *` is about the whole server, and goes to who answers `/`",
        lambda seen: target(seen) == "*",
    ),
    # Requests that are refused.
    Row(
        BOTH,
        ("status",),
        "over HTTP/2 a target or host that is no UTF-8 ends the connection, as an error of a stream may (RFC 9113 §5.4.1); h2 does not "
        "tell it from a head that cannot be decompressed, and so the reason is that",
        lambda seen: seen.ours["ends"] in ("goaway 1", "goaway 9") and not (target(seen) + str(seen.shape.host)).isascii(),
    ),
    Row(
        BOTH,
        ("status",),
        "over HTTP/2 a request that breaks the rules resets its stream (RFC 9113 §8.1.1): pseudo-fields that are missing, repeated or "
        "behind others, a target or host that is none, a field of one connection, a length that is not the body's",
        lambda seen: (
            http2(seen)
            and seen.ours["ends"] == "reset 1"
            and (
                malformed_stream(seen)
                or no_uri(seen)
                or host(seen) in BAD_HOSTS
                or seen.shape.has(*HOP_BY_HOP[:5], "proxy-connection", "content-length", "transfer-encoding")
            )
        ),
    ),
    Row(
        NGINX,
        ("status", "ends", "after"),
        "over HTTP/2 a field with a forbidden name or value ends the connection, as an error of a stream may (RFC 9113 §5.4.1); h2 does "
        "not tell it from a head that cannot be decompressed, and so the reason is that",
        lambda seen: malformed_stream(seen) and seen.ours["ends"] in ("goaway 1", "goaway 9"),
    ),
    Row(
        NGINX,
        ("status",),
        "over HTTP/2 a value does not begin or end with a blank (RFC 9113 §8.2.1)",
        every(lambda seen: any(value != value.strip(" \t") for _, value in seen.shape.stream), statuses((400, 200))),
    ),
    Row(
        NGINX,
        ("status",),
        "a Host that says the same as `:authority` does no harm (RFC 9113 §8.3.1)",
        every(lambda seen: pseudo(seen, ":authority") and seen.shape.has("host"), statuses((200, 400))),
    ),
    Row(
        BOTH,
        ("status",),
        "a fragment is no part of a target (RFC 9112 §3.2)",
        every(fragment, statuses((400, 200), (400, 404), (400, 403))),
    ),
    Row(
        UVICORN,
        ("status",),
        "a path above the root, one that cannot be decoded, and a target of another scheme or user have no meaning: 400",
        every(
            some(leaves_root, undecodable, lambda seen: "://" in target(seen) or target(seen) == "*"), statuses((400, 200))
        ),
    ),
    Row(
        NGINX,
        ("status",),
        "an absolute target of another scheme is not ours to answer (RFC 9112 §3.2.2)",
        every(lambda seen: "ftp://" in target(seen) or pseudo(seen, ":scheme") == "ftp", statuses((400, 200))),
    ),
    Row(
        BOTH,
        ("status",),
        "bytes above ASCII in a target are taken for their encoded form, as browsers of old and curl send them",
        every(above_ascii, lambda seen: seen.there == 400),
    ),
    Row(
        UVICORN,
        ("status",),
        "a target without a path means `/` (RFC 9110 §4.2.3)",
        every(lambda seen: target(seen).startswith("http://"), statuses((200, 400))),
    ),
    Row(
        BOTH,
        ("status",),
        "a Host that is none is 400 (RFC 9112 §3.2)",
        lambda seen: (
            seen.here == 400
            and seen.there in (200, 301)
            and (host(seen) in BAD_HOSTS or broken(seen) and b"\r\nHost: " in seen.shape.raw and not chunked(seen))
        ),
    ),
    Row(UVICORN, ("status",), "two Hosts are 400 (RFC 9112 §3.2)", every(sent("host"), statuses((400, 200)))),
    Row(
        NGINX,
        ("status",),
        "two dots in a Host do no harm: it names no file here",
        every(host_in("a..b"), lambda seen: seen.there == 400),
    ),
    Row(
        BOTH,
        ("status",),
        "any token is a method (RFC 9110 §9.1)",
        every(
            method_in("get", "Get", "BREW", "X!#$%&'*+.^_`|~9"), lambda seen: seen.here in (200, 405) and seen.there == 400
        ),
    ),
    Row(
        BOTH,
        ("status",),
        "TRACE would tell scripts what proxies and browsers add; tunnels are not offered",
        every(method_in("TRACE", "CONNECT"), lambda seen: seen.here == 405),
    ),
    Row(
        NGINX,
        ("status",),
        "`OPTIONS *` is about the whole server (RFC 9110 §7.1)",
        every(lambda seen: target(seen) == "*", statuses((200, 400))),
    ),
    Row(
        NGINX,
        ("status",),
        "only GET has ranges (RFC 9110 §14.2)",
        every(method_in("HEAD"), sent("range"), lambda seen: seen.there in (206, 416)),
    ),
    Row(
        NGINX,
        ("status",),
        "an invalid date is ignored (RFC 9110 §13.1.3, §13.1.4)",
        every(
            sent("if-modified-since", "if-unmodified-since", "if-range"),
            statuses((200, 412), (200, 304), (200, 206)),
            lambda seen: not seen.shape.has("if-match", "if-none-match"),
        ),
    ),
    Row(
        NGINX,
        ("status",),
        "an invalid range is ignored (RFC 9110 §14.2): the last byte before the first, a blank between, one bad range in a list",
        every(sent("range"), statuses((200, 416), (200, 206))),
    ),
    Row(
        NGINX,
        ("status",),
        "a range may end anywhere behind the end, and empty elements of a list are ignored (RFC 9110 §14.1.2, §5.6.1.2)",
        every(sent("range"), statuses((206, 416))),
    ),
    Row(
        NGINX,
        ("status",),
        "a compressed sibling has ranges of its own",
        every(sent("range"), sent("accept-encoding"), statuses((206, 200))),
    ),
    Row(
        NGINX,
        ("status",),
        "a copy is good when it is not older than the file (RFC 9110 §13.1.3)",
        every(lambda seen: seen.shape.value("if-modified-since") in LATER, lambda seen: seen.here == 304),
    ),
    Row(
        NGINX,
        ("status",),
        "If-None-Match decides alone, without If-Modified-Since (RFC 9110 §13.1.3), and before Range",
        every(sent("if-none-match"), lambda seen: seen.here == 304 or seen.there == 304),
    ),
    Row(
        NGINX,
        ("status",),
        "If-Match decides alone, without If-Unmodified-Since (RFC 9110 §13.1.4)",
        every(sent("if-match"), sent("if-unmodified-since"), lambda seen: seen.there == 412),
    ),
    Row(
        NGINX,
        ("status",),
        "a list may be in several fields (RFC 9110 §5.3)",
        lambda seen: (
            seen.there == 400
            and any(
                sum(name == other for other, _ in seen.shape.fields) > 1 for name in ("If-Match", "If-None-Match", "Expect")
            )
        ),
    ),
    Row(
        NGINX,
        ("status",),
        "two fields where one is allowed are the application's to refuse, which sees both",
        lambda seen: (
            seen.there == 400
            and any(sum(name == other for other, _ in seen.shape.fields) > 1 for name in ("Content-Type", "Authorization"))
        ),
    ),
    Row(
        BOTH,
        ("status",),
        "`target_max`, `head_max` and `headers_max` are the limits",
        lambda seen: many_fields(seen) or long_field(seen) or len(target(seen)) > 8000,
    ),
    Row(UVICORN, ("status",), "uvicorn has no limit for bodies", lambda seen: seen.here == 413),
    Row(NGINX, ("status",), "a length of 2^63 is a number, and past `body_max`", every(raw, statuses((413, 400)))),
    Row(
        BOTH,
        ("status",),
        "an unknown expectation is 417 (RFC 9110 §10.1.1)",
        every(sent("expect"), lambda seen: seen.here == 417),
    ),
    Row(
        NGINX,
        ("status",),
        "hidden files are not served, `.well-known` excepted",
        every(lambda seen: "/." in path(seen), statuses((404, 200))),
    ),
    Row(
        NGINX,
        ("status",),
        "a route for a directory answers without the slash, too",
        every(lambda seen: path(seen) == "/static", statuses((301, 200))),
    ),
    Row(
        NGINX,
        ("status",),
        "files have no such method, whether they exist or not",
        every(method_in("POST"), lambda seen: seen.here == 405),
    ),
    Row(
        BOTH,
        ("status",),
        "a coding that does not end in `chunked` leaves the end of the body open: 400 (RFC 9112 §6.3); an unknown one before "
        "it is 501 (§6.1)",
        every(
            sent("transfer-encoding"),
            lambda seen: (
                seen.here in (400, 501)
                and seen.there in (200, 400, 501)
                and (broken(seen) or not raw(seen))
                and not (seen.here == 400 and b"\r\nTransfer-Encoding: chunked\r\n\r\n" in seen.shape.raw)
            ),
        ),
    ),
    Row(
        BOTH,
        ("status",),
        "chunked bodies follow the grammar, line ends included (RFC 9112 §7.1)",
        every(chunked, broken, statuses((400, 200), (400, 413), (400, 0))),
    ),
    Row(
        UVICORN,
        ("status",),
        "blanks around `;` are part of the grammar (RFC 9112 §7.1.1), and trailer fields are no header fields",
        every(chunked, statuses((200, 400), (200, 0))),
    ),
    Row(
        UVICORN,
        ("status",),
        "a request before a broken one is answered, and so is one after an answer without a body",
        every(lambda seen: seen.shape.raw.count(b" HTTP/1.") > 1, lambda seen: seen.there in (0, 400)),
    ),
    Row(
        NGINX,
        ("status",),
        "a tab is a blank (RFC 9110 §5.6.3)",
        every(lambda seen: b":\t" in seen.shape.raw, statuses((200, 400))),
    ),
    Row(
        BOTH, ("status",), "heads follow the grammar, line ends included (RFC 9112 §2.2, §5.1)", every(broken, refused(400))
    ),
    Row(
        BOTH,
        ("status",),
        "a later minor version is taken as 1.1, a later major one is 505, and HTTP/0.9 is not spoken (RFC 9110 §2.5)",
        every(
            lambda seen: raw(seen) and not re.search(rb" HTTP/1\.[01]\r\n", seen.shape.raw[:200]),
            lambda seen: broken(seen) or seen.here == 200,
        ),
    ),
    Row(
        BOTH,
        ("status",),
        "a method longer than any known one is 501 (RFC 9112 §3)",
        lambda seen: seen.here == 501 and seen.there == 400,
    ),
    Row(
        NGINX,
        ("status",),
        "trailer fields of HTTP/2 are read past",
        every(http2, lambda seen: bool(seen.shape.trailers) and seen.there == 0),
    ),
    Row(
        UVICORN,
        ("status",),
        "a version of WebSocket that we do not speak is 426 (RFC 6455 §4.4), and HTTP/1.0 has none",
        every(sent("upgrade"), statuses((426, 400), (200, 400))),
    ),
    Row(
        NGINX, ("field x-first",), "a head that comes with `exc_info` replaces the first one (PEP 3333)", answer("replaced")
    ),
    Row(NGINX, ("status", "ends"), "a file that has been read to its end has an empty body", answer("file-from-its-end")),
    # Answers that no server should pass on.
    Row(
        BOTH,
        ("status",),
        "an answer that HTTP cannot carry is the application's error: 500",
        every(answer(*INVALID), lambda seen: seen.here == 500),
    ),
    Row(NGINX, ("status",), "the head of an answer may have 1 MiB", answer("longer-field")),
    Row(
        UVICORN,
        ("status",),
        "an application that raises before its head was sent is answered with 500",
        every(answer("raises-after-start"), statuses((500, 200))),
    ),
    Row(
        UVICORN,
        ("status",),
        "an application may choose any status of three digits (RFC 9110 §15)",
        answer("status-600", "status-999"),
    ),
]
