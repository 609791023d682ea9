//! What has come of an answer and the client has not taken yet.

use std::{collections::VecDeque, fs::File, sync::Arc};

use bytes::{Bytes, BytesMut};
use config::Buffers;
use tracing::warn;
use wire::frame::{FILE_COST, FileRange, WINDOW};

use super::{
    app_file::AppFile,
    gather::{gather, may_gather},
    spare::{Share, Spare},
    spill::{Spill, Unavailable},
};

/// What a piece costs in memory besides its bytes.
const PIECE_BYTES: usize = 96;

/// Small pieces that wait together are sent together, up to this size.
const JOIN_BYTES: usize = 32 << 10;

/// Bytes sent from a file in one go; in between the worker is allowed more.
const FILE_BYTES: u64 = 4 << 20;

/// The waiting part of an answer, in order.
#[derive(Debug)]
pub(super) struct Backlog<'a> {
    buffers: &'a Buffers,
    pieces: VecDeque<Piece>,
    memory_bytes: usize,
    /// Of these, what is with the client's connection.
    in_hand: usize,
    /// Of what is in memory.
    share: Share,
    spilled_bytes: u64,
    spill: Option<Spill>,
    /// No file could be made or written: everything waits in memory, as far as there is any, and the worker
    /// waits sooner.
    no_spill: bool,
    /// It has nowhere to wait: so many others do.
    is_beyond: bool,
    /// Bytes taken from the worker that it has not been told about.
    owed: u64,
}

#[derive(Debug)]
enum Piece {
    /// Bytes, and what they are counted as.
    Memory(Bytes, usize),
    Spilled(u64),
    File(Arc<AppFile>, FileRange),
}

/// What to send next.
#[derive(Debug)]
pub(super) enum Next {
    /// These bytes.
    Bytes(Bytes),
    /// A range of a file of ours: file, offset, length. Tell [`Backlog::sent`] afterwards.
    Spilled(Arc<File>, u64, u64),
    /// A range of a file of the application's. Tell [`Backlog::file_sent`] afterwards.
    File(Arc<AppFile>, FileRange),
}

impl<'a> Backlog<'a> {
    pub(super) fn new(buffers: &'a Buffers, spare: &Arc<Spare>) -> Self {
        Self {
            buffers,
            pieces: VecDeque::new(),
            memory_bytes: 0,
            in_hand: 0,
            share: spare.share(),
            spilled_bytes: 0,
            spill: None,
            no_spill: false,
            is_beyond: false,
            owed: 0,
        }
    }

