//! What frames on the wire make of the ledger.

use super::*;

/// A ledger under way: the client's preface and the settings of both are through.
fn begun() -> Ledger {
    let mut ledger = Ledger::new();
    ledger.asked();
    ledger.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    ledger.asked();
    ledger.read(&frame(4, 0, 0, b""));
    ledger.wrote(&frame(4, 0, 0, &[0; 12]));
    ledger.asked();
    assert_eq!(ledger.settle(), None);
    ledger
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    out.extend_from_slice(payload);
    out
}

fn head(stream: u8) -> Vec<u8> {
    frame(HEADERS, FINAL, stream, FIELDS)
}

/// Of the static table.
const FIELDS: &[u8] = &[0x82, 0x84, 0x87];

/// Index 0 is of no table.
const BROKEN: &[u8] = &[0x82, 0x80];

fn reset(stream: u8, reason: u8) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &[0, 0, 0, reason])
}

fn farewell(last: u8, reason: u8, words: &[u8]) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[&[0, 0, 0, last, 0, 0, 0, reason], words].concat())
}

/// `:status: 431`, as h2 writes it first and later.
const FIRST: &[u8] = &[0x48, 0x83, 0x68, 0xcc, 0x2f];
const LATER: &[u8] = &[0xbe];
const FINAL: u8 = END_STREAM | END_HEADERS;

fn refused(malformed: u32, too_large: u32, too_many: u32, gone: u32) -> Refused {
    Refused {
        malformed,
        too_large,
        too_many,
        gone,
    }
}

#[test]
fn what_is_not_handed_over_was_refused() {
    for piece in [1, 3, 7, 1000] {
        let mut ledger = begun();
        let read = [head(1), head(3), head(5), head(7), head(9)].concat();
        for bytes in read.chunks(piece) {
            ledger.asked();
            ledger.read(bytes);
        }
        ledger.asked();
        // 1 and 9 are handed over; 3 is malformed, 5 too large, 7 one too many.
        let written = [
            reset(3, PROTOCOL_ERROR as u8),
            frame(HEADERS, FINAL, 5, FIRST),
            reset(7, REFUSED_STREAM as u8),
        ];
        for bytes in written.concat().chunks(piece) {
            ledger.wrote(bytes);
        }
        ledger.handed();
        ledger.handed();
        assert_eq!(ledger.settle(), Some(refused(1, 1, 1, 0)), "in pieces of {piece}");
        assert_eq!((ledger.settle(), ledger.close()), (None, Refused::default()));
    }
}

#[test]
fn answers_of_ours_are_not_taken_for_refusals() {
    let mut ledger = begun();
    ledger.read(&[head(1), head(3)].concat());
    ledger.asked();
    ledger.handed();
    ledger.handed();
    assert_eq!(ledger.settle(), None);
    // Trailers that look like a refusal; a stream that is cut; the request's own trailers.
    ledger.wrote(&frame(HEADERS, END_HEADERS, 1, &[0x88, 0xbf]));
    ledger.wrote(&frame(DATA, 0, 1, b"0123"));
    ledger.wrote(&frame(HEADERS, FINAL, 1, LATER));
    ledger.wrote(&reset(3, REFUSED_STREAM as u8));
    ledger.read(&frame(HEADERS, FINAL, 3, b"trailers"));
    ledger.read(&head(5));
    ledger.asked();
    ledger.wrote(&reset(5, PROTOCOL_ERROR as u8));
    assert_eq!(ledger.settle(), Some(refused(1, 0, 0, 0)));
    assert_eq!(ledger.close(), Refused::default());
}

#[test]
fn nothing_is_told_before_it_is_known() {
    let mut ledger = begun();
    // A head in two frames: h2 reads again and again before it has all of it.
    ledger.read(&frame(HEADERS, END_STREAM, 1, b"be"));
    ledger.asked();
    assert_eq!(ledger.settle(), None);
    ledger.read(&frame(CONTINUATION, END_HEADERS, 1, b"gun"));
    assert_eq!(ledger.settle(), None);
    ledger.asked();
    // What h2 says of it does not go out yet.
    ledger.set_blocked(true);
    assert_eq!(ledger.settle(), None);
    ledger.wrote(&frame(HEADERS, FINAL, 1, FIRST));
    ledger.set_blocked(false);
    assert_eq!(ledger.settle(), Some(refused(0, 1, 0, 0)));
}

