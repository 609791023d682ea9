//! Tells the service manager how it goes (`Type=notify`).

use std::{
    env,
    ffi::OsStr,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// The service manager's socket, if we run under one.
#[derive(Debug)]
pub(crate) struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notify {
    /// Finds it by `NOTIFY_SOCKET`.
    pub(crate) fn find() -> Self {
        Self::at(env::var_os("NOTIFY_SOCKET").as_deref())
    }

    fn at(path: Option<&OsStr>) -> Self {
        let socket = path.and_then(|path| {
            let address = match path.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name).ok()?,
                None => SocketAddr::from_pathname(path).ok()?,
            };
            let socket = UnixDatagram::unbound().ok()?;
            // Nobody listening must not stop us.
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        Self { socket }
    }

    /// Everything serves.
    pub(crate) fn ready(&self, status: &str) {
        self.say(&format!(
            "READY=1\nMAINPID={}\nSTATUS={status}",
            std::process::id()
        ));
    }

    /// A new configuration is being taken up.
    pub(crate) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now_us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=reloading"));
    }

    /// We are about to end.
    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=stopping");
    }

    fn say(&self, state: &str) {
        if let Some((socket, address)) = &self.socket {
            // A lost word is harmless: the manager asks by its own timeouts.
            let _ = socket.send_to_addr(state.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_hears_of_every_turn() {
        let path = env::temp_dir().join(format!("appliance-notify-{}.sock", std::process::id()));
        let manager = UnixDatagram::bind(&path).expect("a socket");
        let notify = Notify::at(Some(path.as_os_str()));
        notify.ready("serving");
        notify.reloading();
        notify.stopping();
        let mut buffer = [0; 512];
        for word in ["READY=1\nMAINPID=", "RELOADING=1\nMONOTONIC_USEC=", "STOPPING=1"] {
            let len = manager.recv(&mut buffer).expect("a datagram");
            let text = String::from_utf8_lossy(&buffer[..len]);
            assert!(text.starts_with(word), "{text}");
        }
        std::fs::remove_file(path).expect("our socket");
    }

    #[test]
    fn without_a_manager_nothing_is_said() {
        Notify::at(None).ready("serving");
        Notify::at(Some(OsStr::new("/nonexistent/socket"))).ready("serving");
    }
}
