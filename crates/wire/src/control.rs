//! Messages between the supervisor and its processes: one message per packet of a `SOCK_SEQPACKET` socket, descriptors
//! beside it as `SCM_RIGHTS`. Rare and small, so plain owned values.
//!
//! Each process has one control socket to the supervisor, on the descriptor that [`CONTROL_FD`] names (a worker gets its own by the
//! fork message). End-of-file on it means that the supervisor is gone and the process ends at once.

use std::net::IpAddr;

use crate::{
    Malformed,
    cursor::{Cursor, put_bytes},
};

/// Descriptor on which an executed process (proxy, zygote) finds its control socket.
pub const CONTROL_FD: i32 = 3;

/// A time that never ends, see [`ToProxy::Drain`].
pub const UNLIMITED_MS: u64 = u64::MAX;

/// Longest message in bytes; texts that can grow (tracebacks) are cut by the sender to fit.
pub const MESSAGE_MAX: usize = 96 << 10;

/// Longest text that a sender puts in one field of a message.
pub const TEXT_MAX: usize = 64 << 10;

/// Most addresses of one name in a message.
pub const ADDRESSES_MAX: usize = 64;

/// Most descriptors beside one message.
pub const DESCRIPTORS_MAX: usize = 4;

/// Signal on which a worker writes the Python stack of every thread to its standard error, also with the GIL held (SIGUSR2).
/// Delivered to a worker that is still booting it does the same; before its `Hello` the worker has no handler for it.
pub const STACKS_SIGNAL: i32 = 12;

/// A value that can be a field of a message.
trait Field: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed>;
}

impl Field for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        cursor.u32()
    }
}

impl Field for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        cursor.u64()
    }
}

impl Field for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        match cursor.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(cursor.malformed()),
        }
    }
}

/// Bytes that nobody prints, and that are not left in memory. The packets they travel in are not looked after.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub Vec<u8>);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Somebody might look, so the compiler may not leave it out.
        std::hint::black_box(&self.0);
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Field for Secret {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.0);
    }
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        Ok(Self(cursor.bytes()?.to_vec()))
    }
}

impl Field for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.as_bytes());
    }
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let bytes = cursor.bytes()?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| cursor.malformed())
    }
}

/// At most [`ADDRESSES_MAX`].
impl Field for Vec<IpAddr> {
    fn put(&self, out: &mut Vec<u8>) {
        let addresses = &self[..self.len().min(ADDRESSES_MAX)];
        (addresses.len() as u32).put(out);
        for address in addresses {
            match address {
                IpAddr::V4(address) => {
                    out.push(4);
                    out.extend_from_slice(&address.octets());
                }
                IpAddr::V6(address) => {
                    out.push(6);
                    out.extend_from_slice(&address.octets());
                }
            }
        }
    }
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let count = cursor.u32()? as usize;
        if count > ADDRESSES_MAX {
            return Err(cursor.malformed());
        }
        let address = |_| match cursor.u8()? {
            4 => Ok(IpAddr::from(cursor.array::<4>()?)),
            6 => Ok(IpAddr::from(cursor.array::<16>()?)),
            _ => Err(cursor.malformed()),
        };
        (0..count).map(address).collect()
    }
}