#[test]
fn a_connection_that_breaks_leaves_nothing_untold() {
    let mut ledger = begun();
    // The second head is in pieces that make h2 give up; the first was not handed over yet.
    ledger.read(&[head(1), frame(HEADERS, END_STREAM, 3, b"whatever")].concat());
    ledger.wrote(&farewell(1, PROTOCOL_ERROR as u8, b""));
    assert_eq!(ledger.close(), refused(2, 0, 0, 0));
    assert_eq!(ledger.close(), Refused::default());

    let mut ledger = begun();
    ledger.read(&head(1));
    ledger.wrote(&farewell(0, 11, b"header_list_way_too_large"));
    assert_eq!(ledger.close(), refused(0, 1, 0, 0));

    // The client left in the middle of a head.
    let mut ledger = begun();
    ledger.read(&frame(HEADERS, 0, 1, b"whatever"));
    ledger.asked();
    assert_eq!(ledger.close(), refused(0, 0, 0, 1));
}

#[test]
fn the_farewell_over_a_block_that_cannot_be_decompressed_has_its_own_reason() {
    let broken = frame(HEADERS, FINAL, 1, BROKEN);
    let wrong = farewell(1, 1, b"");
    let answers = [&frame(DATA, 0, 1, b"an answer")[..], &wrong].concat();
    let right = [&frame(DATA, 0, 1, b"an answer")[..], &farewell(1, 9, b"")].concat();
    let start = |stream: u8| frame(HEADERS, END_STREAM, stream, FIELDS);
    let rest = |stream: u8| frame(CONTINUATION, END_HEADERS, stream, BROKEN);
    for blocks in [
        broken.clone(),
        // Of which the end is missing, or not all has come.
        frame(HEADERS, FINAL, 1, &[0x82, 0x40]),
        frame(HEADERS, END_STREAM, 1, BROKEN),
        [start(1), rest(1)].concat(),
        [head(1), frame(HEADERS, FINAL, 3, BROKEN)].concat(),
        frame(HEADERS, FINAL | 0x20, 1, &[0, 0, 0, 0, 0, 0x80]),
        frame(HEADERS, FINAL | 8, 1, b"\x02\x80\0\0"),
        frame(HEADERS, FINAL | 0x28, 1, b"\x02\0\0\0\0\0\x80\0\0"),
        // Trailers, and those of a stream that its client has ended.
        [
            frame(HEADERS, END_HEADERS, 1, FIELDS),
            frame(HEADERS, FINAL, 1, BROKEN),
        ]
        .concat(),
        [head(1), broken.clone()].concat(),
        // What else came with them is in order.
        [
            frame(4, 0, 0, &[0; 6]),
            frame(8, 0, 0, &[0, 0, 0, 1]),
            broken.clone(),
        ]
        .concat(),
        [
            frame(6, 0, 0, &[0; 8]),
            frame(2, 0, 3, &[0; 5]),
            frame(0xbe, 0, 0, b""),
            broken.clone(),
        ]
        .concat(),
        [
            frame(HEADERS, END_HEADERS, 1, FIELDS),
            frame(DATA, 0, 1, b"x"),
            reset(1, 8),
            frame(HEADERS, FINAL, 3, BROKEN),
        ]
        .concat(),
    ] {
        let mut ledger = begun();
        ledger.read(&blocks);
        assert_eq!(ledger.corrected(&wrong), Some(farewell(1, 9, b"")), "{blocks:?}");
        assert_eq!(ledger.corrected(&answers), Some(right.clone()), "{blocks:?}");
        // What is no farewell, or has another reason, is as h2 means it.
        for other in [
            farewell(1, 0, b""),
            farewell(1, 11, b""),
            frame(DATA, 0, 1, &wrong),
        ] {
            assert_eq!(ledger.corrected(&other), Some(other.clone()), "{other:?}");
        }
        // The next that h2 reads are other frames.
        ledger.asked();
        assert_eq!(ledger.corrected(&wrong), None);
    }
    for others in [
        // What can be decompressed was refused for its fields.
        head(1),
        frame(HEADERS, FINAL, 1, b"\x00\x01X\x01y"),
        [start(1), frame(CONTINUATION, END_HEADERS, 1, b"")].concat(),
        frame(HEADERS, FINAL, 2, BROKEN),
        frame(HEADERS, FINAL | 8, 1, b"\xff\x80\x80"),
        [frame(DATA, 0, 3, b""), broken.clone()].concat(),
        [reset(3, 8), broken.clone()].concat(),
        [frame(8, 0, 3, &[0, 0, 0, 1]), broken.clone()].concat(),
        [frame(8, 0, 0, &[0; 4]), broken.clone()].concat(),
        [frame(6, 0, 1, &[0; 8]), broken.clone()].concat(),
        [frame(2, 0, 0, &[0; 5]), broken.clone()].concat(),
        [frame(4, 1, 0, b""), broken.clone()].concat(),
        [start(1), frame(HEADERS, FINAL, 3, BROKEN)].concat(),
        [start(1), rest(3)].concat(),
        [start(1), frame(6, 0, 0, &[0; 8])].concat(),
        [frame(4, 0, 0, &[0, 2, 0, 0, 0, 2]), broken.clone()].concat(),
        [head(3), head(1)].concat(),
    ] {
        let mut ledger = begun();
        ledger.read(&others);
        assert!(
            ledger.corrected(&wrong).is_none_or(|same| same == wrong),
            "{others:?}"
        );
    }
}

