//! What processes may do to each other, by their users and beyond them: with three users, as one ordinary
//! user, and as a root that may do nothing.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::{Command, Stdio},
};

use super::Attacked;
use crate::harness::{Site, app, processes::Process, site::copy_tree, wait_for, workspace};

/// The user that no database of this machine knows.
const UNKNOWN: &str = "54321";

/// What `/proc/PID/status` says in these lines, in their order.
fn status(process: &Process, names: &[&str]) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    values(&status, names)
}

fn values(status: &str, names: &[&str]) -> Vec<String> {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    names
        .iter()
        .map(|name| {
            line(&format!("{name}:"))
                .split_whitespace()
                .next()
                .unwrap_or("")
                .to_owned()
        })
        .collect()
}

/// A process that has nothing and gets nothing in any of its threads, whose bounding set is `bounding`.
fn assert_confined(process: &Process, bounding: &str) {
    let none = "0000000000000000";
    let names = ["NoNewPrivs", "CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"];
    let confined = ["1", none, none, none, none, bounding];
    assert_eq!(status(process, &names), confined, "{}", process.title);
    // A thread that gives up what it has does so when it first runs.
    wait_for(
        &format!("all threads of {} to have nothing", process.title),
        || {
            let threads = fs::read_dir(format!("/proc/{}/task", process.pid)).unwrap();
            let mut threads = threads.filter_map(|thread| {
                // It may have ended meanwhile.
                fs::read_to_string(thread.unwrap().path().join("status")).ok()
            });
            threads
                .all(|status| values(&status, &names) == confined)
                .then_some(())
        },
    );
}

fn user(process: &Process) -> String {
    status(process, &["Uid"]).remove(0)
}

/// The number of a user that every machine has.
fn number(user: &str) -> String {
    let told = Command::new("id").args(["-u", user]).output().unwrap();
    String::from_utf8(told.stdout).unwrap().trim().to_owned()
}

/// A site whose applications lie where every user can reach them.
pub(super) fn site(test: &str) -> Attacked {
    let site = Attacked::new(Site::in_the_open(test));
    copy_tree(
        &workspace().join("tests/apps/hostile"),
        &site.directory.join("hostile"),
    );
    site
}

const APP: &str = "wsgi = \"wsgi\"\ndirectory = \"hostile\"\npython = \"{python}\"\nworkers = 1\n";

