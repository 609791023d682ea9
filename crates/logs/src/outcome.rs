//! How a request ended.

/// How a request ended, and who was to blame when it did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The answer was sent whole, whatever its status.
    Ok,
    /// The client left before the answer was sent whole.
    ClientGone,
    /// The client was too slow with its head or body, or in taking the answer.
    ClientTimeout,
    /// There is no site for the host that was asked for.
    UnknownHost,
    /// Refused by our rules: a malformed head, a limit, a forbidden address.
    Refused,
    /// The queue was full, or the request waited in it for too long.
    Overload,
    /// The application did not answer within its deadline.
    Timeout,
    /// The worker died while it had the request.
    WorkerDied,
    /// The application failed: an exception, or an answer that is against the rules.
    AppFailed,
    /// An upstream server could not be reached or broke off.
    UpstreamFailed,
    /// The server ended it: a stop or a reload did not wait for it any longer.
    Shutdown,
    /// Our own fault.
    Internal,
}

impl Outcome {
    /// The stable name in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientGone => "client_gone",
            Self::ClientTimeout => "client_timeout",
            Self::UnknownHost => "unknown_host",
            Self::Refused => "refused",
            Self::Overload => "overload",
            Self::Timeout => "timeout",
            Self::WorkerDied => "worker_died",
            Self::AppFailed => "app_failed",
            Self::UpstreamFailed => "upstream_failed",
            Self::Shutdown => "shutdown",
            Self::Internal => "internal",
        }
    }
}
