//! Files below a directory, as nginx's `alias` serves them.
//!
//! A request goes through [`find`] (a file, safely), [`encoding`] (a compressed sibling instead),
//! [`condition`] (does the client have it already), [`range`] (which part of it), and is sent. Opening,
//! `fstat` and reads of small files run on the front thread: on a local disk they cost less than handing them
//! to another thread would, and what is asked for often is [`kept`] for a moment. What lies on a file system
//! that may let us wait (NFS, FUSE) is [`distant`]. Large files go piece by piece through
//! [`Downstream::send_file`].

mod condition;
mod content;
mod content_type;
mod distant;
mod encoding;
mod find;
mod kept;
mod outage;
mod plan;
mod range;
mod refused_links;
mod root;
mod validators;
mod walk;

#[cfg(test)]
mod tests;

use std::fs::File;

use config::Files;
use message::{client_error::ClientError, downstream::Downstream, head::Head, request::Request};

use crate::redirect;

use content::{Data, SMALL_BYTES_MAX, read};
use find::{Fault, Found};
use plan::{Piece, Plan};
use root::Reach;

/// Methods that files have.
pub(crate) const METHODS: &str = "GET, HEAD";

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

/// Answers a request with a file; `headers` are those of the route, which say what a client compares with.
pub(crate) async fn answer<D: Downstream>(
    down: &mut D,
    request: &Request,
    files: &Files,
    headers: &[(String, String)],
) -> Result<Served, ClientError> {
    if !matches!(down.head().method.as_str(), "GET" | "HEAD") {
        return Ok(refused(405, Some(("allow", METHODS.into()))));
    }
    let mut looked = look(files, &request.path, headers, down.head(), Reach::Near);
    if matches!(looked, Looked::Fault(Fault::Elsewhere)) {
        let head = down.head().clone();
        looked = tokio::select! {
            biased;
            looked = Box::pin(distant::look(files, &request.path, headers, head)) => looked,
            () = distant::gone(down) => return Err(ClientError::Gone),
        };
    }
    let (data, answer, pieces) = match looked {
        Looked::Plan(Plan::Send { data, answer, pieces }) => (data, answer, pieces),
        Looked::Plan(Plan::Refuse { status, field }) => return Ok(refused(status, field)),
        Looked::Directory => {
            let mut path = request.path.clone();
            path.push(b'/');
            redirect::send(down, 301, &redirect::target(&path, &request.query)).await?;
            return Ok(Served::Sent);
        }
        Looked::Fault(fault) => return Ok(fault_of(&fault, &request.path)),
    };
    // A small file is read before anything is sent, so that a failure still has its page and all leaves in one write.
    let data = match (data, pieces.as_slice()) {
        (Data::File(file), [Piece::Part { offset, len }]) if *len <= SMALL_BYTES_MAX => {
            match read(&file, *offset, *len) {
                Ok(bytes) => {
                    down.send_head(&answer).await?;
                    down.send_body(bytes).await?;
                    down.end().await?;
                    return Ok(Served::Sent);
                }
                Err(error) => {
                    tracing::error!(path = %request.path.escape_ascii(), %error, "file can not be read");
                    return Ok(refused(500, None));
                }
            }
        }
        (data, _) => data,
    };
    down.send_head(&answer).await?;
    if !send(down, &data, pieces).await? {
        tracing::warn!(path = %request.path.escape_ascii(), "file shrank while it was sent, answer cut");
        return Ok(Served::Cut);
    }
    down.end().await?;
    Ok(Served::Sent)
}

/// What a request has come to before anything is sent.
enum Looked {
    Plan(Plan),
    /// A directory, asked for without its slash.
    Directory,
    Fault(Fault),
}

/// Finds the file of a path, and plans the answer.
fn look(files: &Files, path: &[u8], headers: &[(String, String)], head: &Head, reach: Reach) -> Looked {
    match find::find(files, path, reach) {
        Ok(Found::File(file)) => Looked::Plan(plan::plan(file, files, headers, head)),
        Ok(Found::Directory) => Looked::Directory,
        Err(fault) => Looked::Fault(fault),
    }
}

/// Sends the pieces; `false` when the file turned out to be shorter than it was.
async fn send<D: Downstream>(down: &mut D, data: &Data, pieces: Vec<Piece>) -> Result<bool, ClientError> {
    for piece in pieces {
        match (piece, data) {
            (Piece::Text(text), _) => down.send_body(text).await?,
            (Piece::Part { offset, len }, Data::Memory(bytes)) => {
                // Parts were cut to the length of these very bytes.
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let end = usize::try_from(offset.saturating_add(len)).unwrap_or(usize::MAX);
                down.send_body(bytes.slice(start..end.clamp(start, bytes.len())))
                    .await?;
            }
            (Piece::Part { offset, len }, Data::File(file)) => {
                let before = down.bytes_out();
                let sent = down.send_file(file, offset, len).await;
                if down.bytes_out() - before < len && is_shorter(file, offset + len) {
                    return Ok(false);
                }
                sent?;
            }
            (Piece::Part { offset, len }, Data::Distant(file)) => {
                if !Box::pin(distant::send(down, file, offset, len)).await? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

fn is_shorter(file: &File, end: u64) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.len() < end)
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
        Fault::Outside(link) => {
            refused_links::tell(link);
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
        Fault::Elsewhere => {
            outage::tell(&path);
            503
        }
        Fault::Failed(error) => {
            tracing::error!(%path, %error, "file can not be opened");
            500
        }
    };
    refused(status, None)
}