/// A program that makes who runs it root, unless its file counts for nothing.
fn setuid_program(site: &Site) -> PathBuf {
    let program = site.directory.join("id");
    fs::copy("/usr/bin/id", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    program
}

/// Does the file system the program is on let it do so?
fn makes_root(program: &PathBuf) -> bool {
    let told = Command::new(program)
        .arg("-u")
        .uid(number("bin").parse().unwrap())
        .stderr(Stdio::null())
        .output();
    told.is_ok_and(|told| told.stdout == b"0\n")
}

#[test]
fn with_users_of_their_own_applications_reach_neither_the_proxy_nor_each_other() {
    if !app::root() {
        return;
    }
    let mut site = site("hostile-users");
    let program = setuid_program(&site);
    site.config(&format!(
        "[server]\nuser = \"nobody\"\n\
         [app.own]\n{APP}user = \"daemon\"\n\
         [app.other]\n{APP}user = \"bin\"\nno_new_privileges = false\n\
         [app.shared]\n{APP}\
         [[site]]\n\
         [[site.route]]\npath = \"/own\"\napp = \"own\"\nstrip = true\n\
         [[site.route]]\npath = \"/other\"\napp = \"other\"\nstrip = true\n\
         [[site.route]]\npath = \"/shared\"\napp = \"shared\"\nstrip = true\n"
    ));
    site.start();
    let [daemon, bin, nobody] = ["daemon", "bin", "nobody"].map(number);
    for generation in 1..=2 {
        let one = |title: &str| site.processes_named(title).remove(0);
        let supervisor = site
            .processes()
            .into_iter()
            .find(|process| process.pid == site.pid())
            .unwrap();
        let proxy = one("appliance: proxy");
        assert_eq!(user(&proxy), nobody);
        assert_confined(&proxy, "0000000000000000");
        for (app, uid) in [("own", &daemon), ("shared", &nobody)] {
            for process in [one(&format!("zygote {app}")), one(&format!("worker {app}/0"))] {
                assert_eq!(&user(&process), uid, "{}", process.title);
                assert_confined(&process, "0000000000000000");
            }
        }
        // Who asked for it may get new privileges, and has none.
        let free = status(&one("worker other/0"), &["Uid", "NoNewPrivs", "CapEff", "CapPrm"]);
        assert_eq!(free, [&*bin, "0", "0000000000000000", "0000000000000000"]);

        let zygotes = ["own", "other", "shared"].map(|app| one(&format!("zygote {app}")));
        let secret: Vec<&Process> = [&supervisor, &proxy].into_iter().chain(&zygotes).collect();
        for app in ["own", "other", "shared"] {
            let ask =
                |what: &str, process: &Process| site.get(&format!("/{app}/{what}/{}", process.pid)).text();
            for process in &secret {
                assert_eq!(ask("look-into", process), "nothing", "{app}: {}", process.title);
            }
            for process in site.processes_named("appliance: worker") {
                let expected = process.title.contains(&format!("worker {app}/"));
                // Profilers and debuggers of the same user find a worker as they always have.
                assert_eq!(
                    ask("look-into", &process).contains("environ"),
                    expected,
                    "{app}: {}",
                    process.title
                );
            }
            assert_eq!(ask("signal", &supervisor), "refused", "{app}");
            // What separate users are for.
            let expected = if app == "shared" { "sent" } else { "refused" };
            assert_eq!(ask("signal", &proxy), expected, "{app}");
            assert_eq!(
                ask("signal", &one("worker own/0")),
                if app == "own" { "sent" } else { "refused" }
            );
        }
        let run = |app: &str| site.get(&format!("/{app}/run/{}+-u", program.display())).text();
        assert_eq!(
            (run("own"), run("shared")),
            (format!("{daemon}\n"), format!("{nobody}\n"))
        );
        if makes_root(&program) {
            assert_eq!(run("other"), "0\n");
        }
        if generation == 1 {
            site.signal("HUP");
            site.wait_for_log(" serving generation=2 ");
            wait_for("the old ones are gone", || {
                let count = |title: &str| site.processes_named(title).len();
                let counts = ["appliance: proxy", "appliance: zygote", "appliance: worker"].map(count);
                (counts == [1, 3, 3]).then_some(())
            });
        }
    }
    assert!(site.stop().success());
}

/// The program by setpriv(1), with all that it needs open to an ordinary user.
pub(super) fn set_privileges(site: &Site, arguments: &[&str]) -> Command {
    fs::set_permissions(&site.directory, fs::Permissions::from_mode(0o777)).unwrap();
    let binary = site.directory.join("appliance");
    fs::copy(env!("CARGO_BIN_EXE_appliance"), &binary).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(arguments)
        .arg(binary)
        .arg("--conf")
        .arg(site.directory.join("site.toml"))
        .env(crate::harness::processes::MARK, site.mark())
        .current_dir(&site.directory)
        .stdin(Stdio::null());
    command
}

#[test]
fn as_one_user_without_rights_an_application_looks_into_no_process_of_ours() {
    let unknown = ["--reuid", UNKNOWN, "--regid", UNKNOWN, "--clear-groups"];
    let port_right = [
        "--inh-caps",
        "+net_bind_service",
        "--ambient-caps",
        "+net_bind_service",
    ];
    let no_right = ["--bounding-set", "-all", "--inh-caps", "-all"];
    let cases = [
        // A container with --user and --cap-drop all; a unit with DynamicUser and AmbientCapabilities.
        ("bare", [&unknown[..], &no_right].concat(), true),
        ("ambient", [&unknown[..], &port_right].concat(), true),
        // A container as root with --cap-drop all: root without rights may look into its own processes.
        ("root", no_right.to_vec(), false),
    ];
    if !app::root() {
        return;
    }
    for (name, arguments, hidden) in cases {
        let mut site = site(&format!("hostile-{name}"));
        let program = setuid_program(&site);
        site.config(&format!("[app.web]\n{APP}[[site]]\napp = \"web\"\n"));
        let command = set_privileges(&site, &arguments);
        site.start_by(command);
        let one = |title: &str| site.processes_named(title).remove(0);
        let supervisor = site
            .processes()
            .into_iter()
            .find(|process| process.pid == site.pid())
            .unwrap();
        let (proxy, zygote, worker) = (one(": proxy"), one(": zygote"), one(": worker"));
        let bounding = status(&supervisor, &["CapBnd"]).remove(0);
        for process in [&proxy, &zygote, &worker] {
            assert_confined(process, &bounding);
            assert_eq!(user(process), user(&supervisor), "{name}");
        }
        let look = |process: &Process| site.get(&format!("/look-into/{}", process.pid)).text();
        if hidden {
            for process in [&supervisor, &proxy, &zygote] {
                assert_eq!(look(process), "nothing", "{name}: {}", process.title);
            }
            let told = site.get(&format!("/run/{}+-u", program.display())).text();
            assert_eq!(told, format!("{UNKNOWN}\n"), "{name}");
        }
        assert!(look(&worker).contains("environ"), "{name}");
        assert_eq!(site.get("/imported-in-hiding").text(), "True", "{name}");
        site.signal("HUP");
        site.wait_for_log(" serving generation=2 ");
        assert_eq!(site.get("/").status, 200);
        assert!(site.stop().success());
    }
}

/// As containers write it. A process that hides has a `/proc/self` that looks like root's.
#[test]
fn an_ordinary_user_may_log_to_dev_stdout() {
    if !app::root() {
        return;
    }
    let site = site("hostile-stdout");
    site.config(&format!(
        "[log.access]\nto = \"/dev/stdout\"\n[log.error]\nto = \"/proc/self/fd/2\"\n\
         [app.web]\n{APP}[[site]]\napp = \"web\"\n"
    ));
    // Makes the copy that the user can execute.
    set_privileges(&site, &[]);
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            UNKNOWN,
            "--regid",
            UNKNOWN,
            "--clear-groups",
            "sh",
            "-c",
        ])
        // A pipe of that user.
        .arg("{ \"$0\" --conf site.toml check 2>&1; echo \"exit $?\"; } | cat")
        .arg(site.directory.join("appliance"))
        .current_dir(&site.directory);
    let told = command.output().unwrap().stdout;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("everything is in order\nexit 0"), "{told}");
}

