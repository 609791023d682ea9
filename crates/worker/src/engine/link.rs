//! One socket to one proxy.

use std::{
    collections::VecDeque,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use wire::{
    Malformed,
    congestion::{Congestion, is_congestion},
    frame::{self, AbortReason, Header, Kind},
};

use super::{lock, now_ns, page::LinkPage, slabs::Slabs, trays::Trays};
use crate::ffi::descriptors;

/// Bytes of the receive buffer between batches; a larger frame makes it grow for as long as it is there.
const RECEIVE: usize = 64 << 10;

/// Answers are sent when so many bytes have gathered, also in the middle of a batch.
const GATHER_BYTES: usize = 64 << 10;

/// A link over which the kernel passes nothing for so long is given up.
const PASSED_WITHIN: Duration = Duration::from_secs(30);

/// The buffer of answers is given back to the allocator when it has grown past this.
const KEEP: usize = 256 << 10;

/// A socket, the page that goes with it, and what is on its way in both directions.
#[derive(Debug)]
pub(crate) struct Link {
    /// Names the link inside this process.
    pub(crate) serial: u32,
    pub(crate) socket: OwnedFd,
    pub(crate) page: LinkPage,
    /// What this proxy lends bodies in.
    pub(crate) slabs: Slabs,
    /// For large pieces of answers.
    pub(crate) trays: Trays,
    reader: Mutex<Reader>,
    out: Mutex<Out>,
    /// Of the kernel, which takes at the moment what is sent, or does not.
    congestion: Mutex<Congestion>,
    /// `congestion` has something to forget once a sending succeeds; so that the others do not lock it.
    is_congested: AtomicBool,
    /// Something waits in `out`; so that a thread does not lock it to find nothing.
    dirty: AtomicBool,
    gone: AtomicBool,
}

#[derive(Debug, Default)]
struct Reader {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been received and not yet used.
    filled: usize,
    /// Descriptors whose frame has not been seen yet.
    descriptors: VecDeque<OwnedFd>,
}

#[derive(Debug, Default)]
struct Out {
    buffer: Vec<u8>,
    /// Bytes at its beginning that have been sent; only while the socket is full and nobody waits for that.
    sent: usize,
    /// Position in `buffer` of the frame that each one belongs to.
    descriptors: VecDeque<(usize, OwnedFd)>,
    /// When the oldest byte was put in.
    since_ns: u64,
    /// A thread is sending, without the lock; it will find what comes meanwhile.
    sending: bool,
}

/// What [`Link::flush_now`] has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing waits any more.
    All,
    /// The socket is full.
    Full,
    /// The kernel passes nothing on at the moment. Nothing tells when it does again: after this time it may
    /// be tried.
    Congested(Duration),
}

/// What [`Link::receive`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Everything that was there.
    All,
    /// The proxy has closed its end, or does not follow the protocol.
    Gone,
}

impl Link {
    pub(crate) fn new(serial: u32, socket: OwnedFd, page: LinkPage) -> Self {
        Self {
            serial,
            socket,
            page,
            slabs: Slabs::default(),
            trays: Trays::default(),
            reader: Mutex::default(),
            out: Mutex::default(),
            congestion: Mutex::default(),
            is_congested: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// Is there no proxy at the other end any more?
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Nothing is sent from now on.
    pub(crate) fn give_up(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.dirty.store(false, Ordering::Relaxed);
        self.trays.close();
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }

    /// The worker's alone: a process that the application has forked lets it go, without a word to the proxy.
    pub(crate) fn disown(&self, null: &OwnedFd) {
        self.gone.store(true, Ordering::Relaxed);
        self.dirty.store(false, Ordering::Relaxed);
        self.slabs.disown();
        let _ = descriptors::replace(null, &self.socket);
    }

    /// Reads all that is there and gives every whole frame to `take`, with the descriptor that it carries. To be called
    /// without the GIL.
    pub(crate) fn receive(
        &self,
        mut take: impl FnMut(Header, &[u8], Option<OwnedFd>) -> Result<(), Malformed>,
    ) -> Received {
        let mut reader = lock(&self.reader);
        loop {
            let Reader {
                buffer,
                filled,
                descriptors,
            } = &mut *reader;
            if buffer.len() < RECEIVE {
                buffer.resize(RECEIVE, 0);
            } else if *filled == buffer.len() {
                // One frame is longer than the buffer; its header has been checked against PAYLOAD_MAX.
                let more = buffer.len() * 2;
                buffer.resize(more, 0);
            }
            let room = buffer.len() - *filled;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut buffer[*filled..])],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
            );
            let message = match received {
                Ok(message) => message,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Received::All,
                Err(_) => return Received::Gone,
            };
            if message.bytes == 0 || message.flags.contains(ReturnFlags::CTRUNC) {
                return Received::Gone;
            }
            let mut carried = false;
            for part in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = part {
                    carried = true;
                    descriptors.extend(rights);
                }
            }
            *filled += message.bytes;

