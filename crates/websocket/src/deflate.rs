//! What compresses and unpacks messages, kept for the next one.
//!
//! Each is used for one message and then given back to its thread. A thread keeps a few; how many there are
//! at the same time is bounded: compressors by [`LENT_MAX`] (beyond it messages go as they are, which is
//! always allowed), unpackers, of about 56 KiB with their output, by the connections that are in the middle
//! of a compressed message.

use std::{cell::RefCell, mem};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Largest window, and the default of the format.
pub(super) const WINDOW_BITS_MAX: u8 = 15;

/// Smallest window zlib can promise: it turns 8 into 9.
pub(super) const WINDOW_BITS_MIN: u8 = 9;

/// Fast, and small enough: what is compressed here is text of a few kilobytes.
const LEVEL: Compression = Compression::new(2);

/// What ends every message and is not sent (RFC 7692 §7.2.1).
pub(super) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Unpacked at a time.
const OUTPUT_BYTES: usize = 16 << 10;

/// Kept by a thread for the next message.
const KEPT_MAX: usize = 4;

/// Compressors of one thread in use at the same time: 64 of about 300 KiB.
const LENT_MAX: usize = 64;

/// Packed bytes a kept compressor holds room for.
const PACKED_BYTES: usize = 16 << 10;

#[derive(Default)]
struct Shelf {
    inflaters: Vec<Tools>,
    deflaters: Vec<(Compress, Vec<u8>)>,
    lent: usize,
}

struct Tools {
    unpack: Decompress,
    output: Box<[u8]>,
}

thread_local! {
    static SHELF: RefCell<Shelf> = RefCell::default();
}

/// Unpacks one message.
pub(super) struct Inflater {
    tools: Option<Tools>,
}

/// Can not be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotDeflate;

impl Inflater {
    pub(super) fn new() -> Self {
        let tools = SHELF.with_borrow_mut(|shelf| shelf.inflaters.pop());
        let tools = tools.unwrap_or_else(|| Tools {
            unpack: Decompress::new(false),
            output: vec![0; OUTPUT_BYTES].into(),
        });
        Self { tools: Some(tools) }
    }

    /// Takes from `input` and makes at most `room` bytes, the start of [`Inflater::output`]. Returns how many
    /// bytes were taken, how many were made, and whether there was room for more.
    pub(super) fn run(&mut self, input: &[u8], room: usize) -> Result<(usize, usize, bool), NotDeflate> {
        let tools = self.tools.as_mut().ok_or(NotDeflate)?;
        let room = room.min(tools.output.len());
        let (mut taken, mut made) = (0, 0);
        loop {
            let (before_in, before_out) = (tools.unpack.total_in(), tools.unpack.total_out());
            let status = tools
                .unpack
                .decompress(
                    &input[taken..],
                    &mut tools.output[made..room],
                    FlushDecompress::None,
                )
                .map_err(|_| NotDeflate)?;
            let now_in = (tools.unpack.total_in() - before_in) as usize;
            let now_out = (tools.unpack.total_out() - before_out) as usize;
            taken += now_in;
            made += now_out;
            match status {
                // A block that says it is the last: a sender may do so (RFC 7692 §7.2.3.4), and others may
                // follow.
                Status::StreamEnd => tools.unpack.reset(false),
                Status::Ok | Status::BufError if now_in == 0 && now_out == 0 => break,
                Status::Ok | Status::BufError => {}
            }
            if made == room || taken == input.len() {
                break;
            }
        }
        Ok((taken, made, made < room))
    }

    /// What the last call made, and what was there before.
    pub(super) fn output(&self) -> &[u8] {
        self.tools.as_ref().map_or(&[], |tools| &tools.output)
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        if let Some(mut tools) = self.tools.take() {
            tools.unpack.reset(false);
            // A thread that ends has no shelf any more.
            let _ = SHELF.try_with(|shelf| {
                let kept = &mut shelf.borrow_mut().inflaters;
                if kept.len() < KEPT_MAX {
                    kept.push(tools);
                }
            });
        }
    }
}

/// Compresses one message.
pub(super) struct Deflater {
    pack: Option<Compress>,
    packed: Vec<u8>,
    window_bits: u8,
}

impl Deflater {
    /// `None`: too many are in use.
    pub(super) fn new(window_bits: u8) -> Option<Self> {
        SHELF.with_borrow_mut(|shelf| {
            if shelf.lent >= LENT_MAX {
                return None;
            }
            shelf.lent += 1;
            let kept = (window_bits == WINDOW_BITS_MAX)
                .then(|| shelf.deflaters.pop())
                .flatten();
            let (pack, packed) = kept.unwrap_or_else(|| {
                let pack = Compress::new_with_window_bits(LEVEL, false, window_bits);
                (pack, Vec::new())
            });
            Some(Self {
                pack: Some(pack),
                packed,
                window_bits,
            })
        })
    }

    /// Compresses a part of the message; with `last` all of it is in what has been returned, the tail not
    /// included. `None`: zlib failed, which it has no reason to.
    pub(super) fn run(&mut self, input: &[u8], last: bool) -> Option<&[u8]> {
        let pack = self.pack.as_mut()?;
        let flush = if last {
            FlushCompress::Sync
        } else {
            FlushCompress::None
        };
        self.packed.clear();
        let start = pack.total_in();
        loop {
            self.packed.reserve(input.len() / 4 + 64);
            let taken = (pack.total_in() - start) as usize;
            let status = pack.compress_vec(&input[taken..], &mut self.packed, flush).ok()?;
            let taken = (pack.total_in() - start) as usize;
            if taken == input.len() && self.packed.len() < self.packed.capacity() {
                break;
            }
            if status == Status::BufError && self.packed.len() < self.packed.capacity() {
                return None;
            }
        }
        if last {
            if self.packed.ends_with(&TAIL) {
                self.packed.truncate(self.packed.len() - TAIL.len());
            }
            if self.packed.is_empty() {
                // The head of an empty block: nothing would not be one (RFC 7692 §7.2.3.6).
                self.packed.push(0);
            }
        }
        Some(&self.packed)
    }
}

impl Drop for Deflater {
    fn drop(&mut self) {
        let mut packed = mem::take(&mut self.packed);
        let _ = SHELF.try_with(|shelf| {
            let mut shelf = shelf.borrow_mut();
            shelf.lent = shelf.lent.saturating_sub(1);
            if let Some(mut pack) = self.pack.take()
                && self.window_bits == WINDOW_BITS_MAX
                && shelf.deflaters.len() < KEPT_MAX
            {
                pack.reset();
                packed.clear();
                packed.shrink_to(PACKED_BYTES);
                shelf.deflaters.push((pack, packed));
            }
        });
    }
}