#[test]
fn a_request_that_is_malformed_in_what_h2_does_not_hand_over_is_known() {
    let fragment = |stream: u8| frame(HEADERS, END_HEADERS, stream, b"\x04\x04/a#b");
    let mut ledger = begun();
    ledger.read(&[head(1), fragment(3), frame(HEADERS, END_HEADERS, 5, FIELDS)].concat());
    assert_eq!(
        [1, 3, 5].map(|stream| ledger.is_malformed(stream)),
        [false, true, false]
    );
    ledger.read(&frame(HEADERS, FINAL, 5, FIELDS));
    assert!(ledger.is_malformed(5));
    // However many they are, those that may still run are known.
    let last = 255;
    for stream in (7..=last).step_by(2) {
        ledger.read(&fragment(stream));
    }
    assert!(
        (7..=last)
            .step_by(2)
            .all(|stream| ledger.is_malformed(stream.into()))
    );
    assert!(ledger.malformed.len() <= MALFORMED_MAX);
}

#[test]
fn a_stream_that_depends_on_itself_is_malformed_and_kept_from_h2() {
    const PRIORITIZED: u8 = 0x20;
    const PADDED: u8 = 8;
    let on = |stream: u8, dependency: [u8; 4]| {
        let payload = [&dependency[..], &[16], FIELDS].concat();
        frame(HEADERS, FINAL | PRIORITIZED, stream, &payload)
    };
    let padded = [&[1, 0, 0, 0, 9, 16], FIELDS, &[0]].concat();
    let all = [
        on(1, [0, 0, 0, 1]),
        on(3, [0, 0, 0, 1]),
        on(5, [0x80, 0, 0, 5]),
        on(7, [1, 0, 0, 7]),
        frame(HEADERS, FINAL | PRIORITIZED | PADDED, 9, &padded),
        frame(HEADERS, FINAL | PADDED, 11, &[&[0], FIELDS].concat()),
    ]
    .concat();
    for piece in [1, 2, 5, 1000] {
        let mut ledger = begun();
        let mut changed = all.clone();
        for (number, bytes) in all.chunks(piece).enumerate() {
            for at in ledger.read(bytes) {
                changed[number * piece + at] ^= 1;
            }
        }
        let malformed = [1, 3, 5, 7, 9, 11].map(|stream| ledger.is_malformed(stream));
        assert_eq!(malformed, [true, false, true, false, true, false], "{piece}");
        let differ: Vec<_> = (0..all.len()).filter(|at| all[*at] != changed[*at]).collect();
        assert_eq!(differ.len(), 3, "{piece}");
        assert!(
            differ.iter().all(|at| all[*at] % 2 == 1),
            "the streams' own numbers"
        );
    }
    // Trailers are the client's last word too.
    let mut ledger = begun();
    ledger.read(&frame(HEADERS, END_HEADERS, 1, FIELDS));
    let trailers = frame(HEADERS, FINAL | PRIORITIZED, 1, &[0, 0, 0, 1, 16]);
    assert_eq!(ledger.read(&trailers), [12]);
    assert!(ledger.is_malformed(1));
}

