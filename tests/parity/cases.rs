//! Requests for files and what both servers answer.

/// One request and what must come back.
pub(super) struct Case {
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    pub(super) request: &'static [(&'static str, &'static str)],
    pub(super) status: u16,
    /// Fields of the answer; `""`: it must not be there.
    pub(super) fields: &'static [(&'static str, &'static str)],
    pub(super) body: Option<&'static [u8]>,
}

pub(super) const fn get(target: &'static str, status: u16) -> Case {
    Case {
        method: "GET",
        target,
        request: &[],
        status,
        fields: &[],
        body: None,
    }
}

impl Case {
    pub(super) fn title(&self) -> String {
        format!("{} {} {:?}", self.method, self.target, self.request)
    }

    pub(super) const fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }
    pub(super) const fn with(mut self, request: &'static [(&'static str, &'static str)]) -> Self {
        self.request = request;
        self
    }
    pub(super) const fn fields(mut self, fields: &'static [(&'static str, &'static str)]) -> Self {
        self.fields = fields;
        self
    }
    pub(super) const fn body(mut self, body: &'static [u8]) -> Self {
        self.body = Some(body);
        self
    }
}

pub(super) const MODIFIED_S: u64 = 1_767_323_045;
pub(super) const MODIFIED: &str = "Fri, 02 Jan 2026 03:04:05 GMT";
pub(super) const EARLIER: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
pub(super) const LATER: &str = "Sat, 03 Jan 2026 00:00:00 GMT";
pub(super) const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
pub(super) const TAG: &str = "\"695735a5-1a\"";

pub(super) const PLAIN: &[Case] = &[
    get("/files/letters.txt", 200)
        .fields(&[
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", "26"),
            ("last-modified", MODIFIED),
            ("etag", TAG),
            ("accept-ranges", "bytes"),
            ("content-encoding", ""),
        ])
        .body(LETTERS),
    get("/files/letters.txt", 200)
        .method("HEAD")
        .fields(&[("content-length", "26"), ("etag", TAG)])
        .body(b""),
    get("/files/letters.txt?v=3&x=%2e", 200).body(LETTERS),
    get("/files/empty.txt", 200)
        .fields(&[("content-length", "0"), ("etag", "\"695735a5-0\"")])
        .body(b""),
    get("/files/empty.txt", 200)
        .with(&[("Range", "bytes=0-")])
        .body(b""),
    get("/files/page.html", 200),
    get("/files/style.css", 200).fields(&[("content-type", "text/css; charset=utf-8")]),
    get("/files/code.js", 200).fields(&[("content-type", "text/javascript; charset=utf-8")]),
    get("/files/data.json", 200).fields(&[("content-type", "application/json")]),
    get("/files/image.png", 200).fields(&[("content-type", "image/png")]),
    get("/files/module.wasm", 200).fields(&[("content-type", "application/wasm")]),
    get("/files/font.woff2", 200).fields(&[("content-type", "font/woff2")]),
    get("/files/unknown.qqq", 200).fields(&[("content-type", "application/octet-stream")]),
    get("/files/no-extension", 200).fields(&[("content-type", "application/octet-stream")]),
    get("/files/UPPER.TXT", 200).fields(&[("content-type", "text/plain; charset=utf-8")]),
    get("/files/big.bin", 200).fields(&[("content-length", "300000")]),
    get("/files/two%20words.txt", 200).body(b"two words"),
    get("/files/gr%C3%BC%C3%9Fe.txt", 200).body(b"greetings"),
    get("/files/100%25.txt", 200).body(b"percent"),
    get("/files/a+b.txt", 200).body(b"plus"),
    get("/only.txt", 200).body(LETTERS).fields(&[("etag", TAG)]),
    get("/only.txt/", 200).body(b"home\n"),
];

pub(super) const DIRECTORIES: &[Case] = &[
    get("/files/dir/", 200).body(b"<p>index</p>"),
    get("/files/dir/", 200)
        .method("HEAD")
        .body(b"")
        .fields(&[("content-length", "12")]),
    get("/files/dir", 301).fields(&[("location", "/files/dir/")]),
    get("/files/dir", 301)
        .method("HEAD")
        .fields(&[("location", "/files/dir/")]),
    get("/files/dir?a=b", 301).fields(&[("location", "/files/dir/?a=b")]),
    get("/files/bare/", 403),
    get("/files/letters.txt/", 404),
    get("/files/letters.txt/x", 404),
    get("/files/", 403),
];

