//! Which requests of a connection nobody has told yet: what has come, less what h2 has handed over.

use super::{
    charge::Charge,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING, PRIORITY,
        RST_STREAM, SETTINGS, Step, UNKNOWN, WINDOW_UPDATE,
    },
    lone_status::is_lone_status,
};

/// The requests of a connection as its frames show them. Pure: bytes in, counts out.
#[derive(Debug)]
pub(super) struct Ledger {
    read: Frames,
    written: Frames,
    /// Highest stream that the client has opened.
    last: u32,
    /// Its head is not complete.
    open: bool,
    /// Heads that have begun, that are complete, that h2 has made up its mind about, that it has handed over, and that have
    /// been told otherwise.
    begun: u32,
    complete: u32,
    settled: u32,
    handed: u32,
    told: u32,
    /// Streams of the last head that is complete, and of the last that h2 has made up its mind about.
    complete_stream: u32,
    settled_stream: u32,
    /// Streams up to here were settled when h2 last had nothing to do: what is written to them is an answer of ours.
    floor: u32,
    /// Since then: what h2 has written to other streams.
    answers: Answers,
    /// Bytes are waiting for the client to take them: what h2 thinks of a head may be among them.
    blocked: bool,
    /// The payload of a frame that may be h2's own, as far as it is of interest.
    block: [u8; BLOCK_BYTES_MAX],
    block_len: usize,
    /// The frame being written is such a one.
    of_interest: bool,
    /// Streams above this one are not looked at any more; their client knows and asks again elsewhere (RFC 9113 §6.8).
    farewell: u32,
    charge: Charge,
    /// Frames that are of no use to any request, since they were last asked for.
    control: u32,
    /// So many of them are not counted: a request may be told its priority, and a body measures the line.
    free: u32,
    /// So many WINDOW_UPDATE frames are not counted among them: each piece of an answer may be confirmed.
    free_updates: u32,
    /// Requests that the client has cancelled, since they were last asked for.
    cancelled: u32,
    /// So many resets are not counted as such: as many answers have been given to their end.
    free_resets: u32,
    /// The connection has ended with an error; was it the size of a head?
    broken: Option<bool>,
    /// The frame being written is DATA.
    data: bool,
    /// Bytes of answers that were written, since they were last asked for.
    data_bytes: usize,
}

/// Heads that h2 has refused, by the status that they are told with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::phases) struct Refused {
    /// 400: against the rules of the protocol.
    pub(in crate::phases) malformed: u32,
    /// 431: past the limit of h2.
    pub(in crate::phases) too_large: u32,
    /// 503: more streams at a time than we allow.
    pub(in crate::phases) too_many: u32,
    /// No status: the connection ended before anybody had looked at them.
    pub(in crate::phases) gone: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Answers {
    too_large: u32,
    refused: u32,
    resets: u32,
}

/// h2's 431 is five bytes when it comes first, and changes of the table's size may stand before it; its farewell has two
/// numbers before its words.
const BLOCK_BYTES_MAX: usize = 64;
const GOAWAY_WORDS_AT: usize = 8;

/// What h2 says in its farewell after a head of more than four times the limit, and after one in too many pieces.
const FAREWELLS: [&[u8]; 2] = [b"header_list_way_too_large", b"too_many_continuations"];

/// What one request earns of frames that are [not counted](Ledger::take_control), and what can be saved up.
const FREE_PER_REQUEST: u32 = 4;
const FREE_MAX: u32 = 1_000;

/// What one frame of an answer earns of WINDOW_UPDATE frames: its stream's and the connection's. What can be
/// saved up is that of a gigabyte on its way.
const UPDATES_PER_DATA: u32 = 2;
const FREE_UPDATES_MAX: u32 = 1 << 17;

/// Whole answers of which each makes up for one request that is cancelled later.
const FREE_RESETS_MAX: u32 = 1_000;

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;

