//! The essential cases of the Autobahn test suite, each against the whole hop; the numbers are the suite's.

use super::*;

/// What a case expects: messages that come back, pongs, and how it is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Back {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Closed(u16),
}
use Back::{Binary, Closed, Pong, Text};
use websocket::frames::pack;

const DEFLATE: (&str, &str) = ("Sec-WebSocket-Extensions", "permessage-deflate");

/// Sends `bytes` in pieces, then a close unless one is expected, and compares what comes back.
async fn case(name: &str, bytes: &[u8], piece: usize, fields: &[(&str, &str)], expected: &[Back]) {
    let rig = Rig::new(&Settings::default());
    rig.worker(1);
    let mut peer = rig.open("/echo", 1 << 20, fields);
    for piece in bytes.chunks(piece) {
        // Who is to be closed may find it done before the last piece is sent.
        if peer.socket.write_all(piece).await.is_err() {
            assert!(
                matches!(expected.last(), Some(Closed(_))),
                "{name}: the server is gone"
            );
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut back = Vec::new();
    while back.len() < expected.len() {
        let frame = peer.frame().await.unwrap_or_else(|| panic!("{name}: {back:?}"));
        back.push(match frame.opcode {
            10 => Pong(frame.payload),
            8 => Closed(
                frame
                    .payload
                    .first_chunk::<2>()
                    .map_or(0, |code| u16::from_be_bytes(*code)),
            ),
            opcode => {
                let mut frames = vec![frame];
                while !frames.last().is_some_and(|frame| frame.fin) {
                    frames.push(peer.frame().await.expect("the rest"));
                }
                let message = unpack(&frames);
                if opcode == 1 {
                    Text(message)
                } else {
                    Binary(message)
                }
            }
        });
    }
    assert!(back == expected, "{name}: {back:?}");
    if !matches!(expected.last(), Some(Closed(_))) {
        peer.send(&masked(0x88, b"\x03\xe8")).await;
        assert_eq!(peer.close().await.0, 1000, "{name}");
    }
    assert_eq!(peer.frame().await, None, "{name}");
}

async fn plain(name: &str, bytes: &[u8], expected: &[Back]) {
    case(name, bytes, usize::MAX, &[], expected).await;
}

fn text(of: &str) -> Back {
    Text(of.as_bytes().to_vec())
}

#[tokio::test]
async fn sizes() {
    for len in [0, 125, 126, 127, 128, 65_535, 65_536] {
        let payload = vec![b'*'; len];
        plain("1.1", &masked(0x81, &payload), &[Text(payload.clone())]).await;
        plain("1.2", &masked(0x82, &payload), &[Binary(payload.clone())]).await;
        case("1.1.8", &masked(0x81, &payload), 997, &[], &[Text(payload)]).await;
    }
}

#[tokio::test]
async fn pings() {
    for payload in [
        &b""[..],
        b"Hello, world!",
        b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff",
        &[0xfe; 125],
    ] {
        plain("2.1-2.4", &masked(0x89, payload), &[Pong(payload.to_vec())]).await;
    }
    let long = b"\x89\xfe\x00\x7e";
    plain("2.5", long, &[Closed(1002)]).await;
    case(
        "2.6",
        &masked(0x89, &[0xfe; 125]),
        1,
        &[],
        &[Pong(vec![0xfe; 125])],
    )
    .await;
    plain("2.7-2.8", &masked(0x8a, b"unsolicited"), &[]).await;
    let both = [masked(0x8a, b"unsolicited"), masked(0x89, b"ping")].concat();
    plain("2.9", &both, &[Pong(b"ping".to_vec())]).await;
    // 2.10 and 2.11 send ten pings at once. RFC 6455 §5.5.3 allows to answer the latest only; where there is room all are answered.
    let ten: Vec<u8> = (0..10u8).flat_map(|n| masked(0x89, &[n])).collect();
    let pongs: Vec<_> = (0..10u8).map(|n| Pong(vec![n])).collect();
    plain("2.10", &ten, &pongs).await;
}

#[tokio::test]
async fn reserved_bits() {
    let hello = masked(0x81, b"Hello");
    for bits in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70] {
        let bytes = [hello.clone(), masked(0x81 | bits, b"Hello")].concat();
        // What came before it has been echoed, or the failure was faster.
        let rig = Rig::new(&Settings::default());
        rig.worker(1);
        let mut peer = rig.echo("/echo");
        peer.send(&bytes[..hello.len()]).await;
        assert_eq!(peer.message().await.1, b"Hello", "3.2");
        peer.send(&bytes[hello.len()..]).await;
        assert_eq!(peer.close().await.0, 1002, "3.1-3.7");
        plain("3.6", &masked(0x89 | bits, b""), &[Closed(1002)]).await;
        plain("3.7", &masked(0x88 | bits, b""), &[Closed(1002)]).await;
    }
}

#[tokio::test]
async fn opcodes() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        plain("4", &masked(0x80 | opcode, b""), &[Closed(1002)]).await;
        plain("4", &masked(0x80 | opcode, b"reserved"), &[Closed(1002)]).await;
    }
}