#[test]
fn the_farewell_over_a_wrong_length_has_its_own_reason() {
    let others = [
        &frame(DATA, 0, 1, b"\x00\x00\x00\x00\x00\x00\x00\x01")[..],
        &farewell(1, 1, b"words"),
    ]
    .concat();
    let right = [
        &frame(DATA, 0, 1, b"\x00\x00\x00\x00\x00\x00\x00\x01")[..],
        &farewell(1, 6, b"words"),
    ]
    .concat();
    for misfit in [
        frame(6, 0, 0, b"seven b"),
        frame(4, 0, 0, b"12345"),
        frame(3, 0, 1, b"abc"),
        frame(8, 0, 0, b""),
        frame(2, 0, 1, b"1234"),
        frame(2, 0, 1, b"123456"),
        frame(DATA, 8, 1, b""),
        frame(HEADERS, FINAL | 8, 1, b""),
        frame(HEADERS, FINAL | 0x20, 1, b"1234"),
        frame(HEADERS, FINAL | 0x28, 1, b"12345"),
    ] {
        let mut ledger = begun();
        assert_eq!(ledger.corrected(&others), None);
        ledger.read(&misfit);
        assert_eq!(ledger.corrected(&others), Some(right.clone()));
        // Another reason stays.
        let calm = farewell(1, 11, b"");
        assert_eq!(ledger.corrected(&calm), Some(calm));
    }
    let mut ledger = begun();
    ledger.read(
        &[
            frame(6, 0, 0, &[0; 8]),
            frame(4, 1, 0, b""),
            frame(4, 0, 0, &[0; 12]),
        ]
        .concat(),
    );
    assert_eq!(ledger.corrected(&others), None);
}

#[test]
fn the_farewell_over_a_stream_that_its_client_has_ended_has_its_own_reason() {
    let broken = farewell(3, 1, b"");
    for wrong in [
        frame(DATA, 0, 1, b"x"),
        frame(DATA, 8, 1, b"\x03abc"),
        head(1),
        frame(DATA, END_STREAM, 3, b""),
        [
            frame(6, 0, 0, &[0; 8]),
            frame(DATA, 0, 1, b"x"),
            frame(6, 0, 1, &[0; 8]),
        ]
        .concat(),
    ] {
        let mut ledger = begun();
        ledger.read(&[head(1), frame(HEADERS, END_HEADERS, 3, b"whatever")].concat());
        ledger.read(&frame(DATA, END_STREAM, 3, b"x"));
        ledger.asked();
        ledger.read(&wrong);
        assert_eq!(ledger.corrected(&broken), Some(farewell(3, 5, b"")), "{wrong:?}");
        ledger.asked();
        assert_eq!(ledger.corrected(&broken), None);
    }
    for other in [
        // A reset, a window and a priority may still come.
        [
            reset(1, 8),
            frame(8, 0, 1, &[0, 0, 0, 1]),
            frame(2, 0, 1, &[0; 5]),
        ]
        .concat(),
        // It was something else that came first.
        [frame(6, 0, 1, &[0; 8]), frame(DATA, 0, 1, b"x")].concat(),
        frame(DATA, 0, 3, b"x"),
        frame(DATA, 0, 5, b"x"),
    ] {
        let mut ledger = begun();
        ledger.read(&[head(1), frame(HEADERS, END_HEADERS, 3, b"whatever")].concat());
        ledger.asked();
        ledger.read(&other);
        assert_eq!(ledger.corrected(&broken), None, "{other:?}");
    }
}

#[test]
fn the_farewell_over_a_window_past_the_largest_has_its_own_reason() {
    let mut ledger = begun();
    ledger.read(&frame(4, 0, 0, &[0, 4, 0x80, 0, 0, 0]));
    assert_eq!(ledger.corrected(&farewell(0, 1, b"")), Some(farewell(0, 3, b"")));
}

#[test]
fn frames_without_a_request_are_counted() {
    let mut ledger = begun();
    assert_eq!(ledger.take_control(), 1, "the settings");
    let frames = [
        frame(6, 0, 0, &[0; 8]),
        frame(6, 1, 0, &[0; 8]),
        frame(2, 0, 3, &[0; 5]),
        frame(8, 0, 0, &[0, 0, 0, 1]),
        farewell(0, 0, b""),
        frame(0xbe, 0, 0, b""),
    ];
    ledger.read(&[frames.concat(), head(1), frame(DATA, 0, 1, b"x"), reset(1, 8)].concat());
    assert_eq!((ledger.take_control(), ledger.take_control()), (6, 0));
    // Trailers, of which there are no second ones.
    ledger.read(&frame(HEADERS, END_HEADERS, 1, b"more").repeat(FREE_PER_REQUEST as usize + 7));
    assert_eq!(ledger.take_control(), 7);
    // A request may have some.
    ledger.read(&head(3));
    let ping = frame(6, 0, 0, &[0; 8]);
    ledger.read(&ping.repeat(FREE_PER_REQUEST as usize + 1));
    assert_eq!(ledger.take_control(), 1);
}

