//! HTTP/2 with a client that breaks the rules: frames made by hand. Whatever becomes of a head, it leaves one line.

mod floods;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::harness::{
    Site,
    certificate::Certificate,
    http2::{
        ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM,
        FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GET, GOAWAY, HEADERS, Http2, PADDED, PING, PRIORITIZED,
        PRIORITY, PROTOCOL_ERROR, RST_STREAM, SETTINGS, STREAM_CLOSED, WHOLE, WINDOW_UPDATE, block, client,
        frame, is_timeout,
    },
};

/// A site that says hello over HTTPS, and what its clients need.
fn site(test: &str) -> (Site, Arc<rustls::ClientConfig>) {
    serving(
        test,
        r#"
        [[site]]
        respond = "hello"
        "#,
    )
}

/// The same, that does something else.
fn serving(test: &str, config: &str) -> (Site, Arc<rustls::ClientConfig>) {
    let mut site = Site::new(test);
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    let listener = r#"
        [tls]
        certificates = [{ certificate = "localhost.crt", key = "localhost.key" }]

        [[listener]]
        address = "127.0.0.1:{tls_port}"
        tls = true
        limits = { head_max = "8k", head_timeout = "2s" }
        "#;
    site.config(&[listener, config].concat());
    site.start();
    (site, client(&certificate))
}

fn get_with<'a>(field: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    [&GET[..], &[field]].concat()
}

#[track_caller]
fn told(record: &serde_json::Value, status: u16, outcome: &str) {
    assert_eq!(
        (&record["status"], &record["outcome"], &record["protocol"]),
        (&status.into(), &outcome.into(), &"HTTP/2.0".into()),
        "{record}"
    );
    assert_eq!(
        (&record["client"], &record["tls_version"]),
        (&"127.0.0.1".into(), &"TLSv1.3".into()),
        "{record}"
    );
}

#[test]
fn a_malformed_head_leaves_one_line_and_its_neighbours_are_served() {
    let (mut site, client) = site("http2-malformed");
    let mut http2 = Http2::open(site.tls_port, &client);
    let late = [&[GET[0], ("x-mine", "1")], &GET[1..]].concat();
    let malformed = [
        get_with(("connection", "close")),
        get_with(("transfer-encoding", "chunked")),
        get_with(("te", "gzip")),
        get_with((":path", "/again")),
        get_with((":status", "200")),
        get_with(("content-length", "5")),
        get_with(("content-length", "nothing")),
        late,
        GET[1..].to_vec(),
        GET[..3].to_vec(),
    ];
    for (number, fields) in malformed.iter().enumerate() {
        let stream = 1 + 4 * number as u32;
        // Both in one write, as a client that has more to ask would send them.
        let both = [
            frame(HEADERS, WHOLE, stream, &block(fields)),
            frame(HEADERS, WHOLE, stream + 2, &block(&GET)),
        ];
        http2.connection.send(both.concat()).unwrap();
        let (mut reset, mut served) = (false, false);
        while !(reset && served) {
            let frame = http2.frame().unwrap();
            match frame.kind {
                RST_STREAM => {
                    assert_eq!((frame.stream, &frame.payload[..]), (stream, &PROTOCOL_ERROR[..]));
                    reset = true;
                }
                DATA if frame.flags & END_STREAM != 0 => {
                    assert_eq!((frame.stream, &frame.payload[..]), (stream + 2, &b"hello"[..]));
                    served = true;
                }
                _ => assert_ne!(frame.kind, GOAWAY, "{fields:?}"),
            }
        }
    }
    // Each line as soon as its head was refused: the connection is still open.
    let records = site.records(2 * malformed.len());
    let (refused, served): (Vec<_>, Vec<_>) = records.iter().partition(|record| record["status"] == 400);
    assert_eq!((refused.len(), served.len()), (malformed.len(), malformed.len()));
    refused.iter().for_each(|record| told(record, 400, "refused"));
    served.iter().for_each(|record| told(record, 200, "ok"));
    // Neither the end of the connection nor that of the site adds to them.
    drop(http2);
    assert!(site.stop().success());
    site.records(2 * malformed.len());
}

