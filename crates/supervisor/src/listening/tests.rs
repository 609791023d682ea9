use std::{net::TcpStream, os::unix::net::UnixListener, time::Duration};

use super::*;

fn listener(address: Address) -> config::Listener {
    let second = Duration::from_secs(1);
    config::Listener {
        address,
        tls: false,
        http2: false,
        backlog: 16,
        mode: 0o660,
        limits: config::Limits {
            connections_max: 1,
            target_bytes_max: 1,
            head_bytes_max: 1,
            headers_max: 1,
            head_timeout: second,
            idle_timeout: second,
            body_timeout: second,
            body_rate_min: 0,
            requests_max: 1,
        },
    }
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("appliance-{name}-{}.sock", std::process::id()))
}

#[test]
fn a_socket_is_shared_by_generations_and_closed_with_the_last() {
    let any = listener(Address::Tcp("127.0.0.1:0".parse().expect("an address")));
    let mut sockets = Listenings::default();
    let first = sockets.open(std::slice::from_ref(&any), None).expect("a socket");
    let second = sockets.open(&[any], None).expect("the same socket");
    assert!(Arc::ptr_eq(&first[0], &second[0]));
    let address = first[0].told();
    drop(first);
    TcpStream::connect(&address).expect("still listening");
    drop(second);
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn a_stale_socket_file_is_replaced_and_ours_is_removed_at_the_end() {
    let path = scratch("stale");
    drop(UnixListener::bind(&path).expect("a socket file"));
    let unix = listener(Address::Unix(path.clone()));
    let open = Listenings::default()
        .open(&[unix], None)
        .expect("the stale file is no hindrance");
    UnixStream::connect(&path).expect("listening");
    drop(open);
    assert!(!path.exists());
}

#[test]
fn a_socket_somebody_listens_on_is_left_alone() {
    let path = scratch("taken");
    let theirs = UnixListener::bind(&path).expect("a socket file");
    let failed = Listenings::default().open(&[listener(Address::Unix(path.clone()))], None);
    assert!(matches!(failed, Err(Error::Listen { .. })));
    UnixStream::connect(&path).expect("theirs still works");
    drop(theirs);
    fs::remove_file(&path).expect("ours to remove");
}

#[test]
fn a_file_that_is_no_socket_is_not_removed() {
    let path = scratch("file");
    fs::write(&path, "precious").expect("a file");
    let failed = Listenings::default().open(&[listener(Address::Unix(path.clone()))], None);
    assert!(failed.is_err());
    assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
    fs::remove_file(&path).expect("ours to remove");
}

#[test]
fn a_socket_file_that_is_not_found_at_its_address_any_more_is_made_again() {
    let path = scratch("removed");
    let unix = listener(Address::Unix(path.clone()));
    let mut sockets = Listenings::default();
    let first = sockets.open(std::slice::from_ref(&unix), None).expect("a socket");
    fs::remove_file(&path).expect("the file of the socket");
    let second = sockets.open(&[unix], None).expect("another socket");
    UnixStream::connect(&path).expect("listening");
    drop(first);
    UnixStream::connect(&path).expect("not removed with the one it has replaced");
    drop(second);
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_is_for_its_user_and_group_unless_it_says_otherwise() {
    let path = scratch("mode");
    let mut unix = listener(Address::Unix(path.clone()));
    let mode = || fs::metadata(&path).expect("a socket").mode() & 0o777;
    let mut sockets = Listenings::default();
    let first = sockets.open(std::slice::from_ref(&unix), None).expect("a socket");
    assert_eq!(mode(), 0o660);
    unix.mode = 0o666;
    let second = sockets
        .open(std::slice::from_ref(&unix), None)
        .expect("the same socket");
    assert!(Arc::ptr_eq(&first[0], &second[0]), "a reload keeps the socket");
    assert_eq!(mode(), 0o666);
}

#[test]
fn a_unix_socket_belongs_to_the_run_user_and_its_group() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let path = scratch("owner");
    let unix = listener(Address::Unix(path.clone()));
    let identity = |id: u32| Identity {
        name: "somebody".into(),
        uid: id,
        gid: id + 1,
        groups: vec![id + 1],
        home: None,
    };
    let mut sockets = Listenings::default();
    let mut held = Vec::new();
    // A reload that names another user gives the same socket to them.
    for id in [54_321, 54_421] {
        let opened = sockets.open(std::slice::from_ref(&unix), Some(&identity(id)));
        held.push(opened.expect("a socket"));
        let file = fs::symlink_metadata(&path).expect("a socket");
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (id, id + 1, 0o660));
    }
}
