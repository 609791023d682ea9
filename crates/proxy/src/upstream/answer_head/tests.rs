use proptest::prelude::*;

use super::*;

fn read(input: &str, head_only: bool) -> Result<(Option<AnswerHead>, String), BadAnswer> {
    let mut input = BytesMut::from(input);
    let head = Search::default().take(&mut input, head_only)?;
    Ok((head, String::from_utf8(input.to_vec()).unwrap()))
}

/// Answer, body and keep of a final head.
fn last(input: &str, head_only: bool) -> (Answer, AnswerBody, Option<Duration>) {
    match read(input, head_only) {
        Ok((Some(AnswerHead::Final(FinalHead { answer, body, keep })), _)) => (answer, body, keep),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_head_is_taken_and_the_body_left() {
    let (head, rest) = read(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: theirs\r\nDate: now\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\
         Content-Length: 5\r\n\r\nhello",
        false,
    )
    .unwrap();
    assert_eq!(rest, "hello");
    let Some(AnswerHead::Final(FinalHead { answer, body, keep })) = head else {
        panic!("{head:?}")
    };
    assert_eq!(
        answer.fields.as_http1(),
        b"Content-Type: text/plain\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
    );
    assert_eq!((answer.status, answer.length), (200, AnswerLength::Known(5)));
    assert_eq!(answer.reason, b"");
    assert_eq!((body, keep), (AnswerBody::Sized { left: 5 }, Some(Duration::MAX)));
}

#[test]
fn each_answer_has_its_framing() {
    let framing = |input, head_only| {
        let (answer, body, keep) = last(input, head_only);
        (answer.length, body, keep.is_some())
    };
    let (known, chunked) = (AnswerLength::Known, AnswerBody::Chunked(Chunked::of_answer()));
    for (input, head_only, expected) in [
        (
            "HTTP/1.1 200 OK\r\n\r\n",
            false,
            (AnswerLength::Unknown, AnswerBody::UntilClose, false),
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n",
            true,
            (AnswerLength::None, AnswerBody::NONE, true),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
            true,
            (known(7), AnswerBody::NONE, true),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
            false,
            (AnswerLength::Unknown, chunked, true),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            true,
            (AnswerLength::None, AnswerBody::NONE, true),
        ),
        (
            "HTTP/1.1 204 None\r\nContent-Length: 3\r\n\r\n",
            false,
            (AnswerLength::None, AnswerBody::NONE, true),
        ),
        (
            "HTTP/1.1 304 Same\r\nContent-Length: 3\r\n\r\n",
            false,
            (known(3), AnswerBody::NONE, true),
        ),
        (
            "HTTP/1.1 304 Same\r\n\r\n",
            false,
            (AnswerLength::None, AnswerBody::NONE, true),
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n",
            false,
            (known(3), AnswerBody::Sized { left: 3 }, false),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n",
            false,
            (known(0), AnswerBody::NONE, false),
        ),
    ] {
        assert_eq!(framing(input, head_only), expected, "{input:?}");
    }
}

#[test]
fn what_could_be_seen_in_two_ways_is_refused() {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    for (fields, why) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", BadAnswer::Length),
        ("Content-Length: 5\r\ncontent-length: 5\r\n", BadAnswer::Length),
        ("Content-Length: 5, 5\r\n", BadAnswer::Length),
        ("Content-Length: +5\r\n", BadAnswer::Length),
        ("Content-Length: -5\r\n", BadAnswer::Length),
        ("Content-Length: 0x5\r\n", BadAnswer::Length),
        ("Content-Length: \r\n", BadAnswer::Length),
        ("Content-Length: 99999999999999999999\r\n", BadAnswer::Length),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            BadAnswer::Coding,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            BadAnswer::Coding,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            BadAnswer::Coding,
        ),
        ("Transfer-Encoding: gzip, chunked\r\n", BadAnswer::Coding),
        ("Transfer-Encoding: identity\r\n", BadAnswer::Coding),
        ("Transfer-Encoding: xchunked\r\n", BadAnswer::Coding),
        (
            "X: a\r\n  folded\r\n",
            BadAnswer::Malformed(httparse::Error::HeaderName),
        ),
        ("X: a\rb\r\n", BadAnswer::Malformed(httparse::Error::HeaderValue)),
        ("X: a\0b\r\n", BadAnswer::Malformed(httparse::Error::HeaderValue)),
        ("X Y: a\r\n", BadAnswer::Malformed(httparse::Error::HeaderName)),
        (": a\r\n", BadAnswer::Malformed(httparse::Error::HeaderName)),
    ] {
        assert_eq!(read(&head(fields), false), Err(why), "{fields:?}");
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(old, false), Err(BadAnswer::Coding));
    for (input, why) in [
        (
            "SSH-2.0-OpenSSH_9.2\r\n",
            BadAnswer::Malformed(httparse::Error::Version),
        ),
        (
            "HTTP/2.0 200 OK\r\n\r\n",
            BadAnswer::Malformed(httparse::Error::Version),
        ),
        (
            "HTTP/1.1 2x0 OK\r\n\r\n",
            BadAnswer::Malformed(httparse::Error::Status),
        ),
        ("HTTP/1.1 099 Odd\r\n\r\n", BadAnswer::Status),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
            BadAnswer::Switch,
        ),
    ] {
        assert_eq!(read(input, false), Err(why), "{input:?}");
    }
}

