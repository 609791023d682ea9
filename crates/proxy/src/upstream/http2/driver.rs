//! The task that drives a connection of HTTP/2.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use h2::Ping;
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{
    connection::{Connection, Driven, State},
    pool,
};
use crate::upstream::{failure::Failure, idle::Place, server_socket::ServerSocket};

/// Speaks HTTP/2 on a socket that nothing was sent on, from a task of its own. `place`: where the connection
/// is found while it lives, and how many may be idle there; `None`: it serves one request.
pub(super) async fn open(
    socket: ServerSocket,
    place: Option<(&Arc<Place>, usize)>,
) -> Result<Arc<Connection>, Failure> {
    let (connection, driven) = Connection::open(socket).await?;
    if let Some((place, _)) = place {
        pool::put(place, Arc::clone(&connection));
    }
    let place = place.map(|(place, kept_max)| (Arc::clone(place), kept_max));
    tokio::spawn(drive(driven, place));
    Ok(connection)
}

/// Drives a connection to its end. Without requests it is given up after a while: h2 closes what nobody
/// holds.
async fn drive(driven: Driven, place: Option<(Arc<Place>, usize)>) {
    let Driven { mut h2, state } = driven;
    let mut pings = h2.ping_pong();
    let mut waits_for_pong = false;
    let mut idle_until = Instant::now() + IDLE_TIME_MAX;
    let mut leaves_by = None;
    loop {
        if state.wants_ping.swap(false, Ordering::Relaxed)
            && !waits_for_pong
            && let Some(pings) = &mut pings
        {
            waits_for_pong = pings.send_ping(Ping::opaque()).is_ok();
        }
        let is_idle = state.is_idle();
        let deadline = leaves_by.unwrap_or(idle_until);
        select! {
            biased;
            ended = poll_fn(|cx| Pin::new(&mut h2).poll(cx)) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "HTTP/2 connection to an upstream server ended");
                }
                break;
            }
            () = poll_fn(|cx| match &mut pings {
                Some(pings) => pings.poll_pong(cx).map(drop),
                None => Poll::Pending,
            }), if waits_for_pong => waits_for_pong = false,
            () = state.changed.notified() => {
                idle_until = Instant::now() + IDLE_TIME_MAX;
                let is_spare = |(place, kept_max): &(Arc<Place>, usize)| {
                    state.heard.is_doubted() || pool::count(place, Connection::is_idle) > *kept_max
                };
                if state.is_idle() && place.as_ref().is_some_and(is_spare) {
                    idle_until = Instant::now();
                }
            }
            () = sleep_until(deadline), if is_idle => {
                if leaves_by.is_some() {
                    break;
                }
                // A request may have begun since.
                if !state.is_idle() {
                    idle_until = Instant::now() + IDLE_TIME_MAX;
                    continue;
                }
                leaves_by = Some(Instant::now() + FAREWELL);
                forget(place.as_ref(), &state);
            }
        }
    }
    forget(place.as_ref(), &state);
}

/// It is found no more.
fn forget(place: Option<&(Arc<Place>, usize)>, state: &Arc<State>) {
    if let Some((place, _)) = place {
        pool::remove(place, |connection| connection.is_of(state));
    }
}

/// A connection without requests is kept this long, as one of HTTP/1.1 is.
const IDLE_TIME_MAX: Duration = Duration::from_secs(50);

/// A farewell may take this long.
const FAREWELL: Duration = Duration::from_secs(5);
