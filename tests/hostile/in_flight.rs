//! A worker that keeps so many descriptors in flight that the kernel passes none for any process of its user.

use std::process::Command;

use super::users::{set_privileges, site};
use crate::harness::{Response, Site, app, site::copy_tree, wait_for, workspace};

/// So few open files for each process that a few hundred descriptors in flight are too many, which disturbs
/// no other process of the machine.
const FEW: &str = "ulimit -n 256; exec \"$0\" \"$@\"";

/// A user that no database knows, and no other test has.
const ALONE: &str = "54398";

fn upload(site: &Site) -> Response {
    let body = vec![b'x'; 100 << 10];
    site.connect()
        .request("POST", "/", &[("Content-Length", "102400")], &body)
}

/// `user` is that of the proxy and of all applications but the honest one.
fn configure(site: &Site, server: &str, honest: &str) {
    for app in ["hello", "slices"] {
        copy_tree(
            &workspace().join("tests/apps").join(app),
            &site.directory.join(app),
        );
    }
    let keys = "python = \"{python}\"\nworkers = 1\n";
    site.config(&format!(
        "{server}\
         [app.honest]\nwsgi = \"wsgi\"\ndirectory = \"hello\"\n{keys}{honest}\
         [app.hostile]\nwsgi = \"wsgi\"\ndirectory = \"hostile\"\n{keys}\
         [app.files]\nwsgi = \"wsgi\"\ndirectory = \"hostile\"\n{keys}\
         [app.slices]\nasgi = \"asgi:app\"\ndirectory = \"slices\"\npathsend = true\n{keys}\
         [[site]]\n\
         [[site.route]]\npath = \"/\"\napp = \"honest\"\n\
         [[site.route]]\npath = \"/hostile\"\napp = \"hostile\"\nstrip = true\n\
         [[site.route]]\npath = \"/files\"\napp = \"files\"\nstrip = true\n\
         [[site.route]]\npath = \"/slices\"\napp = \"slices\"\nstrip = true\n"
    ));
}

fn with_few_open_files(site: &Site, command: &Command) -> Command {
    let mut few = Command::new("sh");
    few.args(["-c", FEW])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(&site.directory);
    few
}

#[test]
fn descriptors_in_flight_cost_others_of_the_same_user_no_link_and_no_worker() {
    if !app::root() {
        return;
    }
    let mut site = site("in-flight");
    configure(&site, "[server]\nuser = \"nobody\"\n", "user = \"daemon\"\n");
    let command = with_few_open_files(&site, &site.command(&[]));
    site.start_by(command);
    assert_eq!(upload(&site).status, 200);
    let before = site.processes_named("appliance: ").len();

    assert_eq!(site.get("/hostile/hold-in-flight").text(), "ETOOMANYREFS");
    // What needs no descriptor goes on; an upload waits for a while, and is refused as an overload.
    assert_eq!(upload(&site).status, 503);
    assert_eq!(site.get("/").status, 200);
    assert_eq!(upload(&site).status, 503);
    // Files that come from workers wait.
    let ask = |target: &'static str| {
        let mut connection = site.connect();
        std::thread::spawn(move || connection.get(target, &[]))
    };
    let files = [ask("/files/file"), ask("/slices/one/3")];
    site.wait_for_log_times("files cannot be passed to the proxy", 2);
    assert_eq!(site.get("/hostile/release-in-flight").text(), "released");
    for file in files {
        assert_eq!(file.join().unwrap().status, 200);
    }
    assert_eq!(upload(&site).status, 200);

    let log = site.error_log();
    assert_eq!(log.matches("request bodies cannot be passed").count(), 1, "{log}");
    for lost in ["link broken", "worker died", "zygote died", "it is replaced"] {
        assert!(!log.contains(lost), "{lost}: {log}");
    }
    assert_eq!(site.processes_named("appliance: ").len(), before);
    assert!(site.stop().success());
}

#[test]
fn as_one_user_what_is_started_meanwhile_gets_its_descriptors_once_they_pass_again() {
    if !app::root() {
        return;
    }
    let mut site = site("in-flight-alone");
    configure(&site, "", "");
    for text in ["worker died", "proxy died"] {
        site.expect_error(text);
    }
    let alone = ["--reuid", ALONE, "--regid", ALONE, "--clear-groups"];
    let command = with_few_open_files(&site, &set_privileges(&site, &alone));
    site.start_by(command);
    assert_eq!(site.get("/hostile/hold-in-flight").text(), "ETOOMANYREFS");
    let one = |title: &str| site.processes_named(title).remove(0);
    one("worker honest/0").signal("KILL");
    // The zygote is not told to fork.
    site.wait_for_log_times("descriptors cannot be passed to a process of ours", 1);
    let hostile = one("worker hostile/0").pid;
    one(": proxy").signal("KILL");
    // Nor has the new proxy its configuration.
    site.wait_for_log_times("descriptors cannot be passed to a process of ours", 2);
    crate::harness::processes::signal_pid(hostile, "KILL");
    wait_for("all serve again", || {
        let served = ["/", "/hostile/"].map(|target| {
            let connection = std::net::TcpStream::connect(("127.0.0.1", site.port)).is_ok();
            connection && site.get(target).status == 200
        });
        (served == [true, true]).then_some(())
    });
    assert_eq!(upload(&site).status, 200);
    let log = site.error_log();
    assert!(!log.contains("zygote died"), "{log}");
    assert_eq!(log.matches("proxy died").count(), 1, "{log}");
    assert!(site.stop().success());
}
