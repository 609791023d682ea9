//! A request body, read whole before a worker hears of it: no worker ever waits for a client. Where a route wants it
//! otherwise the body follows its request.

use std::{fs::File, io, io::Write, sync::Arc};

use config::Buffers;
use message::{
    client_error::ClientError,
    downstream::{BodyPiece, Downstream},
    head::BodyLength,
};
use wire::{frame::INLINE_BODY_MAX, request::LENGTH_UNKNOWN};

use super::{
    dispatcher::LinkIndex,
    slabs::{Filling, Loan, SLAB_BYTES, Slabs},
    spare::Share,
    spill::{Unavailable, memory_file, temporary_file},
    upload::Upload,
};

/// A whole body.
#[derive(Debug, Default)]
pub(super) struct RequestBody {
    /// The body itself, when it is small enough for the request's frame.
    pub(super) inline: Vec<u8>,
    /// Otherwise what holds it from its first byte on.
    pub(super) stored: Option<Stored>,
    /// Its length; [`LENGTH_UNKNOWN`] when it follows and the client has not said.
    pub(super) len: u64,
    /// There is more of it than `inline`: it follows the request while it arrives.
    pub(super) follows: bool,
    /// Its route does not wait for the whole of it: the application is told of its length what the client
    /// said.
    pub(super) unbuffered: bool,
}

/// A body that is not in its request's frame.
#[derive(Debug)]
pub(super) enum Stored {
    /// In a file of its own.
    File {
        file: Arc<File>,
        /// The memory that it takes, where that is shared with others: given back when it is dropped.
        _share: Option<Share>,
    },
    /// In a slab.
    Lent(Loan),
}

impl From<io::Error> for BodyError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error)
    }
}

impl Stored {
    /// The file, which a worker is given over this link.
    pub(super) fn hand_over(&self, link: LinkIndex) -> &Arc<File> {
        match self {
            Self::File { file, .. } => file,
            Self::Lent(loan) => {
                loan.hand_over(link);
                &loan.file
            }
        }
    }

    /// It could not be sent over that link.
    pub(super) fn take_back(&self, link: LinkIndex) {
        if let Self::Lent(loan) = self {
            loan.take_back(link);
        }
    }
}

/// Why a body could not be read.
#[derive(Debug)]
pub(super) enum BodyError {
    /// The client's doing.
    Client(ClientError),
    /// It could not be kept.
    Storage(io::Error),
    /// It can only be kept in memory, and other bodies have that.
    Memory,
}

/// Reads the body of `down`'s request: small ones into memory, larger ones into a slab, and what finds no
/// room there into a file: in memory, or on disk when it is over `memory_bytes`. Where the disk takes no
/// files it stays in memory that all bodies share.
pub(super) async fn read<D: Downstream>(
    down: &mut D,
    buffers: &Buffers,
    slabs: &Arc<Slabs>,
) -> Result<RequestBody, BodyError> {
    let mut body = Gathered {
        buffers,
        slabs,
        bytes_max: match down.head().body {
            BodyLength::Known(len) => len,
            BodyLength::Unknown => u64::MAX,
        },
        len: 0,
        place: Place::Inline(Vec::new()),
    };
    loop {
        let room = match &mut body.place {
            Place::Slab(filling) => filling.room(),
            Place::Inline(_) | Place::File { .. } => &mut [],
        };
        let piece = if room.is_empty() {
            let piece = down.read_body().await;
            piece.map(|piece| piece.map_or(BodyPiece::End, BodyPiece::Bytes))
        } else {
            down.read_body_into(room).await
        };
        match piece.map_err(BodyError::Client)? {
            BodyPiece::Read(bytes) => body.filled(bytes),
            BodyPiece::Bytes(bytes) => body.append(&bytes)?,
            BodyPiece::End => break,
        }
    }
    Ok(body.whole())
}

