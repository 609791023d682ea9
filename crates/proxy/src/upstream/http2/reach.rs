//! The way to a server: in which version of HTTP, and on which connection.

use config::PeerProtocol;

use super::{connection::Full, driver, pool, stream::Http2Stream};
use crate::upstream::{
    Upstream,
    connection::{ServerConnection, open_socket},
    failure::Failure,
    server::Seat,
};

/// What a request can be sent on.
pub(in crate::upstream) enum Reached {
    /// A connection.
    Http1(ServerConnection),
    /// A stream of one.
    Http2(Http2Stream),
}

/// Finds or opens what a request can be sent on; idle connections of HTTP/1.1 were looked for. `surely`: what
/// is sent cannot be sent again. `for_websocket`: it is to become one.
pub(in crate::upstream) async fn reach(
    upstream: &Upstream,
    seat: &Seat,
    surely: bool,
    for_websocket: bool,
) -> Result<Reached, Failure> {
    match seat.protocol() {
        PeerProtocol::Http2 if for_websocket => Err(Failure::NoWebSockets),
        protocol @ (PeerProtocol::Http2 | PeerProtocol::Negotiated) if !for_websocket => {
            share(upstream, seat, protocol, surely).await
        }
        _ => {
            let opened = ServerConnection::open(seat.address(), upstream.tls(seat)).await?;
            Ok(Reached::Http1(opened))
        }
    }
}

/// Takes a stream of a connection that is there, or waits for the one that is being opened, or opens one.
async fn share(
    upstream: &Upstream,
    seat: &Seat,
    protocol: PeerProtocol,
    surely: bool,
) -> Result<Reached, Failure> {
    let (place, tls) = (seat.place(), upstream.tls(seat));
    let is_tls = tls.is_some();
    let mut others = None;
    loop {
        while let Some(lease) = pool::take(place) {
            if lease.is_alive(surely).await {
                return Ok(Reached::Http2(Http2Stream::new(lease, is_tls)));
            }
        }
        let Some(opening) = pool::opening(place).filter(|_| others.is_none()) else {
            break;
        };
        others = Some(opening.lock_owned().await);
    }
    let socket = open_socket(seat.address(), tls, true).await?;
    if protocol == PeerProtocol::Negotiated {
        let speaks_http1 = !socket.has_chosen_http2();
        pool::set_speaks_http1(place, speaks_http1);
        if speaks_http1 {
            return Ok(Reached::Http1(ServerConnection::over(socket)));
        }
    }
    let kept_max = upstream.kept_max();
    let found_at = (kept_max > 0).then_some((place, kept_max));
    let connection = driver::open(socket, found_at).await?;
    match connection.lease() {
        Ok(lease) => Ok(Reached::Http2(Http2Stream::new(lease, is_tls))),
        Err(Full::Now | Full::ForEver) => {
            Err(Failure::NoHttp2("it closes the connection at once".to_owned()))
        }
    }
}
