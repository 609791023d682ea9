//! The control socket: where an administrator asks for the state of the server, a reload, new log files, or
//! the end.
//!
//! HTTP/1.1 on a Unix socket, so that `curl --unix-socket` is a client; deploy/CONTROL.md describes it. The
//! loop of the supervisor must never wait for one of these clients, and none of them may take more than a
//! little memory: all sockets are non-blocking, and requests, answers, clients and times are bounded.

pub mod client;
pub mod event;
pub mod status;

mod connection;
mod meant;
mod place;
mod reply;
mod request;

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use config::ControlPlace;
use rustix::{io::Errno, net::SocketFlags};
use serde::Serialize;
use tracing::warn;

pub(crate) use connection::Peer;
pub(crate) use request::Command;

use crate::ready::{Interest, Ready};
use connection::Connection;
use event::Event;
use place::{Link, Place};

/// Clients at a time. One more takes the place of the one that has least to lose.
const CLIENTS_MAX: usize = 8;

/// Connections accepted in one turn of the loop.
const ACCEPTED_PER_TURN: usize = 8;

/// A process that can open no more files does not try again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientId(u64);

/// A request, and whom to answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) client: ClientId,
    pub(crate) peer: Peer,
    /// The configuration's file whose server is meant, if the client says so.
    pub(crate) conf: Option<PathBuf>,
    pub(crate) command: Command,
}

/// The socket and its clients; without a place it does nothing.
#[derive(Debug, Default)]
pub(crate) struct ControlSocket {
    place: Option<Place>,
    link: Option<Link>,
    connections: Vec<(ClientId, Connection)>,
    last_id: u64,
    paused_until: Option<Instant>,
}

impl ControlSocket {
    /// Makes the socket at the first of these places where that is possible, and gives what failed before. A
    /// socket that is at one of them already stays, and so does one that is elsewhere when it can be made at
    /// none of them.
    pub(crate) fn settle(&mut self, places: &[ControlPlace]) -> Vec<(ControlPlace, io::Error)> {
        let mut failures = Vec::new();
        if self.place.as_ref().is_some_and(|place| place.is_one_of(places)) {
            return failures;
        }
        // The link may be where the socket is wanted. Clients that wait for the end of a reload stay
        // connected.
        self.link = None;
        for place in places {
            match Place::claim(place) {
                Ok(claimed) => {
                    self.place = Some(claimed);
                    return failures;
                }
                Err(error) => failures.push((place.clone(), error)),
            }
        }
        self.place = self
            .place
            .take()
            .filter(|place| !places.is_empty() && place.is_found());
        failures
    }

    /// Takes no more clients. Those that wait for the end of the process stay connected.
    pub(crate) fn close(&mut self) {
        self.link = None;
        self.place = None;
    }

    /// Makes a link to the socket at the first of these places where that is possible, unless the socket
    /// itself is there.
    pub(crate) fn link(&mut self, places: &[ControlPlace]) {
        self.link = None;
        let Some(place) = self.place.as_ref().filter(|place| !place.is_one_of(places)) else {
            return;
        };
        let mut links = places.iter().map(|at| Link::make(at, place.path()));
        self.link = links.find_map(Result::ok);
    }

    /// The path of its file.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.place.as_ref().map(Place::path)
    }

    /// What it waits for.
    pub(crate) fn interest<'a>(&'a self, interest: &mut Interest<'a>) {
        if let Some(place) = self.place.as_ref().filter(|_| self.paused_until.is_none()) {
            interest.read(place.as_fd());
        }
        for (_, connection) in &self.connections {
            connection.interest(interest);
        }
    }

    /// When [`ControlSocket::hear`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let connections = self.connections.iter();
        connections
            .filter_map(|(_, connection)| connection.deadline())
            .chain(self.paused_until)
            .min()
    }

    /// Takes new clients and reads what they ask for; lets go of those that are done, gone or too slow.
    pub(crate) fn hear(&mut self, ready: &Ready, now: Instant) -> Vec<Asked> {
        self.accept(ready, now);
        let mut asked = Vec::new();
        for (client, connection) in &mut self.connections {
            if let Some((command, conf)) = connection.turn(ready, now) {
                let peer = connection.peer;
                asked.push(Asked {
                    client: *client,
                    peer,
                    conf,
                    command,
                });
            }
        }
        self.let_go();
        asked
    }

    /// The whole answer is one JSON object.
    pub(crate) fn answer(&mut self, client: ClientId, body: &impl Serialize, now: Instant) {
        if let Some(connection) = self.find(client) {
            connection.answer(200, body, now);
        }
        self.let_go();
    }

    /// The client means the server of another configuration than this one.
    pub(crate) fn mistaken(&mut self, client: ClientId, own: &Path, now: Instant) {
        if let Some(connection) = self.find(client) {
            let error = format!("the server of {} listens there", own.display());
            connection.answer(409, &reply::Refused { error: &error }, now);
        }
        self.let_go();
    }

    /// The answer is one event.
    pub(crate) fn conclude(&mut self, client: ClientId, event: &Event, now: Instant) {
        if let Some(connection) = self.find(client) {
            connection.begin();
            connection.say(event, now);
            connection.finish(now);
        }
        self.let_go();
    }

    /// The answer begins with this event, and goes on until what was asked for has ended.
    pub(crate) fn begin(&mut self, client: ClientId, event: &Event, waits_for: Option<u64>, now: Instant) {
        if let Some(connection) = self.find(client) {
            connection.begin();
            connection.say(event, now);
            connection.waits_for = waits_for;
        }
    }

    /// Those who wait for this reload, or for an earlier one, hear of it; `last`: they have nothing more to
    /// wait for.
    pub(crate) fn tell(&mut self, reload: u64, event: &Event, last: bool, now: Instant) {
        for (_, connection) in &mut self.connections {
            if connection.waits_for.is_some_and(|waits_for| waits_for <= reload) {
                connection.say(event, now);
                if last {
                    connection.waits_for = None;
                    connection.finish(now);
                }
            }
        }
        self.let_go();
    }

    /// A connection that is over is closed at once: its client waits for that.
    fn let_go(&mut self) {
        self.connections.retain(|(_, connection)| !connection.is_over());
    }

    fn accept(&mut self, ready: &Ready, now: Instant) {
        self.paused_until = self.paused_until.filter(|until| *until > now);
        let Some(place) = self.place.as_ref().filter(|place| ready.has(place)) else {
            return;
        };
        for _ in 0..ACCEPTED_PER_TURN {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = match rustix::net::accept_with(place, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => {
                    warn!(%error, "control socket accepts no connection for now");
                    self.paused_until = Some(now + PAUSE);
                    return;
                }
            };
            self.last_id += 1;
            let connection = Connection::new(socket, now);
            self.connections.push((ClientId(self.last_id), connection));
            // The new one, if it may command nothing and all others may.
            if self.connections.len() > CLIENTS_MAX
                && let Some(least) =
                    (0..self.connections.len()).min_by_key(|&at| self.connections[at].1.worth())
            {
                let (_, mut connection) = self.connections.remove(least);
                connection.make_room(now);
            }
        }
    }

    fn find(&mut self, client: ClientId) -> Option<&mut Connection> {
        let mut connections = self.connections.iter_mut();
        connections
            .find(|(id, _)| *id == client)
            .map(|(_, connection)| connection)
    }
}

#[cfg(test)]
mod tests;