#[test]
fn a_head_that_breaks_the_connection_leaves_one_line() {
    let (mut site, client) = site("http2-broken");
    let get = block(&GET);
    let cases = [
        // Field names have no upper case; index 0 is of no table; clients open odd streams; a frame may be too large.
        (
            PROTOCOL_ERROR,
            frame(HEADERS, WHOLE, 3, &block(&get_with(("X-Mine", "1")))),
        ),
        (COMPRESSION_ERROR, frame(HEADERS, WHOLE, 3, &[0x80])),
        (PROTOCOL_ERROR, frame(HEADERS, WHOLE, 4, &get)),
        (FRAME_SIZE_ERROR, frame(HEADERS, WHOLE, 3, &[0; 17 << 10])),
        // An index past the table, a size of the table behind a field, a value that is cut off.
        (COMPRESSION_ERROR, frame(HEADERS, WHOLE, 3, &[0xff, 0x80, 0x01])),
        (
            COMPRESSION_ERROR,
            frame(HEADERS, WHOLE, 3, &[&get[..], &[0x20]].concat()),
        ),
        (COMPRESSION_ERROR, frame(HEADERS, WHOLE, 3, &get[..get.len() - 1])),
        // A value with a line end; a Huffman code that is broken.
        (
            PROTOCOL_ERROR,
            frame(HEADERS, WHOLE, 3, &block(&get_with(("x-mine", "a\r\nb")))),
        ),
        (
            COMPRESSION_ERROR,
            frame(
                HEADERS,
                WHOLE,
                3,
                &[&get[..], b"\x00\x01x\x84\xff\xff\xff\xff"].concat(),
            ),
        ),
        // Something comes between the pieces of a head; a refused head goes on, and is not decompressed.
        (
            PROTOCOL_ERROR,
            [frame(HEADERS, END_STREAM, 3, &get[..5]), frame(DATA, 0, 3, b"")].concat(),
        ),
        (
            PROTOCOL_ERROR,
            [
                frame(HEADERS, END_STREAM, 3, &block(&get_with(("connection", "close")))),
                frame(9, END_HEADERS, 3, b""),
            ]
            .concat(),
        ),
    ];
    for (number, (reason, case)) in cases.iter().enumerate() {
        let mut http2 = Http2::open(site.tls_port, &client);
        http2.request(1, &GET);
        assert_eq!(http2.next(DATA).payload, b"hello");
        http2.connection.send(case).unwrap();
        let farewell = http2.next(GOAWAY);
        assert_eq!(&farewell.payload[4..8], reason, "case {number}");
        let records = site.records(2 * (number + 1));
        told(&records[2 * number], 200, "ok");
        told(&records[2 * number + 1], 400, "refused");
    }
    assert!(site.stop().success());
    site.records(2 * cases.len());
}

#[test]
fn a_frame_of_a_wrong_length_ends_the_connection_for_that_reason() {
    let (mut site, client) = site("http2-lengths");
    for wrong in [
        frame(PING, 0, 0, b"seven b"),
        frame(SETTINGS, 0, 0, b"12345"),
        frame(RST_STREAM, 0, 1, b"abc"),
        frame(8, 0, 0, b"abc"),
        frame(DATA, 0, 1, &[0; 17 << 10]),
        frame(PRIORITY, 0, 1, &[0; 4]),
        frame(PRIORITY, 0, 1, &[0; 6]),
        frame(HEADERS, WHOLE | PADDED, 3, b""),
        frame(HEADERS, WHOLE | PRIORITIZED, 3, &[0; 4]),
        [
            frame(HEADERS, END_HEADERS, 3, &block(&GET)),
            frame(DATA, PADDED, 3, b""),
        ]
        .concat(),
    ] {
        assert_eq!(
            reason(&site, &client, &wrong),
            FRAME_SIZE_ERROR,
            "{:?}",
            &wrong[..9]
        );
    }
    assert!(site.stop().success());
}

