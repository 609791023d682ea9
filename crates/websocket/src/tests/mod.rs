//! The reader and the writer against each other, and against what a client could do.

mod splits;

use bytes::BytesMut;

use super::{
    Violation, close,
    extension::Deflate,
    reader::{Item, Reader},
    writer::Writer,
};
use crate::frames::{self, Frame, masked, parse, unpack};

/// What a client's bytes mean, gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(u16, String),
}

/// Reads `pieces` one after the other, at most `room` bytes of a message at a time.
fn read<'a>(
    reader: &mut Reader,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    room: usize,
) -> (Vec<Said>, Option<Violation>) {
    let (mut said, mut message, mut input) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let (used, item) = match reader.next(&mut input, room) {
                Ok(next) => next,
                Err(violation) => return (said, Some(violation)),
            };
            let more = item.is_some();
            match item {
                None => {}
                Some(Item::Part { text, last, bytes }) => {
                    assert!(bytes.len() <= room);
                    message.extend_from_slice(bytes);
                    if last {
                        said.push(Said::Message(text, std::mem::take(&mut message)));
                    }
                }
                Some(Item::Ping(payload)) => said.push(Said::Ping(payload.to_vec())),
                Some(Item::Pong) => said.push(Said::Pong),
                Some(Item::Close { code, reason }) => said.push(Said::Close(code, reason.to_owned())),
                Some(Item::Full) => panic!("there was room"),
            }
            input.drain(..used);
            if !more {
                break;
            }
        }
    }
    (said, None)
}

fn read_all(bytes: &[u8], deflate: bool) -> (Vec<Said>, Option<Violation>) {
    read(&mut Reader::new(1 << 20, deflate), [bytes], usize::MAX)
}

fn deflate() -> Deflate {
    Deflate::agree([&b"permessage-deflate"[..]].into_iter()).expect("plain offer")
}

#[test]
fn a_frame_of_every_length_form_is_read() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
        let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let (said, violation) = read_all(&masked(0x82, &payload), false);
        assert_eq!((said, violation), (vec![Said::Message(false, payload)], None));
    }
}

