//! Connections to servers that wait for their next request, kept by each front thread for itself.
//!
//! A connection belongs to the event loop of its thread, so a thread takes none of another's, and nothing has to be locked.
//! Nobody watches them one by one: the loop hears of it when a server closes one or says something unasked, and it is
//! looked at when it is taken. What is not taken for long is closed by one task per thread.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::connection::ServerConnection;

/// An idle connection is kept this long at most; below the minute after which many servers close it on their side.
const IDLE_TIME_MAX: Duration = Duration::from_secs(50);

/// How often those are closed that have waited for too long, or that their server has closed.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Before a server closes a connection we stop using it: a request must not meet the close on its way.
const MARGIN: Duration = Duration::from_secs(1);

/// Where the idle connections to one server are found: a number that no other server has as long as this
/// lives.
#[derive(Debug)]
pub(super) struct Place(usize);

/// Numbers that are free again, and the lowest that was never given; names come to mean other servers all the
/// time.
static FREE: Mutex<(Vec<usize>, usize)> = Mutex::new((Vec::new(), 0));

impl Place {
    pub(super) fn new() -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        Self(free.0.pop().unwrap_or_else(|| {
            free.1 += 1;
            free.1 - 1
        }))
    }

    /// Its number.
    pub(super) fn number(&self) -> usize {
        self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.0.push(self.0);
    }
}

struct Idle {
    connection: ServerConnection,
    until: Instant,
    /// The number is not given to another server before this is closed.
    _place: Arc<Place>,
}

/// The idle connections of one front thread.
#[derive(Default)]
struct Pool {
    /// By the server's number; the last one of each was used last.
    idle: Vec<VecDeque<Idle>>,
    /// A task closes what has waited for too long.
    swept: bool,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// Takes the connection to this server that was used last, if it is as it was left. `surely`: what is sent on
/// it cannot be sent again.
pub(super) fn take(place: &Place, now: Instant, surely: bool) -> Option<ServerConnection> {
    POOL.with_borrow_mut(|pool| {
        let idle = pool.idle.get_mut(place.0)?;
        while let Some(mut last) = idle.pop_back() {
            if last.until > now && last.connection.is_quiet(surely) {
                return Some(last.connection);
            }
        }
        None
    })
}

/// Keeps a connection whose answer is whole. The server keeps it for `patience`; of one place there are never more than
/// `connections_max`.
pub(super) fn keep(
    place: &Arc<Place>,
    mut connection: ServerConnection,
    patience: Duration,
    connections_max: usize,
    now: Instant,
) {
    let patience = patience.saturating_sub(MARGIN).min(IDLE_TIME_MAX);
    if connections_max == 0 || patience.is_zero() {
        return;
    }
    connection.rest();
    let until = now + patience;
    let sweep = POOL.with_borrow_mut(|pool| {
        if pool.idle.len() <= place.0 {
            pool.idle.resize_with(place.0 + 1, VecDeque::new);
        }
        let idle = &mut pool.idle[place.0];
        if idle.len() >= connections_max {
            idle.pop_front();
        }
        idle.push_back(Idle {
            connection,
            until,
            _place: Arc::clone(place),
        });
        !std::mem::replace(&mut pool.swept, true)
    });
    if sweep {
        tokio::spawn(sweep_on());
    }
}

async fn sweep_on() {
    // Dropped with its runtime, it makes room for the task of another one on this thread.
    let _swept = Swept;
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        if sweep(Instant::now()) == 0 {
            return;
        }
    }
}

struct Swept;

impl Drop for Swept {
    fn drop(&mut self) {
        // Where the thread is ending there is nothing left to tell.
        let _ = POOL.try_with(|pool| {
            if let Ok(mut pool) = pool.try_borrow_mut() {
                pool.swept = false;
            }
        });
    }
}