/// Defines an enum of messages with named fields, its encoding (a kind byte, then the fields in order) and its decoding.
macro_rules! messages {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $kind:literal => $variant:ident {
        $($(#[$fdoc:meta])* $field:ident: $type:ty),* $(,)?
    }),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant { $($(#[$fdoc])* $field: $type),* }),* }

        impl $name {
            /// The message as one packet.
            pub fn encode(&self) -> Vec<u8> {
                let mut out = Vec::new();
                match self {
                    $(Self::$variant { $($field),* } => {
                        out.push($kind);
                        $(Field::put($field, &mut out);)*
                    })*
                }
                out
            }

            /// Reads one packet; nothing may be left over.
            pub fn decode(packet: &[u8]) -> Result<Self, Malformed> {
                let mut cursor = Cursor::new(packet, stringify!($name));
                let message = match cursor.u8()? {
                    $($kind => Self::$variant { $($field: Field::read(&mut cursor)?),* },)*
                    _ => return Err(cursor.malformed()),
                };
                if cursor.rest.is_empty() { Ok(message) } else { Err(cursor.malformed()) }
            }
        }
    };
}

messages! {
    /// Supervisor to proxy.
    pub enum ToProxy {
        /// First message. Descriptors, in this order: the configuration (`config::ProxyConfig` as bytes), the
        /// certificates and keys ([`parts`](crate::parts)), the access log's file, the error log's file. The
        /// first two are sealed memory files; all but the first come where there is such a thing.
        1 => Boot {
            /// Certificates and keys come with this message: a chain and its key for each of
            /// `tls.certificates`.
            certificates: bool,
            /// Number of [`ToProxy::Addresses`] messages that follow.
            names: u32,
            /// Number of [`ToProxy::Listener`] messages that follow these.
            listeners: u32,
            /// Counts proxies since the supervisor started; names this one in the log.
            generation: u64,
            /// A descriptor of the access log comes with this message.
            access_log: bool,
            /// A descriptor of the error log comes with this message.
            error_log: bool,
            /// What the keys of TLS session tickets are made of, the same for every proxy of this supervisor.
            ticket_secret: Secret,
        },
        /// Descriptor: the listening socket of `Config::listeners[index]`.
        2 => Listener {
            /// Position in the configuration.
            index: u32,
        },
        /// Accept connections. Sent once the proxy is ready and every app has a worker.
        3 => Start {},
        /// A worker is ready. Descriptors: the link's socket, the link page.
        4 => Link {
            /// Number of this link, unique for the supervisor's life.
            link: u64,
            /// Name of the app.
            app: String,
            /// The worker's slot.
            slot: u32,
            /// The worker's process id.
            pid: u32,
            /// One loop or hub runs all its requests.
            evented: bool,
            /// Requests that it runs at the same time.
            concurrency: u32,
        },
        /// Send no new request to this link; say [`FromProxy::LinkIdle`] when nothing is in flight on it, then close it.
        5 => Unlink {
            /// Which.
            link: u64,
        },
        /// No worker of the app can be had (they die again and again before they are ready): answer 503 at
        /// once. `false`: workers are to be expected again.
        6 => AppDown {
            /// Name of the app.
            app: String,
            /// Down or not.
            down: bool,
        },
        /// Descriptors: the access log's new file, the error log's new file, where they are files.
        7 => Reopen {
            /// The first descriptor is the new access log.
            access_log: bool,
            /// The last descriptor is the new error log.
            error_log: bool,
        },
        /// Stop accepting, let running requests end, close the connections, say [`FromProxy::Drained`] and exit.
        8 => Drain {
            /// Time for it in milliseconds; then what is left is cut. [`UNLIMITED_MS`]: as long as it takes.
            grace_ms: u64,
            /// How long a kept-alive connection without a request waits for one that may be on its way.
            idle_ms: u64,
        },
        /// Behind [`ToProxy::Drain`]: connections without a request wait no longer.
        9 => LeaveIdle {},
        /// Say [`FromProxy::Alive`] once each front thread has turned.
        10 => Ask {
            /// Which question it is.
            number: u64,
        },
        /// What [`FromProxy::Addresses`] has said last of a name, whichever proxy it was.
        11 => Addresses {
            /// The name.
            host: String,
            /// Where it has led to.
            addresses: Vec<IpAddr>,
        },
    }
}

messages! {
    /// Proxy to supervisor.
    pub enum FromProxy {
        /// Configuration and keys are loaded, privileges dropped; [`ToProxy::Start`] may come.
        1 => Ready {},
        /// It cannot start; it exits after this.
        2 => Failed {
            /// Why, for the operator.
            message: String,
        },
        /// Answer to [`ToProxy::Unlink`].
        3 => LinkIdle {
            /// Which.
            link: u64,
        },
        /// A request ran past its deadline; its client has been answered 504. The worker must be replaced.
        4 => Overrun {
            /// On which link.
            link: u64,
            /// The kernel's id of the worker's thread that runs it; 0 when unknown.
            thread: u32,
            /// The request's id.
            request_id: String,
            /// Its method.
            method: String,
            /// Its target.
            target: String,
            /// The real client's address.
            client: String,
            /// How long it has been running, in milliseconds.
            elapsed_ms: u64,
        },
        /// All connections are closed and the log is written; it exits.
        5 => Drained {},
        /// A request waits for this app, and no link takes it.
        6 => Wanted {
            /// Name of the app.
            app: String,
        },
        /// Answer to [`ToProxy::Ask`].
        7 => Alive {
            /// To which question.
            number: u64,
        },
        /// In place of [`FromProxy::LinkIdle`]: the worker has said on this link what it may not say, and the
        /// link is closed.
        8 => LinkBroken {
            /// Which.
            link: u64,
            /// What it said.
            breach: String,
        },
        /// The name of an upstream's server leads to other addresses than before. A proxy that is started
        /// later begins with them.
        9 => Addresses {
            /// The name.
            host: String,
            /// At least one.
            addresses: Vec<IpAddr>,
        },
    }
}

messages! {
    /// Supervisor to zygote. What the application needs from its environment is in the process's environment already.
    pub enum ToZygote {
        /// First message: what to run.
        1 => Boot {
            /// Name of the app.
            app: String,
            /// `wsgi` or `asgi`
            interface: String,
            /// `module:callable`, `module:factory(...)` or `module`.
            target: String,
            /// Working directory; first on `sys.path`.
            directory: String,
            /// Import the application here, before any fork.
            preload: bool,
            /// Threads that run requests in each worker; 1 where an event loop or a hub does.
            threads: u32,
            /// The same where a WSGI application has patched the standard library itself.
            threads_patched: u32,
            /// Requests that one worker runs at the same time.
            concurrency: u32,
            /// `auto`, `asyncio` or `uvloop`; only for ASGI.
            event_loop: String,
            /// `auto`, `on` or `off`; only for ASGI.
            lifespan: String,
            /// Offer the extensions by which a file is the body of an answer; only for ASGI.
            pathsend: bool,
            /// `gevent`, `eventlet` or empty; only for WSGI.
            green: String,
            /// Milliseconds that the lifespan's shutdown may take; only for ASGI.
            shutdown_ms: u64,
            /// Only import the application, say how it went, and exit (`appliance check`).
            check: bool,
        },
        /// Fork a worker. Descriptors: its control socket, its standard output, its standard error.
        2 => Fork {
            /// The worker's slot.
            slot: u32,
        },
    }
}

messages! {
    /// Zygote to supervisor.
    pub enum FromZygote {
        /// Ready to fork (the application is imported when `preload` is on).
        1 => Ready {
            /// Python's version, as `3.11.7`.
            python: String,
            /// How long the import took in milliseconds, 0 without preload.
            import_ms: u64,
            /// What the import has left that workers cannot share (threads, connections); not empty: each of
            /// them imports on its own.
            unshared: String,
            /// What the import has brought in that keeps its clients in the memory of one process.
            stateful: String,
            /// The library with which a WSGI application has patched the standard library itself; mostly
            /// none.
            patched: String,
        },
        /// The application cannot be run from here; the zygote exits after this.
        2 => Failed {
            /// Which step: `python`, `import`, `callable`.
            step: String,
            /// One line that names the thing and the way out.
            message: String,
            /// Python's traceback, or empty.
            traceback: String,
        },
        /// The fork itself failed (the kernel's limit); the worker of this slot does not exist.
        3 => ForkFailed {
            /// The worker's slot.
            slot: u32,
            /// Why.
            message: String,
        },
    }
}

messages! {
    /// Supervisor to worker.
    pub enum ToWorker {
        /// A proxy wants to send requests. Descriptors: the link's socket, the link page.
        1 => Link {
            /// Number of this link.
            link: u64,
        },
        /// Finish what runs, then exit with 0.
        2 => Drain {
            /// Milliseconds that what runs has; what an event loop still runs then is cancelled.
            within_ms: u64,
        },
        /// Raise SystemExit in the thread that runs a request too long.
        3 => Interrupt {
            /// The kernel's id of the thread; 0: every thread that runs a request.
            thread: u32,
        },
    }
}

messages! {
    /// Worker to supervisor.
    pub enum FromWorker {
        /// First message, right after the fork. The kernel says whose it is.
        1 => Hello {},
        /// The application is imported and requests may come.
        2 => Ready {
            /// From fork to now, in milliseconds.
            boot_ms: u64,
            /// One loop or hub runs all its requests: that of the configuration, or of a library with which
            /// the application has patched the standard library.
            evented: bool,
            /// Requests that it runs at the same time.
            concurrency: u32,
        },
        /// The application cannot be run; the worker exits after this.
        3 => Failed {
            /// Which step: `import`, `callable`, `after_fork`.
            step: String,
            /// One line that names the thing and the way out.
            message: String,
            /// Python's traceback, or empty.
            traceback: String,
        },
        /// Something other than the supervisor has sent it SIGTERM: it wants to finish what runs, and to be
        /// replaced.
        4 => Leave {},
    }
}
