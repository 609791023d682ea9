//! From the start of the program to its end, on good and on hard ground.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    path::Path,
    time::{Duration, Instant},
};

use crate::harness::{
    Connection, Site,
    app::{self, of_app},
    processes,
    wait::PATIENCE,
    wait_for, workspace,
};

/// A site with one request in it.
fn running(test: &str, more: &str) -> (Site, std::thread::JoinHandle<std::io::Result<u16>>) {
    let mut site = Site::of_app(test, "gate", "workers = 1", more);
    site.start();
    let mut client = site.connect();
    let running = std::thread::spawn(move || {
        client.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        client.read_response("GET").map(|answer| answer.status)
    });
    site.lines_of("began-a", 1);
    (site, running)
}

#[test]
fn a_drain_lets_a_running_request_finish() {
    for signal in ["TERM", "QUIT"] {
        let (mut site, running) = running("drain", "");
        site.signal(signal);
        wait_for("nobody listens any more", || {
            TcpStream::connect(("127.0.0.1", site.port))
                .is_err()
                .then_some(())
        });
        site.write("open-a", "");
        assert_eq!(running.join().unwrap().unwrap(), 200, "{signal}");
        assert_eq!(site.wait().code(), Some(0), "{signal}");
        assert_eq!(site.records(1)[0]["status"], 200);
        assert!(site.processes().is_empty(), "{:?}", site.processes());
    }
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let mut site = Site::of_app("idle", "hello", "workers = 1", "");
    site.start();
    let mut idle = site.connect();
    assert_eq!(idle.get("/", &[]).status, 200);
    let began = Instant::now();
    assert!(site.stop().success());
    // The grace is 30 s.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(idle.closed());
}

#[test]
fn a_drain_ends_with_the_grace_whatever_still_runs() {
    let (mut site, running) = running("grace", "[server]\ngrace = \"1s\"\n");
    let began = Instant::now();
    site.signal("TERM");
    assert_eq!(site.wait().code(), Some(0));
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(running.join().unwrap().map_or(true, |status| status >= 500));
    assert_eq!(site.records(1).len(), 1);
    assert!(site.processes().is_empty(), "{:?}", site.processes());
}

#[test]
fn an_interrupt_does_not_wait_for_what_runs() {
    let (mut site, running) = running("interrupt", "");
    let began = Instant::now();
    site.signal("INT");
    assert_eq!(site.wait().code(), Some(0));
    // The grace would be 30 s.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(running.join().unwrap().map_or(true, |status| status >= 500));
    assert!(site.processes().is_empty(), "{:?}", site.processes());
}

