"""What requests are made of: everything that each part of one may be, right and wrong."""

FILE, FILE_BYTES = "/static/letters.txt", 26

METHODS = [
    "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW", "get", "Get", "M-SEARCH",
    "X!#$%&'*+.^_`|~9",
]  # fmt: skip

TARGETS = [
    "/", "//", "///", "/a", "/a/", "/a//b", "/a/./b", "/a/../b", "/a/..", "/..", "/../a", "/../../a", "/a/../../b",
    "/.", "/./", "/a/.", "/...", "/a/.../b", "/a/..b/c", "/%2e%2e/a", "/a/%2e%2E/b", "/a/.%2e/b", "/%2e/a", "/a%2fb",
    "/a/..%2fb", "/a%2f..%2fb", "/%2f/a", "/a%5cb", "/a\\b", "/a\\..\\b", "/%", "/a%", "/%4", "/%zz", "/%%41", "/%2541",
    "/%41", "/%00", "/a%00b", "/%0a", "/%0d%0a", "/%7f", "/%ff", "/%c3%28", "/caf%c3%a9", "/caf%C3%A9", "/caf\xe9",
    "/caf\xc3\xa9", "/a+b", "/a%20b", "/a%2bb", "/a;p=1", "/a;p=1/b;q", "/;", "/a:b", "/a@b", "/a,b", "/a=b&c",
    "/a!b$c'd(e)f*g", "/~a_b-c.d", "/a\"b", "/a<b>c", "/a{b}c", "/a|b", "/a^b", "/a`b", "/a[b]", "/?", "/??", "/?a",
    "/?a?b", "/a?b=c&d=%20", "/a?%", "/a?%zz", "/a?b/../c", "/a?b//c", "/a?b=\xe9", "/a?b\\c", "/a?\"<>^`{|}",
    "/a?b[]=c", "/a?http://x.test/", "/http://x.test/a", "/http:/x.test/a", "/a%3fb", "/a%23b", "/a#b", "/#", "/a?b#c",
    "/*", "/a/*", "/%2a", "/index.html", "/favicon.ico", "/.well-known/a", "/.git/config", "/a/.hidden", "/a~",
    "/a.php/b", "/" + "a" * 2000, "/?" + "a" * 4000, "/" + "a" * 8100, "/" + "a" * 9000,
    "/" + "/".join("abcdefghij" * 30), "/" + "../" * 100, "/" + "%41" * 500,
]  # fmt: skip

FILES = [
    "letters.txt", "letters.txt?v=1", "letters.txt?", "letters.txt/", "letters.txt/a", "letters.txt%20", "letters.txt.",
    "letters.txt;p", "letters%2etxt", "%6cetters.txt", "LETTERS.TXT", "./letters.txt", "dir/../letters.txt",
    "dir//../letters.txt", "/letters.txt", "dir/%2e%2e/letters.txt", "dir/..%2fletters.txt", "dir%2f..%2fletters.txt",
    "..", "../", "../a", "../static/letters.txt", "%2e%2e/a", "../../etc/passwd", "..%2f..%2fetc/passwd",
    "%2e%2e%2f%2e%2e%2fetc/passwd", "empty.txt", "big.bin", "page.html", "style.css", "code.js", "data.json",
    "feed.xml", "image.png", "image.svg", "module.wasm", "font.woff2", "unknown.qqq", "no-extension", "UPPER.TXT",
    "dir", "dir/", "dir//", "dir?a=b", "dir/?a=b", "dir/index.html", "bare", "bare/", "bare/file.txt", "missing",
    "missing/", "missing/a", "dir/missing", ".secret", ".git/config", "dir/.", "two%20words.txt", "two+words.txt",
    "gr%C3%BC%C3%9Fe.txt", "gr%FC.txt", "100%25.txt", "100%.txt", "a+b.txt", "a%2bb.txt", "letters.txt%00",
    "%00letters.txt", "letters.txt\\", "dir\\index.html", "packed.css", "packed.css.gz", "two.tar.gz", "deep/a/b/c.txt",
    "deep/a/b", "deep/a//b/c.txt", "", "?", "a" * 300, "a/" * 300,
]  # fmt: skip

