//! Why an application gives no answer, or no whole one.

use logs::Outcome;
use wire::frame::AbortReason;

use super::dispatcher::Failure;

/// Why there is no (whole) answer from the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Failed(Failure),
    Aborted(AbortReason),
    /// The answer itself is against the rules.
    BadAnswer,
    /// So many answers wait for their clients that there is no room for this one.
    Crowded,
}

impl Fault {
    /// Status and blame.
    pub(super) fn verdict(self) -> (u16, Outcome) {
        match self {
            Self::Failed(Failure::QueueTimeout | Failure::Down | Failure::Undelivered) | Self::Crowded => {
                (503, Outcome::Overload)
            }
            Self::Failed(Failure::Timeout) => (504, Outcome::Timeout),
            // Given back although it was started: as good as dead.
            Self::Failed(Failure::WorkerDied) | Self::Aborted(AbortReason::NotStarted) => {
                (502, Outcome::WorkerDied)
            }
            // Somebody still waits for it, so its client is not why: its worker had to leave.
            Self::Aborted(AbortReason::Cancelled) => (502, Outcome::Shutdown),
            Self::Aborted(AbortReason::Exception | AbortReason::Protocol) => (500, Outcome::AppFailed),
            // It says that it has answered elsewhere, and there is nothing.
            Self::Aborted(AbortReason::Switched) | Self::BadAnswer => (502, Outcome::AppFailed),
        }
    }
}
