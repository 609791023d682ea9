//! Which requests of a connection nobody has told yet: what has come, less what h2 has handed over.

use super::{
    blocks::Blocks,
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
    blocks: Blocks,
    /// Streams whose request is against the rules in what h2 does not hand over.
    malformed: Vec<u32>,
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

/// As many streams as a client may have at a time.
const MALFORMED_MAX: usize = 128;

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
            blocks: Blocks::default(),
            malformed: Vec::new(),
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

    /// This has come from the client. Where it names a stream that depends on itself: the bytes whose lowest
    /// bit has to be another before h2 sees them.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Vec<usize> {
        let (len, mut dependent) = (bytes.len(), Vec::new());
        while let Some(step) = self.read.step(&mut bytes) {
            match step {
                Step::Begun(frame) => {
                    self.charge.begun(frame, self.blocks.is_open());
                    self.blocks.begun(frame, self.last);
                }
                Step::Payload(payload) => {
                    self.charge.payload(payload);
                    if let Some(at) = self.blocks.payload(payload) {
                        dependent.push(len - bytes.len() - payload.len() + at);
                    }
                }
                Step::Ended(frame) => {
                    let block = self.blocks.ended(frame);
                    let head = self.open.then_some(self.last);
                    self.charge.ended(frame, block, head, self.last);
                    if block.is_some_and(|block| block.is_malformed()) {
                        self.set_malformed(frame.stream);
                    }
                }
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
        dependent
    }

    /// These bytes, which are the next for the client, with the [right reason](Charge) in the farewell.
    /// `None`: they are right as they are.
    pub(super) fn corrected(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let reason = self.charge.reason()?;
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

    /// Is the request of this stream against the rules, in its head or its trailers, as far as they have
    /// come?
    pub(super) fn is_malformed(&self, stream: u32) -> bool {
        self.malformed.contains(&stream)
    }

    /// h2 does not know it. The oldest is forgotten when there are more than can be served at a time.
    fn set_malformed(&mut self, stream: u32) {
        if self.malformed.len() == MALFORMED_MAX {
            self.malformed.remove(0);
        }
        self.malformed.push(stream);
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

fn number(block: &[u8], at: usize) -> Option<u32> {
    let bytes = block.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests;