/// The code in the farewell to a client that sends this behind a request that was served.
fn reason(site: &Site, client: &Arc<rustls::ClientConfig>, wrong: &[u8]) -> [u8; 4] {
    let mut http2 = Http2::open(site.tls_port, client);
    http2.request(1, &GET);
    assert_eq!(http2.next(DATA).payload, b"hello");
    http2.connection.send(wrong).unwrap();
    let farewell = http2.next(GOAWAY).payload;
    [farewell[4], farewell[5], farewell[6], farewell[7]]
}

#[test]
fn a_connection_that_ends_for_one_frame_says_for_which_kind_of_fault() {
    let (mut site, client) = site("http2-reasons");
    let get = frame(HEADERS, WHOLE, 3, &block(&GET));
    let after = |more: Vec<u8>| [get.clone(), more].concat();
    let broken = frame(HEADERS, WHOLE, 3, &[0x80]);
    let get_block = block(&GET);
    // A field of 2,049 bytes.
    let half = [&[0x40, 1, b'x', 0x7f, 0xe1, 0x0e][..], &[b'a'; 2016]].concat();
    for (wrong, code) in [
        (after(frame(DATA, 0, 3, b"late")), STREAM_CLOSED),
        (after(frame(HEADERS, WHOLE, 3, &block(&GET))), STREAM_CLOSED),
        (frame(HEADERS, WHOLE, 1, &block(&GET)), STREAM_CLOSED),
        (frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), FLOW_CONTROL_ERROR),
        (frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), PROTOCOL_ERROR),
        (
            frame(HEADERS, WHOLE | PADDED, 3, &[2, 0x80, 0, 0]),
            COMPRESSION_ERROR,
        ),
        (frame(HEADERS, WHOLE | PADDED, 3, &[3, 0x80, 0]), PROTOCOL_ERROR),
        (
            [frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), broken.clone()].concat(),
            COMPRESSION_ERROR,
        ),
        ([frame(SETTINGS, 0, 0, &[]), broken].concat(), COMPRESSION_ERROR),
        (frame(DATA, 0, 5, b"of nothing"), PROTOCOL_ERROR),
        // Indices of fields that the table has evicted: for another, for a smaller table.
        (
            frame(
                HEADERS,
                WHOLE,
                3,
                &[&[0x20, 0x40, 1, b'x', 1, b'y'][..], &get_block, &[0xbe]].concat(),
            ),
            COMPRESSION_ERROR,
        ),
        (
            frame(
                HEADERS,
                WHOLE,
                3,
                &[&get_block[..], &half, &half, &[0xbf]].concat(),
            ),
            COMPRESSION_ERROR,
        ),
    ] {
        assert_eq!(reason(&site, &client, &wrong), code, "{wrong:?}");
    }
    assert!(site.stop().success());
}