/// Takes of a body that is to follow its request what is there already, as far as it fits into the request's frame. A body that
/// is whole in this way does not follow: the worker hears of it in one go.
pub(super) async fn read_ready<D: Downstream>(
    down: &mut D,
) -> Result<(RequestBody, Option<Upload>), ClientError> {
    let mut body = RequestBody {
        len: match down.head().body {
            BodyLength::Known(len) => len,
            BodyLength::Unknown => LENGTH_UNKNOWN,
        },
        follows: true,
        unbuffered: true,
        ..RequestBody::default()
    };
    // Whoever waits for `100 Continue` is told to send when the application asks for the body.
    let patient = down.head().fields.get("expect").is_some();
    let mut upload = Upload::new(patient);
    while !patient && upload.is_empty() {
        let Some(piece) = down.read_ready().await? else {
            break;
        };
        let Some(mut bytes) = piece else {
            body.len = body.inline.len() as u64;
            body.follows = false;
            return Ok((body, None));
        };
        let room = INLINE_BODY_MAX - body.inline.len();
        body.inline
            .extend_from_slice(&bytes.split_to(bytes.len().min(room)));
        if !bytes.is_empty() {
            upload.push(Some(bytes));
        }
    }
    Ok((body, Some(upload)))
}

/// A client that only says that it will send much gets no descriptor for it.
const EARNEST_BYTES: u64 = 16 << 10;

/// What has come of a body.
struct Gathered<'a> {
    buffers: &'a Buffers,
    slabs: &'a Arc<Slabs>,
    bytes_max: u64,
    len: u64,
    place: Place,
}

enum Place {
    Inline(Vec<u8>),
    Slab(Filling),
    File { file: File, kept: Kept },
}

/// Where a file is.
enum Kept {
    /// In memory that each body may have, as long as there is some for all.
    Memory(Share),
    /// In memory that bodies share, because there is no disk.
    Shared(Share),
    /// On disk.
    Disk,
}