#[test]
fn each_piece_of_an_answer_may_be_confirmed() {
    let mut ledger = begun();
    ledger.take_control();
    let update = frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    ledger.read(&head(1));
    ledger.read(&update.repeat(FREE_PER_REQUEST as usize));
    for _ in 0..10_000 {
        ledger.wrote(&frame(DATA, 0, 1, b"a piece"));
        ledger.read(&update.repeat(2));
    }
    assert_eq!(ledger.take_control(), 0);
    ledger.read(&update.repeat(3));
    assert_eq!(ledger.take_control(), 3);
    // Confirmed late, and once.
    for _ in 0..50 {
        ledger.wrote(&frame(DATA, 0, 1, b"a piece"));
    }
    ledger.read(&update.repeat(101));
    assert_eq!(ledger.take_control(), 1);
}

#[test]
fn requests_are_cancelled_for_nothing_only_where_as_many_were_answered() {
    let mut ledger = begun();
    for stream in [1, 3, 5] {
        ledger.read(&[head(stream), reset(stream, 8)].concat());
    }
    assert_eq!((ledger.take_cancelled(), ledger.take_cancelled()), (3, 0));
    // An answer that has not ended makes up for nothing.
    ledger.wrote(&[frame(HEADERS, END_HEADERS, 7, FIRST), frame(DATA, 0, 7, b"x")].concat());
    ledger.read(&reset(7, 8));
    assert_eq!(ledger.take_cancelled(), 1);
    ledger.wrote(
        &[
            frame(HEADERS, END_HEADERS, 9, FIRST),
            frame(DATA, END_STREAM, 9, b""),
            frame(HEADERS, FINAL, 11, FIRST),
        ]
        .concat(),
    );
    ledger.read(&[reset(13, 8), reset(15, 8)].concat());
    assert_eq!(ledger.take_cancelled(), 0);
    ledger.read(&reset(17, 8));
    assert_eq!(ledger.take_cancelled(), 1);
}

#[test]
fn bytes_of_answers_are_told_from_those_of_frames() {
    for piece in [1, 4, 1000] {
        let mut ledger = begun();
        let written = [
            frame(HEADERS, END_HEADERS, 1, FIRST),
            frame(DATA, 0, 1, b"12345"),
            frame(6, 1, 0, &[0; 8]),
            frame(DATA, 0, 1, b""),
            frame(DATA, END_STREAM, 1, b"678"),
        ];
        let mut data = 0;
        for bytes in written.concat().chunks(piece) {
            ledger.wrote(bytes);
            data += ledger.take_data();
        }
        assert_eq!(data, 8, "in pieces of {piece}");
    }
}

#[test]
fn a_window_that_shrinks_is_told_once() {
    let mut ledger = begun();
    ledger.read(&frame(4, 0, 0, &[0, 4, 0, 1, 0, 0]));
    assert!(!ledger.take_shrunk());
    ledger.read(&frame(4, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]));
    assert_eq!((ledger.take_shrunk(), ledger.take_shrunk()), (true, false));
    // The payload of another frame says nothing.
    ledger.read(&[head(1), frame(DATA, 0, 1, &[0, 4, 0, 0, 0, 0])].concat());
    assert!(!ledger.take_shrunk());
}

#[test]
fn what_comes_after_the_farewell_is_not_ours() {
    let mut ledger = begun();
    ledger.wrote(&frame(GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]));
    ledger.read(&head(1));
    ledger.asked();
    ledger.handed();
    assert_eq!(ledger.settle(), None);
    // 3 is malformed and 5 is too late: both came in the moment of the second farewell. 7 comes after it.
    ledger.read(&[head(3), head(5)].concat());
    ledger.asked();
    ledger.wrote(&[farewell(3, 0, b""), reset(3, PROTOCOL_ERROR as u8)].concat());
    assert_eq!(ledger.settle(), Some(refused(1, 0, 0, 0)));
    ledger.read(&head(7));
    ledger.asked();
    assert_eq!((ledger.settle(), ledger.close()), (None, Refused::default()));
}