#: Pieces of random targets.
SEGMENTS = [
    "", "a", "b", ".", "..", "...", "%2e", "%2E%2e", "%2f", "a%2Fb", "%5c", "\\", ";", "a;b=c", "%20", "+", "%", "%4",
    "%g1", "%00", "%41", "\xe9", "%e9", "%c3%a9", "static", "letters.txt", "dir", "~", ":", "@", "'", "\"", "<", "|",
    "answer", "length", "?", "?a=b", "#", "%3f", "%23", "*",
]  # fmt: skip

#: Targets that are no path, and methods for them.
FORMS = [
    "*", "http://example.org/a?b", "http://example.org", "http://example.org?a", "http://EXAMPLE.org:80/a",
    "http://other.test/a", "http://user@example.org/a", "http:///a", "http:/a", "http:a", "https://example.org/a",
    "HTTP://example.org/a", "ftp://example.org/a", "http://[::1]/a", "http://[::1/a", "http://example.org:x/a",
    "http://example.org/a#b", "http://example.org/../a", "http://example.org//a",
    "http://example.org/static/letters.txt", "example.org:80", "example.org", "a", "a/b", "?a", "#a", "%2fa", "\\a",
    ".", "..", "/ /",
]  # fmt: skip

FIELDS = [
    [("X-Two", "1"), ("X-Other", "a"), ("x-two", "2"), ("X-Two", "")],
    [("Accept", "a/b"), ("Accept", "c/d"), ("Accept-Language", "de"), ("Accept-Language", "en")],
    [("Cookie", "a=1; b=2")], [("Cookie", "a=1"), ("Cookie", "b=2")], [("Cookie", "")], [("Cookie", "a")],
    [("X-Empty", "")], [("X-Blank", "  a  b\t ")], [("X-Blank", " \t ")], [("X-Tab", "a\tb")], [("X-Latin", "caf\xe9")],
    [("X-Utf8", "caf\xc3\xa9")], [("X-High", "\x80\xff")], [("X-Odd", "\"'\\;,=()<>@[]{}?/")],
    [("X!#$%&'*+.^`|~", "a")], [("1", "a")], [("X_Under", "a")], [("X_Under", "a"), ("X-Under", "b")], [("X.Dot", "a")],
    [("-", "a")], [("--", "a")], [("_", "a")], [("X-", "a")], [("X-Long", "a" * 4000)], [("X-Long", "a" * 7900)],
    [("X-Long", "a" * 9000)], [("X-Long", "a" * 40_000)], [("X" * 200, "a")], [("X" * 2000, "a")],
    [("X-%d" % number, "a") for number in range(60)], [("X-%d" % number, "a") for number in range(90)],
    [("X-%d" % number, "a") for number in range(200)], [("X-%d" % number, "a" * 200) for number in range(80)],
    [("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"), ("Accept", "text/html,*/*;q=0.8"),
     ("Accept-Encoding", "gzip, deflate, br"), ("Upgrade-Insecure-Requests", "1")],
    [("Authorization", "Basic YTpi")], [("Proxy-Authorization", "Basic YTpi")], [("Proxy", "http://evil.test")],
    [("Proxy-Connection", "keep-alive")], [("Referer", "http://example.org/"), ("Origin", "http://example.org")],
    [("Content-Type", "text/plain; charset=utf-8")], [("Content-Type", "")],
    [("Content-Type", "a/b"), ("Content-Type", "c/d")], [("Content-Encoding", "gzip")], [("Content-Length", "0")],
    [("Content-Length", "00")],
    [("Date", "yesterday"), ("From", "a@b"), ("Via", "1.1 a"), ("Max-Forwards", "0"), ("Warning", "199 a b")],
    [("Range", "bytes=0-1")], [("If-None-Match", '"app"')], [("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")],
    [("If-Match", '"other"')], [("X-Forwarded-For", "192.0.2.1")],
    [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "192.0.2.2")], [("X-Forwarded-Proto", "https")],
    [("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Port", "444")], [("X-Real-IP", "192.0.2.1")],
    [("Forwarded", "for=192.0.2.1")], [("X-Forwarded-Prefix", "/evil")], [("X-Script-Name", "/evil")],
    [("X-Request-ID", "theirs")], [("Script-Name", "/evil"), ("Path-Info", "/evil")], [("Expect", "")],
    [("Expect", "coffee")],
    [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABk")],
    [("Upgrade", "websocket"), ("Connection", "Upgrade")], [("TE", "trailers")], [("TE", "gzip")],
    [("Trailer", "X-Sum")], [("Keep-Alive", "timeout=5")], [("Transfer-Encoding", "identity")],
    [("Http-Host", "evil.test")], [("Host-", "a")],
]  # fmt: skip