pub(super) const CONDITIONALS: &[Case] = &[
    get("/files/letters.txt", 304)
        .with(&[("If-None-Match", TAG)])
        .fields(&[("etag", TAG), ("last-modified", MODIFIED), ("content-length", "")])
        .body(b""),
    get("/files/letters.txt", 304)
        .with(&[("If-None-Match", TAG)])
        .method("HEAD"),
    get("/files/letters.txt", 304).with(&[("If-None-Match", "*")]),
    get("/files/letters.txt", 304).with(&[("If-None-Match", "W/\"695735a5-1a\"")]),
    get("/files/letters.txt", 304).with(&[("If-None-Match", "\"x\", \"695735a5-1a\" , \"y\"")]),
    get("/files/letters.txt", 200)
        .with(&[("If-None-Match", "\"x\"")])
        .body(LETTERS),
    get("/files/letters.txt", 304).with(&[("If-Modified-Since", MODIFIED)]),
    get("/files/letters.txt", 304).with(&[("If-Modified-Since", LATER)]),
    get("/files/letters.txt", 200).with(&[("If-Modified-Since", EARLIER)]),
    get("/files/letters.txt", 200).with(&[("If-Modified-Since", "yesterday")]),
    get("/files/letters.txt", 200).with(&[("If-Match", TAG)]),
    get("/files/letters.txt", 200).with(&[("If-Match", "*")]),
    get("/files/letters.txt", 200).with(&[("If-Match", "\"x\", \"695735a5-1a\"")]),
    get("/files/letters.txt", 412).with(&[("If-Match", "\"x\"")]),
    get("/files/letters.txt", 412).with(&[("If-Match", "W/\"695735a5-1a\"")]),
    get("/files/letters.txt", 200).with(&[("If-Unmodified-Since", MODIFIED)]),
    get("/files/letters.txt", 200).with(&[("If-Unmodified-Since", LATER)]),
    get("/files/letters.txt", 412).with(&[("If-Unmodified-Since", EARLIER)]),
    get("/files/letters.txt", 412).with(&[("If-Match", "\"x\""), ("If-None-Match", TAG)]),
    get("/files/letters.txt", 412).with(&[("If-Match", "\"x\""), ("Range", "bytes=0-1")]),
    get("/files/letters.txt", 304).with(&[("If-None-Match", TAG), ("Range", "bytes=0-1")]),
    get("/files/missing.txt", 404).with(&[("If-Match", "*")]),
];

pub(super) const RANGES: &[Case] = &[
    get("/files/letters.txt", 206)
        .with(&[("Range", "bytes=0-3")])
        .fields(&[
            ("content-range", "bytes 0-3/26"),
            ("content-length", "4"),
            ("etag", TAG),
            ("last-modified", MODIFIED),
            ("content-type", "text/plain; charset=utf-8"),
        ])
        .body(b"abcd"),
    get("/files/letters.txt", 206)
        .with(&[("Range", "bytes=20-")])
        .fields(&[("content-range", "bytes 20-25/26")])
        .body(b"uvwxyz"),
    get("/files/letters.txt", 206)
        .with(&[("Range", "bytes=-3")])
        .fields(&[("content-range", "bytes 23-25/26")])
        .body(b"xyz"),
    get("/files/letters.txt", 206)
        .with(&[("Range", "bytes=-100")])
        .fields(&[("content-range", "bytes 0-25/26")])
        .body(LETTERS),
    get("/files/letters.txt", 206)
        .with(&[("Range", "bytes=25-99999999")])
        .fields(&[("content-range", "bytes 25-25/26")])
        .body(b"z"),
    get("/files/letters.txt", 206)
        .with(&[("Range", "bytes=0-0")])
        .body(b"a"),
    get("/files/letters.txt", 416)
        .with(&[("Range", "bytes=26-")])
        .fields(&[("content-range", "bytes */26")]),
    get("/files/letters.txt", 416).with(&[("Range", "bytes=-0")]),
    get("/files/letters.txt", 416).with(&[("Range", "bytes=99-100")]),
    get("/files/letters.txt", 200)
        .with(&[("Range", "lines=1-2")])
        .body(LETTERS),
    get("/files/letters.txt", 206)
        .with(&[("Range", "bytes=0-1, 4-5,-2")])
        .fields(&[("content-range", "")]),
    get("/files/letters.txt", 206)
        .with(&[("Range", "bytes=0-1,40-50")])
        .fields(&[("content-range", "bytes 0-1/26")])
        .body(b"ab"),
    get("/files/big.bin", 206)
        .with(&[("Range", "bytes=299999-")])
        .fields(&[("content-range", "bytes 299999-299999/300000")])
        .body(b"x"),
    get("/files/letters.txt", 206)
        .with(&[("Range", "bytes=0-1"), ("If-Range", TAG)])
        .body(b"ab"),
    get("/files/letters.txt", 200)
        .with(&[("Range", "bytes=0-1"), ("If-Range", "\"x\"")])
        .body(LETTERS),
    get("/files/letters.txt", 206)
        .with(&[("Range", "bytes=0-1"), ("If-Range", MODIFIED)])
        .body(b"ab"),
    get("/files/letters.txt", 200)
        .with(&[("Range", "bytes=0-1"), ("If-Range", EARLIER)])
        .body(LETTERS),
    get("/files/letters.txt", 200)
        .with(&[("Range", "bytes=0-1"), ("If-Range", LATER)])
        .body(LETTERS),
];

