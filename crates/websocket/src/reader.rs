//! From a client's bytes to messages.

use super::{
    Violation, close,
    deflate::{Inflater, NotDeflate, TAIL},
    header::{FrameHead, Opcode},
    mask::unmask,
    utf8::Utf8,
};

/// Takes a client's bytes as they come.
///
/// A message is given in parts, as much of it as is there: the reader holds none of it back, only what
/// unpacks it.
pub struct Reader {
    message_bytes_max: u64,
    /// Compression was agreed on.
    deflate: bool,
    /// The frame whose head has been taken off the input.
    frame: Option<Frame>,
    message: Option<Message>,
    /// Of the message, or of the one that has just ended: its last part may still be in there.
    inflater: Option<Inflater>,
}

/// Something a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A message, or a part of one.
    Part {
        /// Text, valid as far as it goes; a part may end inside a character.
        text: bool,
        /// The message is whole.
        last: bool,
        /// May be empty when it is the last.
        bytes: &'a [u8],
    },
    /// A ping.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// The client closes.
    Close {
        /// [`close::NO_CODE`] when it said none.
        code: u16,
        /// Its reason.
        reason: &'a str,
    },
    /// There is more, and no room for it.
    Full,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    head: FrameHead,
    /// Payload bytes not yet taken off the input.
    left: u64,
    /// Of those, at the start of the input, already without their mask.
    clear: usize,
    /// Bytes of the tail given to what unpacks; only at the end of a compressed message.
    tail: usize,
}

#[derive(Debug)]
struct Message {
    text: bool,
    compressed: bool,
    bytes: u64,
    utf8: Utf8,
}

const TOO_LARGE: Violation = Violation {
    code: close::TOO_LARGE,
    reason: "message too large",
};

const NOT_UTF8: Violation = Violation {
    code: close::BAD_DATA,
    reason: "text is not UTF-8",
};

impl Reader {
    /// Nothing has come. `message_bytes_max` counts unpacked bytes.
    pub fn new(message_bytes_max: u64, deflate: bool) -> Self {
        Self {
            message_bytes_max,
            deflate,
            frame: None,
            message: None,
            inflater: None,
        }
    }