#[test]
fn a_stream_that_depends_on_itself_costs_no_other_request_its_fields() {
    let (mut site, client) = site("http2-dependent");
    let mut http2 = Http2::open(site.tls_port, &client);
    // The connection's table gets its paths, and the first of them with the request that is refused.
    let get = |path: &[u8]| [&b"\x82\x87\x01\x09localhost"[..], path].concat();
    for (stream, dependency, path) in [
        (1, 1, &b"\x44\x06/first"[..]),
        (3, 1, b"\x44\x07/second"),
        (5, 1, b"\xbf"),
        (7, 7, b"\xbe"),
        (9, 7, b"\xbe"),
    ] {
        let head = [&[0, 0, 0, dependency, 16][..], &get(path)].concat();
        http2.send(HEADERS, WHOLE | PRIORITIZED, stream, &head);
        assert_eq!(http2.next(HEADERS).stream, stream);
    }
    let records = site.records(5);
    let told: Vec<_> = records
        .iter()
        .map(|record| (record["status"].as_u64(), record["target"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some(400), Some("/first")),
            (Some(200), Some("/second")),
            (Some(200), Some("/first")),
            (Some(400), Some("/second")),
            (Some(200), Some("/second")),
        ]
    );
    assert!(site.stop().success());
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_head_leaves_one_line() {
    let (mut site, client) = site("http2-left");
    let mut http2 = Http2::open(site.tls_port, &client);
    http2.send(HEADERS, END_STREAM, 1, &block(&GET)[..5]);
    // An end, and not a reset that takes the head along.
    http2.connection.finish_sending();
    while http2.frame().is_ok() {}
    told(&site.records(1)[0], 499, "client_gone");
    assert!(site.stop().success());
    site.records(1);
}

/// Field lines that are more than twice `head_max` by the count of RFC 9113 §6.5.2, and few bytes.
fn too_large() -> Vec<(&'static str, &'static str)> {
    [&GET[..], &[("a", "b"); 500]].concat()
}

#[test]
fn refused_heads_among_good_requests_never_end_the_connection() {
    let (mut site, client) = site("http2-refused-often");
    let mut http2 = Http2::open(site.tls_port, &client);
    for number in 0..100 {
        let stream = 1 + 4 * number;
        let refused = match number % 2 {
            0 => get_with(("te", "gzip")),
            _ => too_large(),
        };
        http2.request(stream, &refused);
        http2.request(stream + 2, &GET);
        loop {
            let frame = http2.frame().unwrap();
            assert_ne!(frame.kind, GOAWAY, "after {number}");
            if frame.kind == DATA && frame.stream == stream + 2 && frame.flags & END_STREAM != 0 {
                break;
            }
        }
    }
    let records = site.records(200);
    let count = |status| records.iter().filter(|record| record["status"] == status).count();
    assert_eq!((count(200), count(400), count(431)), (100, 50, 50));
    assert!(site.stop().success());
}

#[test]
fn refused_heads_alone_end_the_connection_by_a_farewell_and_what_runs_is_served() {
    let (mut site, client) = site("http2-refused-only");
    for (number, refused) in [get_with(("te", "gzip")), too_large()].iter().enumerate() {
        let mut http2 = Http2::open(site.tls_port, &client);
        // Nothing of a body may be sent yet.
        http2.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        http2.request(1, &GET);
        assert_eq!(http2.next(HEADERS).stream, 1);
        let heads: Vec<_> = (1..=40)
            .map(|head| frame(HEADERS, WHOLE, 1 + 2 * head, &block(refused)))
            .collect();
        http2.connection.send(heads.concat()).unwrap();
        assert_eq!(http2.next(GOAWAY).payload[4..8], [0; 4], "case {number}");
        http2.send(WINDOW_UPDATE, 0, 1, &[0, 0, 1, 0]);
        assert_eq!(http2.next(DATA).payload, b"hello");
    }
    assert!(site.stop().success());
}

#[test]
fn a_client_that_sends_nothing_but_malformed_heads_is_cut_off() {
    let (mut site, client) = site("http2-abuse");
    let mut http2 = Http2::open(site.tls_port, &client);
    let malformed = block(&get_with(("te", "gzip")));
    let (mut sent, mut farewells) = (0, Vec::new());
    'open: loop {
        let head = frame(HEADERS, WHOLE, 1 + 2 * sent, &malformed);
        if http2.connection.send(head).is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 1000, "still open");
        // Each is answered before the next is sent.
        loop {
            match http2.frame() {
                Ok(frame) if frame.kind == RST_STREAM => break,
                Ok(frame) if frame.kind == GOAWAY => farewells.push(frame.payload[4..8].to_vec()),
                Ok(_) => {}
                Err(error) => {
                    assert!(!is_timeout(&error), "still open after {sent}");
                    break 'open;
                }
            }
        }
    }
    assert_eq!(farewells.first(), Some(&vec![0; 4]), "{sent} sent");
    assert!(
        farewells[1..].iter().all(|code| *code == ENHANCE_YOUR_CALM),
        "{farewells:?}"
    );
    let lines = site.access_lines(64).len() as u32;
    assert!((64..=sent).contains(&lines), "{lines} lines of {sent}");
    assert!(site.stop().success());
}