HOSTS = [
    "example.org:8080", "EXAMPLE.org", "example.org.", "localhost", "127.0.0.1", "[::1]", "[::1]:80", "", None, "a b",
    "a,b", "a/b", "a?b", "a#b", "a@b", "a:b", "a:", "a:99999", ":80", "[::1", "a_b", "caf\xe9", "a%41",
    "xn--caf-dma.test", "-a", "a..b", ".a", ".", "a\tb", "*.a", "a" * 250, "a" * 300,
]  # fmt: skip

CONNECTIONS = [
    "close", "Close", "CLOSE", "keep-alive", "Keep-Alive", "close, keep-alive", "keep-alive, close", "", ",", "upgrade",
    "x-mine", "x-mine, close", "closed", "close;", "te", "host", "content-length", "cookie",
]  # fmt: skip

BODIES = [b"", b"a", b"four", b"a=1&b=%20", b"\0\xff\r\n\r\n", b"x" * 100_000, b"x" * 1_048_576, b"x" * 1_048_577]
CHUNKS = [[], [b"a"], [b"four", b"more"], [b"x" * 1000] * 100]

#: Lines that tell of a body, and the body: after `POST /echo HTTP/1.1`.
FRAMINGS = [
    ("Content-Length: 4", b"four"), ("Content-Length: 04", b"four"), ("Content-Length: 0004", b"four"),
    ("Content-Length:4", b"four"), ("Content-Length: 4 ", b"four"), ("Content-Length: +4", b"four"),
    ("Content-Length: -4", b"four"), ("Content-Length: 0x4", b"four"), ("Content-Length: 4.0", b"four"),
    ("Content-Length: 4;", b"four"), ("Content-Length: 4,4", b"four"), ("Content-Length: 4, 4", b"four"),
    ("Content-Length: 4, 5", b"four"), ("Content-Length: ", b""), ("Content-Length: a", b""),
    ("Content-Length: 4 4", b"four"), ("Content-Length: 4\r\nContent-Length: 4", b"four"),
    ("Content-Length: 4\r\nContent-Length: 5", b"four"), ("Content-Length: 0", b""), ("Content-Length: -0", b""),
    ("Content-Length: 4_0", b"four"), ("Content_Length: 4", b""), ("Content-Length : 4", b"four"),
    ("Content-Length:\t4", b"four"), ("Content-Length: 4\r\nTransfer-Encoding: chunked", b"4\r\nfour\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 4", b"4\r\nfour\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"4\r\nfour\r\n0\r\n\r\n"),
    ("Transfer-Encoding: Chunked", b"4\r\nfour\r\n0\r\n\r\n"),
    ("Transfer-Encoding: CHUNKED", b"4\r\nfour\r\n0\r\n\r\n"),
    ("transfer-encoding:chunked ", b"4\r\nfour\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"4\r\nfour\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked, chunked", b"4\r\nfour\r\n0\r\n\r\n"),
    ("Transfer-Encoding: gzip, chunked", b"4\r\nfour\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked, gzip", b"4\r\nfour\r\n0\r\n\r\n"), ("Transfer-Encoding: identity", b""),
    ("Transfer-Encoding: identity, chunked", b"4\r\nfour\r\n0\r\n\r\n"), ("Transfer-Encoding: ", b""),
    ("Transfer-Encoding: gzip", b""), ("Transfer-Encoding: xchunked", b""),
    ("Transfer-Encoding: chunked;a=b", b"4\r\nfour\r\n0\r\n\r\n"), ("Transfer-Encoding: \"chunked\"", b""),
    ("Transfer-Encoding: \x0bchunked", b""), ("Transfer-Encoding : chunked", b"4\r\nfour\r\n0\r\n\r\n"),
    ("Transfer_Encoding: chunked", b""), ("Transfer-Encoding: , chunked", b"4\r\nfour\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked,", b"4\r\nfour\r\n0\r\n\r\n"),
]  # fmt: skip

#: Bodies in chunks, right and wrong.
CHUNKED = [
    b"4\r\nfour\r\n0\r\n\r\n", b"04\r\nfour\r\n0\r\n\r\n", b"0000000000004\r\nfour\r\n0\r\n\r\n",
    b"00000000000000000004\r\nfour\r\n00\r\n\r\n", b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
    b"4;a\r\nfour\r\n0\r\n\r\n", b"4;a=b\r\nfour\r\n0\r\n\r\n", b"4;a=\"b c\"\r\nfour\r\n0;x\r\n\r\n",
    b"4 ;a\r\nfour\r\n0\r\n\r\n", b"4; a\r\nfour\r\n0\r\n\r\n", b"4;a=b;c=d\r\nfour\r\n0\r\n\r\n",
    b"4;\r\nfour\r\n0\r\n\r\n", b"4;=b\r\nfour\r\n0\r\n\r\n", b"4;a=\r\nfour\r\n0\r\n\r\n",
    b"4;a=\"b\r\nfour\r\n0\r\n\r\n", b"4;a=[b\r\nfour\r\n0\r\n\r\n", b"4;a\nb\r\nfour\r\n0\r\n\r\n",
    b"4;" + b"a" * 5000 + b"\r\nfour\r\n0\r\n\r\n", b"4 \r\nfour\r\n0\r\n\r\n", b" 4\r\nfour\r\n0\r\n\r\n",
    b"4\t\r\nfour\r\n0\r\n\r\n", b"+4\r\nfour\r\n0\r\n\r\n", b"-4\r\nfour\r\n0\r\n\r\n", b"0x4\r\nfour\r\n0\r\n\r\n",
    b"4_0\r\nfour\r\n0\r\n\r\n", b"g\r\nfour\r\n0\r\n\r\n", b"\r\nfour\r\n0\r\n\r\n", b"4\nfour\n0\n\n",
    b"4\r\nfour\n0\r\n\r\n", b"4\nfour\r\n0\r\n\r\n", b"4\r\nfour\r\n0\n\r\n", b"4\r\nfour\r\n0\r\n\n",
    b"4\r\nfourx\r\n0\r\n\r\n", b"4\r\nfou\r\n0\r\n\r\n", b"4\r\nfour0\r\n\r\n", b"4\r\rfour\r\n0\r\n\r\n",
    b"0\r\n\r\n", b"000\r\n\r\n", b"0;a=b\r\n\r\n", b"4\r\nfour\r\n0\r\nX-Sum: a\r\n\r\n",
    b"4\r\nfour\r\n0\r\nX-Sum: a\r\nX-More: b\r\n\r\n", b"4\r\nfour\r\n0\r\nContent-Length: 5\r\n\r\n",
    b"4\r\nfour\r\n0\r\nHost: evil\r\n\r\n", b"4\r\nfour\r\n0\r\nX Sum: a\r\n\r\n",
    b"4\r\nfour\r\n0\r\nX-Sum : a\r\n\r\n", b"4\r\nfour\r\n0\r\nno colon\r\n\r\n", b"4\r\nfour\r\n0\r\nX-Sum: a\n\n",
    b"4\r\nfour\r\n0\r\nX-Sum: a\r\n b\r\n\r\n", b"4\r\nfour\r\n0\r\nX: " + b"a" * 50_000 + b"\r\n\r\n",
]  # fmt: skip

#: Heads that stand for themselves, each a whole request for /echo unless it is broken.
HEADS = [
    b"GET /echo HTTP/1.1\nHost: a\n\n", b"GET /echo HTTP/1.1\r\nHost: a\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\n\n",
    b"GET /echo HTTP/1.1\r\r\nHost: a\r\n\r\n", b"\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n", b"\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    b" GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", b"GET  /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /echo  HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /echo HTTP/1.1 \r\nHost: a\r\n\r\n",
    b"GET\t/echo HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /echo\tHTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /echo http/1.1\r\nHost: a\r\n\r\n", b"GET /echo HTTP/1.2\r\nHost: a\r\n\r\n",
    b"GET /echo HTTP/1.9\r\nHost: a\r\n\r\n", b"GET /echo HTTP/2.0\r\nHost: a\r\n\r\n",
    b"GET /echo HTTP/0.9\r\nHost: a\r\n\r\n", b"GET /echo HTTP/3\r\nHost: a\r\n\r\n",
    b"GET /echo HTTP/1\r\nHost: a\r\n\r\n", b"GET /echo HTTP/1.10\r\nHost: a\r\n\r\n",
    b"GET /echo HTTP/01.1\r\nHost: a\r\n\r\n", b"GET /echo HTTPS/1.1\r\nHost: a\r\n\r\n",
    b"GET /echo HTTP/11\r\nHost: a\r\n\r\n", b"GET /echo HTTP 1.1\r\nHost: a\r\n\r\n",
    b"GET /echo HTTP/1,1\r\nHost: a\r\n\r\n", b"GET /echo HTTP/-1.1\r\nHost: a\r\n\r\n", b"GET /echo\r\n\r\n",
    b"GET /echo\r\nHost: a\r\n\r\n", b"GET\r\n\r\n", b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
    b"/echo HTTP/1.1\r\nHost: a\r\n\r\n", b"G@T /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    b"G\xe9T /echo HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /echo HTTP/1.1\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /echo HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", b"GET /echo HTTP/1.0\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nhost: a\r\nHOST: a\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET /echo HTTP/1.1\r\n Host: a\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\nX:\r\n c\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\nX b\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX(Y): b\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\nb: c\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost:a\r\nX:b\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\n\x0bX: b\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600,
    b"GET /echo HTTP/1.1\r\nHost: a\r\n" + b"X: b\r\n" * 500 + b"\r\n",
    b"A" * 300 + b" /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", b"CONNECT /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"OPTIONS * HTTP/1.0\r\n\r\n",
    b"TRACE /echo HTTP/1.1\r\nHost: a\r\nX-Secret: b\r\n\r\n", b"TRACE * HTTP/1.1\r\nHost: a\r\n\r\n",
]  # fmt: skip

#: Several requests on one connection: methods and bytes.
PIPELINES = [
    (("GET", "GET"), b"GET /echo?1 HTTP/1.1\r\nHost: a\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET", "GET", "GET"),
     b"GET /answer/big-pieces HTTP/1.1\r\nHost: a\r\n\r\nGET /answer/204 HTTP/1.1\r\nHost: a\r\n\r\n"
     b"GET /answer/no-length HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("POST", "GET"),
     b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfourGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("POST", "GET"),
     b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfour\r\nGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("POST", "HEAD"),
     b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n"
     b"HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("HEAD", "GET"), b"HEAD /answer/length HTTP/1.1\r\nHost: a\r\n\r\nGET /answer/length HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("HEAD", "GET"),
     b"HEAD /static/letters.txt HTTP/1.1\r\nHost: a\r\n\r\n"
     b"GET /static/letters.txt HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET", "GET"), b"GET /answer/304-length HTTP/1.1\r\nHost: a\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET", "GET"), b"GET /answer/204-body HTTP/1.1\r\nHost: a\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET", "GET"), b"GET /answer/205 HTTP/1.1\r\nHost: a\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET",), b"GET /echo?1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET",), b"GET /echo?1 HTTP/1.0\r\nHost: a\r\n\r\nGET /echo?2 HTTP/1.0\r\nHost: a\r\n\r\n"),
    (("GET", "GET"),
     b"GET /echo?1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
     b"GET /echo?2 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"),
    (("GET", "GET"),
     b"GET /echo?1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
     b"GET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET", "GET"), b"GET /echo?1 HTTP/1.1\r\nHost: a\r\n\r\nGET /echo?2 HTTP/1.0\r\nHost: a\r\n\r\n"),
    (("GET", "GET"),
     b"GET /echo?1 HTTP/1.1\r\nHost: a\r\n\r\nG@T /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"
     b"GET /echo?3 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET", "GET"), b"GET /missing HTTP/1.1\r\nHost: a\r\n\r\nGET /static/missing HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET", "GET"),
     b"GET /static/missing HTTP/1.1\r\nHost: a\r\n\r\nGET /static/letters.txt HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("POST", "GET"),
     b"POST /static/letters.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfourGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("POST", "GET"),
     b"POST /static/letters.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"4\r\nfour\r\n0\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET", "GET"),
     b"GET /static/letters.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfourGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET", "GET"), b"GET /static/dir HTTP/1.1\r\nHost: a\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (("GET",) * 20, b"".join(b"GET /echo?%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(20))),
]  # fmt: skip

