//! The control socket to the supervisor.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags,
    recvmsg, sendmsg,
};
use tokio::{io::Interest, net::UnixDatagram};
use wire::control::{DESCRIPTORS_MAX, FromProxy, MESSAGE_MAX, ToProxy};

/// The control socket while the proxy boots and nothing else runs: every call waits.
#[derive(Debug)]
pub(crate) struct Control {
    socket: OwnedFd,
}

/// The control socket on the first front thread's loop.
#[derive(Debug)]
pub(crate) struct AsyncControl {
    socket: UnixDatagram,
}

/// A message and the descriptors that came with it, in order.
pub(crate) type Message = (ToProxy, Vec<OwnedFd>);

/// Why the control socket cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// The supervisor is gone.
    #[error("the supervisor has closed the control socket")]
    Closed,
    /// What the system says.
    #[error("control socket: {0}")]
    Io(#[from] io::Error),
    /// A message of another version or a damaged one.
    #[error("control socket: {0}")]
    Malformed(#[from] wire::Malformed),
    /// A message did not fit.
    #[error("control socket: a message was cut short")]
    Cut,
    /// A message that has no place here.
    #[error("control socket: {0:?} is not expected here")]
    Unexpected(Box<ToProxy>),
    /// A descriptor that should have come with a message is missing.
    #[error("control socket: {0} came without its descriptor")]
    NoDescriptor(&'static str),
}

impl Control {
    /// Over the socket that the supervisor gave us.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Waits for the next message.
    pub(crate) fn receive(&self) -> Result<Message, ControlError> {
        loop {
            match receive(&self.socket) {
                Err(ControlError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                received => return received,
            }
        }
    }

    /// Sends a message.
    pub(crate) fn send(&self, message: &FromProxy) -> Result<(), ControlError> {
        loop {
            match send(&self.socket, message) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return Ok(sent?),
            }
        }
    }

    /// Goes on in the loop that runs this.
    pub(crate) fn into_async(self) -> io::Result<AsyncControl> {
        // Packets with a connection: the nearest that tokio has is a socket of datagrams. Only its readiness is used.
        let socket = std::os::unix::net::UnixDatagram::from(self.socket);
        socket.set_nonblocking(true)?;
        Ok(AsyncControl {
            socket: UnixDatagram::from_std(socket)?,
        })
    }
}

impl AsyncControl {
    /// Goes on without a loop.
    pub(crate) fn into_blocking(self) -> io::Result<Control> {
        let socket = self.socket.into_std()?;
        socket.set_nonblocking(false)?;
        Ok(Control::new(socket.into()))
    }

    /// Waits for the next message. Safe to drop.
    pub(crate) async fn receive(&self) -> Result<Message, ControlError> {
        let received = self
            .socket
            .async_io(Interest::READABLE, || match receive(&self.socket) {
                Err(ControlError::Io(error)) => Err(error),
                received => Ok(received),
            });
        received.await?
    }

    /// Sends a message; waits while the supervisor does not read.
    pub(crate) async fn send(&self, message: &FromProxy) -> Result<(), ControlError> {
        let sent = self
            .socket
            .async_io(Interest::WRITABLE, || send(&self.socket, message));
        Ok(sent.await?)
    }
}

fn receive(socket: impl AsFd) -> Result<Message, ControlError> {
    let mut packet = vec![0; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut packet)];
    let received =
        recvmsg(socket, &mut slices, &mut beside, RecvFlags::CMSG_CLOEXEC).map_err(io::Error::from)?;
    // Owned from here on, whatever the packet says.
    let descriptors = beside
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 {
        return Err(ControlError::Closed);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(ControlError::Cut);
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        // No descriptor is left in this process. The message has come, and the code that needs what is
        // missing says so: that costs one link or one log file, and not every connection.
        tracing::error!("a descriptor from the supervisor is lost: too many files are open");
    }
    Ok((ToProxy::decode(&packet[..received.bytes])?, descriptors))
}

fn send(socket: impl AsFd, message: &FromProxy) -> io::Result<()> {
    let packet = message.encode();
    sendmsg(
        socket,
        &[IoSlice::new(&packet)],
        &mut SendAncillaryBuffer::default(),
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use rustix::net::{AddressFamily, SendAncillaryMessage, SocketFlags, SocketType, socketpair};

    use super::*;

    /// In a process of its own, since the limit counts for all of it.
    #[test]
    fn a_descriptor_for_which_there_is_no_room_costs_no_more_than_itself() {
        const CHILD: &str = "APPLIANCE_TEST_WITHOUT_DESCRIPTORS";
        if std::env::var_os(CHILD).is_none() {
            let name = "control::tests::a_descriptor_for_which_there_is_no_room_costs_no_more_than_itself";
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            let output = child.args([name, "--exact"]).env(CHILD, "1").output().unwrap();
            assert!(output.status.success(), "{output:?}");
            return;
        }
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let file = File::open("/dev/null").unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let two = [file.as_fd(), file.as_fd()];
        assert!(beside.push(SendAncillaryMessage::ScmRights(&two)));
        let packet = ToProxy::Unlink { link: 7 }.encode();
        sendmsg(
            &theirs,
            &[IoSlice::new(&packet)],
            &mut beside,
            SendFlags::NOSIGNAL,
        )
        .unwrap();

        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
        let received = Control::new(ours).receive();
        setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
        let (message, descriptors) = received.unwrap();
        assert_eq!(message, ToProxy::Unlink { link: 7 });
        assert!(descriptors.is_empty());
    }
}
