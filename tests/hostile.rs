//! What somebody can do who runs code of his own in a worker: harm that worker, and nothing else.

mod attacked;
mod in_flight;
mod left;
mod limits;
mod messages;
mod stalled_files;
mod stopped;
mod twins;
mod users;

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use self::attacked::Attacked;
use crate::harness::{Connection, Site, processes::signal_pid, wait_for};

/// A hostile application below /hostile, an honest one at /.
fn site(test: &str) -> Attacked {
    let site = Attacked::new(Site::new(test));
    site.config(
        r#"
        [app.honest]
        wsgi = "wsgi"
        directory = "{apps}/hello"
        python = "{python}"
        workers = 1
        [app.hostile]
        wsgi = "wsgi"
        directory = "{apps}/hostile"
        python = "{python}"
        workers = 1
        [[site]]
        [[site.route]]
        path = "/"
        app = "honest"
        [[site.route]]
        path = "/hostile"
        app = "hostile"
        strip = true
        "#,
    );
    site
}

/// A client of the honest application, which fails when one of its requests does.
struct Neighbour {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<usize>,
}

impl Neighbour {
    fn of(site: &Site) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, port) = (Arc::clone(&stop), site.port);
        let thread = std::thread::spawn(move || {
            let mut connection = Connection::open(port);
            let mut served = 0;
            while !stopped.load(Ordering::Relaxed) {
                if served % 100 == 99 {
                    connection = Connection::open(port);
                }
                let answer = connection.get("/", &[]);
                assert_eq!(answer.status, 200, "{}", answer.text());
                served += 1;
            }
            served
        });
        Self { stop, thread }
    }

    /// How many requests were answered.
    fn leave(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no request of the neighbour failed")
    }
}

#[test]
fn each_breach_of_the_control_protocol_costs_the_worker_that_committed_it() {
    let cases = [
        ("hello", "another process said that it was this worker"),
        ("ready", "it was ready twice"),
        ("failed-twice", "it failed twice"),
        ("unknown", "it broke the protocol"),
        ("cut", "it broke the protocol"),
        ("longer", "it broke the protocol"),
        ("not-utf8", "it broke the protocol"),
        ("lying-length", "it broke the protocol"),
    ];
    let mut site = site("hostile-control");
    for text in ["worker died", "a stranger says", "message refused"] {
        site.expect_error(text);
    }
    site.start();
    let neighbour = Neighbour::of(&site);
    for (number, (message, why)) in (1..).zip(cases) {
        let answer = site.connect().request(
            "POST",
            &format!("/hostile/say/{message}"),
            &[("Content-Length", "0")],
            b"",
        );
        assert_eq!(answer.status, 502, "{message}");
        site.wait_for_log_times("] worker died app=hostile", number);
        let log = site.error_log();
        let died = log
            .lines()
            .rfind(|line| line.contains("] worker died app=hostile"));
        assert!(died.is_some_and(|line| line.contains(why)), "{message}: {died:?}");
        assert_eq!(site.get("/hostile/").status, 200, "{message}");
    }
    assert!(neighbour.leave() > 0);
    assert!(!site.error_log().contains("worker died app=honest"));
    assert!(site.stop().success());
}

#[test]
fn a_worker_that_floods_the_supervisor_keeps_it_from_nothing() {
    let mut site = site("hostile-flood");
    site.expect_error("worker died")
        .expect_error("says more to the supervisor");
    site.start();
    let neighbour = Neighbour::of(&site);
    assert_eq!(site.get("/hostile/flood").status, 200);
    site.wait_for_log("worker died app=hostile");
    assert_eq!(site.get("/hostile/").status, 200);
    assert!(neighbour.leave() > 0);
    // What it said was not worth more than a line.
    assert!(site.error_log().lines().count() < 50, "{}", site.error_log());
    assert!(site.stop().success());
}

#[test]
fn a_worker_cannot_type_into_the_terminal_of_the_administrator() {
    let mut site = site("hostile-terminal");
    let terminal = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))";
    let on_terminal = site.command_by("python3", &["-c", terminal]);
    site.start_by(on_terminal);
    let answer = site.get("/hostile/terminal").text();
    assert!(answer.contains("No such device or address"), "{answer}");
    let supervisor = site.processes_named("site.toml").pop().expect("the supervisor");
    signal_pid(supervisor.pid, "TERM");
    site.wait();
}

