//! The end of a proxy: stop accepting, let what runs end, cut what is left.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

/// Tells every connection of the process when to end, and counts them. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    draining: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
    cut: watch::Sender<bool>,
    idle_ms: AtomicU64,
    open: AtomicUsize,
    empty: Notify,
}

/// One open connection; it is closed when this is dropped.
#[derive(Debug)]
#[must_use = "the connection counts as closed when this is dropped"]
pub(crate) struct Guard {
    inner: Arc<Inner>,
}

impl Drain {
    /// Nothing is open and nobody is asked to leave.
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                draining: watch::Sender::new(false),
                stopping: watch::Sender::new(false),
                cut: watch::Sender::new(false),
                idle_ms: AtomicU64::new(0),
                open: AtomicUsize::new(0),
                empty: Notify::new(),
            }),
        }
    }

    /// Begins: no connection is accepted any more, idle ones end after `idle`, running requests go on.
    pub(crate) fn start(&self, idle: Duration) {
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        self.inner.idle_ms.store(idle_ms, Ordering::Relaxed);
        self.inner.draining.send_replace(true);
    }

    /// Behind [`Drain::start`]: who has no request waits for none any more.
    pub(crate) fn leave_idle(&self) {
        self.inner.idle_ms.store(0, Ordering::Relaxed);
    }

    /// What runs has a grace from now on, and no more: this is a stop, and no reload.
    pub(crate) fn stop(&self) {
        self.inner.stopping.send_replace(true);
    }

    /// The grace is over: whatever is still open is closed now.
    pub(crate) fn cut_now(&self) {
        self.inner.draining.send_replace(true);
        self.inner.cut.send_replace(true);
    }

    /// Has the drain begun?
    pub(crate) fn is_draining(&self) -> bool {
        *self.inner.draining.borrow()
    }

    /// Resolves when the drain begins, at once when it has.
    pub(crate) async fn draining(&self) {
        wait_for(self.inner.draining.subscribe()).await;
    }

    /// Resolves when what would last for ever is to end.
    pub(crate) async fn stopping(&self) {
        wait_for(self.inner.stopping.subscribe()).await;
    }

    /// Resolves when what is left is to be cut.
    pub(crate) async fn cut(&self) {
        wait_for(self.inner.cut.subscribe()).await;
    }

    /// How long an idle kept-alive connection waits during the drain for a request that may be on its way: closing it at
    /// once would fail that request.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.inner.idle_ms.load(Ordering::Relaxed))
    }

    /// Counts a connection.
    pub(crate) fn connection(&self) -> Guard {
        self.inner.open.fetch_add(1, Ordering::Relaxed);
        Guard {
            inner: Arc::clone(&self.inner),
        }
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.inner.open.load(Ordering::Acquire)
    }

    /// Resolves when no connection is open.
    pub(crate) async fn idle(&self) {
        loop {
            let empty = self.inner.empty.notified();
            tokio::pin!(empty);
            // Registered before the count is read, so that the last close cannot slip in between.
            empty.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.inner.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.inner.empty.notify_waiters();
        }
    }
}

async fn wait_for(mut signal: watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the process.
    let _ = signal.wait_for(|raised| *raised).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_waits_for_the_last_connection() {
        let drain = Drain::new();
        drain.idle().await;
        let first = drain.connection();
        let second = drain.connection();
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.idle().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_drain_is_told_to_those_who_came_before_and_after() {
        let drain = Drain::new();
        let before = tokio::spawn({
            let drain = drain.clone();
            async move { drain.draining().await }
        });
        tokio::task::yield_now().await;
        assert!(!drain.is_draining());
        drain.start(Duration::from_secs(2));
        before.await.unwrap();
        drain.draining().await;
        assert_eq!(drain.patience(), Duration::from_secs(2));
        drain.leave_idle();
        assert_eq!(drain.patience(), Duration::ZERO);
        assert!(!*drain.inner.cut.borrow());
        drain.cut_now();
        drain.cut().await;
    }
}