            let mut used = 0;
            loop {
                match frame::split(&buffer[used..*filled]) {
                    Ok(None) => break,
                    Err(_) => return Received::Gone,
                    Ok(Some((frame, len))) => {
                        let descriptor = if frame.header.carries_descriptor() {
                            match descriptors.pop_front() {
                                Some(descriptor) => Some(descriptor),
                                None => return Received::Gone,
                            }
                        } else {
                            None
                        };
                        if take(frame.header, frame.payload, descriptor).is_err() {
                            return Received::Gone;
                        }
                        used += len;
                    }
                }
            }
            buffer.copy_within(used..*filled, 0);
            *filled -= used;
            if *filled == 0 && buffer.len() > RECEIVE {
                *buffer = Vec::new();
            }
            // A read that did not fill the buffer has emptied the socket, but for one case: the kernel ends a read behind bytes
            // that carried a descriptor.
            if message.bytes < room && !carried {
                return Received::All;
            }
        }
    }

    /// Appends frames by `write`, and a descriptor for the frame that it appends first.
    #[inline]
    pub(crate) fn put(&self, descriptor: Option<OwnedFd>, write: impl FnOnce(&mut Vec<u8>)) {
        if self.is_gone() {
            return;
        }
        let mut out = lock(&self.out);
        if out.buffer.is_empty() {
            out.since_ns = now_ns();
        }
        if let Some(descriptor) = descriptor {
            let at = out.buffer.len();
            out.descriptors.push_back((at, descriptor));
        }
        write(&mut out.buffer);
        drop(out);
        self.dirty.store(true, Ordering::Release);
    }

    /// Ends a stream without an answer.
    pub(crate) fn abort(&self, stream: u32, reason: AbortReason) {
        self.put(None, |out| {
            frame::put(out, stream, Kind::Abort, frame::END, &[reason as u8])
        });
    }

    /// Does something wait to be sent?
    #[inline]
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// Does something wait that should not wait longer, when an answer may be held for so long?
    #[inline]
    pub(crate) fn is_due(&self, now_ns: u64, hold_ns: u64) -> bool {
        self.is_dirty() && {
            let out = lock(&self.out);
            out.buffer.len() >= GATHER_BYTES || now_ns.saturating_sub(out.since_ns) >= hold_ns
        }
    }

    /// Appends the beginning of a frame by `write`, and sends all that waits and then `rest`, the end of the frame, from where it is.
    /// Where another thread is sending already, it is left to that one. Waits while the socket is full; to be called without the GIL.
    pub(crate) fn send_now(&self, write: impl FnOnce(&mut Vec<u8>), rest: &[u8]) {
        if self.is_gone() {
            return;
        }
        let mut out = lock(&self.out);
        write(&mut out.buffer);
        if out.sending {
            out.buffer.extend_from_slice(rest);
            drop(out);
            self.dirty.store(true, Ordering::Release);
            // The other thread may have looked for more just before.
            return self.flush();
        }
        out.sending = true;
        let begun = std::mem::take(&mut out.buffer);
        let descriptors = std::mem::take(&mut out.descriptors);
        drop(out);

        let done = self.send(&begun, rest, descriptors);
        let mut out = lock(&self.out);
        out.sending = false;
        if out.buffer.capacity() == 0 && begun.capacity() <= KEEP {
            out.buffer = begun;
            out.buffer.clear();
        }
        drop(out);
        if done.is_err() {
            self.give_up();
        }
        // What came meanwhile, and what tells others that nothing waits.
        self.flush();
    }

    /// Sends all that waits, unless another thread is at it already. Waits while the socket is full; to be called without the GIL.
    pub(crate) fn flush(&self) {
        let mut sent = Vec::new();
        loop {
            let mut out = lock(&self.out);
            if out.sending {
                return;
            }
            if self.is_gone() {
                *out = Out::default();
                return;
            }
            if out.buffer.is_empty() {
                self.dirty.store(false, Ordering::Relaxed);
                // The allocation goes back, so that the next batch does not begin with a new one.
                if out.buffer.capacity() == 0 && sent.capacity() <= KEEP {
                    out.buffer = sent;
                }
                return;
            }
            out.sending = true;
            std::mem::swap(&mut out.buffer, &mut sent);
            let descriptors = std::mem::take(&mut out.descriptors);
            drop(out);

            let done = self.send(&sent, &[], descriptors);
            sent.clear();
            lock(&self.out).sending = false;
            if done.is_err() {
                self.give_up();
            }
        }
    }

    /// Sends what waits, as much as the socket takes. Only for a link that nobody calls [`Link::flush`] on;
    /// this never waits.
    pub(crate) fn flush_now(&self) -> Flushed {
        let mut out = lock(&self.out);
        if self.is_gone() {
            *out = Out::default();
            return Flushed::All;
        }
        let Out {
            buffer,
            sent,
            descriptors,
            ..
        } = &mut *out;
        while *sent < buffer.len() {
            match self.send_part(buffer, &[], *sent, descriptors) {
                Ok(more) => *sent += more,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if *sent >= KEEP {
                        // What has left must not grow with what comes.
                        buffer.drain(..*sent);
                        for (position, _) in descriptors {
                            *position -= *sent;
                        }
                        *sent = 0;
                    }
                    return Flushed::Full;
                }
                Err(error) => {
                    if let Ok(pause) = self.congested(error) {
                        return Flushed::Congested(pause);
                    }
                    *out = Out::default();
                    drop(out);
                    self.give_up();
                    return Flushed::All;
                }
            }
        }
        *sent = 0;
        if buffer.capacity() > KEEP {
            *buffer = Vec::new();
        } else {
            buffer.clear();
        }
        self.dirty.store(false, Ordering::Relaxed);
        Flushed::All
    }

    /// Nothing was sent for this error. Answers after which time it may be tried again, where it is one that
    /// passes.
    fn congested(&self, error: Errno) -> Result<Duration, Errno> {
        if !is_congestion(error.raw_os_error()) {
            return Err(error);
        }
        let refused = lock(&self.congestion).refused(Instant::now());
        self.is_congested.store(true, Ordering::Relaxed);
        if refused.first {
            let what = match error {
                Errno::TOOMANYREFS => {
                    "files cannot be passed to the proxy: the processes of this user have too many descriptors in flight \
                     (see unix(7))"
                }
                _ => "answers cannot be passed to the proxy: the kernel has no memory for them",
            };
            let told = format!("{what}; it is tried again: {error}\n");
            let _ = rustix::io::write(rustix::stdio::stderr(), told.as_bytes());
        }
        match refused.lasted < PASSED_WITHIN {
            true => Ok(refused.pause),
            false => Err(error),
        }
    }

    /// The kernel takes again what is sent.
    #[inline]
    fn passed(&self) {
        if self.is_congested.load(Ordering::Relaxed) {
            self.is_congested.store(false, Ordering::Relaxed);
            lock(&self.congestion).passed();
        }
    }

    /// Sends these bytes and those of `rest`, and waits where the socket is full.
    fn send(
        &self,
        bytes: &[u8],
        rest: &[u8],
        mut descriptors: VecDeque<(usize, OwnedFd)>,
    ) -> Result<(), Errno> {
        let mut at = 0;
        while at < bytes.len() + rest.len() {
            match self.send_part(bytes, rest, at, &mut descriptors) {
                Ok(sent) => at += sent,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut ready = [PollFd::new(&self.socket, PollFlags::OUT)];
                    match poll(&mut ready, None) {
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => std::thread::sleep(self.congested(error)?),
            }
        }
        Ok(())
    }

    /// One message, from `at` on in `bytes` and then `rest`. Each descriptor leaves with the first byte of its frame, and alone in
    /// its message, so that the receiver needs room for one only.
    fn send_part(
        &self,
        bytes: &[u8],
        rest: &[u8],
        at: usize,
        descriptors: &mut VecDeque<(usize, OwnedFd)>,
    ) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let carried = match descriptors.front() {
            Some((position, descriptor)) if *position == at => Some([descriptor.as_fd()]),
            _ => None,
        };
        let next = descriptors.get(usize::from(carried.is_some()));
        let end = next.map_or(bytes.len(), |(position, _)| *position);
        let rest = match next {
            Some(_) => &[],
            None => &rest[at.saturating_sub(bytes.len())..],
        };
        if let Some(carried) = &carried {
            ancillary.push(SendAncillaryMessage::ScmRights(carried));
        }
        let sent = sendmsg(
            &self.socket,
            &[IoSlice::new(&bytes[at.min(end)..end]), IoSlice::new(rest)],
            &mut ancillary,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        )?;
        self.passed();
        if carried.is_some() {
            descriptors.pop_front();
        }
        Ok(sent)
    }
}
