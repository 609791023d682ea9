//! The processes of a site: what they are called, whom they run as, what they hold and what they share.

use std::{collections::HashMap, fs, path::Path};

use crate::harness::{
    Connection, Site,
    app::{self, of_app},
    site::copy_tree,
    wait_for, workspace,
};

#[test]
fn each_process_says_what_it_is() {
    let mut site = Site::of_app("titles", "hello", "workers = 2", "");
    site.start();
    site.processes_at_least("worker", 2);
    let mut titles: Vec<_> = site
        .processes()
        .into_iter()
        .filter(|process| process.pid != site.pid())
        .map(|process| process.title)
        .collect();
    titles.sort();
    assert_eq!(
        titles,
        [
            "appliance: proxy",
            "appliance: worker web/0",
            "appliance: worker web/1",
            "appliance: zygote web",
        ]
    );
    assert!(site.stop().success());
}

#[test]
fn everything_but_the_supervisor_gives_up_root() {
    if !app::root() {
        return;
    }
    let mut site = Site::in_the_open("user");
    copy_tree(&workspace().join("tests/apps/crash"), &site.directory.join("app"));
    fs::create_dir_all(site.directory.join("gate")).unwrap();
    open_to_all(&site.directory.join("gate"));
    let config = of_app("crash", "workers = 1\nenv = { GATE = \"{dir}/gate\" }", "");
    let config = config.replace("{apps}/crash", "app");
    site.config(&format!("[server]\nuser = \"nobody\"\n{config}"));
    site.start();
    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.get("/env/USER").text(), "nobody");
    // Root's home is of no use to somebody else.
    assert_ne!(site.get("/env/HOME").text(), "/root");
    let nobody = Ids::of(site.processes_named("appliance: worker")[0].pid);
    assert!(nobody.user.iter().all(|&id| id == 65534), "{nobody:?}");
    for title in ["appliance: proxy", "appliance: zygote"] {
        assert_eq!(Ids::of(site.processes_named(title)[0].pid), nobody, "{title}");
    }
    assert!(!nobody.groups.contains(&0), "{nobody:?}");
    assert_eq!(Ids::of(site.pid()).user, [0; 4]);
    // The access log was opened before root was given up.
    site.access_lines(3);
    assert!(site.stop().success());
}

#[test]
fn an_application_may_run_as_a_user_of_its_own() {
    if !app::root() {
        return;
    }
    let mut site = Site::in_the_open("own-user");
    copy_tree(&workspace().join("tests/apps/crash"), &site.directory.join("app"));
    fs::create_dir_all(site.directory.join("gate")).unwrap();
    open_to_all(&site.directory.join("gate"));
    let keys = "workers = 1\nuser = \"daemon\"\nenv = { GATE = \"{dir}/gate\" }";
    let config = of_app("crash", keys, "").replace("{apps}/crash", "app");
    site.config(&format!("[server]\nuser = \"nobody\"\n{config}"));
    site.start();
    assert_eq!(site.get("/env/USER").text(), "daemon");
    for (title, uid) in [
        ("appliance: worker", 1),
        ("appliance: zygote", 1),
        ("appliance: proxy", 65534),
    ] {
        let ids = Ids::of(site.processes_named(title)[0].pid);
        assert_eq!(ids.user, [uid; 4], "{title}");
        assert!(!ids.groups.contains(&0), "{title}: {ids:?}");
    }
    assert!(site.stop().success());
}

#[derive(Debug, PartialEq)]
struct Ids {
    user: Vec<u32>,
    group: Vec<u32>,
    groups: Vec<u32>,
}

impl Ids {
    fn of(pid: i32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let ids = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().map(|id| id.parse().unwrap()).collect()
        };
        Self {
            user: ids("Uid:"),
            group: ids("Gid:"),
            groups: ids("Groups:"),
        }
    }
}

fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
}