#[test]
fn fields_for_one_hop_stay_here() {
    let (answer, ..) = last(
        "HTTP/1.1 200 OK\r\nConnection: x-hop, content-type\r\nX-Hop : 1\r\nKeep-Alive: timeout=9, max=3\r\n\
         Upgrade: h2c\r\nTrailer: X-Sum\r\nProxy-Authenticate: Basic\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
        false,
    );
    assert_eq!(answer.fields.as_http1(), b"Content-Type: text/plain\r\n");
}

#[test]
fn a_server_says_how_long_it_keeps_a_connection() {
    let keep = |field: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: {field}\r\n\r\n");
        last(&head, false).2
    };
    assert_eq!(keep("timeout=5"), Some(Duration::from_secs(5)));
    assert_eq!(keep("max=100, Timeout=7"), Some(Duration::from_secs(7)));
    assert_eq!(keep("timeout=x"), Some(Duration::MAX));
}

#[test]
fn an_interim_answer_is_told_from_the_answer() {
    let (head, rest) = read(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200",
        false,
    )
    .unwrap();
    let Some(AnswerHead::Interim(answer)) = head else {
        panic!("{head:?}")
    };
    assert_eq!(
        (answer.status, answer.fields.as_http1()),
        (103, &b"Link: </a.css>\r\n"[..])
    );
    assert_eq!(rest, "HTTP/1.1 200");
}

#[test]
fn a_reason_of_its_own_is_kept() {
    assert_eq!(
        last("HTTP/1.1 404 Nothing Here\r\nContent-Length: 0\r\n\r\n", false)
            .0
            .reason,
        b"Nothing Here"
    );
    assert_eq!(
        last("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false)
            .0
            .reason,
        b""
    );
}

#[test]
fn heads_have_a_limit() {
    let mut many = "HTTP/1.1 200 OK\r\n".to_owned();
    for number in 0..FIELDS_MAX {
        many.push_str(&format!("X-{number}: y\r\n"));
    }
    assert_eq!(last(&format!("{many}\r\n"), false).0.fields.len(), FIELDS_MAX);
    assert_eq!(
        read(&format!("{many}X: y\r\n\r\n"), false),
        Err(BadAnswer::TooManyFields)
    );
    let large = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_BYTES_MAX));
    assert_eq!(read(&large, false), Err(BadAnswer::TooLarge));
    assert_eq!(read(&format!("{large}\r\n\r\n"), false), Err(BadAnswer::TooLarge));
    let mut input = BytesMut::from("HTTP/1.1 200 OK\r\n");
    let mut search = Search::default();
    let mut pieces = 0;
    let refused = loop {
        match search.take(&mut input, false) {
            Ok(None) => input
                .extend_from_slice(b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"),
            other => break other,
        }
        pieces += 1;
    };
    assert_eq!(refused, Err(BadAnswer::TooLarge));
    assert!(pieces <= HEAD_BYTES_MAX / 64 + 1);
}

const USUAL: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_head_may_come_in_pieces_and_with_bare_line_ends() {
    for text in [USUAL.to_owned(), USUAL.replace("\r\n", "\n")] {
        let end = text.len() - 2;
        for step in 1..text.len() {
            let (mut search, mut input) = (Search::default(), BytesMut::new());
            let mut found = 0;
            for piece in text.as_bytes().chunks(step) {
                let whole = input.len() + piece.len() >= end && found == 0;
                input.extend_from_slice(piece);
                if found == 0 {
                    let head = search.take(&mut input, false).unwrap();
                    assert_eq!(head.is_some(), whole, "{step}");
                    found += usize::from(head.is_some());
                }
            }
            assert_eq!((found, &input[..]), (1, &b"ok"[..]), "{step}");
        }
    }
}

proptest! {
    #[test]
    fn garbage_never_panics_and_never_splits_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut input = BytesMut::from(&b"HTTP/1.1 200 OK\r\n"[..]);
        input.extend_from_slice(&bytes);
        input.extend_from_slice(b"\r\n\r\n");
        if let Ok(Some(AnswerHead::Final(FinalHead { answer, .. }))) = Search::default().take(&mut input, false) {
            for (name, value) in answer.fields.iter() {
                prop_assert!(!name.is_empty() && !name.iter().chain(value).any(|byte| b"\r\n\0".contains(byte)));
            }
        }
    }
}