#: What a client sends before it closes its side, though more was to come.
BROKEN_OFF = [
    *(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\nfour" % size
      for size in (b"ffffffffffffffff", b"10000000000000000", b"7fffffffffffffff", b"200000")),
    *(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\nfour" % size
      for size in (100, 1_048_577, 2**63, 2**64)),
    b"\r\n", b"GET", b"GET /echo", b"GET /echo HTTP/1.1\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfou",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfou",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /static/letters.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n",
]  # fmt: skip

TAGS = [
    "{etag}", "W/{etag}", '"other"', 'W/"other"', "*", '"other", {etag}', '{etag}, "other"', ' {etag} ,"other"',
    ', ,{etag},', 'W/"other", W/{etag}', '"a,b", {etag}', "other", "", '""', '"', "*, {etag}", '{etag} {etag}',
    "w/{etag}", "W/ {etag}",
]  # fmt: skip
TIMES = [
    "{modified}", "Thu, 01 Jan 2026 00:00:00 GMT", "Sat, 03 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT",
    "Wed, 31 Dec 1969 23:59:59 GMT", "Mon, 01 Jan 1900 00:00:00 GMT", "Tue, 01 Jan 2999 00:00:00 GMT",
    "Friday, 02-Jan-26 03:04:05 GMT", "Friday, 02-Jan-26 03:04:06 GMT", "Thursday, 01-Jan-26 00:00:00 GMT",
    "Fri Jan  2 03:04:05 2026", "Fri Jan  2 03:04:04 2026", "Fri Jan 02 03:04:05 2026", "Fri, 02 Jan 2026 03:04:05",
    "Fri, 02 Jan 2026 03:04:05 UTC", "Fri, 02 Jan 2026 03:04:05 +0000", "Fri, 2 Jan 2026 03:04:05 GMT",
    "fri, 02 jan 2026 03:04:05 gmt", "Mon, 02 Jan 2026 03:04:05 GMT", "02 Jan 2026 03:04:05 GMT",
    "Fri, 32 Jan 2026 03:04:05 GMT", "Fri, 02 Jan 2026 25:04:05 GMT", "Fri, 02 Jan 2026 03:04:60 GMT",
    "2026-01-02T03:04:05Z", "1767323045", "yesterday", "", "0",
]  # fmt: skip
RANGES = [
    "bytes=0-0", "bytes=0-3", "bytes=20-", "bytes=-3", "bytes=-0", "bytes=-100", "bytes=25-25", "bytes=25-99",
    "bytes=26-", "bytes=26-30", "bytes=5-2", "bytes=0-", "bytes=0-25", "bytes=", "bytes", "bytes=-", "bytes=a-b",
    "bytes=0", "bytes=0-1-2", "bytes=0--1", "bytes= 0-3", "bytes=0 -3", "bytes=0- 3", "bytes =0-3", "Bytes=0-3",
    "BYTES=0-3", "lines=0-3", "bytes:0-3", "=0-3", "0-3", "bytes=+0-3", "bytes=0x0-3", "bytes=00-03",
    "bytes=99999999999999999999-", "bytes=0-99999999999999999999", "bytes=-99999999999999999999", "bytes=0-1,4-5",
    "bytes=0-1, 4-5", "bytes=0-1 , 4-5", "bytes=0-1,,4-5", "bytes=,0-1", "bytes=0-1,", "bytes=0-5,3-8", "bytes=0-3,4-7",
    "bytes=4-5,0-1", "bytes=0-0,0-0,0-0", "bytes=-2,0-1", "bytes=0-1,30-40", "bytes=30-40,0-1", "bytes=30-40,50-60",
    "bytes=0-1,a-b", "bytes=0-1,5-2", "bytes=" + ",".join("%d-%d" % (at, at) for at in range(0, 26, 2)),
    "bytes=" + ",".join(["0-"] * 20), "bytes=" + ",".join("%d-%d" % (at % 26, at % 26) for at in range(300)), "",
]  # fmt: skip