#[test]
fn zygotes_and_workers_hold_no_descriptor_that_is_not_theirs() {
    let mut site = Site::of_app("descriptors", "hello", "workers = 2", "");
    site.start();
    site.processes_at_least("worker", 2);
    assert_eq!(site.get("/").status, 200);
    let listening = listening(site.port);
    for (title, sockets_max) in [("zygote web", 1), ("worker web/0", 2), ("worker web/1", 2)] {
        // A zygote hides from others than root.
        if title.starts_with("zygote") && !app::root() {
            continue;
        }
        let process = &site.processes_named(title)[0];
        let held = descriptors(process.pid);
        let strange: Vec<_> = held
            .values()
            .filter(|link| {
                let theirs = [
                    "/dev/null",
                    "pipe:[",
                    "socket:[",
                    "anon_inode:[event",
                    "/memfd:appliance-",
                ];
                !theirs.iter().any(|start| link.starts_with(start))
            })
            .collect();
        assert!(strange.is_empty(), "{title}: {strange:?}");
        let sockets = held.values().filter(|link| link.starts_with("socket:")).count();
        assert!(sockets <= sockets_max, "{title}: {held:?}");
        assert!(!held.values().any(|link| *link == listening), "{title}: {held:?}");
        assert_eq!(held[&0], "/dev/null", "{title}");
    }
    assert!(site.stop().success());
}

fn descriptors(pid: i32) -> HashMap<i32, String> {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, fs::read_link(entry.path()).ok()?.display().to_string()))
        })
        .collect()
}

/// The listening socket of a port, as a link in `/proc/PID/fd` shows it.
fn listening(port: u16) -> String {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X} ");
    let line = table
        .lines()
        .find(|line| line.contains(&local) && line.split_whitespace().nth(3) == Some("0A"));
    format!("socket:[{}]", line.unwrap().split_whitespace().nth(9).unwrap())
}

#[test]
fn preload_imports_once_for_all_workers_and_their_successors() {
    let mut site = Site::of_app("preload", "crash", "workers = 3", "");
    site.expect_error("worker died");
    site.start();
    let workers = site.processes_at_least("worker web/", 3);
    workers[0].signal("KILL");
    site.wait_for_log("worker died");
    site.wait_for_log_times("worker ready", 4);
    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.lines_of("imports", 1).len(), 1);
    // What was imported is out of the collector's reach, so its pages stay shared.
    let frozen: usize = site.get("/frozen").text().parse().unwrap();
    assert!(frozen > 1000, "{frozen} objects");
    assert!(site.stop().success());
}

#[test]
fn without_preload_each_worker_imports() {
    let mut site = Site::of_app("no-preload", "crash", "workers = 3\npreload = false", "");
    site.start();
    site.wait_for_log_times("worker ready", 3);
    let mut importers = site.lines_of("imports", 3);
    importers.sort();
    let mut workers: Vec<_> = site
        .processes_named("worker web/")
        .iter()
        .map(|worker| worker.pid.to_string())
        .collect();
    workers.sort();
    assert_eq!(importers, workers);
    assert!(site.stop().success());
}

#[test]
fn an_import_that_leaves_a_thread_running_is_not_shared_and_that_is_told() {
    let keys = r#"
        workers = 2
        env = { GATE = "{dir}", IMPORT = "thread" }"#;
    let mut site = Site::of_app("threads", "crash", keys, "");
    site.start();
    site.wait_for_log("the import leaves what workers cannot share");
    assert!(
        site.error_log().contains("thread \"left-running\"")
            || site.error_log().contains("thread \\\"left-running\\\""),
        "{}",
        site.error_log()
    );
    site.wait_for_log_times("worker ready", 2);
    let importers = site.lines_of("imports", 3);
    let workers = site.processes_named("worker web/");
    for worker in &workers {
        assert!(importers.contains(&worker.pid.to_string()), "{importers:?}");
    }
    assert_eq!((importers.len(), workers.len()), (3, 2));
    assert_eq!(site.get("/").status, 200);
    assert!(site.stop().success());
}

#[test]
fn workers_forked_from_one_import_do_not_draw_the_same_random_numbers() {
    let mut site = Site::of_app("random", "crash", "workers = 2\nthreads = 1", "");
    site.start();
    site.wait_for_log_times("worker ready", 2);
    let (one, two) = (site.beside("/wait/go"), site.beside("/wait/go"));
    site.lines_of("waiting", 2);
    site.write("go", "");
    let (one, two) = (one.join().unwrap().text(), two.join().unwrap().text());
    let (one, two) = (one.split_once(' ').unwrap(), two.split_once(' ').unwrap());
    assert_ne!(one.0, two.0, "two workers");
    assert_ne!(one.1, two.1, "two numbers");
    assert!(site.stop().success());
}

