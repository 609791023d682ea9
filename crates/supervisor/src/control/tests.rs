//! The socket, its clients, and what they may not do to the loop.

use std::{
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
};

use config::{ControlDirectory, ControlSearch};

use super::*;

/// A directory of a test's own.
fn directory(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("appliance-control-{test}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

fn at(path: PathBuf) -> ControlPlace {
    ControlPlace {
        path,
        directory: ControlDirectory::Given,
    }
}

/// A socket in a directory of its own.
fn socket(test: &str) -> (ControlSocket, PathBuf) {
    let path = directory(test).join("site.ctl");
    let mut socket = ControlSocket::default();
    settled(&mut socket, &[at(path.clone())]);
    (socket, path)
}

fn settled(socket: &mut ControlSocket, places: &[ControlPlace]) {
    let failures = socket.settle(places);
    assert!(failures.is_empty(), "{failures:?}");
}

/// One turn of a loop that has nothing else to do.
fn turn(socket: &mut ControlSocket, now: Instant) -> Vec<Asked> {
    let mut interest = Interest::default();
    socket.interest(&mut interest);
    let ready = interest.wait(Duration::from_millis(20)).expect("poll");
    socket.hear(&ready, now)
}

fn connect(path: &PathBuf, say: &str) -> UnixStream {
    let mut client = UnixStream::connect(path).expect("somebody listens");
    client.write_all(say.as_bytes()).expect("room");
    client
}

/// What a client has got when its connection has ended.
fn answer(mut client: UnixStream) -> String {
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an answer");
    text
}

const STATUS: &str = "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n";
const RELOAD: &str = "POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn the_file_is_its_owners_alone_and_goes_with_the_socket() {
    let (socket, path) = socket("mode");
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(socket);
    assert!(!path.exists());
}

#[test]
fn a_stale_file_is_replaced_and_a_living_one_or_anything_else_never() {
    let (first, path) = socket("stale");
    let mut second = ControlSocket::default();
    let failures = second.settle(&[at(path.clone())]);
    assert!(failures[0].1.to_string().contains("another process listens"));
    assert!(second.path().is_none());
    // A server that was killed removes nothing.
    std::mem::forget(first);
    drop(std::os::unix::net::UnixListener::bind(path.with_extension("dead")).expect("a socket"));
    let mut third = ControlSocket::default();
    let failures = third.settle(&[at(path.clone()), at(path.with_extension("dead"))]);
    // That somebody is at the first place is told, though the second has nobody.
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].1.kind(), io::ErrorKind::AddrInUse);
    assert_eq!(third.path(), Some(path.with_extension("dead").as_path()));
    let file = path.with_extension("txt");
    std::fs::write(&file, "precious").expect("a file");
    assert_eq!(second.settle(&[at(file.clone())]).len(), 1);
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "precious");
    // What another server has made in the place of ours is not ours to remove.
    std::fs::remove_file(path.with_extension("dead")).expect("removed");
    let other = std::os::unix::net::UnixListener::bind(path.with_extension("dead")).expect("a socket");
    drop(third);
    assert!(path.with_extension("dead").exists());
    drop(other);
}

#[test]
fn a_runtime_directory_is_made_and_one_that_others_may_write_to_is_not_used() {
    let parent = directory("runtime");
    let own = |name: &str| ControlPlace {
        path: parent.join(name).join("site.ctl"),
        directory: ControlDirectory::Own,
    };
    let mut socket = ControlSocket::default();
    settled(&mut socket, &[own("new")]);
    // It is there already.
    settled(&mut socket, &[own("new")]);
    let open = parent.join("open");
    std::fs::create_dir(&open).expect("a directory");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).expect("its mode");
    assert_eq!(ControlSocket::default().settle(&[own("open")]).len(), 1);
    // Without a place there is no noise, and no socket.
    settled(&mut socket, &[]);
    assert_eq!(socket.path(), None);
}

#[test]
fn a_place_that_cannot_be_had_takes_away_none_that_works() {
    let (mut socket, path) = socket("mistyped");
    let mistyped = [at(path.with_extension("missing").join("site.ctl"))];
    let link = path.with_extension("dir").join("link.ctl");
    let links = [ControlPlace {
        path: link.clone(),
        directory: ControlDirectory::Own,
    }];
    assert_eq!(socket.settle(&mistyped).len(), 1);
    socket.link(&links);
    assert_eq!(socket.path(), Some(path.as_path()));
    UnixStream::connect(&path).expect("it listens");
    UnixStream::connect(&link).expect("the link leads there");
    // It moves to where its own link is, and its old file goes.
    settled(&mut socket, &links);
    assert_eq!(socket.path(), Some(link.as_path()));
    assert!(!path.exists());
    // Where nobody finds it any more it is not kept.
    std::fs::remove_file(&link).expect("removed");
    assert_eq!(socket.settle(&mistyped).len(), 1);
    assert_eq!(socket.path(), None);
}