#[test]
fn streams_past_the_limit_are_turned_away_with_a_line_each() {
    let (mut site, client) = site("http2-many");
    let mut http2 = Http2::open(site.tls_port, &client);
    // Uploads that never end keep their streams; two more than are allowed come at once.
    let mut heads = Vec::new();
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    for number in 0..130 {
        heads.extend(frame(HEADERS, END_HEADERS, 1 + 2 * number, &block(&post)));
    }
    http2.connection.send(heads).unwrap();
    let mut refused = Vec::new();
    while refused.len() < 2 {
        let frame = http2.next(RST_STREAM);
        if frame.payload == [0, 0, 0, 7] {
            refused.push(frame.stream);
        }
    }
    assert_eq!(refused, [257, 259]);
    drop(http2);
    let records = site.records(130);
    let turned_away = records.iter().filter(|record| record["status"] == 503);
    assert_eq!(turned_away.count(), 2);
    assert!(site.stop().success());
    site.records(130);
}

#[test]
fn heads_that_http1_refuses_are_refused_with_a_page() {
    let (mut site, client) = site("http2-fields");
    let mut http2 = Http2::open(site.tls_port, &client);
    let cases = [
        get_with(("x-mine", " blank")),
        get_with(("x-mine", "blank\t")),
        get_with(("host", "other.example")),
        get_with(("content-length", "0, 0")),
        vec![GET[0], GET[1], GET[3]],
        vec![GET[0], GET[1], GET[3], ("host", "")],
        vec![GET[0], GET[1], GET[3], ("host", "a b")],
        vec![GET[0], (":scheme", ""), GET[2], GET[3]],
        vec![GET[0], GET[1], (":authority", "me@localhost"), GET[3]],
        get_with(("cookie", " a=1")),
        get_with(("cookie", "a=1\t")),
        vec![GET[0], (":scheme", "ftp"), GET[2], GET[3]],
        vec![GET[0], (":scheme", "1a"), GET[2], GET[3]],
        vec![GET[0], GET[1], GET[2], (":path", "/a#b")],
        vec![GET[0], GET[1], GET[2], (":path", "/#")],
        vec![GET[0], GET[1], GET[2], (":path", "/?q=a#b")],
    ];
    for (number, fields) in cases.iter().enumerate() {
        let stream = 1 + 2 * number as u32;
        http2.request(stream, fields);
        loop {
            let frame = http2.frame().unwrap();
            assert_ne!(frame.kind, GOAWAY, "{fields:?}");
            let ended = frame.kind == DATA && frame.flags & END_STREAM != 0;
            if frame.stream == stream && (ended || frame.kind == RST_STREAM) {
                break;
            }
        }
    }
    for record in site.records(cases.len()) {
        told(&record, 400, "refused");
    }
    // Tunnels are not offered; the page is that of HTTP/1.1, with its Allow.
    http2.request(97, &[(":method", "CONNECT"), (":authority", "a.example:443")]);
    assert_eq!(http2.next(HEADERS).stream, 97);
    told(site.records(cases.len() + 1).last().unwrap(), 405, "refused");
    http2.next(DATA);
    // A `#` elsewhere, and a Host field alone, are of a request like any other.
    http2.request(99, &get_with(("referer", "/a#b")));
    assert_eq!(http2.next(DATA).payload, b"hello");
    http2.request(101, &[GET[0], GET[1], GET[3], ("host", "localhost")]);
    assert_eq!(http2.next(DATA).payload, b"hello");
    assert!(site.stop().success());
}