/// Descriptors that the proxy has open, which it shows to root alone.
fn descriptors(site: &Site) -> usize {
    let proxy = site.processes_named("appliance: proxy").pop().expect("the proxy");
    std::fs::read_dir(format!("/proc/{}/fd", proxy.pid))
        .expect("its descriptors")
        .count()
}

/// A site of an application that answers in many pieces.
fn slices(test: &str) -> Attacked {
    let site = Attacked::new(Site::new(test));
    site.config(
        r#"
        [app.slices]
        asgi = "asgi:app"
        directory = "{apps}/slices"
        python = "{python}"
        workers = 1
        pathsend = true
        [[site]]
        app = "slices"
        "#,
    );
    site
}

#[test]
fn files_of_an_answer_that_nobody_takes_are_few_descriptors() {
    if !crate::harness::app::root() {
        return;
    }
    let mut site = slices("slices");
    site.start();
    assert_eq!(site.get("/many/3").body.len(), 3 * 1024);
    let before = descriptors(&site);
    for (target, slices) in [("/one/15000", 15_000), ("/many/15000", 15_000)] {
        let mut stalled = site.connect();
        stalled
            .send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .unwrap();
        stalled.read_head().unwrap();
        // The worker is held up: what it may send has come when the others have been served for a while.
        for _ in 0..50 {
            assert_eq!(site.get("/one/1").body.len(), 1024);
            assert!(
                descriptors(&site) < before + 40,
                "{target}: {}",
                descriptors(&site)
            );
        }
        let mut bytes = 0;
        while let Some(chunk) = stalled.read_chunk().unwrap() {
            bytes += chunk.len();
        }
        assert_eq!(bytes, 1024 * slices);
        drop(stalled);
    }
    wait_for("the files are closed", || {
        (descriptors(&site) <= before).then_some(())
    });
    // What may wait while it is read does not travel.
    assert!(site.get("/slow/100").body.len() == 100);
    assert!(site.stop().success());
}

/// Each byte a piece of its own, which took a hundred times as much while it waited.
#[test]
fn answers_in_many_small_pieces_take_little_memory_while_they_wait() {
    let mut site = slices("drops");
    site.start();
    let most = attacked::memory_of_the_proxy(&site) + (12 << 20);
    let target = "/drops/20000";
    let stalled: Vec<Connection> = (0..20)
        .map(|_| {
            let mut stalled = site.connect();
            stalled
                .send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
                .unwrap();
            stalled
        })
        .collect();
    // The worker has said all; none of these has read anything.
    wait_for("all has come", || {
        let memory = attacked::memory_of_the_proxy(&site);
        assert!(memory < most, "{memory} and {most}");
        assert_eq!(site.get("/one/1").body.len(), 1024);
        (site.get("/said/0").text() == "20").then_some(())
    });
    for mut connection in stalled {
        let body = connection.read_response("GET").unwrap().text();
        assert_eq!(body.len(), 20_000);
        assert!(body.as_bytes().chunks(10).all(|ten| ten == b"0123456789"));
    }
    assert!(site.stop().success());
}

#[test]
fn bodies_that_a_view_keeps_are_few_descriptors() {
    if !crate::harness::app::root() {
        return;
    }
    let mut site = site("hostile-kept");
    site.start();
    let body = vec![b'x'; 100 << 10];
    let keep = || {
        let answer = site
            .connect()
            .request("POST", "/hostile/keep", &[("Content-Length", "102400")], &body);
        assert_eq!(answer.text(), "102400");
    };
    keep();
    let before = descriptors(&site);
    (0..300).for_each(|_| keep());
    assert!(
        descriptors(&site) < before + 70,
        "{} and {before}",
        descriptors(&site)
    );
    assert_eq!(site.get("/hostile/kept").status, 200);
    wait_for("all are given back", || {
        (descriptors(&site) <= before).then_some(())
    });
    assert!(site.stop().success());
}