#[tokio::test]
async fn fragmentation() {
    plain("5.1", &masked(0x09, b"fragment1"), &[Closed(1002)]).await;
    plain("5.2", &masked(0x0a, b"fragment1"), &[Closed(1002)]).await;
    let two = [masked(0x01, b"fragment1"), masked(0x80, b"fragment2")].concat();
    plain("5.3", &two, &[text("fragment1fragment2")]).await;
    case("5.5", &two, 1, &[], &[text("fragment1fragment2")]).await;
    let ping = [
        masked(0x01, b"fragment1"),
        masked(0x89, b"ping"),
        masked(0x80, b"fragment2"),
    ]
    .concat();
    case(
        "5.6-5.8",
        &ping,
        1,
        &[],
        &[Pong(b"ping".to_vec()), text("fragment1fragment2")],
    )
    .await;
    plain("5.9", &masked(0x80, b"continuation"), &[Closed(1002)]).await;
    plain("5.12", &masked(0x00, b"continuation"), &[Closed(1002)]).await;
    plain(
        "5.18",
        &[masked(0x01, b"one"), masked(0x81, b"two")].concat(),
        &[Closed(1002)],
    )
    .await;
    let five = [
        masked(0x01, b"fragment1"),
        masked(0x00, b"fragment2"),
        masked(0x89, b"pongme 1!"),
        masked(0x00, b"fragment3"),
        masked(0x00, b"fragment4"),
        masked(0x80, b"fragment5"),
    ];
    let all = text("fragment1fragment2fragment3fragment4fragment5");
    case(
        "5.20",
        &five.concat(),
        7,
        &[],
        &[Pong(b"pongme 1!".to_vec()), all],
    )
    .await;
}

#[tokio::test]
async fn utf8() {
    let empty = [masked(0x01, b""), masked(0x00, b""), masked(0x80, b"")].concat();
    plain("6.1.2", &empty, &[text("")]).await;
    let valid = "Hello-µ@ßöäüàá-UTF-8!!";
    plain("6.2.1", &masked(0x81, valid.as_bytes()), &[text(valid)]).await;
    let bytes: Vec<u8> = valid
        .bytes()
        .enumerate()
        .flat_map(|(at, byte)| {
            let first = u8::from(at == 0) | if at + 1 == valid.len() { 0x80 } else { 0 };
            masked(first, &[byte])
        })
        .collect();
    plain("6.2.3", &bytes, &[text(valid)]).await;
    let invalid = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64";
    plain("6.3.1", &masked(0x81, invalid), &[Closed(1007)]).await;
    // Fail fast: neither the rest of the frame nor the end of the message is waited for.
    let frame = masked(0x81, invalid);
    plain("6.4.3", &frame[..6 + 13], &[Closed(1007)]).await;
    let fragments = [masked(0x01, &invalid[..12]), masked(0x00, b"\xa0")].concat();
    plain("6.4.1", &fragments, &[Closed(1007)]).await;
    for (case, wrong) in [
        ("6.8", &b"\xf8\x88\x80\x80\x80"[..]),
        ("6.10", b"\xf7\xbf\xbf\xbf"),
        ("6.12", b"\x80"),
        ("6.14", b"\xc0\x20"),
        ("6.15", b"\xc0"),
        ("6.16", b"\xfe"),
        ("6.17", b"\xc0\xaf"),
        ("6.18", b"\xc1\xbf"),
        ("6.19", b"\xc0\x80"),
        ("6.20", b"\xed\xa0\x80"),
        ("6.21", b"\xed\xa0\x80\xed\xb0\x80"),
        ("6.13", b"\xe2\x82"),
    ] {
        plain(case, &masked(0x81, wrong), &[Closed(1007)]).await;
    }
    for right in [
        "\u{0}",
        "\u{7f}",
        "\u{800}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
        "\u{fffe}",
    ] {
        case(
            "6.5-6.23",
            &masked(0x81, right.as_bytes()),
            1,
            &[],
            &[text(right)],
        )
        .await;
    }
}