    /// Bytes from the worker.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.owed += bytes.len() as u64;
        if bytes.is_empty() {
            return;
        }
        if self.gather(&bytes) {
            return;
        }
        let cost = bytes.len() + PIECE_BYTES;
        let memory_bytes = self.memory_bytes + cost;
        if !self.hold(memory_bytes) {
            if self.spill(&bytes) || self.is_beyond {
                return;
            }
            if !self.hold(memory_bytes) {
                self.is_beyond = true;
                return;
            }
        }
        self.memory_bytes = memory_bytes;
        self.pieces.push_back(Piece::Memory(bytes, cost));
    }

    /// Adds a small piece to the one that waits last. `false`: it is one for itself.
    fn gather(&mut self, bytes: &[u8]) -> bool {
        let Some(Piece::Memory(last, cost)) = self.pieces.back() else {
            return false;
        };
        if !may_gather(last, bytes) {
            return false;
        }
        // What has gathered takes up to twice its bytes.
        let gathered = PIECE_BYTES + 2 * (last.len() + bytes.len());
        let memory_bytes = self.memory_bytes + gathered - cost;
        if !self.hold(memory_bytes) {
            return false;
        }
        if let Some(Piece::Memory(last, cost)) = self.pieces.back_mut()
            && gather(last, bytes)
        {
            *cost = gathered;
            self.memory_bytes = memory_bytes;
            return true;
        }
        self.hold(self.memory_bytes);
        false
    }

    /// Has it more than there is room for, in memory and on disk? Then it cannot be completed.
    pub(super) fn is_beyond(&self) -> bool {
        self.is_beyond
    }

    /// May so much of the answer be in memory?
    fn hold(&mut self, memory_bytes: usize) -> bool {
        if self.no_spill {
            self.share.hold_beyond(memory_bytes)
        } else {
            self.share.hold(self.buffers.memory_bytes, memory_bytes)
        }
    }

    /// Bytes of a file of the application's. The worker may send another one once this one has left.
    pub(super) fn push_file(&mut self, file: Arc<AppFile>, range: FileRange) {
        if range.len > 0 {
            self.pieces.push_back(Piece::File(file, range));
        } else {
            self.file_sent();
        }
    }

    /// A file of the application's does not wait any more.
    pub(super) fn file_sent(&mut self) {
        self.owed += u64::from(FILE_COST);
    }

    /// Puts bytes on disk; `false`: they have to stay in memory.
    fn spill(&mut self, bytes: &[u8]) -> bool {
        if self.no_spill {
            return false;
        }
        let spill = match self.spill.take() {
            Some(spill) => Ok(spill),
            None => Spill::new(self.buffers),
        };
        let appended = spill.and_then(|spill| {
            let appended = self.spill.insert(spill).append(bytes);
            appended.map_err(Unavailable::Now)
        });
        if let Err(unavailable) = appended {
            // That there are never any files was said once.
            match unavailable {
                Unavailable::Now(error) => {
                    let directory = self.buffers.directory.display();
                    warn!(%directory, %error, "a response waits in memory, no temporary file");
                }
                Unavailable::Crowded => self.is_beyond = true,
                Unavailable::Ever(_) => {}
            }
            self.no_spill = true;
            return false;
        }
        self.spilled_bytes += bytes.len() as u64;
        match self.pieces.back_mut() {
            Some(Piece::Spilled(len)) => *len += bytes.len() as u64,
            _ => self.pieces.push_back(Piece::Spilled(bytes.len() as u64)),
        }
        true
    }

    /// Takes what is to be sent next; what was taken before has been sent.
    pub(super) fn pop(&mut self) -> Option<Next> {
        self.memory_bytes -= std::mem::take(&mut self.in_hand);
        self.hold(self.memory_bytes);
        match self.pieces.pop_front()? {
            Piece::Memory(bytes, cost) => {
                self.in_hand = cost;
                Some(Next::Bytes(self.join(bytes)))
            }
            Piece::Spilled(len) => {
                let now = len.min(FILE_BYTES);
                if len > now {
                    self.pieces.push_front(Piece::Spilled(len - now));
                }
                let (file, offset, len) = self.spill.as_ref()?.next(now);
                Some(Next::Spilled(file, offset, len))
            }
            Piece::File(file, range) => Some(Next::File(file, range)),
        }
    }

    /// Adds the small pieces behind a small piece to it.
    fn join(&mut self, first: Bytes) -> Bytes {
        let follows = matches!(self.pieces.front(), Some(Piece::Memory(next, _)) if first.len() + next.len() <= JOIN_BYTES);
        if !follows {
            return first;
        }
        let mut joined = BytesMut::with_capacity(JOIN_BYTES);
        joined.extend_from_slice(&first);
        while let Some(Piece::Memory(next, cost)) = self.pieces.front()
            && joined.len() + next.len() <= JOIN_BYTES
        {
            self.in_hand += cost;
            joined.extend_from_slice(next);
            self.pieces.pop_front();
        }
        joined.freeze()
    }

    /// A range of our own file was sent.
    pub(super) fn sent(&mut self, len: u64) {
        self.spilled_bytes -= len.min(self.spilled_bytes);
        if let Some(spill) = &mut self.spill {
            spill.sent(len);
        }
    }

    /// How much more the worker may send now, when it is enough to be worth a frame.
    pub(super) fn credit(&mut self) -> Option<u32> {
        let max = if self.no_spill {
            self.buffers.memory_bytes as u64
        } else {
            self.buffers.response_bytes_max
        };
        let waiting = self.memory_bytes as u64 + self.spilled_bytes;
        // An empty backlog always grants, whatever the limits say, or the answer could never end.
        if self.owed < u64::from(WINDOW / 2) || (waiting >= max && !self.pieces.is_empty()) {
            return None;
        }
        let credit = u32::try_from(self.owed).unwrap_or(u32::MAX);
        self.owed -= u64::from(credit);
        Some(credit)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::app::app_file::{Files, Held};

    fn buffers(response_bytes_max: u64) -> Buffers {
        Buffers {
            memory_bytes: 4096,
            shared_bytes: 0,
            response_bytes_max,
            directory: std::env::temp_dir(),
        }
    }

    fn drain(backlog: &mut Backlog<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(next) = backlog.pop() {
            match next {
                Next::Bytes(bytes) => out.extend_from_slice(&bytes),
                Next::Spilled(file, offset, len) => {
                    let mut piece = vec![0; len as usize];
                    file.read_exact_at(&mut piece, offset).expect("read");
                    out.extend_from_slice(&piece);
                    backlog.sent(len);
                }
                Next::File(..) => backlog.file_sent(),
            }
        }
        out
    }

    #[test]
    fn bytes_keep_their_order_through_memory_and_disk() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let buffers = buffers(1 << 30);
            let spare = Spare::new(if seed % 2 == 0 { 0 } else { 32 << 20 });
            let mut backlog = Backlog::new(&buffers, &spare);
            let (mut expected, mut got) = (Vec::new(), Vec::new());
            for _ in 0..random.usize(1..200) {
                // Of every size, or mostly so small that they gather.
                let most = if random.bool() { 20_000 } else { 100 };
                let bytes: Vec<u8> = (0..random.usize(0..most)).map(|_| random.u8(..)).collect();
                expected.extend_from_slice(&bytes);
                backlog.push(bytes.into());
                if random.u8(..) < 20 {
                    got.extend(drain(&mut backlog));
                }
            }
            got.extend(drain(&mut backlog));
            assert!(got == expected, "seed {seed}");
            assert_eq!((backlog.memory_bytes, backlog.spilled_bytes), (0, 0));
        }
    }

    #[test]
    fn small_pieces_are_counted_as_what_they_take_and_gather() {
        let mut buffers = buffers(1 << 30);
        buffers.memory_bytes = 1 << 20;
        let mut backlog = Backlog::new(&buffers, &Spare::new(32 << 20));
        let sent = vec![7; 200_000];
        for byte in sent.chunks(1) {
            backlog.push(Bytes::copy_from_slice(byte));
        }
        assert!(backlog.pieces.len() < 100, "{}", backlog.pieces.len());
        assert!((sent.len()..3 * sent.len()).contains(&backlog.memory_bytes));
        assert_eq!(backlog.spilled_bytes, 0);
        assert!(drain(&mut backlog) == sent);
        assert_eq!(backlog.memory_bytes, 0);
    }

    #[test]
    fn a_worker_waits_once_a_client_is_too_far_behind() {
        let buffers = buffers(1 << 20);
        let mut backlog = Backlog::new(&buffers, &Spare::new(32 << 20));
        let mut granted = 0;
        for _ in 0..64 {
            backlog.push(vec![7; 64 << 10].into());
            granted += u64::from(backlog.credit().unwrap_or(0));
        }
        assert!((512 << 10..=1 << 20).contains(&granted), "{granted}");
        assert_eq!(drain(&mut backlog).len(), 4 << 20);
        granted += u64::from(backlog.credit().expect("empty again"));
        assert_eq!(granted, 4 << 20);
    }

    /// Without a disk, and with memory for so many answers of their own and of what all share.
    #[test]
    fn answers_that_have_no_disk_are_bounded_together() {
        const ANSWER_BYTES: usize = 256 << 10;
        let mut buffers = buffers(1 << 30);
        buffers.memory_bytes = ANSWER_BYTES;
        buffers.directory = "/nowhere".into();
        for (shared, pieces) in [(0, 1), (4 << 20, 4), (64 << 20, 16)] {
            let spare = Spare::new(shared);
            // What all may have of their own, what they share, and the least that each has in any case.
            let most = shared.max(16 << 20) + shared;
            let (mut waiting, mut bytes) = (Vec::new(), 0);
            while bytes <= 2 * most {
                let mut backlog = Backlog::new(&buffers, &spare);
                for _ in 0..pieces {
                    backlog.push(vec![7; ANSWER_BYTES / pieces].into());
                }
                if backlog.is_beyond() {
                    break;
                }
                bytes += backlog.memory_bytes;
                waiting.push(backlog);
            }
            let free = waiting.len() * (16 << 10);
            assert!(
                (most / 2..=most + free).contains(&bytes),
                "{shared}: {bytes} of {most}"
            );
            // Small answers do not ask for any of it.
            let mut small = Backlog::new(&buffers, &spare);
            small.push(vec![7; 16_000].into());
            assert_eq!((small.is_beyond(), drain(&mut small).len()), (false, 16_000));
            // Each that has been taken makes room for another.
            for backlog in &mut waiting {
                assert_eq!(drain(backlog).len(), ANSWER_BYTES);
                assert_eq!((backlog.pop().is_none(), backlog.memory_bytes), (true, 0));
                let mut next = Backlog::new(&buffers, &spare);
                next.push(vec![7; ANSWER_BYTES].into());
                assert!(!next.is_beyond());
            }
        }
    }

    #[test]
    fn a_worker_that_sends_file_upon_file_waits_for_the_client() {
        let buffers = buffers(1 << 30);
        let mut backlog = Backlog::new(&buffers, &Spare::new(32 << 20));
        let held = Held::new(1000);
        let mut files = Files::new(&held);
        for number in 0..WINDOW / FILE_COST {
            let file = tempfile::tempfile().expect("a file");
            let file = files.take(file.into()).expect("a regular file");
            backlog.push_file(file, FileRange { offset: 0, len: 1 });
            assert_eq!(backlog.credit(), None, "{number}");
        }
        assert_eq!(held.count(), 16);
        drain(&mut backlog);
        assert_eq!(held.count(), 0);
        assert_eq!(backlog.credit(), Some(WINDOW));
    }
}