#[test]
fn a_socket_that_is_closed_takes_nobody_and_keeps_those_who_wait() {
    let (mut socket, path) = socket("closed");
    let now = Instant::now();
    let waiting = connect(&path, "POST /stop HTTP/1.1\r\n\r\n");
    let mut asked = Vec::new();
    while asked.is_empty() {
        asked = turn(&mut socket, now);
    }
    let stopping = Event::Stopping { grace_ms: 7 };
    socket.begin(asked[0].client, &stopping, None, now);
    socket.close();
    assert!(!path.exists());
    UnixStream::connect(&path).expect_err("nobody listens");
    assert_eq!(socket.connections.len(), 1);
    drop(socket);
    assert!(answer(waiting).ends_with("{\"event\":\"stopping\",\"grace_ms\":7}\n"));
}

#[test]
fn what_is_refused_says_how_it_is_asked_for_and_a_head_has_no_body() {
    let (mut socket, path) = socket("refused");
    for (line, status, allow, has_body) in [
        ("GET /stop", "405 Method Not Allowed", Some("POST"), true),
        ("POST /status", "405 Method Not Allowed", Some("GET"), true),
        ("HEAD /status", "405 Method Not Allowed", Some("GET"), false),
        ("HEAD /nothing", "404 Not Found", None, false),
    ] {
        let client = connect(&path, &format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        turn(&mut socket, Instant::now());
        while !socket.connections.is_empty() {
            turn(&mut socket, Instant::now());
        }
        let text = answer(client);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{line}: {text}"
        );
        let told = head.lines().find_map(|line| line.strip_prefix("Allow: "));
        assert_eq!(told, allow, "{line}");
        assert_eq!(!body.is_empty(), has_body, "{line}: {text}");
    }
}

#[test]
fn several_that_start_at_the_same_time_leave_one_that_is_found() {
    let path = directory("race").join("site.ctl");
    for _ in 0..20 {
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a stale socket"));
        let start = std::sync::Barrier::new(4);
        let claim = || {
            start.wait();
            let mut socket = ControlSocket::default();
            socket.settle(&[at(path.clone())]);
            socket
        };
        let sockets: Vec<_> = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
            starting
                .into_iter()
                .map(|one| one.join().expect("a thread"))
                .collect()
        });
        let found: Vec<_> = sockets
            .iter()
            .filter_map(|socket| socket.place.as_ref())
            .collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].is_found());
    }
}

#[test]
fn a_link_leads_to_a_socket_that_is_elsewhere_and_goes_with_it() {
    let (mut socket, path) = socket("link");
    let link = path.with_extension("dir").join("link.ctl");
    let own = [ControlPlace {
        path: link.clone(),
        directory: ControlDirectory::Own,
    }];
    socket.link(&own);
    assert_eq!(std::fs::read_link(&link).expect("a link"), path);
    UnixStream::connect(&link).expect("it leads there");
    // Where it leads to somebody who lives it is left alone, by a socket and by another link.
    let mut other = ControlSocket::default();
    assert_eq!(other.settle(&own)[0].1.kind(), io::ErrorKind::AddrInUse);
    drop(socket);
    assert!(std::fs::symlink_metadata(&link).is_err());
    // What a killed one has left is replaced.
    std::os::unix::fs::symlink(&path, &link).expect("a link to nothing");
    settled(&mut other, &own);
    other.link(&own);
    assert!(std::fs::symlink_metadata(&link).is_ok_and(|file| !file.is_symlink()));
}

#[test]
fn clients_that_stall_get_no_answer_and_hold_nobody_up() {
    let (mut socket, path) = socket("stalled");
    let now = Instant::now();
    let mut stalled = Vec::new();
    for _ in 0..3 * CLIENTS_MAX {
        stalled.push(connect(&path, "GET /status HT"));
        assert!(turn(&mut socket, now).is_empty());
    }
    let waiting = connect(&path, RELOAD);
    let mut asked = Vec::new();
    while asked.is_empty() {
        asked = turn(&mut socket, now);
        assert!(socket.connections.len() <= CLIENTS_MAX);
    }
    assert_eq!(asked[0].command, Command::Reload { wait: true });
    socket.begin(asked[0].client, &Event::Asked { waits: false }, Some(1), now);
    // More of them displace each other, and not the one that waits for something.
    let mut more = Vec::new();
    for _ in 0..2 * CLIENTS_MAX {
        more.push(connect(&path, "P"));
        turn(&mut socket, now);
    }
    assert_eq!(socket.connections.len(), CLIENTS_MAX);
    let event = Event::Serving {
        generation: 2,
        boot_ms: 7,
    };
    socket.tell(1, &event, true, now);
    let text = answer(waiting);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(
        text.ends_with(
            "{\"event\":\"asked\",\"waits\":false}\n{\"event\":\"serving\",\"generation\":2,\"boot_ms\":7}\n"
        ),
        "{text}"
    );
    // Those who are left are told when their time is over.
    let late = now + Duration::from_secs(60);
    assert!(socket.deadline().is_some_and(|at| at < late));
    while !socket.connections.is_empty() {
        turn(&mut socket, late);
    }
    assert_eq!(socket.deadline(), None);
    let told = more.into_iter().map(|client| {
        let mut text = String::new();
        let mut client = client;
        let _ = client.read_to_string(&mut text);
        text
    });
    assert!(told.filter(|text| text.starts_with("HTTP/1.1 408 ")).count() > 0);
    drop(stalled);
}