#[test]
fn what_breaks_the_framing_is_told_at_its_first_wrong_byte() {
    for (bytes, deflate) in [
        (&b"\xc1"[..], false),
        (b"\xa1", true),
        (b"\x91", true),
        (b"\xc0", true),
        (b"\xc9", true),
        (b"\x83", false),
        (b"\x8b", false),
        (b"\x09", false),
        (b"\x81\x05", false),
        (b"\x89\xfe", false),
        (b"\x82\xfe\x00\x7d", false),
        (b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", false),
        (b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", false),
    ] {
        let (said, violation) = read_all(bytes, deflate);
        assert!(said.is_empty());
        let violation = violation.unwrap_or_else(|| panic!("{bytes:x?} is read"));
        assert_eq!(violation.code, close::PROTOCOL, "{bytes:x?}");
        let (_, before) = read_all(&bytes[..bytes.len() - 1], deflate);
        assert_eq!(before, None, "{bytes:x?} is wrong only at its end");
    }
}

#[test]
fn a_message_too_large_is_refused_at_its_head_and_an_unpacked_one_where_it_grows_too_large() {
    let mut reader = Reader::new(100, true);
    let head = &masked(0x82, &[0; 101])[..6];
    let (_, violation) = read(&mut reader, [head], usize::MAX);
    assert_eq!(violation.map(|violation| violation.code), Some(close::TOO_LARGE));
    // In fragments.
    let bytes = [masked(0x02, &[0; 60]), masked(0x80, &[0; 41])].concat();
    let (_, violation) = read(&mut Reader::new(100, true), [&bytes[..]], usize::MAX);
    assert_eq!(violation.map(|violation| violation.code), Some(close::TOO_LARGE));
    // A bomb: 64 MiB of zeros, of which not more than one piece over the limit is ever unpacked.
    let bomb = frames::pack(&vec![0; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    let (_, violation) = read(
        &mut Reader::new(1 << 20, true),
        [&masked(0xc2, &bomb)[..]],
        usize::MAX,
    );
    assert_eq!(violation.map(|violation| violation.code), Some(close::TOO_LARGE));
}

#[test]
fn an_incomplete_character_may_be_completed_by_the_next_fragment_only() {
    let bytes = [masked(0x01, b"\xce"), masked(0x89, b""), masked(0x80, b"\xba")].concat();
    let (said, violation) = read_all(&bytes, false);
    assert_eq!(violation, None);
    assert_eq!(said, [Said::Ping(Vec::new()), Said::Message(true, "κ".into())]);
    let (_, violation) = read_all(&masked(0x81, b"\xce"), false);
    assert_eq!(violation.map(|violation| violation.code), Some(close::BAD_DATA));
    // Half a frame is enough to see that it is wrong.
    let frame = masked(0x81, &[&b"fine \xed\xa0\x80"[..], &[b'x'; 1000]].concat());
    let (_, violation) = read_all(&frame[..20], false);
    assert_eq!(violation.map(|violation| violation.code), Some(close::BAD_DATA));
}

#[test]
fn compressed_messages_of_every_kind_are_unpacked() {
    let text = "hello hello hello hello ".repeat(5000).into_bytes();
    let packed = frames::pack(&text);
    let whole = read_all(&masked(0xc1, &packed), true);
    assert_eq!(whole, (vec![Said::Message(true, text.clone())], None));
    let (a, b) = packed.split_at(packed.len() / 2);
    let bytes = [masked(0x41, a), masked(0x00, b""), masked(0x80, b)].concat();
    assert_eq!(read_all(&bytes, true), (vec![Said::Message(true, text)], None));
    // The examples of RFC 7692 §7.2.3: one block, one that says it is the last, an empty message, no
    // compression.
    let hello = vec![Said::Message(true, b"Hello".to_vec())];
    for packed in [
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    ] {
        assert_eq!(
            read_all(&masked(0xc1, packed), true),
            (hello.clone(), None),
            "{packed:x?}"
        );
    }
    assert_eq!(
        read_all(&masked(0xc2, b"\x00"), true),
        (vec![Said::Message(false, Vec::new())], None)
    );
    assert_eq!(read_all(&masked(0x81, b"Hello"), true), (hello, None));
    let (_, violation) = read_all(&masked(0xc1, b"\x07\xff\xff\xff"), true);
    assert_eq!(violation.map(|violation| violation.code), Some(close::BAD_DATA));
}

#[test]
fn what_is_written_is_what_a_client_reads() {
    for (deflate, sizes) in [
        (None, [0, 10, 125, 126, 70_000]),
        (Some(deflate()), [0, 10, 255, 256, 300_000]),
    ] {
        let mut writer = Writer::new(deflate);
        let mut out = BytesMut::new();
        let messages = sizes.map(|len: usize| (0..len).map(|at| (at / 40) as u8 & 0x7f).collect::<Vec<_>>());
        for message in &messages {
            writer.part(true, true, message, &mut out);
        }
        let mut rest = &out[..];
        for message in &messages {
            let (frame, used) = parse(rest).expect("whole");
            rest = &rest[used..];
            assert!(frame.fin && frame.opcode == 1);
            let large = deflate.is_some() && message.len() >= 256;
            assert_eq!(frame.rsv1, large);
            assert_eq!(unpack(&[frame]), *message);
        }
        assert!(rest.is_empty());
    }
}

#[test]
fn a_message_in_parts_is_one_message_of_fragments() {
    for agreed in [None, Some(deflate())] {
        let mut writer = Writer::new(agreed);
        let mut out = BytesMut::new();
        writer.part(false, false, &[7; 1000], &mut out);
        Writer::ping(&mut out);
        writer.part(false, false, &[], &mut out);
        writer.part(false, true, &[], &mut out);
        let mut frames: Vec<Frame> = Vec::new();
        let mut rest = &out[..];
        while let Some((frame, used)) = parse(rest) {
            rest = &rest[used..];
            frames.push(frame);
        }
        let kinds: Vec<_> = frames.iter().map(|frame| (frame.opcode, frame.fin)).collect();
        assert_eq!(kinds, [(2, false), (9, true), (0, false), (0, true)]);
        frames.remove(1);
        assert_eq!(frames[0].rsv1, agreed.is_some());
        assert!(!frames[1].rsv1 && !frames[2].rsv1);
        assert_eq!(unpack(&frames), [7; 1000]);
    }
}

#[test]
fn what_does_not_shrink_is_sent_as_it_is() {
    let noise: Vec<u8> = (0..4000).map(|_| fastrand::u8(..)).collect();
    let mut out = BytesMut::new();
    Writer::new(Some(deflate())).part(false, true, &noise, &mut out);
    let (frame, _) = parse(&out).expect("whole");
    assert!(!frame.rsv1 && frame.payload == noise);
}

#[test]
fn a_close_says_only_what_may_be_said() {
    let written = |code, reason: &str| {
        let mut out = BytesMut::new();
        Writer::close(code, reason, &mut out);
        out.to_vec()
    };
    assert_eq!(written(1000, "bye"), b"\x88\x05\x03\xe8bye");
    assert_eq!(written(1005, "bye"), b"\x88\x00");
    let long = written(1000, &"é".repeat(100));
    assert_eq!(long.len(), 2 + 2 + 122);
    assert!(std::str::from_utf8(&long[4..]).is_ok());
}
