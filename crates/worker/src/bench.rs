//! What `cargo bench` measures inside a real interpreter.

use std::time::Instant;

use pyo3::prelude::*;
use wire::request::{HeadersWriter, Request};

use crate::{asgi::scope::Scopes, wsgi::environ::Environ};

/// A browser's request.
const HEADERS: [(&[u8], &[u8]); 8] = [
    (b"host", b"www.example.org"),
    (
        b"user-agent",
        b"Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
    ),
    (
        b"accept",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    (b"accept-language", b"de,en-US;q=0.7,en;q=0.3"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (
        b"cookie",
        b"csrftoken=0123456789abcdef0123456789abcdef; sessionid=fedcba9876543210",
    ),
    (b"x-forwarded-for", b"192.0.2.7"),
    (b"x-request-id", b"0123456789abcdef0123456789abcdef"),
];

/// Nanoseconds to decode a request and to build its environ, mean of `times`.
pub(crate) fn environ(py: Python<'_>, times: u32) -> PyResult<f64> {
    let mut builder = Environ::new(py, 1)?;
    mean(times, |request| builder.build(py, request, None).map(drop))
}

/// Nanoseconds to decode a request and to build its scope, mean of `times`.
pub(crate) fn scope(py: Python<'_>, times: u32) -> PyResult<f64> {
    let mut builder = Scopes::new(py, None, false)?;
    mean(times, |request| builder.build(py, request).map(drop))
}

fn mean(times: u32, mut build: impl FnMut(&Request<'_>) -> PyResult<()>) -> PyResult<f64> {
    let mut payload = Vec::new();
    Request {
        entry: 0,
        version: 11,
        https: true,
        websocket: false,
        tls_version: 0x0304,
        cipher_suite: 0x1301,
        deadline_ms: 30_000,
        content_length: 0,
        method: b"GET",
        path: b"/articles/2024/some-title/",
        mount: b"",
        query: b"page=2",
        target: b"/articles/2024/some-title/?page=2",
        client: b"192.0.2.7",
        client_port: 51234,
        server: b"www.example.org",
        server_port: 443,
        request_id: b"0123456789abcdef0123456789abcdef",
        headers: wire::request::Headers::default(),
    }
    .encode(&mut payload);
    let mut headers = HeadersWriter::begin(&mut payload);
    for (name, value) in HEADERS {
        headers.put(&mut payload, name, value);
    }
    headers.finish(&mut payload);

    let began = Instant::now();
    for _ in 0..times {
        let Ok((request, _)) = Request::decode(&payload) else {
            return Ok(0.0);
        };
        build(&request)?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e9 / f64::from(times.max(1)))
}