#[test]
fn the_pid_file_is_there_while_the_server_is_and_keeps_a_second_one_away() {
    let mut site = Site::of_app(
        "pid-file",
        "hello",
        "workers = 1",
        "[server]\npid_file = \"pid\"\n",
    );
    site.start();
    let pid_file = site.directory.join("pid");
    assert_eq!(
        fs::read_to_string(&pid_file).unwrap().trim(),
        site.pid().to_string()
    );
    let second = site.command(&[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        told.contains(&format!("already running as process {}", site.pid())),
        "{told}"
    );
    assert_eq!(site.get("/").status, 200);
    assert!(pid_file.exists());
    assert!(site.stop().success());
    assert!(!pid_file.exists());

    // One that was left by a killed server is in nobody's way.
    fs::write(&pid_file, "1\n").unwrap();
    fs::write(site.directory.join("error.log"), "").unwrap();
    site.start();
    assert_eq!(
        fs::read_to_string(&pid_file).unwrap().trim(),
        site.pid().to_string()
    );
    assert!(site.stop().success());
}

#[test]
fn a_daemon_lets_its_terminal_go_once_it_serves() {
    let site = Site::of_app("daemon", "hello", "workers = 1", "[server]\npid_file = \"pid\"\n");
    // Returns only when nobody holds the pipes any more.
    let output = site.command(&["--daemon"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!((output.stdout.len(), output.stderr.len()), (0, 0), "{output:?}");
    assert_eq!(site.get("/").text(), "hello\n");
    let pid: i32 = fs::read_to_string(site.directory.join("pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    // The supervisor hides from others than root.
    if let Ok(directory) = fs::read_link(format!("/proc/{pid}/cwd")) {
        assert_eq!(directory, Path::new("/"));
    }
    processes::signal_pid(pid, "HUP");
    site.wait_for_log(" serving generation=2 ");
    assert_eq!(site.get("/").text(), "hello\n");
    processes::signal_pid(pid, "TERM");
    wait_for("the daemon ends", || site.processes().is_empty().then_some(()));
    assert!(!site.directory.join("pid").exists());
}

#[test]
fn a_daemon_whose_log_lines_would_be_lost_is_refused_at_the_start_by_check_and_at_a_reload() {
    let logs = |access: &str, error: &str| {
        format!(
            "[server]\npid_file = \"pid\"\n[log.access]\nto = \"{access}\"\n[log.error]\nto = \"{error}\""
        )
    };
    let mut site = Site::of_app(
        "daemon-logs",
        "hello",
        "workers = 1",
        &logs("./access.log", "./error.log"),
    );
    site.expect_error("log.access.to: ")
        .expect_error("reload refused");
    let write = |access: &str, error: &str| {
        site.config(&of_app("hello", "workers = 1", &logs(access, error)));
    };
    for (access, error, keys) in [
        ("stdout", "./error.log", "log.access.to: "),
        ("off", "stderr", "log.error.to: "),
        (
            "/dev/stdout",
            "/proc/self/fd/2",
            "log.access.to and log.error.to: ",
        ),
        ("stderr", "stderr", "log.access.to and log.error.to: "),
    ] {
        write(access, error);
        for arguments in [&["--daemon"][..], &["check", "--daemon"]] {
            let output = site.command(arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                told.contains(&format!(": {keys}")) && told.contains("name a file there"),
                "{told}"
            );
        }
        // In front nothing is lost.
        assert_eq!(site.command(&["check"]).output().unwrap().status.code(), Some(0));
    }
    write("./access.log", "./error.log");
    assert_eq!(
        site.command(&["--daemon"]).output().unwrap().status.code(),
        Some(0)
    );
    let pid = fs::read_to_string(site.directory.join("pid")).unwrap();
    let pid = pid.trim().parse().unwrap();
    write("stdout", "./error.log");
    processes::signal_pid(pid, "HUP");
    site.wait_for_log("log.access.to: ");
    site.wait_for_log("reload refused");
    assert_eq!(site.get("/").text(), "hello\n");
    processes::signal_pid(pid, "TERM");
    wait_for("the daemon ends", || site.processes().is_empty().then_some(()));
}

#[test]
fn a_start_without_proc_says_what_is_missing_and_the_way_out() {
    if !app::mounts() {
        return;
    }
    let site = Site::of_app("no-proc", "hello", "workers = 1", "");
    for program in ["", "sh -c '\"$0\" check \"$@\"'"] {
        let output = app::in_namespace(&site, "umount -l /proc", program)
            .output()
            .unwrap();
        assert!(matches!(output.status.code(), Some(1)), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            told.contains("/proc is not mounted") && told.contains("mount -t proc proc /proc"),
            "{told}"
        );
    }
    assert!(site.processes().is_empty());
}

#[test]
fn a_daemon_that_can_not_start_says_so_and_why() {
    let mut broken = Site::of_app("daemon-broken", "forms", "wsgi = \"broken\"", "");
    broken.expect_error("supervisor[");
    let bad = Site::new("daemon-bad");
    bad.write("site.toml", "[[siet]]\n");
    for (site, code, told) in [
        (&broken, 3, "RuntimeError: the database is not there"),
        (&bad, 2, "site.toml:1:3: unknown key `siet`"),
    ] {
        let output = site.command(&["--daemon"]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(shown.contains(told), "{shown}");
        assert!(site.processes().is_empty());
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let mut site = Site::of_app("taken", "hello", "workers = 1", "");
    site.expect_error("cannot listen on");
    let _holder = TcpListener::bind(("127.0.0.1", site.port)).unwrap();
    assert_eq!(site.spawn().wait().code(), Some(1));
    let told = format!("cannot listen on 127.0.0.1:{}: Address already in use", site.port);
    assert!(site.output().contains(&told), "{}", site.output());
    assert!(site.processes().is_empty());
}

#[test]
fn the_service_manager_is_told_how_it_goes() {
    let mut site = Site::of_app("notify", "hello", "workers = 1", "");
    let socket = UnixDatagram::bind(site.directory.join("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut buffer = [0; 4096];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    };
    let path = site.directory.join("notify").display().to_string();
    site.environment("NOTIFY_SOCKET", &path);
    site.start();
    let ready = heard();
    assert!(
        ready.contains("READY=1") && ready.contains(&format!("MAINPID={}", site.pid())),
        "{ready}"
    );
    site.signal("HUP");
    let reloading = heard();
    assert!(
        reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(heard().contains("READY=1"));
    site.signal("TERM");
    assert!(heard().contains("STOPPING=1"));
    assert!(site.wait().success());
}

#[test]
fn a_read_only_file_system_an_unknown_user_and_no_home_are_enough() {
    if !app::mounts() {
        return;
    }
    let mut site = Site::in_the_open("bare");
    crate::harness::site::copy_tree(&workspace().join("tests/apps/input"), &site.directory.join("app"));
    site.config(
        &(of_app("input", "workers = 2\nenv = { A = \"b\" }", "").replace("{apps}/input", "app")
            + "[log.access]\nto = \"stdout\"\n[log.error]\nto = \"stderr\"\n\
               [server.buffers]\nshared = \"10MiB\"\n"),
    );
    // /tmp and /var/tmp may be file systems of their own.
    let read_only = "mount --make-rprivate /; \
        for at in /tmp /var/tmp; do mount --bind $at $at; mount -o remount,bind,ro $at; done; \
        mount -o remount,bind,ro /";
    let nobody = format!(
        "setpriv --reuid 54321 --regid 54321 --clear-groups env -i {}={}",
        processes::MARK,
        site.mark()
    );
    let command = app::in_namespace(&site, read_only, &nobody);
    site.start_by(command);
    for directory in ["tmp", "var/tmp", "etc"] {
        let refused = fs::File::create(format!("/proc/{}/root/{directory}/x", site.pid())).unwrap_err();
        assert_eq!(
            refused.kind(),
            std::io::ErrorKind::ReadOnlyFilesystem,
            "{directory}"
        );
    }
    let status = fs::read_to_string(format!("/proc/{}/status", site.pid())).unwrap();
    assert!(status.contains("Uid:\t54321\t54321"), "{status}");

    // There is no place for a control socket, which is no news.
    assert!(!site.output().contains("control socket"), "{}", site.output());

    // A body that would go to a temporary file.
    let body = vec![b'x'; 300_000];
    let answer = site.connect().request("POST", "/all", &[], &body);
    assert!(answer.text().starts_with("300000 [300000, "), "{}", answer.text());
    // Bodies without a temporary file share a bounded memory: an unfinished one cannot take the machine's.
    let begun = |promised: usize, sent: usize| {
        let mut client = site.connect();
        let head = format!("POST /all HTTP/1.1\r\nhost: a\r\ncontent-length: {promised}\r\n\r\n");
        client.send(head).unwrap();
        let _ = client.send(vec![b'x'; sent]);
        client
    };
    let unfinished = begun(59 << 20, 7 << 20);
    wait_for("the word of it", || {
        site.output()
            .contains("no temporary files can be made")
            .then_some(())
    });
    let refused = wait_for("a body that finds no memory", || {
        let answer = begun(6 << 20, 6 << 20).read_response("POST").unwrap();
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(site.get("/iterate").text(), "None []");
    drop(unfinished);
    wait_for("the memory of a client that left", || {
        let answer = begun(6 << 20, 6 << 20).read_response("POST").ok()?;
        (answer.status == 200).then_some(())
    });
    site.signal("HUP");
    wait_for("the reload", || {
        site.output().contains(" serving generation=2 ").then_some(())
    });
    assert_eq!(site.get("/iterate").text(), "None []");
    assert!(site.stop().success());
    assert!(
        site.output().contains("\"POST /all HTTP/1.1\" 200"),
        "{}",
        site.output()
    );
}

#[test]
fn a_full_disk_costs_log_lines_and_no_request() {
    if !app::mounts() {
        return;
    }
    let mut site = Site::in_the_open("full-disk");
    crate::harness::site::copy_tree(&workspace().join("tests/apps/hello"), &site.directory.join("app"));
    fs::create_dir(site.directory.join("small")).unwrap();
    site.config(
        &(of_app("hello", "workers = 1", "").replace("{apps}/hello", "app")
            + "[log.access]\nto = \"small/access.log\"\nformat = \"json\"\nbuffer_max = \"32KiB\"\n"),
    );
    site.expect_error("log cannot be written");
    let small = format!(
        "mount -t tmpfs -o size=64k tmpfs {}/small",
        site.directory.display()
    );
    let command = app::in_namespace(&site, &small, "");
    site.start_by(command);
    let full = format!(
        "/proc/{}/root{}/small/access.log",
        site.pid(),
        site.directory.display()
    );
    let mut client = site.connect();
    for number in 0..800 {
        assert_eq!(client.get(&format!("/{number}"), &[]).status, 200, "{number}");
    }
    drop(client);
    site.wait_for_log("log cannot be written, lines wait and then are dropped");
    assert!(
        site.error_log().contains("No space left on device"),
        "{}",
        site.error_log()
    );
    assert!(fs::metadata(&full).unwrap().len() <= 64 << 10);

    // There is room again.
    fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&full)
        .unwrap();
    site.wait_for_log("log can be written again");
    site.wait_for_log("log lines were dropped");
    assert_eq!(site.get("/after").status, 200);
    wait_for("the line is written", || {
        fs::read_to_string(&full)
            .unwrap()
            .contains("\"target\":\"/after\"")
            .then_some(())
    });
    assert!(site.stop().success());
}

#[test]
fn the_end_of_a_site_ends_what_its_applications_have_started() {
    let mut site = Site::new("children");
    site.write(
        "app/wsgi.py",
        "import subprocess\n\n\ndef application(environ, start_response):\n    subprocess.Popen(['sleep', '600'])\n    start_response('200 OK', [])\n    return [b'started']\n",
    );
    site.config(&of_app("", "workers = 1", "").replace("{apps}/", "app"));
    site.start();
    assert_eq!(Connection::open(site.port).get("/", &[]).text(), "started");
    site.processes_at_least("sleep 600", 1);
    assert!(site.stop().success());
    wait_for("nothing is left", || site.processes().is_empty().then_some(()));
}