/// Traces a process and never looks at it: so its end is kept from its parent, as by a sleep that no signal
/// interrupts.
fn keep_from_ending(pid: i32) -> std::process::Child {
    let script = "
import ctypes, sys, time
PTRACE_SEIZE = 0x4206
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(PTRACE_SEIZE, int(sys.argv[1]), None, None):
    sys.exit('ptrace: %d' % ctypes.get_errno())
print('traced', flush=True)
time.sleep(600)
";
    let mut tracer = Command::new("python3")
        .args(["-c", script, &pid.to_string()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a tracer");
    let mut said = [0; 6];
    std::io::Read::read_exact(tracer.stdout.as_mut().expect("a pipe"), &mut said).expect("it traces");
    tracer
}

#[test]
fn workers_that_cannot_be_ended_hold_up_neither_reloads_nor_the_stop() {
    if !crate::harness::app::root() {
        println!("skipped: who is not root may not trace these processes");
        return;
    }
    let site = Site::of_app("stuck", "hello", "workers = 1", "[server]\ngrace = \"1s\"");
    let mut site = Attacked::new(site);
    site.expect_error("does not end though it was killed")
        .expect_error("does not end, killed");
    site.start();
    let mut tracers = Vec::new();
    for generation in 2..=5 {
        let title = "worker web/0";
        let serving = wait_for("one worker", || match site.processes_named(title).as_slice() {
            [worker] => Some(worker.pid),
            _ => None,
        });
        tracers.push(keep_from_ending(serving));
        site.signal("HUP");
        site.wait_for_log(&format!("serving generation={generation}"));
        assert_eq!(site.get("/").status, 200);
    }
    site.wait_for_log("worker does not end though it was killed");
    assert!(
        site.error_log().contains("held by a process that traces it"),
        "{}",
        site.error_log()
    );
    assert!(site.stop().success());
    for mut tracer in tracers {
        tracer.kill().expect("it runs");
        tracer.wait().expect("it ends");
    }
}

/// An application of the proxy's user may stop it; so may a front thread that hangs, a fault of ours.
#[test]
fn a_proxy_that_does_not_answer_is_replaced() {
    let site = Site::of_app("silent-proxy", "hello", "workers = 1", "[server]\nthreads = 2");
    let mut site = Attacked::new(site);
    site.expect_error("proxy does not answer")
        .expect_error("proxy died, it is started again");
    site.start();
    site.wait_for_log("] proxy accepts");
    let proxy = || wait_for("one proxy", || site.processes_named("appliance: proxy").pop());
    let stopped = proxy();
    stopped.signal("STOP");
    site.wait_for_log("proxy does not answer, it is replaced");
    let log = site.error_log();
    assert!(log.contains("stopped by a signal"), "{log}");
    assert!(log.contains("thread=front-1"), "{log}");
    wait_for("the next one", || (proxy().pid != stopped.pid).then_some(()));
    site.wait_for_log_times("] proxy accepts", 2);
    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.error_log().matches("it is replaced").count(), 1);
    assert!(site.stop().success());
}

/// Whoever reads one of the pages may look each sentence up.
#[test]
fn the_pages_of_attacks_and_faults_name_tests_that_there_are() {
    let workspace = crate::harness::workspace();
    let table = |page: &str, heading: &str| {
        let page = std::fs::read_to_string(workspace.join(page)).unwrap();
        page.split_once(heading).unwrap().1.to_owned()
    };
    let table = table("deploy/SECURITY.md", "## Which attack is which test")
        + &table("tests/FAULTS.md", "# Faults, and the tests that hold them");
    let listed = Command::new("grep")
        .args(["-rhoE", "--include=*.rs", "fn [a-z0-9_]+", "tests", "crates"])
        .current_dir(workspace)
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let tests: std::collections::HashSet<&str> = listed.lines().map(|line| &line[3..]).collect();
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let mut named = 0;
    for name in rows.flat_map(|row| row.split('`').skip(1).step_by(2)) {
        if name.len() > 20 && !name.contains('.') {
            assert!(tests.contains(name), "{name}");
            named += 1;
        }
    }
    assert!(named > 100, "{named}");
}
