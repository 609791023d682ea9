//! The control socket and the commands on it, on the real program: what is told is compared with what is.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::harness::{
    Site,
    app::{self, of_app},
    processes,
    python::python,
    wait_for, workspace,
};

const PID_FILE: &str = "[server]\npid_file = \"pid\"\n";

/// A command, and what it said.
fn run(site: &Site, arguments: &[&str]) -> (Option<i32>, String) {
    told(&site.command(arguments).output().unwrap())
}

fn told(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn status(site: &Site) -> Value {
    let output = site.command(&["status", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The last generation's only app.
fn app_of(status: &Value) -> &Value {
    let generations = status["generations"].as_array().unwrap();
    &generations.last().unwrap()["apps"][0]
}

/// The processes that a status names, sorted.
fn pids(status: &Value) -> Vec<i64> {
    let mut pids = vec![status["pid"].as_i64()];
    for generation in status["generations"].as_array().unwrap() {
        pids.push(generation["proxy"]["pid"].as_i64());
        for app in generation["apps"].as_array().unwrap() {
            pids.push(app["zygote"]["pid"].as_i64());
            let workers = app["workers"].as_array().unwrap();
            pids.extend(workers.iter().map(|worker| worker["pid"].as_i64()));
        }
    }
    let mut pids: Vec<i64> = pids.into_iter().flatten().collect();
    pids.sort_unstable();
    pids
}

/// Waits until a status names just those processes that are there, with so many workers at work.
#[track_caller]
fn settled(site: &Site, workers: u64) -> Value {
    wait_for("a status that is as things are", || {
        let told = status(site);
        let mut there: Vec<i64> = site
            .processes()
            .iter()
            .map(|process| i64::from(process.pid))
            .collect();
        there.sort_unstable();
        let is_quiet = told["generations"].as_array().unwrap().len() == 1;
        let ready = app_of(&told)["workers_ready"].as_u64() == Some(workers);
        (is_quiet && ready && pids(&told) == there).then_some(told)
    })
}

fn socket(site: &Site) -> PathBuf {
    site.directory.join("pid.ctl")
}

/// curl on the control socket: the answer's status and body.
fn curl(site: &Site, arguments: &[&str], target: &str) -> (String, String) {
    let output = Command::new("curl")
        .args(["-s", "-m", "30", "-w", "%{http_code}", "--unix-socket"])
        .arg(socket(site))
        .args(arguments)
        .arg(format!("http://localhost{target}"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.split_at(text.len().saturating_sub(3));
    (status.to_owned(), body.to_owned())
}

#[test]
fn status_tells_what_is_there_after_starts_kills_and_reloads() {
    let mut site = Site::of_app("control-status", "hello", "workers = 2", PID_FILE);
    site.expect_error("worker died").expect_error("proxy died");
    assert_eq!(run(&site, &["status"]).0, Some(3));
    site.start();
    let mode = fs::metadata(socket(&site)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = settled(&site, 2);
    assert_eq!(first["pid"].as_i64(), Some(i64::from(site.pid())));
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(first["state"], "serving");
    assert_eq!(
        first["config"],
        site.directory.join("site.toml").display().to_string()
    );
    assert_eq!(
        first["listeners"][0]["address"],
        format!("127.0.0.1:{}", site.port)
    );
    assert_eq!(first["last_reload"], Value::Null);
    assert_eq!(app_of(&first)["restarts"], 0);
    assert_eq!(app_of(&first)["last_exit"], Value::Null);

    let killed = app_of(&first)["workers"][1]["pid"].as_i64().unwrap();
    processes::signal_pid(i32::try_from(killed).unwrap(), "KILL");
    let second = wait_for("the restart", || {
        let told = status(&site);
        (app_of(&told)["restarts"] == 1).then_some(told)
    });
    let exit = &app_of(&second)["last_exit"];
    assert_eq!(
        (&exit["slot"], &exit["pid"]),
        (&Value::from(1), &Value::from(killed))
    );
    assert!(exit["cause"].as_str().unwrap().contains("SIGKILL"), "{exit}");
    let second = settled(&site, 2);
    assert!(!pids(&second).contains(&killed));

    let proxy = second["generations"][0]["proxy"]["pid"].as_i64().unwrap();
    processes::signal_pid(i32::try_from(proxy).unwrap(), "KILL");
    wait_for("the next proxy", || {
        let told = status(&site);
        let now = &told["generations"][0]["proxy"];
        (now["state"] == "serving" && now["pid"].as_i64() != Some(proxy)).then_some(())
    });
    settled(&site, 2);

    let (code, said) = run(&site, &["reload"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("reloaded: generation 2 serves"), "{said}");
    let third = settled(&site, 2);
    assert_eq!(third["generations"][0]["generation"], 2);
    assert_eq!(third["generations"][0]["state"], "serving");
    assert_eq!(third["last_reload"]["outcome"], "done");
    assert_eq!(app_of(&third)["restarts"], 0);

    // The page for people names the same.
    let (code, page) = run(&site, &["status"]);
    assert_eq!(code, Some(0), "{page}");
    for pid in pids(&third) {
        assert!(page.contains(&pid.to_string()), "{pid}: {page}");
    }
    for text in [
        "web: 2 of 2 workers ready, 0 restarts",
        "last reload    done",
        "generation 2, serving",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let (code, said) = run(&site, &["stop"]);
    assert_eq!((code, said.as_str()), (Some(0), "stopped\n"));
    // It has waited for that.
    assert!(
        site.processes_named("appliance").is_empty(),
        "{:?}",
        site.processes()
    );
    assert!(!socket(&site).exists());
    assert!(site.wait().success());
    for command in ["status", "reload", "reopen", "stop"] {
        let (code, said) = run(&site, &[command]);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("not running (nobody listens at "), "{said}");
    }
}

#[test]
fn a_reload_that_fails_says_why_and_changes_nothing() {
    let mut site = Site::new("control-reload");
    site.expect_error("supervisor[");
    let config = of_app("", "workers = 1", PID_FILE).replace("{apps}/", "app");
    site.config(&config);
    let file = site.write("app/wsgi.py", "");
    let code = |word: &str| {
        let code = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'WORD']\n";
        fs::write(&file, code.replace("WORD", word)).unwrap();
    };
    code("one");
    site.start();
    let good = fs::read_to_string(site.directory.join("site.toml")).unwrap();

    // A broken file keeps no command from finding the server.
    for (broken, reason) in [
        (good.replace("[[site]]", "[[siet]]"), "unknown key `siet`"),
        (good.replace("[[site]]", "[[site"), "site.toml:"),
        (good.replace("workers = 1", "workers = \"many\""), "workers"),
    ] {
        site.write("site.toml", broken);
        let (code, said) = run(&site, &["reload"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains(reason) && said.contains("reload refused, the old configuration keeps running"),
            "{said}"
        );
        let told = status(&site);
        assert_eq!(told["last_reload"]["outcome"], "refused");
        assert!(told["last_reload"]["message"].as_str().unwrap().contains(reason));
        assert_eq!(site.get("/").text(), "one");
    }
    site.write("site.toml", &good);

    for (broken, reason) in [
        (
            "raise RuntimeError('the new code is broken')\n",
            "RuntimeError: the new code is broken",
        ),
        ("import os\nos._exit(7)\n", "7"),
        ("def application(:\n", "SyntaxError"),
    ] {
        site.write("app/wsgi.py", broken);
        let (code, said) = run(&site, &["reload"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("app web failed to boot")
                && said.contains(reason)
                && said.contains("reload failed, the old"),
            "{said}"
        );
        assert_eq!(status(&site)["last_reload"]["outcome"], "failed");
        assert_eq!(site.get("/").text(), "one");
        let (status, lines) = curl(&site, &["-X", "POST"], "/reload");
        assert_eq!(status, "200");
        assert!(lines.contains("{\"event\":\"booting\","), "{lines}");
        let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!(last["event"], "failed");
        assert!(last["message"].as_str().unwrap().contains(reason), "{last}");
    }

    code("three");
    let (exit, said) = run(&site, &["reload", "--no-wait"]);
    assert_eq!(exit, Some(0), "{said}");
    wait_for("the new code", || (site.get("/").text() == "three").then_some(()));
    // As systemd does, with the unit's own words.
    let unit = fs::read_to_string(workspace().join("deploy/appliance.service")).unwrap();
    let reloads: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("ExecReload="))
        .collect();
    let [line] = reloads[..] else {
        panic!("{reloads:?}")
    };
    let exec_reload = || {
        let line = line
            .replace("/usr/local/bin/appliance", env!("CARGO_BIN_EXE_appliance"))
            .replace(
                "/etc/appliance/site.toml",
                &site.directory.join("site.toml").display().to_string(),
            );
        let mut words = line.split_whitespace();
        told(&Command::new(words.next().unwrap()).args(words).output().unwrap())
    };
    code("seven");
    assert_eq!(exec_reload().0, Some(0));
    assert_eq!(site.get("/").text(), "seven");
    site.write("app/wsgi.py", "raise RuntimeError('the new code is broken')\n");
    let (exit, said) = exec_reload();
    assert!(
        exit == Some(1) && said.contains("the new code is broken"),
        "{said}"
    );
    assert!(site.stop().success());
}

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

#[test]
fn a_stop_waits_for_what_runs_and_is_told_of_while_it_does() {
    let mut site = Site::of_app("control-drain", "gate", "workers = 1", PID_FILE);
    site.start();
    let running = site.beside("/a");
    site.lines_of("began-a", 1);
    let mut stopping = site.command(&["stop"]).stdout(Stdio::piped()).spawn().unwrap();
    site.wait_for_log("stop asked for (control socket)");
    let told = status(&site);
    assert_eq!(told["state"], "stopping");
    assert_eq!(told["generations"][0]["state"], "draining");
    let (code, said) = run(&site, &["reload"]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said, "the server stops\n");
    assert!(stopping.try_wait().unwrap().is_none());
    // A second one waits for the same.
    let second = site.command(&["stop"]).stdout(Stdio::piped()).spawn().unwrap();
    site.wait_for_log_times("stop asked for (control socket)", 2);
    // It is told of what is left, not of what the first was given.
    let mut third = UnixStream::connect(socket(&site)).unwrap();
    third.write_all(b"POST /stop HTTP/1.1\r\n\r\n").unwrap();
    let mut lines = BufReader::new(third).lines().map(Result::unwrap);
    let event = lines.find(|line| line.starts_with('{')).unwrap();
    let event: Value = serde_json::from_str(&event).unwrap();
    assert!(event["grace_ms"].as_u64().unwrap() < 30_000, "{event}");
    site.write("open-a", "");
    assert_eq!(running.join().unwrap().status, 200);
    for stop in [stopping, second] {
        assert_eq!(told_by(stop), (Some(0), "stopped\n".to_owned()));
    }
    assert!(site.wait().success());
}

fn told_by(child: std::process::Child) -> (Option<i32>, String) {
    told(&child.wait_with_output().unwrap())
}

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
fn a_daemon_is_found_and_a_server_that_never_started_or_hangs_is_told_of() {
    let site = Site::of_app("control-daemon", "hello", "workers = 1", PID_FILE);
    assert_eq!(
        site.command(&["--daemon"]).output().unwrap().status.code(),
        Some(0)
    );
    assert_eq!(run(&site, &["reload"]).0, Some(0));
    let told = status(&site);
    // A configuration that says nothing any more, or is gone, has still its path.
    site.write("site.toml", "not toml at all [[[\n");
    assert_eq!(status(&site)["pid"], told["pid"]);
    fs::remove_file(site.directory.join("site.toml")).unwrap();
    assert_eq!(status(&site)["pid"], told["pid"]);

    let pid = i32::try_from(told["pid"].as_i64().unwrap()).unwrap();
    processes::signal_pid(pid, "STOP");
    let (code, said) = run(&site, &["status"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not answer"), "{said}");
    processes::signal_pid(pid, "CONT");
    assert_eq!(run(&site, &["stop"]), (Some(0), "stopped\n".to_owned()));
    assert!(site.processes().is_empty());
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
        let output = Command::new("setpriv")
            .args(["--reuid", user, "--regid", user, "--clear-groups"])
            .args([
                "curl",
                "-s",
                "-m",
                "10",
                "-X",
                "POST",
                "--unix-socket",
                &ctl,
                "http://localhost/stop",
            ])
            .output()
            .unwrap();
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
    let output = Command::new("setpriv")
        .args(["--reuid", "1", "--regid", "1", "--clear-groups"])
        .args([
            "curl",
            "-s",
            "-m",
            "10",
            "-X",
            "POST",
            "--unix-socket",
            &ctl,
            "http://localhost/stop",
        ])
        .output()
        .unwrap();
    assert!(told(&output).1.contains("only root and the user"), "{output:?}");
    assert_eq!(site.get("/").status, 200);
    assert_eq!(run(&site, &["stop"]).0, Some(0));
    assert!(site.wait().success());
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

#[test]
fn words_of_other_servers_lead_to_ours() {
    let site = Site::new("control-words");
    for (arguments, said) in [
        (&["run"][..], "`appliance --conf FILE`"),
        (&["validate"], "`appliance check`"),
        (&["-s", "reload"], "`appliance reload`"),
        (&["-w", "4"], "APPLICATIONS.md"),
        (&["--workers=4"], "APPLICATIONS.md"),
        (&["mysite.wsgi:application"], "wsgi = \"mysite.wsgi:application\""),
        (&["--reload"], "`appliance reload`"),
        (&["-t", "stop"], "the same as `check`"),
    ] {
        let (code, told) = run(&site, arguments);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(said), "{arguments:?}: {told}");
    }
    for arguments in [&["version"][..], &["-V"], &["--version"]] {
        let version = format!("appliance {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(run(&site, arguments), (Some(0), version), "{arguments:?}");
    }
    // `-t` is nginx's word for `check`.
    site.config("[[site]]\nrespond = \"here\"\n");
    let (code, told) = run(&site, &["-t"]);
    assert!(
        code == Some(0) && told.contains("everything is in order"),
        "{told}"
    );
}
