//! The codec on a browser's usual request.

#![allow(clippy::unwrap_used)]

use divan::{Bencher, black_box};
use wire::{
    frame::{self, END, Kind},
    request::{HeadersWriter, Request},
    response::Response,
};

mod counted;

fn main() {
    let (mut out, mut bytes) = (Vec::with_capacity(4096), Vec::new());
    encode(&mut bytes);
    let mut answer = Vec::with_capacity(4096);
    let counted = counted::counted(&mut [
        ("encode_request", &mut || {
            out.clear();
            encode(black_box(&mut out));
        }),
        ("decode_request", &mut || {
            black_box(decode(black_box(&bytes)));
        }),
        ("encode_response", &mut || {
            answer.clear();
            respond(black_box(&mut answer));
        }),
    ]);
    if !counted {
        divan::main();
    }
}

const FIELDS: [(&str, &str); 10] = [
    ("host", "example.org"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    (
        "cookie",
        "csrftoken=0123456789abcdef0123456789abcdef; sessionid=fedcba9876543210",
    ),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "example.org"),
    ("x-request-id", "0123456789abcdef0123456789abcdef"),
];

fn encode(out: &mut Vec<u8>) {
    let open = frame::begin(out, 7, Kind::Request, END);
    Request {
        entry: 3,
        version: 11,
        https: true,
        websocket: false,
        tls_version: 0x0304,
        cipher_suite: 0x1301,
        deadline_ms: 60_000,
        content_length: 0,
        client_port: 54321,
        server_port: 443,
        method: b"GET",
        path: b"/articles/2026/an-article/",
        mount: b"",
        query: b"page=2",
        target: b"/articles/2026/an-article/?page=2",
        client: b"192.0.2.1",
        server: b"example.org",
        request_id: b"0123456789abcdef0123456789abcdef",
        headers: Default::default(),
    }
    .encode(out);
    let mut headers = HeadersWriter::begin(out);
    for (name, value) in FIELDS {
        headers.put(out, name.as_bytes(), value.as_bytes());
    }
    headers.finish(out);
    frame::finish(out, open);
}

#[divan::bench]
fn encode_request(bencher: Bencher) {
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        encode(black_box(&mut out));
    });
}

#[divan::bench]
fn decode_request(bencher: Bencher) {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    bencher.bench_local(|| decode(black_box(&bytes)));
}

fn decode(bytes: &[u8]) -> (usize, usize, usize) {
    let (frame, used) = frame::split(bytes).unwrap().unwrap();
    let (request, body) = Request::decode(frame.payload).unwrap();
    let length: usize = request
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    (used, body.len(), length)
}

#[divan::bench]
fn encode_response(bencher: Bencher) {
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        respond(black_box(&mut out));
    });
}

fn respond(out: &mut Vec<u8>) {
    let open = frame::begin(out, 7, Kind::Response, END);
    let mut headers = Response::encode(200, b"OK", out);
    headers.put(out, b"Content-Type", b"text/html; charset=utf-8");
    headers.put(out, b"Content-Length", b"12");
    headers.finish(out);
    out.extend_from_slice(black_box(b"hello world\n"));
    frame::finish(out, open);
}
