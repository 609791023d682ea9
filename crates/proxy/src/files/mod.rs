//! Files below a directory, as nginx's `alias` serves them.
//!
//! A request goes through [`find`] (a file, safely), [`encoding`] (a compressed sibling instead), [`condition`] (does the
//! client have it already), [`range`] (which part of it), and is sent. Opening, `fstat` and reads of small files run on the
//! front thread: on a local disk they cost less than handing them to another thread would. Large files go piece by piece
//! through [`Downstream::send_file`].

mod condition;
mod content_type;
mod encoding;
mod find;
mod plan;
mod range;
mod root;
mod validators;
mod walk;

#[cfg(test)]
mod tests;

use std::{fs::File, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use config::Files;

use crate::{
    downstream::{ClientError, Downstream},
    redirect,
    request::Request,
};

use find::{Fault, Found};
use plan::{Piece, Plan};

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// The answer was sent whole.
    Sent,
    /// The file shrank while it was sent; the answer is left without its end.
    Cut,
    /// Nothing was sent: the caller answers with the page of this status, and with a field.
    Refused {
        /// Status
        status: u16,
        /// Name and value.
        field: Option<(&'static str, String)>,
    },
}

/// Answers a request with a file.
pub(crate) async fn answer<D: Downstream>(
    down: &mut D,
    request: &Request,
    files: &Files,
) -> Result<Served, ClientError> {
    if !matches!(down.head().method.as_str(), "GET" | "HEAD") {
        return Ok(refused(405, Some(("allow", "GET, HEAD".into()))));
    }
    let file = match find::find(files, &request.path) {
        Ok(Found::File(file)) => file,
        Ok(Found::Directory) => {
            let mut path = request.path.clone();
            path.push(b'/');
            redirect::send(down, 301, &redirect::target(&path, &request.query)).await?;
            return Ok(Served::Sent);
        }
        Err(fault) => return Ok(fault_of(&fault, &request.path)),
    };
    let head = down.head();
    let (file, answer, pieces) = match plan::plan(file, files, head) {
        Plan::Send { file, answer, pieces } => (file, answer, pieces),
        Plan::Refuse { status, field } => return Ok(refused(status, field)),
    };
    // A small file is read before anything is sent, so that a failure still has its page and all leaves in one write.
    let small = match pieces.as_slice() {
        [Piece::Part { offset, len }] if *len <= SMALL_BYTES_MAX => match read(&file, *offset, *len) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                tracing::error!(path = %request.path.escape_ascii(), %error, "file can not be read");
                return Ok(refused(500, None));
            }
        },
        _ => None,
    };
    down.send_head(&answer).await?;
    if let Some(bytes) = small {
        down.send_body(bytes).await?;
    } else if !send(down, file, pieces).await? {
        tracing::warn!(path = %request.path.escape_ascii(), "file shrank while it was sent, answer cut");
        return Ok(Served::Cut);
    }
    down.end().await?;
    Ok(Served::Sent)
}

/// Sends the pieces; `false` when the file turned out to be shorter than it was.
async fn send<D: Downstream>(down: &mut D, file: File, pieces: Vec<Piece>) -> Result<bool, ClientError> {
    let file = Arc::new(file);
    for piece in pieces {
        match piece {
            Piece::Text(text) => down.send_body(text).await?,
            Piece::Part { offset, len } => {
                let before = down.bytes_out();
                let sent = down.send_file(&file, offset, len).await;
                if down.bytes_out() - before < len && is_shorter(&file, offset + len) {
                    return Ok(false);
                }
                sent?;
            }
        }
    }
    Ok(true)
}

fn is_shorter(file: &File, end: u64) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.len() < end)
}

fn read(file: &File, offset: u64, len: u64) -> std::io::Result<Bytes> {
    let mut buffer = vec![0; len as usize];
    file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer.into())
}

fn refused(status: u16, field: Option<(&'static str, String)>) -> Served {
    Served::Refused { status, field }
}

/// Who may read it, where the fault lies, and whether a human should look.
fn fault_of(fault: &Fault, path: &[u8]) -> Served {
    let path = path.escape_ascii();
    let status = match fault {
        Fault::Absent => 404,
        Fault::Hidden => {
            tracing::debug!(%path, "dot-file refused");
            404
        }
        Fault::Outside => {
            tracing::debug!(%path, "symbolic link out of the directory refused");
            404
        }
        Fault::Special => {
            tracing::debug!(%path, "neither file nor directory, refused");
            404
        }
        Fault::NoIndex => 403,
        Fault::Forbidden => {
            tracing::warn!(%path, "file may not be read: permission denied");
            403
        }
        Fault::Failed(error) => {
            tracing::error!(%path, %error, "file can not be opened");
            500
        }
    };
    refused(status, None)
}

/// Up to this size a file is read at once.
const SMALL_BYTES_MAX: u64 = 64 * 1024;