pub(super) const PRECOMPRESSED: &[Case] = &[
    get("/files/packed.css", 200)
        .with(&[("Accept-Encoding", "gzip")])
        .fields(&[
            ("content-encoding", "gzip"),
            ("content-length", "11"),
            ("content-type", "text/css; charset=utf-8"),
            ("vary", "Accept-Encoding"),
        ])
        .body(b"gzip bytes\n"),
    get("/files/packed.css", 200)
        .with(&[("Accept-Encoding", "deflate, gzip;q=0.5, *;q=0")])
        .fields(&[("content-encoding", "gzip")]),
    get("/files/packed.css", 200)
        .with(&[("Accept-Encoding", "gzip;q=0, identity")])
        .fields(&[("content-encoding", ""), ("vary", "Accept-Encoding")])
        .body(b"body { margin: 0 }\n"),
    get("/files/packed.css", 200).fields(&[
        ("content-encoding", ""),
        ("content-length", "19"),
        ("vary", "Accept-Encoding"),
    ]),
    get("/files/packed.css", 200)
        .method("HEAD")
        .with(&[("Accept-Encoding", "gzip")])
        .fields(&[("content-encoding", "gzip"), ("content-length", "11")])
        .body(b""),
    get("/files/letters.txt", 200)
        .with(&[("Accept-Encoding", "gzip")])
        .fields(&[("content-encoding", "")])
        .body(LETTERS),
    get("/files/packed.css.gz", 200)
        .fields(&[("content-encoding", "")])
        .body(b"gzip bytes\n"),
];

pub(super) const REFUSALS: &[Case] = &[
    get("/files/missing.txt", 404),
    get("/files/missing/", 404),
    get("/files/missing/deeper.txt", 404),
    get("/files/.secret", 404),
    get("/files/.git/config", 404),
    get("/files/letters.txt", 405).method("POST"),
    get("/files/letters.txt", 405).method("PUT"),
    get("/files/letters.txt", 405).method("DELETE"),
    get("/files/letters.txt", 405).method("PATCH"),
    get("/files/letters.txt", 405).method("BREW"),
    // Up and out.
    get("/../etc/passwd", 400),
    get("/files/../../etc/passwd", 400),
    get("/files/%2e%2e/%2e%2e/etc/passwd", 400),
    get("/files/..%2f..%2fetc/passwd", 400),
    get("/files/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 400),
    get("/files/..%5c..%5cetc%5cpasswd", 404),
    get("/files/%252e%252e/%252e%252e/etc/passwd", 404),
    get("/files/dir/..%00/letters.txt", 400),
    get("/files/letters.txt%00.html", 400),
    get("/files/%zz", 400),
    get("/files/....//letters.txt", 404),
    // Up and not out.
    get("/files/../only.txt", 200).body(LETTERS),
    get("/files/dir/../letters.txt", 200).body(LETTERS),
    get("/files/dir/%2e%2e/letters.txt", 200).body(LETTERS),
    get("/files/dir%2f..%2fletters.txt", 200).body(LETTERS),
    get("/files/./letters.txt", 200).body(LETTERS),
    get("//files///letters.txt", 200).body(LETTERS),
    get("/%66iles/letters%2Etxt", 200).body(LETTERS),
];

pub(super) const TABLES: [&[Case]; 6] = [PLAIN, DIRECTORIES, CONDITIONALS, RANGES, PRECOMPRESSED, REFUSALS];
