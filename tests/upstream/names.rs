//! Servers that are written as names.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use super::site;
use crate::harness::{
    Site, app,
    name_server::{NameServer, Says},
    upstream::Upstream,
    wait_for,
};

/// A site of this upstream that looks names up in the file `hosts` of its directory, and nowhere else.
fn with_hosts(test: &str, servers: &[&str], hosts: &str) -> Option<Site> {
    with_files(test, servers, [hosts, "hosts: files\n", ""])
}

/// A started site of this upstream that has other files for names than this machine: hosts, nsswitch.conf and
/// resolv.conf.
fn with_files(test: &str, servers: &[&str], files: [&str; 3]) -> Option<Site> {
    with_keys(test, servers, "", files)
}

/// The same, of an upstream with more keys.
fn with_keys(test: &str, servers: &[&str], keys: &str, files: [&str; 3]) -> Option<Site> {
    if !app::mounts() {
        return None;
    }
    let mut site = Site::in_the_open(test);
    site.config(&format!(
        "[upstream.back]\nservers = {servers:?}\n{keys}\n[[site]]\nrespond = \"here\"\n\
         [[site.route]]\npath = \"/back/\"\nupstream = \"back\"\n"
    ));
    let mut prepare = "mount --make-rprivate /".to_owned();
    for (name, text) in ["hosts", "nsswitch.conf", "resolv.conf"].into_iter().zip(files) {
        site.write(name, text);
        let own = site.directory.display();
        prepare.push_str(&format!("; mount --bind {own}/{name} /etc/{name}"));
    }
    let command = app::in_namespace(&site, &prepare, "");
    site.start_by(command);
    Some(site)
}

/// Answers every request at this address with a word, as long as the process lives. `None` where it is taken,
/// or nobody may listen there.
fn says(address: SocketAddr, word: &'static str) -> Option<SocketAddr> {
    let listener = TcpListener::bind(address).ok()?;
    let address = listener.local_addr().ok()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{word}");
        }
    });
    Some(address)
}

