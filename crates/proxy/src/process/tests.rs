//! The whole life of a proxy process, in a thread and with the test as its supervisor.

use std::{
    fs::File,
    io::{IoSlice, Read, Write},
    mem::MaybeUninit,
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use config::{Config, ProxyConfig};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
        SocketType, recv, sendmsg, socketpair,
    },
};
use wire::control::MESSAGE_MAX;

use super::*;

/// The supervisor's side of a proxy.
struct Supervisor {
    control: OwnedFd,
    proxy: JoinHandle<String>,
}

impl Supervisor {
    fn start(directory: &Path, bytes: &[u8], listeners: &[&TcpListener]) -> Self {
        let (control, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        // An exit code can only be looked at by its debug form.
        let proxy = thread::spawn(move || format!("{:?}", run(theirs)));
        let supervisor = Self { control, proxy };
        let mut config = File::from(memfd_create("config", MemfdFlags::CLOEXEC).unwrap());
        config.write_all(bytes).unwrap();
        let boot = ToProxy::Boot {
            certificates: false,
            names: 0,
            listeners: listeners.len() as u32,
            generation: 1,
            access_log: true,
            error_log: true,
            ticket_secret: wire::control::Secret(vec![7; 32]),
        };
        let (access, errors) = (log(directory, "access.log"), log(directory, "error.log"));
        supervisor.send(&boot, &[config.as_fd(), access.as_fd(), errors.as_fd()]);
        for (index, listener) in listeners.iter().enumerate() {
            supervisor.send(&ToProxy::Listener { index: index as u32 }, &[listener.as_fd()]);
        }
        supervisor
    }

    fn send(&self, message: &ToProxy, descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(beside.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        let packet = message.encode();
        sendmsg(
            &self.control,
            &[IoSlice::new(&packet)],
            &mut beside,
            SendFlags::empty(),
        )
        .unwrap();
    }

    fn receive(&self) -> FromProxy {
        let mut packet = vec![0; MESSAGE_MAX];
        let (length, _) = recv(&self.control, &mut packet[..], RecvFlags::empty()).unwrap();
        FromProxy::decode(&packet[..length]).unwrap()
    }
}

fn log(directory: &Path, name: &str) -> File {
    logs::open_for_append(&directory.join(name)).unwrap()
}

fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// One test, because a process has one error log.
#[test]
fn a_proxy_boots_serves_reopens_drains_and_ends() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path();
    let code = |supervisor: Supervisor| supervisor.proxy.join().unwrap();

    let bad = Supervisor::start(path, b"{\"server\": {}}", &[]);
    let FromProxy::Failed { message } = bad.receive() else {
        panic!("started")
    };
    assert!(
        message.contains("missing field") && message.contains("start it again"),
        "{message}"
    );
    assert_eq!(code(bad), format!("{:?}", ExitCode::FAILURE));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let conf = format!(
        "[server]\nthreads = 2\n[log.access]\nto = {:?}\n[log.error]\nto = {:?}\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]\nrespond = \"hello\"\n",
        path.join("access.log"),
        path.join("error.log")
    );
    let config = Config::parse(&conf, &path.join("site.toml")).unwrap();
    let bytes = ProxyConfig::from(&config).to_bytes().unwrap();
    let proxy = Supervisor::start(path, &bytes, &[&listener]);
    assert_eq!(proxy.receive(), FromProxy::Ready {});
    // A socket that nobody accepts from yet: the connection waits in the kernel.
    let mut early = TcpStream::connect(address).unwrap();
    early
        .write_all(b"GET /early HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    proxy.send(&ToProxy::Start {}, &[]);
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    // By way of each front thread.
    for number in [1, 7] {
        proxy.send(&ToProxy::Ask { number }, &[]);
        assert_eq!(proxy.receive(), FromProxy::Alive { number });
    }

    std::fs::rename(path.join("access.log"), path.join("access.log.1")).unwrap();
    let new = log(path, "access.log");
    let reopen = ToProxy::Reopen {
        access_log: true,
        error_log: false,
    };
    proxy.send(&reopen, &[new.as_fd()]);
    while !std::fs::read_to_string(path.join("access.log"))
        .unwrap()
        .contains("/after")
    {
        assert!(get(address, "/after").ends_with("hello"));
    }
    let old = std::fs::read_to_string(path.join("access.log.1")).unwrap();
    assert!(old.contains("GET /early"), "{old}");

    proxy.send(
        &ToProxy::Drain {
            grace_ms: 20_000,
            idle_ms: 10_000,
        },
        &[],
    );
    assert_eq!(proxy.receive(), FromProxy::Drained {});
    assert_eq!(code(proxy), format!("{:?}", ExitCode::SUCCESS));
    let errors = std::fs::read_to_string(path.join("error.log")).unwrap();
    assert!(
        errors.contains("proxy ready") && !errors.contains("ERROR"),
        "{errors}"
    );
}