#[tokio::test]
async fn closes() {
    let close = |payload: &[u8]| masked(0x88, payload);
    plain(
        "7.1.2",
        &[close(b"\x03\xe8"), close(b"\x03\xe8")].concat(),
        &[Closed(1000)],
    )
    .await;
    plain(
        "7.1.3",
        &[close(b"\x03\xe8"), masked(0x89, b"no")].concat(),
        &[Closed(1000)],
    )
    .await;
    plain("7.3.1", &close(b""), &[Closed(0)]).await;
    plain("7.3.2", &close(b"a"), &[Closed(1002)]).await;
    let longest = [&b"\x03\xe8"[..], &[b'*'; 123]].concat();
    plain("7.3.5", &close(&longest), &[Closed(1000)]).await;
    let longer = [&b"\x03\xe8"[..], &[b'*'; 124]].concat();
    plain("7.3.6", &close(&longer), &[Closed(1002)]).await;
    plain("7.5.1", &close(b"\x03\xe8\xce\xba\xed\xa0\x80"), &[Closed(1007)]).await;
    for code in [
        1000u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ] {
        plain("7.7", &close(&code.to_be_bytes()), &[Closed(code)]).await;
    }
    for code in [0u16, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        plain("7.9", &close(&code.to_be_bytes()), &[Closed(1002)]).await;
    }
}

#[tokio::test]
async fn large_messages() {
    let message = vec![b'a'; 4 << 20];
    plain("9.1.4", &masked(0x81, &message), &[Text(message.clone())]).await;
    let fragments: Vec<u8> = message
        .chunks(65_536)
        .enumerate()
        .flat_map(|(at, piece)| masked(if at == 0 { 0x02 } else { 0 }, piece))
        .chain(masked(0x80, b""))
        .collect();
    case("9.4", &fragments, 50_000, &[], &[Binary(message)]).await;
}

#[tokio::test]
async fn compression() {
    for len in [0, 16, 1024, 65_536, 300_000] {
        let message: Vec<u8> = "{\"id\": 1234, \"name\": \"κόσμε\"}, "
            .bytes()
            .cycle()
            .take(len)
            .collect();
        let binary = masked(0xc2, &pack(&message));
        case(
            "12.1",
            &binary,
            usize::MAX,
            &[DEFLATE],
            &[Binary(message.clone())],
        )
        .await;
        case(
            "13.1",
            &binary,
            301,
            &[(
                "Sec-WebSocket-Extensions",
                "permessage-deflate; server_max_window_bits=9",
            )],
            &[Binary(message)],
        )
        .await;
    }
    let hello = pack(b"Hello");
    let twice = [
        masked(0xc1, &hello),
        masked(0x41, &hello[..3]),
        masked(0x80, &hello[3..]),
    ]
    .concat();
    case("12.1", &twice, 1, &[DEFLATE], &[text("Hello"), text("Hello")]).await;
    case("13.7", &masked(0xc1, &hello), 1, &[], &[Closed(1002)]).await;
}