#[test]
fn generators_are_seeded_and_connections_of_django_are_closed_before_workers_use_them() {
    let mut site = Site::new("inherited");
    for (file, code) in [
        ("numpy/__init__.py", ""),
        (
            "numpy/random.py",
            "import os\n\nseeded_by = []\n\n\ndef seed():\n    seeded_by.append(os.getpid())\n",
        ),
        ("django/__init__.py", ""),
        (
            "django/db.py",
            "import os\n\n\nclass Connections:\n    closed_by = []\n\n    def close_all(self):\n        \
             self.closed_by.append(os.getpid())\n\n\nconnections = Connections()\n",
        ),
        ("wsgi.py", INHERITED),
    ] {
        site.write(&format!("app/{file}"), code);
    }
    site.config(&of_app("", "workers = 1", "").replace("{apps}/", "app"));
    site.start();
    assert_eq!(
        site.get("/").text(),
        "seeded True, closed before the fork True, file kept True"
    );
    assert!(site.stop().success());
}

/// Keeps open what its import opened, and tells what has become of it.
const INHERITED: &str = r#"
import os

import django.db
import numpy.random

FILE = open("app.log", "a")


def application(environ, start_response):
    told = "seeded %s, closed before the fork %s, file kept %s" % (
        numpy.random.seeded_by == [os.getpid()],
        django.db.connections.closed_by == [IMPORTER],
        os.readlink("/proc/self/fd/%d" % FILE.fileno()).endswith("/app.log"),
    )
    start_response("200 OK", [])
    return [told.encode()]


IMPORTER = os.getpid()
"#;

#[test]
fn the_environment_is_the_files_and_on_top_of_it_the_tables() {
    let keys = r#"
        env_file = "app.env"
        env = { GATE = "{dir}", BOTH = "table", TABLE = "table" }"#;
    let mut site = Site::of_app("environment", "crash", keys, "");
    site.write(
        "app.env",
        "# a comment\nFILE='from the file'\nBOTH=file\nexport EXPORTED=yes\n",
    );
    site.environment("OUTER", "outer")
        .environment("NOTIFY_SOCKET", "/nowhere")
        .environment("PYTHONHOME", "/nowhere");
    site.start();
    let mut client = site.connect();
    for (name, value) in [
        ("FILE", "from the file"),
        ("BOTH", "table"),
        ("TABLE", "table"),
        ("EXPORTED", "yes"),
        ("OUTER", "outer"),
        ("NOTIFY_SOCKET", "(not set)"),
        ("PYTHONHOME", "(not set)"),
    ] {
        assert_eq!(client.get(&format!("/env/{name}"), &[]).text(), value, "{name}");
    }
    drop(client);
    assert!(site.stop().success());
}

#[test]
fn without_a_number_there_is_a_worker_for_each_processor() {
    let mut site = Site::of_app("auto", "hello", "workers = \"auto\"", "");
    site.start();
    let processors = std::thread::available_parallelism().unwrap().get();
    site.wait_for_log_times("worker ready", processors);
    let workers = site.processes_named("worker web/").len();
    assert!(
        (processors..=processors + 1).contains(&workers),
        "{workers} workers, {processors} processors"
    );
    assert!(site.stop().success());
}

#[test]
fn killing_the_supervisor_leaves_no_process() {
    let mut site = Site::of_app("orphans", "gate", "workers = 2", "");
    // The proxy ends by the signal or by the end of its control socket, whichever it sees first; the second leaves a line.
    site.expect_error("proxy ends without its supervisor");
    site.start();
    site.processes_at_least("worker web/", 2);
    // One worker is in the middle of a request.
    let mut client = Connection::open(site.port);
    client.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    site.lines_of("began-a", 1);
    site.signal("KILL");
    site.wait();
    wait_for("every process ends", || site.processes().is_empty().then_some(()));
}

#[test]
fn the_supervisor_has_all_open_files_it_may_have_and_applications_what_they_had() {
    let mut site = Site::of_app("open-files", "hello", "workers = 1", "");
    let limited = site.command_by("sh", &["-c", "ulimit -Sn 200; exec \"$@\"", "sh"]);
    site.start_by(limited);
    site.processes_at_least("worker web/", 1);
    let soft = |pid: i32| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .unwrap();
        line.split_whitespace().nth(3).unwrap().to_owned()
    };
    assert_ne!(soft(site.pid()), "200");
    for title in ["zygote web", "worker web/"] {
        assert_eq!(soft(site.processes_named(title)[0].pid), "200", "{title}");
    }
    assert!(site.stop().success());
}
