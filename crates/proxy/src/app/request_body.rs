//! A request body, read whole before a worker hears of it: no worker ever waits for a client. Where a route wants it
//! otherwise the body follows its request.

use std::{
    fs::File,
    future::{Future, poll_fn},
    io,
    io::Write,
    pin::pin,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use config::Buffers;
use wire::{frame::INLINE_BODY_MAX, request::LENGTH_UNKNOWN};

use crate::{
    downstream::{ClientError, Downstream},
    head::BodyLength,
};

use super::{
    spill::{memory_file, temporary_file},
    upload::Upload,
};

/// A whole body.
#[derive(Debug, Default)]
pub(super) struct RequestBody {
    /// The body itself, when it is small enough for the request's frame.
    pub(super) inline: Vec<u8>,
    /// Otherwise a file that holds it from its first byte on.
    pub(super) file: Option<Arc<File>>,
    /// Its length; [`LENGTH_UNKNOWN`] when it follows and the client has not said.
    pub(super) len: u64,
    /// There is more of it than `inline`: it follows the request while it arrives.
    pub(super) follows: bool,
}

/// Why a body could not be read.
#[derive(Debug)]
pub(super) enum BodyError {
    /// The client's doing.
    Client(ClientError),
    /// It could not be kept.
    Storage(io::Error),
}

/// Reads the body of `down`'s request: small ones into memory, larger ones into a file in memory, those over
/// `memory_bytes` into a temporary file.
pub(super) async fn read<D: Downstream>(down: &mut D, buffers: &Buffers) -> Result<RequestBody, BodyError> {
    let mut body = RequestBody::default();
    let mut file: Option<(File, bool)> = None;
    while let Some(bytes) = down.read_body().await.map_err(BodyError::Client)? {
        body.len += bytes.len() as u64;
        if file.is_none() && body.len <= INLINE_BODY_MAX as u64 {
            body.inline.extend_from_slice(&bytes);
            continue;
        }
        let small = body.len <= buffers.memory_bytes as u64;
        file = Some(store(file, small, &mut body.inline, &bytes, buffers).map_err(BodyError::Storage)?);
    }
    body.file = file.map(|(file, _)| Arc::new(file));
    Ok(body)
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
        ..RequestBody::default()
    };
    // Whoever waits for `100 Continue` is told to send when a worker has the request.
    let patient = down.head().fields.get("expect").is_some();
    let mut upload = Upload::new(patient);
    while !patient && upload.is_empty() {
        let Some(piece) = ready(down).await? else { break };
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

/// The next piece of a body, `Some(None)` at its end, if it is there.
pub(super) async fn ready<D: Downstream>(down: &mut D) -> Result<Option<Option<Bytes>>, ClientError> {
    poll_fn(|context| {
        Poll::Ready(match pin!(down.read_body()).poll(context) {
            Poll::Ready(piece) => piece.map(Some),
            Poll::Pending => Ok(None),
        })
    })
    .await
}

/// Appends to the file, which is made, or moved from memory to disk, as needed.
fn store(
    file: Option<(File, bool)>,
    small: bool,
    inline: &mut Vec<u8>,
    bytes: &[u8],
    buffers: &Buffers,
) -> io::Result<(File, bool)> {
    let (mut file, in_memory) = match file {
        Some((memory, true)) if !small => {
            let mut disk = temporary_file(buffers)?;
            let mut memory = memory;
            io::Seek::rewind(&mut memory)?;
            io::copy(&mut memory, &mut disk)?;
            (disk, false)
        }
        Some(file) => file,
        None if small => (memory_file()?, true),
        None => (temporary_file(buffers)?, false),
    };
    if !inline.is_empty() {
        file.write_all(inline)?;
        *inline = Vec::new();
    }
    file.write_all(bytes)?;
    Ok((file, in_memory))
}
