//! What the connection loop needs from the rest of the proxy.

use bytes::Bytes;
use logs::{OpenRecord, Record, Remote};
use message::answer::Answer;

use super::session::Http1Session;
use crate::drain::Drain;

/// What the connection loop needs from the rest of the proxy; the loop's own tests bring another one.
pub(crate) trait Handler: Send + Sync {
    /// When to leave.
    fn drain(&self) -> &Drain;

    /// Opens the record of a request.
    fn open(&self, peer: Remote) -> OpenRecord;

    /// The answer to a request that could not even be read, and its body.
    fn refusal(&self, status: u16) -> (Answer, Bytes);

    /// Answers a request.
    fn answer(&self, session: &mut Http1Session<'_>, record: &mut Record) -> impl Future<Output = ()> + Send;
}