ENCODINGS = [
    "gzip", "br", "gzip, br", "GZIP", "gzip;q=0", "gzip;q=1", "gzip;q=0.001", "gzip;q=0.000", "*", "*;q=0", "identity",
    "identity;q=0", "identity;q=0, gzip", "", "deflate", "x-gzip", "gzip;q=2", "gzip;q=a", "gzip ; q=0", "gzip;x=y",
    "gzipx", "deflate, gzip;q=0.5", "br;q=0, gzip;q=0, *",
]  # fmt: skip

#: Requests of HTTP/2, right and wrong in their fields.
METHOD, SCHEME, AUTHORITY, PATH = (":method", "GET"), (":scheme", "https"), (":authority", "example.org"), (":path", "/echo")
PSEUDO = [METHOD, SCHEME, AUTHORITY, PATH]
STREAMS = [
    PSEUDO, PSEUDO[::-1], [SCHEME, AUTHORITY, PATH], [METHOD, AUTHORITY, PATH], [METHOD, SCHEME, PATH],
    [METHOD, SCHEME, AUTHORITY], [METHOD, *PSEUDO], [*PSEUDO, SCHEME], [*PSEUDO, AUTHORITY], [*PSEUDO, PATH],
    [*PSEUDO, (":path", "/other")], [], [*PSEUDO, (":status", "200")], [*PSEUDO, (":other", "a")],
    [*PSEUDO, (":protocol", "websocket")], [("x-first", "a"), *PSEUDO],
    [METHOD, SCHEME, ("x-between", "a"), AUTHORITY, PATH], [METHOD, SCHEME, AUTHORITY, (":path", "")],
    [METHOD, SCHEME, AUTHORITY, (":path", "*")], [("x", "a"), METHOD], [(":method", ""), SCHEME, AUTHORITY, PATH],
    [(":method", "G T"), SCHEME, AUTHORITY, PATH], [(":method", "OPTIONS"), SCHEME, AUTHORITY, (":path", "*")],
    [(":method", "CONNECT"), AUTHORITY], [(":method", "CONNECT"), *PSEUDO[1:]], [(":method", "A" * 300), *PSEUDO[1:]],
    [METHOD, (":scheme", "http"), AUTHORITY, PATH], [METHOD, (":scheme", "ftp"), AUTHORITY, PATH],
    [METHOD, (":scheme", "HTTPS"), AUTHORITY, PATH], [METHOD, (":scheme", ""), AUTHORITY, PATH],
    [METHOD, (":scheme", "a b"), AUTHORITY, PATH], [METHOD, (":scheme", "1a"), AUTHORITY, PATH], [METHOD, SCHEME, PATH, ("host", "example.org")],
    [*PSEUDO, ("host", "example.org")], [*PSEUDO, ("host", "EXAMPLE.org")], [*PSEUDO, ("host", "other.test")],
    [*PSEUDO, ("host", "")], [METHOD, SCHEME, PATH, ("host", "")], [*PSEUDO, ("host", "a"), ("host", "a")],
    [METHOD, SCHEME, PATH, ("host", "a"), ("host", "b")], [METHOD, SCHEME, (":authority", "a@b"), PATH],
    [*PSEUDO, ("X-Upper", "a")], [*PSEUDO, ("x y", "a")], [*PSEUDO, ("x:y", "a")], [*PSEUDO, ("", "a")],
    [*PSEUDO, ("x\xe9", "a")], [*PSEUDO, ("x\0y", "a")], [*PSEUDO, ("x\ny", "a")], [*PSEUDO, ("x(y)", "a")],
    [*PSEUDO, ("x", "a\0b")], [*PSEUDO, ("x", "a\nb")], [*PSEUDO, ("x", "a\rb")], [*PSEUDO, ("x", "a\x01b")],
    [*PSEUDO, ("x", "a\x7fb")], [*PSEUDO, ("x", " a")], [*PSEUDO, ("x", "a ")], [*PSEUDO, ("x", "\ta")], [*PSEUDO, ("cookie", " a=1")],
    [*PSEUDO, ("x", "")], [*PSEUDO, ("x", "caf\xe9")], [*PSEUDO, ("te", "trailers")], [*PSEUDO, ("te", "Trailers")],
    [*PSEUDO, ("te", "trailers, gzip")], [*PSEUDO, ("upgrade", "websocket")], [*PSEUDO, ("connection", "keep-alive")],
    [*PSEUDO, ("cookie", "a=1"), ("x", "b"), ("cookie", "c=2")], [*PSEUDO, ("content-length", "0")],
    [*PSEUDO, ("content-length", "")], [*PSEUDO, *[("x-%d" % number, "a") for number in range(150)]],
    [*PSEUDO, ("x", "a" * 20_000)], [*PSEUDO, ("x", "a" * 100_000)], [*PSEUDO, ("priority", "u=1, i")],
    [*PSEUDO, ("http2-settings", "AAMAAABk")], [*PSEUDO, ("proxy-connection", "keep-alive")],
]  # fmt: skip
