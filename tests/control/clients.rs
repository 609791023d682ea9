//! Who speaks with it: curl, clients that stall, and those who have no right to.

use super::*;

#[test]
fn curl_speaks_with_it_and_what_is_no_command_changes_nothing() {
    let mut site = Site::of_app("control-curl", "hello", "workers = 1", PID_FILE);
    site.start();
    let (code, body) = curl(&site, &[], "/status");
    assert_eq!(code, "200");
    assert_eq!(body.lines().count(), 1, "{body}");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["pid"].as_i64(), Some(i64::from(site.pid())));
    let (code, lines) = curl(&site, &["-d", ""], "/reload");
    assert_eq!(code, "200");
    let events: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["asked", "booting", "serving"]);
    assert_eq!(events[2]["generation"], 2);
    // Rotated as logrotate does it.
    fs::rename(
        site.directory.join("access.log"),
        site.directory.join("access.log.1"),
    )
    .unwrap();
    let (code, body) = curl(&site, &["-X", "POST"], "/reopen");
    assert_eq!(
        (code.as_str(), body.as_str()),
        ("200", "{\"event\":\"reopened\"}\n")
    );
    assert!(site.directory.join("access.log").exists());
    // A copy of the configuration has the same place, and is not the one that runs; another path of the file
    // is.
    let file = site.directory.join("site.toml");
    let copy = site.directory.join("copy.toml");
    fs::copy(&file, &copy).unwrap();
    let alias = site.directory.join("alias.toml");
    std::os::unix::fs::symlink(&file, &alias).unwrap();
    let by = |conf: &PathBuf, command: &str| {
        let mut appliance = Command::new(env!("CARGO_BIN_EXE_appliance"));
        self::told(&appliance.arg("-c").arg(conf).arg(command).output().unwrap())
    };
    for command in ["stop", "reload", "status"] {
        let (code, said) = by(&copy, command);
        let other = format!("the server of {} listens there", file.display());
        assert!(code == Some(1) && said.contains(&other), "{said}");
    }
    assert_eq!(by(&alias, "status").0, Some(0));
    let conf = format!("Appliance-Conf: {}", copy.display());
    assert_eq!(curl(&site, &["-H", &conf], "/status").0, "409");

    for (arguments, target, expected) in [
        (&[][..], "/stop", "405"),
        (&[], "/reload", "405"),
        (&["-X", "POST"], "/status", "405"),
        (&[], "/", "404"),
        (&["-X", "DELETE"], "/stop", "405"),
    ] {
        let (code, body) = curl(&site, arguments, target);
        assert_eq!(code, expected, "{target}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(body["error"].is_string(), "{body}");
    }
    assert_eq!(site.get("/").status, 200);
    assert_eq!(run(&site, &["reopen"]), (Some(0), "logs reopened\n".to_owned()));
    let (_, lines) = curl(&site, &["-X", "POST"], "/stop");
    assert!(
        lines.starts_with("{\"event\":\"stopping\",\"grace_ms\":30000}"),
        "{lines}"
    );
    assert!(site.wait().success());
}

#[test]
fn clients_that_stall_or_flood_hold_up_neither_the_site_nor_other_commands() {
    let mut site = Site::of_app("control-flood", "hello", "workers = 1", PID_FILE);
    site.start();
    let stalled: Vec<_> = (0..40)
        .map(|_| {
            let mut client = UnixStream::connect(socket(&site)).unwrap();
            client.write_all(b"GET /sta").unwrap();
            client
        })
        .collect();
    assert_eq!(site.get("/").status, 200);
    assert_eq!(run(&site, &["status"]).0, Some(0));
    let flooding = {
        let path = socket(&site);
        std::thread::spawn(move || {
            for _ in 0..50 {
                let mut client = UnixStream::connect(&path).unwrap();
                let _ = client.write_all(&vec![b'x'; 1 << 20]);
            }
        })
    };
    while !flooding.is_finished() {
        assert_eq!(site.get("/").status, 200);
        assert_eq!(run(&site, &["status"]).0, Some(0));
    }
    flooding.join().unwrap();
    // The site is served and reloaded while they are there.
    assert_eq!(run(&site, &["reload"]).0, Some(0));
    assert_eq!(site.get("/").status, 200);
    drop(stalled);
    let (code, said) = run(&site, &["stop"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(site.wait().success());
}

/// What a user is told who asks for a stop.
fn stop_as(user: &str, ctl: &str) -> Output {
    let curl = ["curl", "-s", "-m", "10", "-X", "POST", "--unix-socket", ctl];
    Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--clear-groups"])
        .args(curl)
        .arg("http://localhost/stop")
        .output()
        .unwrap()
}

#[test]
fn more_clients_than_there_is_room_for_are_all_answered() {
    let mut site = Site::of_app("control-crowd", "hello", "workers = 1", PID_FILE);
    site.start();
    // All of them at once, beside some that stall.
    let stalled: Vec<_> = (0..8)
        .map(|_| UnixStream::connect(socket(&site)).unwrap())
        .collect();
    let asked: Vec<_> = (0..24)
        .map(|_| {
            let mut command = site.command(&["status"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in asked {
        let (code, said) = told(&child.wait_with_output().unwrap());
        assert_eq!(code, Some(0), "{said}");
    }
    drop(stalled);
    assert!(site.stop().success());
}

#[test]
fn who_has_no_right_to_the_server_has_none_to_its_socket() {
    if !app::mounts() {
        return;
    }
    let mut site = Site::in_the_open("control-user");
    fs::set_permissions(&site.directory, fs::Permissions::from_mode(0o755)).unwrap();
    crate::harness::site::copy_tree(&workspace().join("tests/apps/hello"), &site.directory.join("app"));
    let more = "[server]\nuser = \"www-data\"\npid_file = \"pid\"\n";
    site.config(&of_app("hello", "workers = 1\nuser = \"daemon\"", more).replace("{apps}/hello", "app"));
    site.start();
    assert_eq!(run(&site, &["status"]).0, Some(0));
    let ctl = socket(&site).display().to_string();
    // The proxy's user, the application's, and one of nobody.
    for user in ["33", "1", "54321"] {
        let output = stop_as(user, &ctl);
        assert!(!output.status.success(), "{user}: {output:?}");
        let command = site.command_by("setpriv", &["--reuid", user, "--regid", user, "--clear-groups"]);
        let mut command = command;
        let (code, said) = told(&command.arg("stop").output().unwrap());
        assert!(
            code == Some(1) && said.contains("only root and the user of the server"),
            "{said}"
        );
    }
    // Where the file is opened wide by hand, the kernel still says who asks.
    fs::set_permissions(&ctl, fs::Permissions::from_mode(0o777)).unwrap();
    let output = stop_as("1", &ctl);
    assert!(told(&output).1.contains("only root and the user"), "{output:?}");
    assert_eq!(site.get("/").status, 200);
    assert_eq!(run(&site, &["stop"]).0, Some(0));
    assert!(site.wait().success());
}
