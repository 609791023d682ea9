//! Servers that are written as names.

use std::{
    io::Write,
    net::{Ipv6Addr, TcpListener},
    time::{Duration, Instant},
};

use super::site;
use crate::harness::{Site, app, upstream::Upstream, wait_for};

/// A started site of this upstream that looks names up in the file `hosts` of its directory, and nowhere
/// else.
fn with_hosts(test: &str, servers: &[&str], hosts: &str) -> Option<Site> {
    if !app::mounts() {
        return None;
    }
    let mut site = Site::in_the_open(test);
    site.write("hosts", hosts);
    site.write("nsswitch.conf", "hosts: files\n");
    site.config(&format!(
        "[upstream.back]\nservers = {servers:?}\n[[site]]\nrespond = \"here\"\n\
         [[site.route]]\npath = \"/back/\"\nupstream = \"back\"\n"
    ));
    let own = site.directory.display();
    let prepare = format!(
        "mount --make-rprivate /; mount --bind {own}/hosts /etc/hosts; mount --bind {own}/nsswitch.conf /etc/nsswitch.conf"
    );
    let command = app::in_namespace(&site, &prepare, "");
    site.start_by(command);
    Some(site)
}

fn port(server: &Upstream) -> &str {
    server.url.rsplit(':').next().unwrap()
}

/// The file is bound, so it is written and not replaced.
fn say(site: &Site, hosts: &str) {
    let path = site.directory.join("hosts");
    let mut file = std::fs::File::options()
        .write(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(hosts.as_bytes()).unwrap();
}

#[test]
fn a_name_that_does_not_resolve_is_a_502_of_its_route_until_it_does() {
    let server = Upstream::tcp("back");
    let url = format!("http://standby:{}", port(&server));
    let Some(mut site) = with_hosts("name-later", &[&url], "127.0.0.1 localhost\n") else {
        return;
    };
    assert_eq!(site.get("/").text(), "here");
    assert_eq!(site.get("/back/").status, 502);
    site.wait_for_log("name of an upstream server cannot be looked up");
    // A reload is not refused for it.
    site.signal("HUP");
    site.wait_for_log(" serving generation=2 ");
    assert_eq!((site.get("/").status, site.get("/back/").status), (200, 502));
    say(&site, "127.0.0.1 localhost standby\n");
    wait_for("the name is looked up again", || {
        (site.get("/back/").status == 200).then_some(())
    });
    assert!(site.stop().success());
}

#[test]
fn a_standby_whose_name_does_not_resolve_harms_nobody() {
    let server = Upstream::tcp("back");
    let Some(mut site) = with_hosts(
        "name-standby",
        &[&server.url, "http://standby:1"],
        "127.0.0.1 localhost\n",
    ) else {
        return;
    };
    let mut client = site.connect();
    for _ in 0..8 {
        assert_eq!(client.get("/back/", &[]).text(), "back");
    }
    let output = site.command(&["check"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(site.stop().success());
}

#[test]
fn check_warns_of_a_name_and_goes_on() {
    let site = Site::new("name-check");
    site.config(
        "[upstream.back]\nservers = [\"http://no-such-name.invalid:1\"]\n[[site]]\nupstream = \"back\"\n",
    );
    let output = site.command(&["check"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        told.contains("warning: upstream `back`: the host `no-such-name.invalid`"),
        "{told}"
    );
    assert!(told.contains("everything is in order"), "{told}");
}

#[test]
fn all_addresses_of_a_name_are_used() {
    let server = Upstream::tcp("back");
    // Nobody listens there, on the very port.
    let url = format!("http://twice:{}", port(&server));
    let hosts = "127.0.0.1 localhost\n::1 twice\n127.0.0.1 twice\n";
    let Some(mut site) = with_hosts("name-twice", &[&url], hosts) else {
        return;
    };
    let mut client = site.connect();
    for _ in 0..8 {
        let answer = client.request("POST", "/back/echo", &[], b"precious");
        assert_eq!(answer.status, 200);
    }
    assert!(site.stop().success());
}

#[test]
fn each_address_of_a_name_gets_its_share() {
    let Ok(six) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        println!("skipped: needs IPv6");
        return;
    };
    let port = six.local_addr().unwrap().port();
    let Ok(four) = TcpListener::bind(("127.0.0.1", port)) else {
        println!("skipped: the port is taken");
        return;
    };
    for (listener, word) in [(six, "six"), (four, "four")] {
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = std::io::Read::read(&mut stream, &mut [0; 1024]);
                let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{word}");
            }
        });
    }
    let url = format!("http://both:{port}");
    let Some(mut site) = with_hosts("name-both", &[&url], "::1 both\n127.0.0.1 both\n") else {
        return;
    };
    let mut client = site.connect();
    let said: Vec<String> = (0..6).map(|_| client.get("/back/", &[]).text()).collect();
    assert_eq!(said.iter().filter(|word| *word == "six").count(), 3, "{said:?}");
    assert_eq!(said.iter().filter(|word| *word == "four").count(), 3, "{said:?}");
    assert!(site.stop().success());
}

#[test]
fn localhost_is_a_server_like_any_other() {
    let server = Upstream::tcp("back");
    let url = format!("http://localhost:{}", port(&server));
    let mut site = site("name-localhost", &[&url], "");
    let began = Instant::now();
    assert_eq!(site.get("/").text(), "back");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(site.stop().success());
}