#[test]
fn the_library_of_threads_that_an_import_leaves_is_named_to_an_ordinary_user_too() {
    if !app::root() {
        return;
    }
    let mut site = site("hostile-threads");
    site.write(
        "app/threads.py",
        "import ctypes\ntry:\n    gomp = ctypes.CDLL('libgomp.so.1')\nexcept OSError:\n    gomp = None\n\
         # Each thread of a parallel region calls a function that does nothing.\n\
         if gomp:\n    gomp.GOMP_parallel(ctypes.CDLL(None).abs, None, 0, 0)\n\
         def app(environ, start_response):\n    start_response('200 OK', [])\n    return [str(bool(gomp)).encode()]\n",
    );
    site.config(
        "[app.web]\nwsgi = \"threads:app\"\ndirectory = \"app\"\nworkers = 1\n\
         env = { OMP_NUM_THREADS = \"3\" }\n[[site]]\napp = \"web\"\n",
    );
    let command = set_privileges(&site, &["--reuid", UNKNOWN, "--regid", UNKNOWN, "--clear-groups"]);
    site.start_by(command);
    if site.get("/").text() == "True" {
        site.wait_for_log("2 threads of libgomp.so.1");
    } else {
        println!("skipped: needs libgomp");
    }
    assert!(site.stop().success());
}

#[test]
fn with_users_for_applications_alone_the_proxy_does_not_stay_root() {
    if !app::root() {
        return;
    }
    let mut site = site("hostile-no-user");
    site.config(&format!(
        "[app.web]\n{APP}user = \"daemon\"\n[app.bare]\n{APP}\
         [[site]]\napp = \"web\"\n[[site.route]]\npath = \"/bare\"\napp = \"bare\"\n"
    ));
    site.start();
    site.wait_for_log("no `user` in [server]: `nobody` is the user of the proxy, app `bare`");
    for (title, name) in [
        (": proxy", "nobody"),
        (": worker web/0", "daemon"),
        (": worker bare/0", "nobody"),
    ] {
        assert_eq!(user(&site.processes_named(title)[0]), number(name), "{title}");
    }
    assert_eq!((site.get("/").status, site.get("/bare/").status), (200, 200));
    assert!(site.stop().success());
}