impl Ledger {
    /// Nothing has passed yet.
    pub(super) fn new() -> Self {
        Self {
            read: Frames::of_client(),
            written: Frames::of_server(),
            last: 0,
            open: false,
            begun: 0,
            complete: 0,
            settled: 0,
            handed: 0,
            told: 0,
            complete_stream: 0,
            settled_stream: 0,
            floor: 0,
            answers: Answers::default(),
            blocked: false,
            block: [0; BLOCK_BYTES_MAX],
            block_len: 0,
            of_interest: false,
            farewell: u32::MAX,
            charge: Charge::new(),
            control: 0,
            free: 0,
            free_updates: 0,
            cancelled: 0,
            free_resets: 0,
            broken: None,
            data: false,
            data_bytes: 0,
        }
    }

    /// h2 wants to read: it has gone through every frame that is complete.
    pub(super) fn asked(&mut self) {
        self.settled = self.complete;
        self.settled_stream = self.complete_stream;
        self.charge.asked();
    }

    /// This has come from the client.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some(step) = self.read.step(&mut bytes) {
            match step {
                Step::Begun(frame) => self.charge.begun(frame, self.open),
                Step::Payload(payload) => self.charge.payload(payload),
                Step::Ended(frame) => self
                    .charge
                    .ended(frame, self.open.then_some(self.last), self.last),
            }
            match step {
                // What comes on a stream that has been opened before are trailers, or against the rules.
                Step::Begun(frame) if frame.kind == HEADERS && frame.stream > self.last => {
                    self.last = frame.stream;
                    self.free = (self.free + FREE_PER_REQUEST).min(FREE_MAX);
                    self.free_updates = (self.free_updates + FREE_PER_REQUEST).min(FREE_UPDATES_MAX);
                    if frame.stream <= self.farewell {
                        self.begun += 1;
                        self.open = true;
                    }
                }
                Step::Ended(frame)
                    if self.open
                        && matches!(frame.kind, HEADERS | CONTINUATION)
                        && frame.flags & END_HEADERS != 0 =>
                {
                    self.open = false;
                    self.complete += 1;
                    self.complete_stream = frame.stream;
                }
                // Trailers come once, and are of no use to anybody behind h2.
                Step::Begun(Frame {
                    kind: HEADERS | PING | SETTINGS | PRIORITY | GOAWAY | UNKNOWN..,
                    ..
                }) => spend(&mut self.free, &mut self.control),
                Step::Begun(Frame {
                    kind: WINDOW_UPDATE, ..
                }) => spend(&mut self.free_updates, &mut self.control),
                Step::Begun(Frame { kind: RST_STREAM, .. }) => {
                    spend(&mut self.free_resets, &mut self.cancelled);
                }
                _ => {}
            }
        }
    }

    /// These bytes, which are the next for the client, with the [right reason](Charge) in the farewell.
    /// `None`: they are right as they are.
    pub(super) fn corrected(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let reason = self.charge.reason(|| may_end_with_a_farewell(bytes))?;
        let mut corrected = bytes.to_vec();
        let mut frames = self.written.clone();
        let (mut rest, mut farewell) = (bytes, false);
        while let Some(step) = frames.step(&mut rest) {
            match step {
                Step::Begun(frame) => farewell = frame.kind == GOAWAY,
                // It is short and is written in one piece.
                Step::Payload(payload) if farewell && number(payload, 4) == Some(PROTOCOL_ERROR) => {
                    let at = bytes.len() - rest.len() - payload.len() + 4;
                    corrected[at..at + 4].copy_from_slice(&reason.to_be_bytes());
                }
                Step::Payload(_) | Step::Ended(_) => {}
            }
        }
        Some(corrected)
    }

    /// This goes to the client.
    pub(super) fn wrote(&mut self, mut bytes: &[u8]) {
        while let Some(step) = self.written.step(&mut bytes) {
            match step {
                Step::Begun(frame) => {
                    self.data = frame.kind == DATA;
                    if self.data {
                        self.free_updates = (self.free_updates + UPDATES_PER_DATA).min(FREE_UPDATES_MAX);
                    }
                    if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                        self.free_resets = (self.free_resets + 1).min(FREE_RESETS_MAX);
                    }
                    self.block_len = 0;
                    self.of_interest = match frame.kind {
                        HEADERS | RST_STREAM => frame.stream > self.floor,
                        kind => kind == GOAWAY,
                    };
                }
                Step::Payload(payload) if self.of_interest => {
                    let room = self.block.get_mut(self.block_len..).unwrap_or_default();
                    let len = payload.len().min(room.len());
                    room[..len].copy_from_slice(&payload[..len]);
                    self.block_len += len;
                }
                Step::Payload(payload) if self.data => self.data_bytes += payload.len(),
                Step::Ended(frame) if self.of_interest => self.sent(frame),
                Step::Payload(_) | Step::Ended(_) => {}
            }
        }
    }

    /// Bytes wait for the client, or do not any more.
    pub(super) fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// Do bytes wait for the client?
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The number of the head that is under way.
    pub(super) fn open_head(&self) -> Option<u32> {
        self.open.then_some(self.complete)
    }

    /// Frames that have come since the last call and are of no use to any request: h2 answers them, or passes
    /// them over.
    pub(super) fn take_control(&mut self) -> u32 {
        std::mem::take(&mut self.control)
    }

    /// Requests that the client has cancelled since the last call, less what it has taken answers of.
    pub(super) fn take_cancelled(&mut self) -> u32 {
        std::mem::take(&mut self.cancelled)
    }

    /// Bytes of answers that have been written since the last call.
    pub(super) fn take_data(&mut self) -> usize {
        std::mem::take(&mut self.data_bytes)
    }

    /// Has the client made the window of its streams smaller since the last call?
    pub(super) fn take_shrunk(&mut self) -> bool {
        self.charge.settings.take_shrunk()
    }

    /// h2 has handed a request over; whoever has it tells of it.
    pub(super) fn handed(&mut self) {
        self.handed += 1;
    }

    /// To be asked when h2 has nothing more to hand over: what it has refused since, to be told now.
    pub(super) fn settle(&mut self) -> Option<Refused> {
        if self.blocked {
            return None;
        }
        let answers = std::mem::take(&mut self.answers);
        self.floor = self.settled_stream;
        let mut count = self.settled.saturating_sub(self.handed + self.told);
        if count == 0 {
            return None;
        }
        self.told += count;
        if self.last > self.farewell {
            // Some came in the moment of the farewell and are passed over in silence.
            count = count.min(answers.too_large + answers.resets);
        }
        let too_large = answers.too_large.min(count);
        let too_many = answers.refused.min(count - too_large);
        let refused = Refused {
            malformed: count - too_large - too_many,
            too_large,
            too_many,
            gone: 0,
        };
        (refused != Refused::default()).then_some(refused)
    }

    /// The connection is over: what nobody will answer any more.
    pub(super) fn close(&mut self) -> Refused {
        let mut refused = self.settle().unwrap_or_default();
        let left = self.begun.saturating_sub(self.handed + self.told);
        self.told += left;
        match self.broken {
            None => refused.gone = left,
            Some(too_large) => {
                // One head was the last straw.
                refused.too_large += u32::from(too_large && left > 0);
                refused.malformed += left - u32::from(too_large && left > 0);
            }
        }
        refused
    }

    /// A frame of interest is complete.
    fn sent(&mut self, frame: Frame) {
        let block = &self.block[..self.block_len];
        match frame.kind {
            HEADERS => {
                let last = END_STREAM | END_HEADERS;
                if frame.flags & last == last && frame.length == block.len() && is_lone_status(block) {
                    self.answers.too_large += 1;
                }
            }
            RST_STREAM => {
                self.answers.resets += 1;
                self.answers.refused += u32::from(number(block, 0) == Some(REFUSED_STREAM));
            }
            GOAWAY => match (number(block, 0), number(block, 4)) {
                (Some(stream), Some(NO_ERROR)) => self.farewell = self.farewell.min(stream),
                (Some(_), Some(_)) => {
                    let words = block.get(GOAWAY_WORDS_AT..).unwrap_or_default();
                    self.broken = Some(FAREWELLS.contains(&words));
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// One more has come: it is free, or counted.
fn spend(free: &mut u32, counted: &mut u32) {
    match free.checked_sub(1) {
        Some(left) => *free = left,
        None => *counted = counted.saturating_add(1),
    }
}

/// A look at the last bytes, for every write: a farewell without words is the last that h2 writes.
fn may_end_with_a_farewell(bytes: &[u8]) -> bool {
    bytes.last_chunk().is_some_and(|last: &[u8; FAREWELL_LEN]| {
        last.starts_with(&FAREWELL) && last.ends_with(&PROTOCOL_ERROR.to_be_bytes())
    })
}

/// Length, kind, flags and stream of a farewell with a number of a stream and a reason behind them.
const FAREWELL: [u8; 9] = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0];
const FAREWELL_LEN: usize = FAREWELL.len() + 8;

fn number(block: &[u8], at: usize) -> Option<u32> {
    let bytes = block.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
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
        frame(HEADERS, FINAL, stream, b"whatever")
    }

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
    fn the_farewell_over_a_head_that_was_not_decompressed_has_its_own_reason() {
        let broken = farewell(1, 1, b"");
        let answers = [&frame(DATA, 0, 1, b"an answer")[..], &broken].concat();
        let right = [&frame(DATA, 0, 1, b"an answer")[..], &farewell(1, 9, b"")].concat();
        let piece = |stream: u8| frame(HEADERS, END_STREAM, stream, b"what");
        let rest = |stream: u8| frame(CONTINUATION, END_HEADERS, stream, b"ever");
        for heads in [
            head(1),
            piece(1),
            [piece(1), rest(1)].concat(),
            [head(1), head(3)].concat(),
            frame(HEADERS, FINAL | 0x20, 1, &[0; 9]),
            frame(HEADERS, FINAL | 8, 1, b"\x02what\0\0"),
            frame(HEADERS, FINAL | 0x28, 1, b"\x02\0\0\0\0\0what\0\0"),
            // What else came with them is in order.
            [frame(4, 0, 0, &[0; 6]), frame(8, 0, 0, &[0, 0, 0, 1]), head(1)].concat(),
            [
                frame(6, 0, 0, &[0; 8]),
                frame(2, 0, 3, &[0; 5]),
                frame(0xbe, 0, 0, b""),
                head(1),
            ]
            .concat(),
            [
                frame(HEADERS, END_HEADERS, 1, b"what"),
                frame(DATA, 0, 1, b"x"),
                reset(1, 8),
                head(3),
            ]
            .concat(),
        ] {
            let mut ledger = begun();
            ledger.read(&heads);
            assert_eq!(ledger.corrected(&broken), Some(farewell(1, 9, b"")), "{heads:?}");
            assert_eq!(ledger.corrected(&answers), Some(right.clone()), "{heads:?}");
            // What is no farewell, has another reason or says more is as h2 means it.
            for other in [
                farewell(1, 0, b""),
                farewell(1, 11, b""),
                farewell(1, 1, b"words"),
                frame(DATA, 0, 1, &broken),
            ] {
                assert!(
                    ledger.corrected(&other).is_none_or(|same| same == other),
                    "{other:?}"
                );
            }
            // The next that h2 reads are other frames.
            ledger.asked();
            assert_eq!(ledger.corrected(&broken), None);
        }
        for others in [
            frame(HEADERS, FINAL, 2, b"whatever"),
            frame(HEADERS, FINAL | 8, 1, b"\xffatever"),
            [head(1), frame(DATA, 0, 3, b"")].concat(),
            [head(1), reset(3, 8)].concat(),
            [head(1), frame(8, 0, 3, &[0, 0, 0, 1])].concat(),
            [head(1), frame(8, 0, 0, &[0; 4])].concat(),
            [frame(6, 0, 1, &[0; 8]), head(1)].concat(),
            [frame(2, 0, 0, &[0; 5]), head(1)].concat(),
            [frame(4, 1, 0, b""), head(1)].concat(),
            [piece(1), head(3)].concat(),
            [piece(1), rest(3)].concat(),
            [piece(1), frame(6, 0, 0, &[0; 8])].concat(),
            [frame(4, 0, 0, &[0, 2, 0, 0, 0, 2]), head(1)].concat(),
            [head(3), head(1)].concat(),
        ] {
            let mut ledger = begun();
            ledger.read(&others);
            assert!(
                ledger.corrected(&broken).is_none_or(|same| same == broken),
                "{others:?}"
            );
        }
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
}
