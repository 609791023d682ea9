//! Waiting with an end.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::{Instant, timeout_at};

/// The wait was longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Waits for `future`, for at most `limit`. A future that is ready at once costs no timer and no look at the
/// clock, which is the usual case on the way of a request.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, TooLong> {
    let mut future = pin!(future);
    if let Some(output) = poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
    {
        return Ok(output);
    }
    timeout_at(Instant::now() + limit, future)
        .await
        .map_err(|_| TooLong)
}

/// Waits for `future` until `deadline`; what is ready at once is never too late.
pub(crate) async fn until<F: Future>(deadline: Instant, future: F) -> Result<F::Output, TooLong> {
    within(deadline.saturating_duration_since(Instant::now()), future).await
}
