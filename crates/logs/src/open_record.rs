//! The guard that turns a record into exactly one line.

use std::ops::{Deref, DerefMut};

use crate::{AccessLog, Outcome, Record};

/// nginx's status for a client that left before anything was sent.
const CLIENT_GONE: u16 = 499;

/// The status of a request that a panic cut off before anything was sent.
const OUR_FAULT: u16 = 500;

/// The status of a request that the end of the server cut off before anything was sent.
const SHUTDOWN: u16 = 503;

/// A record that is still being filled. Its line is written when it is [finished](OpenRecord::finish) or dropped,
/// whichever comes first: a request that is cut off anywhere, by a lost client, a cancelled task or a panic, still has
/// its line, and nothing can write it twice.
#[derive(Debug)]
#[must_use = "the line is written as soon as this is dropped"]
pub struct OpenRecord {
    record: Record,
    log: AccessLog,
    finished: bool,
}

impl OpenRecord {
    pub(crate) fn new(record: Record, log: AccessLog) -> Self {
        Self {
            record,
            log,
            finished: false,
        }
    }

    /// The request is over: writes its line. An outcome that nobody set is [`Outcome::Ok`].
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl Deref for OpenRecord {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl DerefMut for OpenRecord {
    fn deref_mut(&mut self) -> &mut Record {
        &mut self.record
    }
}

/// The only place where a line is born.
impl Drop for OpenRecord {
    fn drop(&mut self) {
        let record = &mut self.record;
        record.total_us = u64::try_from(record.elapsed().as_micros()).unwrap_or(u64::MAX);
        if record.outcome.is_none() {
            record.outcome = Some(if self.finished && record.status.is_some() {
                Outcome::Ok
            } else if std::thread::panicking() {
                Outcome::Internal
            } else if self.log.cuts() {
                Outcome::Shutdown
            } else {
                Outcome::ClientGone
            });
        }
        // Nothing was sent, so the client has seen no status at all: 499, as nginx says, unless it was our
        // doing.
        record.status.get_or_insert(match record.outcome {
            Some(Outcome::Internal) => OUR_FAULT,
            Some(Outcome::Shutdown) => SHUTDOWN,
            _ => CLIENT_GONE,
        });
        self.log.write(record);
    }
}