/// Servers on the same port of these addresses, each with its word.
fn on_one_port<const N: usize>(servers: [(IpAddr, &'static str); N]) -> Option<u16> {
    let found = (0..20).find_map(|_| {
        let mut port = 0;
        for (ip, word) in servers {
            port = says((ip, port).into(), word)?.port();
        }
        Some(port)
    });
    if found.is_none() {
        println!("skipped: needs IPv6, and a free port");
    }
    found
}

const FOUR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER_FOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

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
    let Some(port) = on_one_port([(SIX, "six"), (FOUR, "four")]) else {
        return;
    };
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
fn localhost_is_a_server_by_whichever_protocol_it_listens() {
    for (ip, word) in [(FOUR, "four"), (SIX, "six")] {
        let Some(port) = on_one_port([(ip, word)]) else {
            continue;
        };
        let url = format!("http://localhost:{port}");
        // Which one it is costs no attempt.
        let mut site = site("name-localhost", &[&url], "retries = 0");
        let began = Instant::now();
        for _ in 0..4 {
            assert_eq!(site.get("/").text(), word);
        }
        // Not one has waited for a connection in vain, which takes `connect_timeout`: five seconds.
        assert!(began.elapsed() < Duration::from_secs(5));
        let told = site.error_log();
        assert!(!told.contains("upstream server is down"), "nothing is: {told}");
        assert!(site.stop().success());
    }
}

#[test]
fn an_address_of_localhost_where_nobody_listens_fails_its_checks_in_silence() {
    let Some(port) = on_one_port([(FOUR, "four")]) else {
        return;
    };
    let url = format!("http://localhost:{port}");
    let keys = "health = { interval = \"200ms\", unhealthy = 1 }\n[log.error]\nto = \"./error.log\"\nlevel = \"debug\"";
    let mut site = site("name-localhost-health", &[&url], keys);
    site.wait_for_log("does not listen on this address of localhost");
    assert_eq!(site.get("/").text(), "four");
    let told = site.error_log();
    assert!(!told.contains("fails its health checks"), "{told}");
    assert!(site.stop().success());

    let mut site = Site::new("name-localhost-nobody");
    site.config(
        "[upstream.back]\nservers = [\"http://localhost:1\"]\nhealth = { interval = \"200ms\" }\n\
         [[site]]\nupstream = \"back\"\n",
    );
    site.start();
    site.wait_for_log("fails its health checks");
    assert!(site.stop().success());
}

#[test]
fn a_name_is_followed_as_its_addresses_change() {
    let Some(port) = on_one_port([(FOUR, "one"), (OTHER_FOUR, "two"), (SIX, "six")]) else {
        return;
    };
    let Some(name_server) = NameServer::start(Says::Addresses(vec![FOUR], 1)) else {
        return;
    };
    // As it is in a network of containers: a short name, with an underscore, in the domain of all.
    let url = format!("http://my_app:{port}");
    let resolv_conf = format!(
        "{}search back.test\noptions timeout:1 attempts:1\n",
        name_server.line()
    );
    let files = [
        "127.0.0.1 localhost\n",
        "hosts: files dns\n",
        resolv_conf.as_str(),
    ];
    let Some(mut site) = with_files("name-followed", &[&url], files) else {
        return;
    };
    let said = |site: &Site| site.get("/back/").text();
    assert_eq!(said(&site), "one");
    assert!(name_server.asked().contains(&"my_app.back.test.".to_owned()));
    name_server.says(Says::Addresses(vec![OTHER_FOUR], 1));
    wait_for("the name leads elsewhere", || {
        (said(&site) == "two").then_some(())
    });
    assert_eq!(said(&site), "two");
    // All addresses, of both kinds.
    name_server.says(Says::Addresses(vec![OTHER_FOUR, SIX], 1));
    wait_for("the name leads to two", || (said(&site) == "six").then_some(()));
    let mut both = [said(&site), said(&site)];
    both.sort();
    assert_eq!(both, ["six", "two"]);
    // What was known stays when nothing is told any more, whatever the reason.
    let told = |site: &Site, line: &str| site.error_log().matches(line).count();
    for (failures, says) in [Says::ServerFailure, Says::NoSuchName, Says::Nothing]
        .into_iter()
        .enumerate()
    {
        name_server.says(says.clone());
        let failed = |site: &Site| told(site, "name of an upstream server cannot be looked up");
        wait_for("the failure is told", || (failed(&site) > failures).then_some(()));
        let asked = name_server.asked().len();
        wait_for("it is asked again", || {
            (name_server.asked().len() > asked).then_some(())
        });
        let mut both = [said(&site), said(&site)];
        both.sort();
        assert_eq!(both, ["six", "two"], "{says:?}");
        assert_eq!(failed(&site), failures + 1, "told once: {says:?}");
        name_server.says(Says::Addresses(vec![SIX, OTHER_FOUR], 1));
        wait_for("it can be looked up again", || {
            let again = told(&site, "name of an upstream server can be looked up again");
            (again > failures).then_some(())
        });
    }
    assert!(site.stop().success());
}

#[test]
fn after_a_name_server_that_fails_the_next_one_is_asked() {
    let server = Upstream::tcp("back");
    let failing = [Says::ServerFailure, Says::ServerFailure].map(NameServer::start);
    let well = NameServer::start(Says::Addresses(vec![FOUR], 1));
    let ([Some(first), Some(second)], Some(well)) = (&failing, &well) else {
        return;
    };
    let url = format!("http://back.test:{}", port(&server));
    // A search domain that hickory does not take makes no difference.
    for search in ["", "search a..test\n"] {
        let resolv_conf = [first, second, well].map(NameServer::line).concat() + search;
        let files = [
            "127.0.0.1 localhost\n",
            "hosts: files dns\n",
            resolv_conf.as_str(),
        ];
        let Some(mut site) = with_files("name-next-server", &[&url], files) else {
            return;
        };
        wait_for("the name is looked up", || {
            (site.get("/back/").status == 200).then_some(())
        });
        assert!(
            !site.error_log().contains("cannot be looked up"),
            "{}",
            site.error_log()
        );
        assert!(site.stop().success());
    }
}

#[test]
fn without_a_resolv_conf_names_of_hosts_are_found() {
    let server = Upstream::tcp("back");
    let url = format!("http://back:{}", port(&server));
    for (resolv_conf, nsswitch) in [("", ""), ("nonsense\nnameserver nowhere\n", "hosts: files dns\n")] {
        let files = ["127.0.0.1 localhost back\n", nsswitch, resolv_conf];
        let Some(mut site) = with_files("name-no-servers", &[&url, "http://nobody.test:1"], files) else {
            return;
        };
        for _ in 0..3 {
            assert_eq!(site.get("/back/").text(), "back");
        }
        assert!(site.stop().success());
    }
}

/// A started site that asks this name server, which knows the name of its upstream.
fn of_name_server(test: &str, port: u16, keys: &str, name_server: &NameServer) -> Option<Site> {
    let url = format!("http://back.test:{port}");
    let resolv_conf = name_server.line();
    let files = [
        "127.0.0.1 localhost\n",
        "hosts: files dns\n",
        resolv_conf.as_str(),
    ];
    with_keys(test, &[&url], keys, files)
}

#[test]
fn a_proxy_begins_with_what_a_former_one_has_found() {
    let Some(port) = on_one_port([(FOUR, "one"), (OTHER_FOUR, "two")]) else {
        return;
    };
    let Some(name_server) = NameServer::start(Says::Addresses(vec![FOUR], 1)) else {
        return;
    };
    let Some(mut site) = of_name_server("name-former", port, "", &name_server) else {
        return;
    };
    let said = |site: &Site| site.get("/back/").text();
    assert_eq!(said(&site), "one");
    name_server.says(Says::Nothing);
    site.signal("HUP");
    site.wait_for_log(" serving generation=2 ");
    assert_eq!(said(&site), "one");
    // What this one finds later is known to the next one.
    name_server.says(Says::Addresses(vec![OTHER_FOUR], 1));
    wait_for("the name leads elsewhere", || {
        (said(&site) == "two").then_some(())
    });
    name_server.says(Says::ServerFailure);
    site.expect_error("proxy died, it is started again");
    for times in 3..5 {
        site.processes_at_least("appliance: proxy", 1)
            .remove(0)
            .signal("KILL");
        site.wait_for_log_times("proxy accepts", times);
        assert_eq!(said(&site), "two");
    }
    // They are looked up all the same.
    name_server.says(Says::Addresses(vec![FOUR], 1));
    wait_for("the name leads back", || (said(&site) == "one").then_some(()));
    assert!(site.stop().success());
}

#[test]
fn addresses_by_one_protocol_serve_whatever_is_said_of_the_other() {
    let Some(port) = on_one_port([(FOUR, "one"), (OTHER_FOUR, "two"), (SIX, "six")]) else {
        return;
    };
    let addresses = |address| Says::Addresses(vec![address], 1);
    let by_protocol = |four, six| Says::ByProtocol(Box::new(four), Box::new(six));
    let Some(name_server) = NameServer::start(by_protocol(Says::Nothing, addresses(SIX))) else {
        return;
    };
    let keys = "connect_timeout = \"30s\"";
    let Some(mut site) = of_name_server("name-one-protocol", port, keys, &name_server) else {
        return;
    };
    let both = |site: &Site| {
        let mut both = [site.get("/back/").text(), site.get("/back/").text()];
        both.sort();
        both
    };
    assert_eq!(both(&site), ["six", "six"]);
    // The former address stays while nothing is said of it.
    for (says, served) in [
        (by_protocol(addresses(FOUR), Says::Nothing), ["one", "six"]),
        (
            by_protocol(addresses(OTHER_FOUR), Says::ServerFailure),
            ["six", "two"],
        ),
        (by_protocol(Says::NoSuchName, addresses(SIX)), ["six", "six"]),
    ] {
        name_server.says(says.clone());
        wait_for(&format!("{says:?}"), || (both(&site) == served).then_some(()));
    }
    assert!(!site.error_log().contains("cannot be looked up"));
    assert!(site.stop().success());
}

#[test]
fn a_request_waits_for_the_first_lookup_of_a_name_and_no_other_does() {
    let Some(port) = on_one_port([(FOUR, "one")]) else {
        return;
    };
    let Some(name_server) = NameServer::start(Says::Nothing) else {
        return;
    };
    let keys = "connect_timeout = \"60s\"";
    let Some(mut site) = of_name_server("name-first", port, keys, &name_server) else {
        return;
    };
    let waiting = site.beside("/back/");
    assert_eq!(site.get("/").text(), "here");
    name_server.says(Says::Addresses(vec![FOUR], 1));
    assert_eq!(waiting.join().unwrap().text(), "one");
    assert!(site.stop().success());

    name_server.says(Says::Nothing);
    let keys = "connect_timeout = \"100ms\"";
    let Some(mut site) = of_name_server("name-first-not", port, keys, &name_server) else {
        return;
    };
    assert_eq!((site.get("/back/").status, site.get("/").status), (502, 200));
    assert!(site.stop().success());
}

#[test]
fn requests_for_a_name_that_is_absent_do_not_fill_the_log() {
    let Some(mut site) = with_hosts("name-absent", &["http://absent:1"], "127.0.0.1 localhost\n") else {
        return;
    };
    let mut client = site.connect();
    for _ in 0..50 {
        assert_eq!(client.get("/back/", &[]).status, 502);
    }
    site.wait_for_log("upstream has no server for requests");
    let log = site.error_log();
    let lines = log.lines().filter(|line| line.contains("upstream has no server"));
    // One every ten seconds.
    assert!(lines.count() < 10, "{log}");
    assert!(!log.contains("upstream failed"), "{log}");
    assert!(site.stop().success());
}