impl Gathered<'_> {
    /// Where no slab can be had, because the kernel is older than ours or the app keeps too many, the body
    /// goes into a file.
    fn begin_slab(&mut self) {
        if let Ok(filling) = self.slabs.take(self.bytes_max) {
            self.place = Place::Slab(filling);
        }
    }

    /// Bytes that are kept here before there is a slab: one that will be needed is begun sooner.
    fn inline_max(&self) -> u64 {
        if (INLINE_BODY_MAX as u64 + 1..=SLAB_BYTES as u64).contains(&self.bytes_max) {
            EARNEST_BYTES
        } else {
            INLINE_BODY_MAX as u64
        }
    }

    fn filled(&mut self, bytes: usize) {
        if let Place::Slab(filling) = &mut self.place {
            filling.filled(bytes);
            self.len += bytes as u64;
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        self.len += bytes.len() as u64;
        let mut bytes = bytes;
        let inline_max = self.inline_max();
        if let Place::Inline(inline) = &mut self.place {
            if self.len <= inline_max {
                inline.extend_from_slice(bytes);
                return Ok(());
            }
            let inline = std::mem::take(inline);
            self.begin_slab();
            let taken = match &mut self.place {
                Place::Slab(filling) => filling.append(&inline),
                Place::Inline(_) | Place::File { .. } => 0,
            };
            if taken < inline.len() {
                self.move_to_file(&inline)?;
            }
        }
        if let Place::Slab(filling) = &mut self.place {
            let taken = filling.append(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            let Place::Slab(mut filling) = std::mem::replace(&mut self.place, Place::Inline(Vec::new()))
            else {
                return Ok(());
            };
            self.move_to_file(filling.bytes())?;
        }
        let (len, small) = (self.len, self.is_small());
        if let Place::File { file, kept } = &mut self.place {
            if let Kept::Memory(share) = kept
                && (!small || !share.hold(self.buffers.memory_bytes, len as usize))
            {
                let (mut larger, place) = larger_file(self.buffers, self.slabs, len)?;
                io::Seek::rewind(file)?;
                io::copy(file, &mut larger)?;
                (*file, *kept) = (larger, place);
            }
            if let Kept::Shared(share) = kept {
                grow(self.slabs, share, len)?;
            }
            file.write_all(bytes)?;
        }
        Ok(())
    }

    /// Begins a file with these bytes.
    fn move_to_file(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        let mut share = self.slabs.share();
        let (mut file, kept) = if self.is_small() && share.hold(self.buffers.memory_bytes, self.len as usize)
        {
            (memory_file()?, Kept::Memory(share))
        } else {
            larger_file(self.buffers, self.slabs, self.len)?
        };
        file.write_all(bytes)?;
        self.place = Place::File { file, kept };
        Ok(())
    }

    /// May it be in memory of its own?
    fn is_small(&self) -> bool {
        self.len <= self.buffers.memory_bytes as u64
    }

    fn whole(self) -> RequestBody {
        let mut body = RequestBody {
            len: self.len,
            ..RequestBody::default()
        };
        match self.place {
            Place::Inline(inline) => body.inline = inline,
            Place::Slab(filling) => body.stored = filling.lend().map(Stored::Lent),
            Place::File { file, kept } => {
                let share = match kept {
                    Kept::Memory(share) | Kept::Shared(share) => Some(share),
                    Kept::Disk => None,
                };
                body.stored = Some(Stored::File {
                    file: Arc::new(file),
                    _share: share,
                });
            }
        }
        body
    }
}

/// A file for a body of `len` bytes so far, which is too large for memory of its own.
fn larger_file(buffers: &Buffers, slabs: &Slabs, len: u64) -> Result<(File, Kept), BodyError> {
    match temporary_file(buffers) {
        Ok(disk) => Ok((disk, Kept::Disk)),
        Err(Unavailable::Now(error)) => Err(BodyError::Storage(error)),
        Err(Unavailable::Ever(_) | Unavailable::Crowded) => {
            let mut share = slabs.share();
            grow(slabs, &mut share, len)?;
            Ok((memory_file()?, Kept::Shared(share)))
        }
    }
}

fn grow(slabs: &Slabs, share: &mut Share, len: u64) -> Result<(), BodyError> {
    let bytes = usize::try_from(len).unwrap_or(usize::MAX);
    slabs.resize(share, bytes).then_some(()).ok_or(BodyError::Memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::spare::Spare;

    #[test]
    fn a_client_that_only_promises_a_large_body_gets_no_slab_for_it() {
        let buffers = Buffers {
            memory_bytes: 64 << 10,
            shared_bytes: 1 << 20,
            response_bytes_max: 1 << 20,
            directory: std::env::temp_dir(),
        };
        let slabs = Slabs::new(&Spare::new(buffers.shared_bytes), buffers.memory_bytes);
        for (promised, kept) in [(1 << 20, EARNEST_BYTES), (u64::MAX, INLINE_BODY_MAX as u64)] {
            let mut body = Gathered {
                buffers: &buffers,
                slabs: &slabs,
                bytes_max: promised,
                len: 0,
                place: Place::Inline(Vec::new()),
            };
            body.append(&vec![1; kept as usize]).expect("kept");
            assert!(matches!(body.place, Place::Inline(_)), "{promised}");
            body.append(&[1]).expect("kept");
            let Place::Slab(filling) = &mut body.place else {
                panic!("no slab for {promised}");
            };
            assert_eq!(filling.bytes().len() as u64, kept + 1);
        }
    }

    #[test]
    fn bodies_that_find_no_disk_share_a_bounded_memory() {
        let buffers = Buffers {
            memory_bytes: 64 << 10,
            shared_bytes: 12 << 20,
            response_bytes_max: 1 << 20,
            directory: "/nonexistent/directory".into(),
        };
        let slabs = Slabs::new(&Spare::new(buffers.shared_bytes), buffers.memory_bytes);
        let receive = |len: usize, piece_bytes: usize| {
            let mut body = Gathered {
                buffers: &buffers,
                slabs: &slabs,
                bytes_max: u64::MAX,
                len: 0,
                place: Place::Inline(Vec::new()),
            };
            for piece in vec![1; len].chunks(piece_bytes) {
                body.append(piece)?;
            }
            Ok::<_, BodyError>(body.whole())
        };
        let held = receive(11 << 20, 1 << 20).expect("it has nearly all");
        assert!(matches!(&held.stored, Some(Stored::File { _share: Some(_), .. })));
        for piece_bytes in [1 << 10, 100 << 10, 2 << 20] {
            let small = receive(60 << 10, piece_bytes).expect("each may have so much");
            assert_eq!(small.len, 60 << 10);
            assert!(matches!(receive(2 << 20, piece_bytes), Err(BodyError::Memory)));
        }
        assert!(matches!(receive(13 << 20, 1 << 20), Err(BodyError::Memory)));
        drop(held);
        receive(11 << 20, 64 << 10).expect("the memory came back");
    }
}
