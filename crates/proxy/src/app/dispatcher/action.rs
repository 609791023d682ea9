//! What a dispatcher is told at the start, and what it says.

/// What the dispatcher keeps to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Requests that may wait.
    pub(crate) queue_length_max: usize,
    /// How long one may wait.
    pub(crate) queue_timeout_ns: u64,
    /// How long one may run; how long an evented worker may take to begin the answer.
    pub(crate) request_timeout_ns: u64,
    /// Requests a worker runs at the same time.
    pub(crate) window: usize,
    /// One loop runs all requests of a worker (ASGI, greenlets): it is never given more than it runs, an answer that has
    /// begun may go on for ever, and a request past its deadline is ended by itself, without its worker.
    pub(crate) evented: bool,
}

/// Why a request is not even queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The queue is full.
    Full,
    /// No worker can be had.
    Down,
}

/// Why a request that was accepted gets no answer from the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It waited too long.
    QueueTimeout,
    /// No worker can be had any more.
    Down,
    /// It ran too long.
    Timeout,
    /// Its worker died and it may not be run again.
    WorkerDied,
    /// The kernel did not take the descriptor of its body for any worker.
    Undelivered,
}

/// What the edge has to do, in this order.
#[derive(Debug)]
pub(crate) enum Action<T> {
    /// Write the request to the link; its page entry is set.
    Send {
        /// On which link.
        link: LinkIndex,
        /// Number of the stream.
        stream: u32,
        /// Entry of the page.
        entry: u16,
        /// The request.
        item: T,
        /// How long it has waited.
        waited_ns: u64,
    },
    /// Tell the worker that nobody waits for the stream's answer.
    Cancel {
        /// On which link.
        link: LinkIndex,
        /// Number of the stream.
        stream: u32,
        /// It ran past its deadline: what runs it should be ended.
        overdue: bool,
    },
    /// A request of an evented worker ran past its deadline and is ended there; the worker goes on.
    Overdue {
        /// On which link.
        link: LinkIndex,
        /// The request.
        item: T,
        /// For how long.
        elapsed_ns: u64,
    },
    /// Nothing more comes for this request.
    Fail {
        /// The request.
        item: T,
        /// Why.
        failure: Failure,
    },
    /// A request waits, and no link takes requests.
    Wanted,
    /// A request, or the whole worker, is stuck: the worker must be replaced.
    Overrun {
        /// On which link.
        link: LinkIndex,
        /// The request; `None` when the worker takes none at all.
        item: Option<T>,
        /// The kernel's id of the thread that runs it, 0 when unknown.
        thread: u32,
        /// For how long.
        elapsed_ns: u64,
    },
    /// A link that was to be left has nothing in flight any more: close it.
    Idle {
        /// Which.
        link: LinkIndex,
    },
}

/// Position of a link in its dispatcher; used again after [`Dispatcher::link_dead`].
pub(crate) type LinkIndex = usize;
