//! What each command does, and tells.

use super::*;

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

#[test]
fn a_stop_now_aborts_what_runs() {
    let mut site = Site::of_app("control-now", "gate", "workers = 1", PID_FILE);
    site.start();
    let socket = site.port;
    let running = std::thread::spawn(move || {
        let mut client = std::net::TcpStream::connect(("127.0.0.1", socket)).unwrap();
        client
            .write_all(b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        let _ = std::io::Read::read_to_string(&mut client, &mut answer);
        answer
    });
    site.lines_of("began-a", 1);
    // What stops already can still be hurried.
    let slow = site.command(&["stop"]).stdout(Stdio::piped()).spawn().unwrap();
    site.wait_for_log("stop asked for (control socket)");
    let (code, said) = run(&site, &["stop", "--now"]);
    assert_eq!((code, said.as_str()), (Some(0), "stopped\n"));
    assert_eq!(told_by(slow), (Some(0), "stopped\n".to_owned()));
    // Nobody has opened the gate.
    assert!(!running.join().unwrap().starts_with("HTTP/1.1 200"));
    site.wait();
}

fn told_by(child: std::process::Child) -> (Option<i32>, String) {
    told(&child.wait_with_output().unwrap())
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