    /// Takes what comes next off the start of `input`: how many bytes were used, and what they are; `None`
    /// when it needs more. At most `room` bytes of a message are given at a time. What was not used must be
    /// at the start of the next `input`, as this call left it.
    pub fn next<'a>(
        &'a mut self,
        input: &'a mut [u8],
        room: usize,
    ) -> Result<(usize, Option<Item<'a>>), Violation> {
        if self.message.is_none() {
            self.inflater = None;
        }
        let mut used = 0;
        loop {
            let Some(frame) = &mut self.frame else {
                match FrameHead::read(&input[used..], self.deflate)? {
                    Some((head, len)) => {
                        used += len;
                        self.begin(head)?;
                        continue;
                    }
                    None => return Ok((used, None)),
                }
            };
            let there = usize::try_from(frame.left)
                .unwrap_or(usize::MAX)
                .min(input.len() - used);
            if frame.head.opcode.is_control() {
                let head = frame.head;
                if (there as u64) < head.len {
                    return Ok((used, None));
                }
                self.frame = None;
                let payload = &mut input[used..used + there];
                unmask(payload, head.mask, 0);
                let item = match head.opcode {
                    Opcode::Ping => Item::Ping(payload),
                    Opcode::Close => {
                        let (code, reason) = close::read(payload)?;
                        Item::Close { code, reason }
                    }
                    _ => Item::Pong,
                };
                return Ok((used + there, Some(item)));
            }
            // Only a frame of a message is not a control frame, and `begin` has made one of it.
            let Some(message) = &mut self.message else {
                return Err(Violation::protocol("data without a message"));
            };
            if room == 0 && (there > 0 || frame.left == 0) {
                return Ok((used, Some(Item::Full)));
            }
            let start = frame.head.len - frame.left;
            if message.compressed {
                let payload = &mut input[used..used + there];
                let clear = frame.clear.min(there);
                unmask(&mut payload[clear..], frame.head.mask, start + clear as u64);
                let inflater = self.inflater.get_or_insert_with(Inflater::new);
                let frame_ends = frame.left == 0;
                let (taken, made, done) = if frame.left > 0 {
                    let ran = inflater.run(payload, room)?;
                    frame.left -= ran.0 as u64;
                    frame.clear = there - ran.0;
                    used += ran.0;
                    ran
                } else if frame.head.fin {
                    let ran = inflater.run(&TAIL[frame.tail..], room)?;
                    frame.tail += ran.0;
                    ran
                } else {
                    self.frame = None;
                    continue;
                };
                let last = frame.left == 0 && frame.tail == TAIL.len() && done;
                message.take(&inflater.output()[..made], last, self.message_bytes_max)?;
                let text = message.text;
                if last {
                    self.frame = None;
                    self.message = None;
                }
                if made > 0 || last {
                    let bytes = self.inflater.as_ref().map_or(&[][..], Inflater::output);
                    let bytes = bytes.get(..made).unwrap_or_default();
                    return Ok((used, Some(Item::Part { text, last, bytes })));
                }
                // Nothing was made: either all that is there was taken, or what is left cannot be.
                if taken == 0 && (there > 0 || frame_ends) {
                    return Err(NotDeflate.into());
                }
                if there == taken && self.frame.is_some_and(|frame| frame.left > 0) {
                    return Ok((used, None));
                }
                continue;
            }
            let len = there.min(room);
            if len == 0 && frame.left > 0 {
                return Ok((used, None));
            }
            let part = used..used + len;
            unmask(&mut input[part.clone()], frame.head.mask, start);
            frame.left -= len as u64;
            let over = frame.left == 0;
            let last = over && frame.head.fin;
            if over {
                self.frame = None;
            }
            message.take(&input[part.clone()], last, self.message_bytes_max)?;
            let text = message.text;
            if last {
                self.message = None;
            }
            used += len;
            if len > 0 || last {
                let bytes = &input[part];
                return Ok((used, Some(Item::Part { text, last, bytes })));
            }
        }
    }

    /// A frame's head has come.
    fn begin(&mut self, head: FrameHead) -> Result<(), Violation> {
        match head.opcode {
            Opcode::Text | Opcode::Binary => {
                if self.message.is_some() {
                    return Err(Violation::protocol("message inside a message"));
                }
                self.message = Some(Message {
                    text: head.opcode == Opcode::Text,
                    compressed: head.compressed,
                    bytes: 0,
                    utf8: Utf8::default(),
                });
            }
            Opcode::Continuation if self.message.is_none() => {
                return Err(Violation::protocol("continuation of nothing"));
            }
            _ => {}
        }
        if !head.opcode.is_control()
            && let Some(message) = &self.message
            && !message.compressed
            && head.len > self.message_bytes_max.saturating_sub(message.bytes)
        {
            // Not a byte of what cannot be taken is waited for.
            return Err(TOO_LARGE);
        }
        self.frame = Some(Frame {
            head,
            left: head.len,
            clear: 0,
            tail: 0,
        });
        Ok(())
    }
}

impl Message {
    /// A part has come, unpacked.
    fn take(&mut self, bytes: &[u8], last: bool, bytes_max: u64) -> Result<(), Violation> {
        self.bytes += bytes.len() as u64;
        if self.bytes > bytes_max {
            return Err(TOO_LARGE);
        }
        if self.text {
            self.utf8.feed(bytes).map_err(|_| NOT_UTF8)?;
            if last && !self.utf8.is_whole() {
                return Err(NOT_UTF8);
            }
        }
        Ok(())
    }
}

impl From<NotDeflate> for Violation {
    fn from(_: NotDeflate) -> Self {
        Self {
            code: close::BAD_DATA,
            reason: "message can not be unpacked",
        }
    }
}