#[test]
fn malformed_trailers_cost_the_request_before_an_application_has_all_of_it() {
    let (mut site, client) = serving(
        "http2-trailers",
        r#"
        [app.echo]
        asgi = "asgi:application"
        lifespan = "off"
        directory = "{apps}/echo"
        python = "{python}"
        workers = 1

        [[site]]
        [[site.route]]
        path = "/"
        app = "echo"
        [[site.route]]
        path = "/unbuffered"
        app = "echo"
        request_buffering = false
        "#,
    );
    // What an application is told that has begun, which it may have.
    site.expect_error("AssertionError: {'type': 'http.disconnect'}");
    let mut http2 = Http2::open(site.tls_port, &client);
    let mut stream = 1;
    for (trailers, status, outcome) in [
        (&[(":path", "/")], 400, "refused"),
        (&[(":authority", "elsewhere")], 400, "refused"),
        (&[("x-mine", " blank")], 400, "refused"),
        (&[("x-mine", "1")], 200, "ok"),
    ] {
        for path in ["/", "/unbuffered"] {
            let post = [(":method", "POST"), GET[1], GET[2], (":path", path)];
            http2.send(HEADERS, END_HEADERS, stream, &block(&post));
            http2.send(DATA, 0, stream, b"body");
            // What was sent has been read when this is answered.
            http2.send(PING, 0, 0, &[0; 8]);
            http2.next(PING);
            http2.send(HEADERS, WHOLE, stream, &block(trailers));
            let records = site.records(stream.div_ceil(2) as usize);
            told(records.last().unwrap(), status, outcome);
            stream += 2;
        }
    }
    assert!(site.stop().success());
}

#[test]
fn a_head_that_is_never_complete_ends_with_head_timeout() {
    let (mut site, client) = site("http2-slow-head");
    let mut http2 = Http2::open(site.tls_port, &client);
    let begun = Instant::now();
    http2.send(HEADERS, END_STREAM, 1, &block(&GET)[..5]);
    assert_slow_head(&mut http2, begun, &[]);
    told(&site.records(1)[0], 408, "client_timeout");
    // With a neighbour that is being answered, and pieces that come all the time, it is the same.
    let mut http2 = Http2::open(site.tls_port, &client);
    let begun = Instant::now();
    let post = [&[(":method", "POST")], &GET[1..]].concat();
    http2.send(HEADERS, END_HEADERS, 1, &block(&post));
    let head = frame(HEADERS, WHOLE, 3, &block(&too_large()));
    http2.connection.set_patience(Duration::from_millis(100));
    assert_slow_head(&mut http2, begun, &head);
    assert!(site.stop().success());
    // The neighbour's answer had begun, or has not; it was not its client that left.
    let lines = site.access_lines(3);
    assert!(
        lines.iter().all(|line| !line.contains("client_gone")),
        "{lines:#?}"
    );
}

#[test]
fn heads_of_which_each_is_in_time_have_no_time_together() {
    let (mut site, client) = site("http2-many-heads");
    let mut http2 = Http2::open(site.tls_port, &client);
    let heads: Vec<_> = (0..10)
        .map(|number| frame(HEADERS, WHOLE, 1 + 2 * number, &block(&GET)))
        .collect();
    let bytes = heads.concat();
    let (first, rest) = bytes.split_at(12);
    // Each piece is the end of a head and the beginning of the next one.
    http2.connection.send(first).unwrap();
    for piece in rest.chunks(heads[0].len()) {
        std::thread::sleep(Duration::from_millis(400));
        http2.connection.send(piece).unwrap();
    }
    for _ in &heads {
        loop {
            let frame = http2.frame().unwrap();
            assert_ne!(frame.kind, GOAWAY);
            if frame.kind == DATA && frame.flags & END_STREAM != 0 {
                break;
            }
        }
    }
    assert!(site.stop().success());
}

/// Sends one byte of the head whenever nothing has come for a while, up to the farewell.
#[track_caller]
fn assert_slow_head(http2: &mut Http2, begun: Instant, head: &[u8]) {
    let mut pieces = head.chunks(1);
    let farewell = loop {
        match http2.frame() {
            Ok(frame) if frame.kind == GOAWAY => break frame,
            Ok(_) => {}
            Err(error) => {
                assert!(is_timeout(&error), "{error} instead of a farewell");
                // The last one makes it complete.
                let piece = pieces.next().expect("an end long before the head's");
                http2.connection.send(piece).unwrap();
            }
        }
    };
    assert_eq!(farewell.payload[4..8], [0; 4]);
    let waited = begun.elapsed().as_secs_f32();
    assert!((1.9..20.0).contains(&waited), "{waited} s");
}
