//! The connections of HTTP/2 of each front thread, by the server they lead to.

use std::{cell::RefCell, sync::Arc};

use tokio::sync::Mutex;

use super::connection::{Connection, Full, Lease};
use crate::upstream::idle::Place;

/// What one front thread has to one server.
#[derive(Default)]
struct Entry {
    connections: Vec<Arc<Connection>>,
    /// Held by the one who opens another: those who come meanwhile share it with them.
    opening: Arc<Mutex<()>>,
    /// It chose HTTP/1.1 the last time: there is nothing to be shared.
    speaks_http1: bool,
}

thread_local! {
    /// By the server's number.
    static POOL: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

fn with<R>(place: &Place, look: impl FnOnce(&mut Entry) -> R) -> R {
    POOL.with_borrow_mut(|pool| {
        if pool.len() <= place.number() {
            pool.resize_with(place.number() + 1, Entry::default);
        }
        look(&mut pool[place.number()])
    })
}

/// Takes a stream of a connection that can have one more. Those that have ended are let go.
pub(super) fn take(place: &Place) -> Option<Lease> {
    // What is let go is dropped outside: it may come back here.
    let mut ended = Vec::new();
    let lease = with(place, |entry| {
        let mut at = 0;
        while let Some(connection) = entry.connections.get(at) {
            match connection.lease() {
                Ok(lease) => return Some(lease),
                Err(Full::Now) => at += 1,
                Err(Full::ForEver) => ended.push(entry.connections.swap_remove(at)),
            }
        }
        None
    });
    drop(ended);
    lease
}

/// It can be found from here on.
pub(super) fn put(place: &Place, connection: Arc<Connection>) {
    with(place, |entry| entry.connections.push(connection));
}

/// These can be found no more.
pub(super) fn remove(place: &Place, which: impl Fn(&Connection) -> bool) {
    let removed: Vec<_> = with(place, |entry| {
        entry
            .connections
            .extract_if(.., |connection| which(connection))
            .collect()
    });
    drop(removed);
}

/// How many there are of these.
pub(super) fn count(place: &Place, which: impl Fn(&Connection) -> bool) -> usize {
    with(place, |entry| {
        entry
            .connections
            .iter()
            .filter(|connection| which(connection))
            .count()
    })
}

/// Who opens a connection holds this; `None`: nobody need wait for another.
pub(super) fn opening(place: &Place) -> Option<Arc<Mutex<()>>> {
    with(place, |entry| {
        (!entry.speaks_http1).then(|| Arc::clone(&entry.opening))
    })
}

/// The server has chosen a version.
pub(super) fn set_speaks_http1(place: &Place, speaks_http1: bool) {
    with(place, |entry| entry.speaks_http1 = speaks_http1);
}
