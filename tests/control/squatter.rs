//! Where it is, and who listens there.

use super::*;

#[test]
fn each_server_has_its_own_socket_and_takes_nobody_elses() {
    // Both without a place of their own: they share a directory of the machine.
    let mut first = Site::of_app("control-two-a", "hello", "workers = 1", "");
    let mut second = Site::of_app("control-two-b", "hello", "workers = 1", "");
    first.start();
    second.start();
    assert_eq!(status(&first)["pid"].as_i64(), Some(i64::from(first.pid())));
    assert_eq!(status(&second)["pid"].as_i64(), Some(i64::from(second.pid())));
    assert_eq!(run(&first, &["stop"]).0, Some(0));
    assert!(first.wait().success());
    assert_eq!(run(&first, &["status"]).0, Some(3));
    assert_eq!(run(&second, &["status"]).0, Some(0));

    // One that would take the other's is told, and serves.
    let path = second.directory.join("second.ctl").display().to_string();
    let control = format!("[server]\ncontrol = \"{path}\"\n");
    second.config(&of_app("hello", "workers = 1", &control));
    assert_eq!(run(&second, &["reload"]).0, Some(0));
    assert!(fs::exists(&path).unwrap());
    fs::write(first.directory.join("error.log"), "").unwrap();
    first.config(&of_app("hello", "workers = 1", &control));
    first.start();
    first.wait_for_log("control socket cannot be made, there is none: use signals");
    assert_eq!(first.get("/").status, 200);
    assert_eq!(status(&second)["pid"].as_i64(), Some(i64::from(second.pid())));
    // It gets it once the other one has gone, and it survives that a killed one has left its file.
    second.expect_error("proxy ends without its supervisor");
    second.signal("KILL");
    second.wait();
    assert!(fs::exists(&path).unwrap());
    first.signal("HUP");
    first.wait_for_log(" serving generation=2 ");
    wait_for("its own socket", || {
        (run(&first, &["status"]).0 == Some(0)).then_some(())
    });
    assert_eq!(status(&first)["pid"].as_i64(), Some(i64::from(first.pid())));

    // A mistyped place takes it away from nobody.
    first.config(&of_app(
        "hello",
        "workers = 1",
        "[server]\ncontrol = \"/nowhere/at/all.ctl\"\n",
    ));
    let (code, said) = run(&first, &["reload"]);
    assert_eq!(code, Some(0), "{said}");
    first.wait_for_log("control socket cannot be made, it stays where it is");
    assert_eq!(status(&first)["pid"].as_i64(), Some(i64::from(first.pid())));

    // A reload can take it away, and bring it back.
    first.config(&of_app("hello", "workers = 1", "[server]\ncontrol = \"off\"\n"));
    first.signal("HUP");
    first.wait_for_log(" serving generation=4 ");
    wait_for("the file is gone", || (!fs::exists(&path).unwrap()).then_some(()));
    let (code, said) = run(&first, &["status"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("control = \"off\""), "{said}");
    assert!(first.stop().success());
}

#[test]
fn a_user_of_no_name_without_a_home_has_a_socket_and_root_finds_it() {
    if !app::mounts() {
        return;
    }
    let mut site = Site::in_the_open("control-nobody");
    crate::harness::site::copy_tree(&workspace().join("tests/apps/hello"), &site.directory.join("app"));
    site.config(
        &(of_app("hello", "workers = 1", "").replace("{apps}/hello", "app")
            + "[log.access]\nto = \"stdout\"\n[log.error]\nto = \"stderr\"\n"),
    );
    let owner = Some(54321);
    std::os::unix::fs::chown(site.directory.join("site.toml"), owner, owner).unwrap();
    let as_nobody = ["--reuid", "54321", "--regid", "54321", "--clear-groups"];
    let mark = format!("{}={}", processes::MARK, site.mark());
    let command = site.command_by("setpriv", &[&as_nobody[..], &["env", "-i", &mark]].concat());
    site.start_by(command);
    assert_eq!(status(&site)["pid"].as_i64(), Some(i64::from(site.pid())));
    for arguments in [&["reload"][..], &["stop"]] {
        let mut command = site.command_by("setpriv", &[&as_nobody[..], &["env", "-i"]].concat());
        let (code, said) = told(&command.args(arguments).output().unwrap());
        assert_eq!(code, Some(0), "{said}");
    }
    assert!(site.wait().success());
}

/// Somebody who listens at a place of ours and has a fine answer to everything; gone with its input.
const SQUATTER: &str = r#"
import os, select, socket, sys
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
listener.listen()
print("listens", flush=True)
while sys.stdin not in select.select([sys.stdin, listener], [], [])[0]:
    client = listener.accept()[0]
    try:
        client.recv(65536)
        client.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"event":"reopened"}\n')
    except OSError:
        pass
    client.close()
os.remove(sys.argv[1])
"#;

/// It runs as user 54322.
struct Squatter(std::process::Child);

impl Squatter {
    fn at(path: &str) -> Self {
        let child = Command::new("setpriv")
            .args(["--reuid", "54322", "--regid", "54322", "--clear-groups"])
            .arg(&python().path)
            .args(["-c", SQUATTER, path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "listens\n");
        Self(child)
    }
}

impl Drop for Squatter {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn root_hears_nobody_who_has_put_himself_in_the_place_of_a_server() {
    if !app::mounts() {
        return;
    }
    let mut site = Site::in_the_open("control-squat");
    crate::harness::site::copy_tree(&workspace().join("tests/apps/hello"), &site.directory.join("app"));
    let run_directory = site.directory.join("run");
    fs::create_dir(&run_directory).unwrap();
    fs::set_permissions(&run_directory, fs::Permissions::from_mode(0o1777)).unwrap();
    let server = "[server]\npid_file = \"run/pid\"\n";
    site.config(&of_app("hello", "workers = 1", server).replace("{apps}/hello", "app"));
    // A user whom no other test has: the directory is to be made by the other one.
    let owner = Some(54323);
    std::os::unix::fs::chown(site.directory.join("site.toml"), owner, owner).unwrap();
    let (code, said) = run(&site, &["reopen"]);
    assert_eq!(code, Some(3), "{said}");
    let places: Vec<&str> = said
        .split([' ', ',', ')'])
        .filter(|word| word.ends_with(".ctl"))
        .collect();
    let once: HashSet<_> = places.iter().collect();
    assert_eq!(once.len(), places.len(), "{said}");
    // One that anybody can make, and one in a directory that anybody may write to.
    let made = places
        .iter()
        .find(|place| place.starts_with("/tmp/appliance-54323/"));
    let beside = run_directory.join("pid.ctl").display().to_string();
    assert!(places.contains(&beside.as_str()), "{said}");
    for place in [made.unwrap(), &beside.as_str()] {
        let squatter = Squatter::at(place);
        for command in ["reopen", "status", "stop", "reload"] {
            let (code, said) = run(&site, &[command]);
            let stranger = format!("user 54322 listens at {place}");
            assert!(code == Some(3) && said.contains(&stranger), "{said}");
        }
        drop(squatter);
    }
    let _ = fs::remove_dir("/tmp/appliance-54323");
    // The server that finds its place taken says so, and is found in another one.
    let squatter = Squatter::at(&beside);
    site.start();
    site.wait_for_log("another process listens there");
    assert_eq!(status(&site)["pid"].as_i64(), Some(i64::from(site.pid())));
    drop(squatter);
    assert_eq!(run(&site, &["stop"]).0, Some(0));
    assert!(site.wait().success());
}