#[test]
fn a_flood_of_bytes_is_refused_and_a_client_that_does_not_read_is_left() {
    let (mut socket, path) = socket("flood");
    let now = Instant::now();
    let mut flood = UnixStream::connect(&path).expect("somebody listens");
    let writing = std::thread::spawn(move || {
        let head = [&b"GET /status HTTP/1.1\r\nX: "[..], &vec![b'x'; 1 << 20]].concat();
        // It is cut in the middle.
        let _ = flood.write_all(&head);
        let mut text = String::new();
        let _ = flood.read_to_string(&mut text);
        text
    });
    while !writing.is_finished() {
        assert!(turn(&mut socket, now).is_empty());
        let held = socket.connections.iter().map(|(_, one)| one.request_bytes());
        assert!(held.sum::<usize>() <= 80 * 1024);
    }
    let text = writing.join().expect("a thread");
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431 "), "{text}");

    let deaf = connect(&path, RELOAD);
    let mut asked = Vec::new();
    while asked.is_empty() {
        asked = turn(&mut socket, now);
    }
    socket.begin(asked[0].client, &Event::Asked { waits: false }, Some(1), now);
    let message = "x".repeat(30_000);
    for _ in 0..1000 {
        socket.tell(
            1,
            &Event::Refused {
                message: message.clone(),
            },
            false,
            now,
        );
    }
    turn(&mut socket, now);
    assert!(socket.connections.is_empty());
    drop(deaf);
}

#[test]
fn who_says_nothing_more_is_answered_and_who_has_left_is_forgotten() {
    let (mut socket, path) = socket("half");
    let now = Instant::now();
    // As `printf | nc -U` does.
    let half = connect(&path, STATUS);
    half.shutdown(std::net::Shutdown::Write).expect("half closed");
    let gone = connect(&path, RELOAD);
    let mut asked = Vec::new();
    while asked.len() < 2 {
        asked.extend(turn(&mut socket, now));
    }
    for one in &asked {
        match one.command {
            Command::Status => socket.answer(one.client, &"fine", now),
            _ => socket.begin(one.client, &Event::Asked { waits: true }, Some(1), now),
        }
    }
    assert!(answer(half).ends_with("\r\n\r\n\"fine\"\n"));
    drop(gone);
    while !socket.connections.is_empty() {
        turn(&mut socket, now);
    }
}

#[test]
fn a_command_finds_the_server_by_its_places_and_tells_why_it_cannot() {
    let (mut socket, path) = socket("find");
    let nowhere = path.with_extension("nowhere");
    let search = |paths: &[&PathBuf]| ControlSearch {
        conf: PathBuf::from("/srv/my site.toml"),
        owner: None,
        places: paths.iter().map(|path| at((*path).clone())).collect(),
        is_off: false,
    };
    let failure = client::Server::find(&search(&[&nowhere])).expect_err("nobody is there");
    assert!(matches!(failure, client::Failure::NotRunning { .. }), "{failure}");
    let found = client::Server::find(&search(&[&nowhere, &path])).expect("it listens");
    let asking = std::thread::spawn(move || found.ask::<String>("GET", "/status"));
    while !asking.is_finished() {
        for one in turn(&mut socket, Instant::now()) {
            assert_eq!(one.peer.uid, rustix::process::geteuid().as_raw());
            assert_eq!(one.conf.as_deref(), Some(Path::new("/srv/my site.toml")));
            socket.answer(one.client, &"fine", Instant::now());
        }
    }
    assert_eq!(asking.join().expect("a thread").expect("an answer"), "fine");
    let found = client::Server::find(&search(&[&path])).expect("it listens");
    let asking = std::thread::spawn(move || found.ask::<String>("GET", "/else"));
    while !asking.is_finished() {
        turn(&mut socket, Instant::now());
    }
    let failure = asking.join().expect("a thread").expect_err("refused");
    assert!(failure.to_string().contains("GET /status"), "{failure}");
    let found = client::Server::find(&search(&[&path])).expect("it listens");
    let asking = std::thread::spawn(move || found.ask::<String>("GET", "/status"));
    while !asking.is_finished() {
        for one in turn(&mut socket, Instant::now()) {
            socket.mistaken(one.client, Path::new("/srv/other.toml"), Instant::now());
        }
    }
    let failure = asking.join().expect("a thread").expect_err("refused");
    assert_eq!(failure.to_string(), "the server of /srv/other.toml listens there");
}