/// Closes what has waited for too long or was closed by its server; says how many are left.
fn sweep(now: Instant) -> usize {
    POOL.with_borrow_mut(|pool| {
        let mut left = 0;
        for idle in &mut pool.idle {
            idle.retain_mut(|idle| idle.until > now && idle.connection.is_quiet(false));
            left += idle.len();
        }
        left
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::upstream::connection::Address;

    const LONG: Duration = Duration::MAX;

    /// A connection and its server's end.
    async fn pair() -> (ServerConnection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let opened = ServerConnection::open(&Address::Tcp(address), None)
            .await
            .unwrap();
        (opened, listener.accept().await.unwrap().0)
    }

    /// Waits until the loop of this thread has heard of what its sockets have to say.
    async fn heard(place: &Place) {
        let quiet = || {
            POOL.with_borrow_mut(|pool| {
                pool.idle[place.0]
                    .iter_mut()
                    .all(|idle| idle.connection.is_quiet(true))
            })
        };
        while quiet() {
            tokio::task::yield_now().await;
        }
        // One more round: what the kernel knows the loop hears when it looks.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_connection_used_last_is_taken_first() {
        let now = Instant::now();
        let place = Arc::new(Place::new());
        let mut servers = Vec::new();
        for number in 0..3u8 {
            let (mut connection, server) = pair().await;
            connection.output().extend_from_slice(&[number]);
            connection.sent().await;
            servers.push(server);
            keep(&place, connection, LONG, 2, now);
        }
        assert!(take(&Place::new(), now, false).is_none());
        for number in [2, 1] {
            let mut connection = take(&place, now, true).unwrap();
            assert!(connection.is_kept());
            connection.output().extend_from_slice(b"x");
            connection.sent().await;
            let mut got = [0; 2];
            servers[usize::from(number)].read_exact(&mut got).await.unwrap();
            assert_eq!(got, [number, b'x']);
        }
        // The third one was one too many, and the oldest was closed for it.
        assert!(take(&place, now, false).is_none());
        let mut got = Vec::new();
        servers[0].read_to_end(&mut got).await.unwrap();
        assert_eq!(got, [0]);
    }

    #[tokio::test]
    async fn what_its_server_has_closed_or_talks_on_is_not_taken() {
        let now = Instant::now();
        let place = Arc::new(Place::new());
        for surely in [true, false] {
            let (connection, server) = pair().await;
            keep(&place, connection, LONG, 9, now);
            drop(server);
            heard(&place).await;
            assert!(take(&place, now, surely).is_none());
            let (connection, mut server) = pair().await;
            keep(&place, connection, LONG, 9, now);
            server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            heard(&place).await;
            assert!(take(&place, now, surely).is_none());
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_for_longer_than_its_server_does() {
        let now = Instant::now();
        let place = Arc::new(Place::new());
        let second = Duration::from_secs(1);
        let mut servers = Vec::new();
        for patience in [second, 5 * second, LONG] {
            let (connection, server) = pair().await;
            keep(&place, connection, patience, 9, now);
            servers.push(server);
        }
        assert_eq!(sweep(now), 2);
        assert_eq!(sweep(now + 4 * second), 1);
        assert_eq!(sweep(now + IDLE_TIME_MAX), 0);
        for mut server in servers {
            assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        }
        let (connection, mut server) = pair().await;
        keep(&place, connection, LONG, 0, now);
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "none is to be kept");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_were_closed_are_let_go() {
        let place = Arc::new(Place::new());
        let (connection, mut server) = pair().await;
        keep(&place, connection, LONG, 9, Instant::now());
        server.shutdown().await.unwrap();
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "the task has closed it");
    }

    #[tokio::test]
    async fn a_number_is_not_given_again_while_a_connection_waits_there() {
        let place = Arc::new(Place::new());
        let (connection, _server) = pair().await;
        keep(&place, connection, LONG, 9, Instant::now());
        let watched = Arc::downgrade(&place);
        drop(place);
        assert!(watched.upgrade().is_some());
        sweep(Instant::now() + IDLE_TIME_MAX);
        assert!(watched.upgrade().is_none());
    }
}
