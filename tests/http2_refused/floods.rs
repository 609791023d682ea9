//! Frames, resets and pieces of nothing without end: each costs the client its connection.

use super::*;

#[test]
fn frames_without_end_end_the_connection_and_leave_the_log_alone() {
    let (mut site, client) = site("http2-flood");
    // The last line of the start: the proxy writes it at its own pace.
    site.wait_for_log("proxy accepts");
    let before = site.error_log().lines().count();
    let floods = [
        frame(PING, ACK, 0, &[7; 8]),
        frame(PING, 0, 0, &[7; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 9]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        frame(0xbe, 0, 0, b"unknown"),
    ];
    for flood in &floods {
        let mut http2 = Http2::open(site.tls_port, &client);
        http2.request(1, &GET);
        assert_eq!(http2.next(DATA).payload, b"hello");
        // As many as a busy client may send, and it is still served.
        for _ in 0..40 {
            http2.connection.send(flood.repeat(100)).unwrap();
        }
        http2.request(3, &GET);
        assert_eq!(http2.next(DATA).payload, b"hello");
        for _ in 0..200 {
            if http2.connection.send(flood.repeat(100)).is_err() {
                break;
            }
        }
        // The answers to the flood come first; a reset may have taken the farewell along.
        let end = loop {
            match http2.frame() {
                Ok(frame) if frame.kind == GOAWAY => break Some(frame.payload[4..8].to_vec()),
                Ok(_) => {}
                Err(error) => {
                    assert!(!is_timeout(&error), "still open: {flood:?}");
                    break None;
                }
            }
        };
        assert!(end.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{flood:?}");
    }
    let mut http2 = Http2::open(site.tls_port, &client);
    http2.request(1, &GET);
    assert_eq!(http2.next(DATA).payload, b"hello");
    let log = site.error_log();
    assert_eq!(log.lines().count(), before, "{log}");
    assert!(site.stop().success());
}

/// Sends pieces until the connection has ended; with which code, where the client still hears it?
#[track_caller]
fn end(mut http2: Http2, mut piece: impl FnMut(u32) -> Vec<u8>, pieces: u32) -> Option<Vec<u8>> {
    for number in 0..pieces {
        if http2.connection.send(piece(number)).is_err() {
            break;
        }
    }
    loop {
        match http2.frame() {
            Ok(frame) if frame.kind == GOAWAY && frame.payload[4..8] != [0; 4] => {
                return Some(frame.payload[4..8].to_vec());
            }
            Ok(_) => {}
            Err(error) => {
                assert!(!is_timeout(&error), "still open");
                return None;
            }
        }
    }
}

#[test]
fn requests_that_are_cancelled_without_end_end_the_connection() {
    let (mut site, client) = site("http2-rapid-reset");
    let post = block(&[&[(":method", "POST")], &GET[1..]].concat());
    let open = |stream| frame(HEADERS, END_HEADERS, stream, &post);
    let cancel = |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    // As a browser does that leaves a page with many images, and asks for others: as many as it takes.
    let mut browser = Http2::open(site.tls_port, &client);
    for number in 0..900 {
        browser.connection.send(open(1 + 4 * number)).unwrap();
        browser.connection.send(cancel(1 + 4 * number)).unwrap();
        browser.request(3 + 4 * number, &GET);
        // The one that was cancelled may have been answered already.
        let mut answer = browser.next(DATA);
        while answer.stream != 3 + 4 * number {
            answer = browser.next(DATA);
        }
        assert_eq!(answer.payload, b"hello");
    }
    // One after the other; many at once; and streams again and again.
    let each = |number| [open(1 + 2 * number), cancel(1 + 2 * number)].concat();
    let batch = |number| (0..50).flat_map(|at| each(50 * number + at)).collect();
    for code in [
        end(Http2::open(site.tls_port, &client), each, 20_000),
        end(Http2::open(site.tls_port, &client), batch, 400),
        end(
            Http2::open(site.tls_port, &client),
            |number| if number == 0 { open(1) } else { cancel(1) },
            20_000,
        ),
    ] {
        assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM));
    }
    assert!(site.stop().success());
}

#[test]
fn heads_and_bodies_of_nothing_end_the_connection() {
    let (mut site, client) = site("http2-nothing");
    let post = block(&[&[(":method", "POST")], &GET[1..]].concat());
    // CVE-2024-27316: a head without an end, in pieces with something in them and in pieces without.
    let field = block(&[("x-mine", "again")]);
    for piece in [field, Vec::new()] {
        let mut http2 = Http2::open(site.tls_port, &client);
        http2.send(HEADERS, END_STREAM, 1, &block(&GET));
        let code = end(http2, |_| frame(CONTINUATION, 0, 1, &piece).repeat(20), 5_000);
        assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM));
    }
    // CVE-2019-9518: a body of nothing.
    for padding in [&b""[..], b"\x03\0\0\0"] {
        let mut http2 = Http2::open(site.tls_port, &client);
        http2.send(HEADERS, END_HEADERS, 1, &post);
        let flags = if padding.is_empty() { 0 } else { PADDED };
        let code = end(http2, |_| frame(DATA, flags, 1, padding).repeat(20), 5_000);
        assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM));
    }
    // Trailers that are never the last.
    let mut http2 = Http2::open(site.tls_port, &client);
    http2.send(HEADERS, END_HEADERS, 1, &post);
    let trailers = frame(HEADERS, END_HEADERS, 1, &block(&[("x-mine", "again")]));
    let code = end(http2, |_| trailers.repeat(20), 5_000);
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM));
    // Streams past the limit, of which each is turned away.
    let mut http2 = Http2::open(site.tls_port, &client);
    for number in 0..128 {
        http2.send(HEADERS, END_HEADERS, 1 + 2 * number, &post);
    }
    let more = |number| frame(HEADERS, END_HEADERS, 257 + 2 * number, &post);
    let code = end(http2, more, 20_000);
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM));
    assert!(site.stop().success());
}
