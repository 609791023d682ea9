//! An answer on its way through: what has come of it, and what may still come.

use std::sync::Arc;

use bytes::Bytes;
use config::Buffers;
use message::fields::Fields;
use wire::frame::FileRange;

use super::{answer_head, backlog::Backlog, call::Event, fault::Fault, spare::Spare};

/// An answer on its way through.
pub(super) struct Flow<'a> {
    pub(super) backlog: Backlog<'a>,
    /// Body bytes that may still come; `None`: any number.
    left: Option<u64>,
    /// What comes behind the last of them.
    pub(super) trailers: Option<Fields>,
    pub(super) fault: Option<Fault>,
}

/// What an event means for the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absorbed {
    /// More follows.
    More,
    /// That was the last.
    Last,
    /// Nothing of the kind may come here: the worker breaks the protocol.
    Strange,
    /// More answers or files of the application wait for clients than there is room for: nothing more of this
    /// one is wanted.
    Beyond,
}

impl<'a> Flow<'a> {
    /// The head has come and says how many body bytes there are.
    pub(super) fn new(buffers: &'a Buffers, spare: &Arc<Spare>, left: Option<u64>) -> Self {
        Self {
            backlog: Backlog::new(buffers, spare),
            left,
            trailers: None,
            fault: None,
        }
    }

    /// Has all come that was announced, and nothing gone wrong?
    pub(super) fn is_whole(&self) -> bool {
        self.fault.is_none() && self.left.is_none_or(|left| left == 0)
    }

    /// Takes what the worker says after the head.
    pub(super) fn absorb(&mut self, event: Event) -> Absorbed {
        let end = match event {
            Event::Data { bytes, end } => {
                self.take(bytes);
                if self.backlog.is_beyond() {
                    self.fault = Some(Fault::Crowded);
                    return Absorbed::Beyond;
                }
                end
            }
            Event::File { file, .. } if file.is_beyond() => {
                self.fault = Some(Fault::Crowded);
                return Absorbed::Beyond;
            }
            Event::File { file, range, end } => {
                let offset = range.offset;
                let len = self.fits(range.len);
                self.backlog.push_file(file, FileRange { offset, len });
                end
            }
            Event::Trailers(payload) => {
                match answer_head::trailers(&payload) {
                    Ok(fields) => self.trailers = Some(fields),
                    Err(cause) => {
                        tracing::error!(%cause, "trailers refused");
                        self.fault = Some(Fault::BadAnswer);
                    }
                }
                true
            }
            Event::Abort(reason) => {
                self.fault = Some(Fault::Aborted(reason));
                true
            }
            Event::Fail(failure) => {
                self.fault = Some(Fault::Failed(failure));
                true
            }
            // Credit for a request that is with the worker already.
            Event::Credit(_) | Event::Leaving | Event::Returned(_) => false,
            Event::Response { .. }
            | Event::Informational(_)
            | Event::Accept(_)
            | Event::Socket(_)
            | Event::Message { .. }
            | Event::Close(_) => {
                self.fault = Some(Fault::BadAnswer);
                return Absorbed::Strange;
            }
        };
        if end { Absorbed::Last } else { Absorbed::More }
    }

    /// Takes body bytes.
    pub(super) fn take(&mut self, mut bytes: Bytes) {
        let fits = self.fits(bytes.len() as u64);
        bytes.truncate(fits as usize);
        self.backlog.push(bytes);
    }

    /// Never more than was announced: what is too much would be taken for the next answer.
    fn fits(&mut self, len: u64) -> u64 {
        match &mut self.left {
            None => len,
            Some(left) => {
                let fits = len.min(*left);
                *left -= fits;
                fits
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::app_file::{Files, Held};

    #[test]
    fn a_file_that_the_app_may_not_have_ends_its_answer_alone() {
        let buffers = Buffers {
            memory_bytes: 4096,
            shared_bytes: 0,
            response_bytes_max: 1 << 20,
            directory: std::env::temp_dir(),
        };
        let mut files = Files::new(&Held::new(1));
        let mut flow = Flow::new(&buffers, &Spare::new(0), None);
        let mut send = || {
            let file = tempfile::tempfile().expect("a file");
            flow.absorb(Event::File {
                file: files.take(file.into()).expect("a regular file"),
                range: FileRange { offset: 0, len: 1 },
                end: false,
            })
        };
        assert_eq!((send(), send()), (Absorbed::More, Absorbed::Beyond));
        assert_eq!(flow.fault, Some(Fault::Crowded));
    }
}
