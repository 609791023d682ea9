//! Accepting connections, and serving each of them by its protocol.

use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use logs::{OpenRecord, Record, Remote};
use message::{
    answer::{Answer, AnswerLength},
    connection::Connection,
    error_page,
    refusal::Refusal,
};
use tokio::{
    net::{TcpListener, UnixListener},
    select,
    time::timeout_at,
};

use crate::listener::{
    crowd::{Crowd, Guest, Place},
    socket::{Socket, plain_address},
    stream::ClientStream,
    tls::{self, Greeting},
};
use crate::{
    context::Context,
    drain::Drain,
    front::{handler::Handler, http1, session::Http1Session},
    phases, serve,
    unix_socket::UnixSocket,
};

/// A listening socket of ours. One per listener of the configuration, shared by the front threads.
#[derive(Debug)]
pub(crate) struct Listening {
    index: usize,
    socket: OwnedFd,
    address: config::Address,
    crowd: Arc<Crowd>,
}

impl Listening {
    /// The socket of the listener at this position in the configuration.
    pub(crate) fn new(index: usize, socket: OwnedFd, listener: &config::Listener) -> Self {
        Self {
            index,
            socket,
            address: listener.address.clone(),
            crowd: Crowd::new(listener.limits.connections_max),
        }
    }

    /// Its connections.
    pub(crate) fn crowd(&self) -> Arc<Crowd> {
        Arc::clone(&self.crowd)
    }

    /// Accepts until the drain begins; each connection is a task of the runtime that runs this. To be run
    /// once on each front thread.
    ///
    /// # Errors
    /// When the socket cannot be used at all.
    pub(crate) async fn accept(self: Arc<Self>, front: Front) -> io::Result<()> {
        let acceptor = Acceptor::new(&self.socket, &self.address)?;
        let drain = front.drain().clone();
        let mut draining = pin!(drain.draining());
        let mut complained: Option<Instant> = None;
        loop {
            let accepted = select! {
                biased;
                () = &mut draining => return Ok(()),
                accepted = acceptor.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => {
                    // Where the listener is full, one waits here and more of them in the kernel's queue.
                    let place = select! {
                        biased;
                        place = self.crowd.enter() => place,
                        // The next proxy could not take it any more.
                        () = &mut draining => {
                            self.spawn(front.clone(), self.crowd.squeeze_in(), socket, peer);
                            return Ok(());
                        }
                    };
                    self.spawn(front.clone(), place, socket, peer);
                    // The connections of this thread have their turn before the next one is taken from the
                    // other threads.
                    tokio::task::yield_now().await;
                }
                // The client left before it was its turn.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if complained.is_none_or(|at| at.elapsed() > COMPLAINT_EVERY) {
                        complained = Some(Instant::now());
                        tracing::warn!(listener = %self.address, %error, "connections can not be accepted; trying again");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn(&self, front: Front, place: Place, socket: Socket, peer: Option<SocketAddr>) {
        let index = self.index;
        // Counted from here, so that a drain cannot overlook it.
        let guard = front.drain().connection();
        tokio::spawn(async move {
            let drain = front.drain().clone();
            select! {
                biased;
                () = drain.cut() => {}
                () = serve_connection(front, index, socket, peer, &place.guest) => {}
            }
            drop((place, guard));
        });
    }
}

/// The proxy of one front thread.
#[derive(Clone)]
pub(crate) struct Front {
    /// Shared by all threads.
    pub(crate) context: Arc<Context>,
}

impl Handler for Front {
    fn drain(&self) -> &Drain {
        &self.context.drain
    }

    fn open(&self, peer: Remote) -> OpenRecord {
        self.context.log.open(peer)
    }

    fn refusal(&self, status: u16) -> (Answer, Bytes) {
        let (content_type, page) = error_page::page(status);
        let mut answer = Answer::new(status);
        answer.length = AnswerLength::Known(page.len() as u64);
        answer.fields.push("Content-Type", content_type);
        self.context.router.name_server(&mut answer);
        (answer, page)
    }

    async fn answer(&self, session: &mut Http1Session<'_>, record: &mut Record) {
        serve::serve(&self.context, session, record).await;
    }
}

/// One connection, from the handshake to its end.
async fn serve_connection(
    front: Front,
    index: usize,
    socket: Socket,
    peer: Option<SocketAddr>,
    guest: &Guest,
) {
    let limits = &front.context.config.listeners[index].limits;
    let mut connection = Connection {
        listener: index,
        peer,
        local: socket.local(),
        tls: None,
    };
    let Some(config) = front.context.tls.get(index).cloned().flatten() else {
        let stream = Box::new(ClientStream::plain(socket));
        return http1::converse(&front, stream, &Arc::new(connection), limits, None, guest).await;
    };
    let begun = tokio::time::Instant::now();
    let deadline = begun + limits.head_timeout;
    // Who has not said a word is idle, and makes room where that is needed.
    guest.rest(begun);
    let speaks = async {
        select! {
            biased;
            _ = socket.peek() => true,
            () = guest.asked_to_leave() => false,
        }
    };
    if !timeout_at(deadline, speaks).await.unwrap_or(false) {
        return;
    }
    guest.work();
    match timeout_at(deadline, tls::greet(socket, config)).await {
        Ok(Ok(Greeting::Tls(tls))) => {
            let session = tls.get_ref().1;
            connection.tls = tls::facts(session);
            let http2 = session.alpn_protocol() == Some(b"h2");
            let (stream, connection) = (Box::new(ClientStream::tls(tls)), Arc::new(connection));
            if http2 {
                phases::serve_http2(Arc::clone(&front.context), stream, connection, guest).await;
            } else {
                http1::converse(&front, stream, &connection, limits, None, guest).await;
            }
        }
        Ok(Ok(Greeting::Plain(socket))) => {
            let stream = Box::new(ClientStream::plain(socket));
            let refusal = Refusal::bad("plain HTTP on a TLS listener");
            http1::converse(
                &front,
                stream,
                &Arc::new(connection),
                limits,
                Some(refusal),
                guest,
            )
            .await;
        }
        Ok(Ok(Greeting::Nothing)) => {}
        Ok(Err(error)) => tracing::debug!(?peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(?peer, "TLS handshake not complete within head_timeout"),
    }
}

/// The listening socket as this thread's runtime sees it.
#[derive(Debug)]
enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    fn new(socket: &OwnedFd, address: &config::Address) -> io::Result<Self> {
        let socket = socket.try_clone()?;
        Ok(match address {
            config::Address::Tcp(_) => {
                let listener = std::net::TcpListener::from(socket);
                listener.set_nonblocking(true)?;
                Self::Tcp(TcpListener::from_std(listener)?)
            }
            config::Address::Unix(_) => {
                let listener = std::os::unix::net::UnixListener::from(socket);
                listener.set_nonblocking(true)?;
                Self::Unix(UnixListener::from_std(listener)?)
            }
        })
    }

    async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers leave in whole writes; waiting for more would only delay them.
                stream.set_nodelay(true)?;
                Ok((Socket::Tcp(stream), Some(plain_address(peer))))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let socket = UnixSocket::new(stream.into_std()?.into())?;
                Ok((Socket::Unix(socket), None))
            }
        }
    }
}

/// Errors that concern the connection at the head of the queue and not the next one (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TimedOut
    )
}

/// Between two tries when descriptors or memory have run out; connections that end meanwhile make room.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const COMPLAINT_EVERY: Duration = Duration::from_secs(5);
