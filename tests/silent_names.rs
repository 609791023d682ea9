//! A name server that never answers does not block the supervisor.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use crate::harness::{Site, app};

/// Takes questions and says nothing; a proxy gives it twenty seconds for each name, the C library a minute.
struct Silent {
    socket: UdpSocket,
}

impl Silent {
    /// On an address of the loopback that is this test's alone: the port of name servers is always the same.
    fn new(test: u8) -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, high, low, test);
        let socket = UdpSocket::bind((address, 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { socket }
    }

    /// Waits until somebody asks.
    fn asked(&self) {
        self.socket.recv_from(&mut [0; 512]).unwrap();
    }
}

/// A site with a server behind it whose name only this name server could know.
fn site(test: &str, silent: &Silent) -> (Site, String) {
    let site = Site::in_the_open(test);
    let server = silent.socket.local_addr().unwrap().ip();
    site.write(
        "resolv.conf",
        format!("nameserver {server}\noptions timeout:30 attempts:2\n"),
    );
    site.write("nsswitch.conf", "hosts: files dns\n");
    site.config(
        "[upstream.back]\nservers = [\"http://back.example:9\"]\n[[site]]\nrespond = \"here\"\n\
         [[site.route]]\npath = \"/back/\"\nupstream = \"back\"\n",
    );
    let own = site.directory.display();
    let prepare = format!(
        "mount --make-rprivate /; mount --bind {own}/resolv.conf /etc/resolv.conf; \
         mount --bind {own}/nsswitch.conf /etc/nsswitch.conf"
    );
    (site, prepare)
}

/// Less than any wait for a name, and enough for a start or a stop on a busy machine.
const SOON: Duration = Duration::from_millis(2500);

#[test]
fn it_holds_up_neither_a_start_nor_a_reload_nor_a_stop() {
    if !app::mounts() {
        return;
    }
    let silent = Silent::new(101);
    let (mut site, prepare) = site("silent-names", &silent);
    let command = app::in_namespace(&site, &prepare, "");
    site.spawn_by(command);
    silent.asked();
    let began = Instant::now();
    assert!(site.stop().success(), "{}", site.error_log());
    assert!(
        began.elapsed() < SOON,
        "a start took {:?} to be stopped",
        began.elapsed()
    );

    // That one may have served already.
    std::fs::remove_file(site.directory.join("error.log")).unwrap();
    let command = app::in_namespace(&site, &prepare, "");
    site.start_by(command);
    silent.asked();
    assert_eq!(site.get("/").text(), "here");
    site.signal("HUP");
    site.wait_for_log(" serving generation=2 ");
    assert_eq!(site.get("/").text(), "here");
    site.signal("HUP");
    site.wait_for_log("booting generation=3");
    let began = Instant::now();
    assert!(site.stop().success(), "{}", site.error_log());
    assert!(
        began.elapsed() < SOON,
        "a reload took {:?} to be stopped",
        began.elapsed()
    );
}

#[test]
fn it_holds_up_neither_a_proxy_that_is_started_again_nor_a_stop_behind_that() {
    if !app::mounts() {
        return;
    }
    let silent = Silent::new(103);
    let (mut site, prepare) = site("silent-again", &silent);
    let command = app::in_namespace(&site, &prepare, "");
    site.start_by(command);
    site.expect_error("proxy died, it is started again");
    for times in 2..4 {
        let proxy = site.processes_at_least("appliance: proxy", 1).remove(0);
        let began = Instant::now();
        proxy.signal("KILL");
        site.wait_for_log_times("proxy accepts", times);
        assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
        assert_eq!(site.get("/").text(), "here");
    }
    let proxy = site.processes_at_least("appliance: proxy", 1).remove(0);
    proxy.signal("KILL");
    site.wait_for_log_times("proxy died, it is started again", 3);
    let began = Instant::now();
    assert!(site.stop().success(), "{}", site.error_log());
    assert!(began.elapsed() < SOON, "a stop took {:?}", began.elapsed());
}

#[test]
fn check_waits_for_it_for_a_while_and_tells() {
    if !app::mounts() {
        return;
    }
    let silent = Silent::new(102);
    let (site, prepare) = site("silent-check", &silent);
    let mut command = app::in_namespace(&site, &prepare, "");
    let words: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    let script = format!("{} check", words.last().unwrap().to_str().unwrap());
    command = std::process::Command::new(command.get_program());
    let output = command
        .args(&words[..words.len() - 1])
        .arg(script)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        told.contains(
            "the host `back.example` of http://back.example:9 cannot be looked up: no answer within 5s"
        ),
        "{told}"
    );
    assert!(told.contains("everything is in order"), "{told}");
}
