//! Each kind of message on the link and on the control sockets of a worker and of a zygote, in each wrong
//! way.

use std::sync::Mutex;

use serde_json::Value;

use super::{Attacked, Neighbour};
use crate::harness::{Site, wait_for, workspace};

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Becomes {
    /// The worker has broken the protocol, and is ended.
    Breach,
    /// The request that it runs has no answer that can be sent.
    NoAnswer,
    /// It is as if it had not been said, or as if the application had said it.
    Nothing,
}

/// What may become of it.
type May = &'static [Becomes];

const BREACH: May = &[Becomes::Breach];
const NO_ANSWER: May = &[Becomes::NoAnswer];
const NOTHING: May = &[Becomes::Nothing];
/// The worker is ended unless it has ended the stream before anybody has looked at what came.
const HARM: May = &[Becomes::Breach, Becomes::NoAnswer];
/// The worker is ended if it says more at once than anybody takes.
const PASSED_ON: May = &[Becomes::Breach, Becomes::Nothing];

const WAYS: [&str; 4] = ["malformed", "repeated", "late", "flooding"];

/// Each kind of [`wire::frame::Kind`], in each of the [`WAYS`].
const FRAMES: &[(&str, [May; 4])] = &[
    ("Request", [BREACH, BREACH, BREACH, BREACH]),
    ("Body", [BREACH, BREACH, BREACH, BREACH]),
    ("Credit", [BREACH, NOTHING, NOTHING, PASSED_ON]),
    ("Cancel", [BREACH, BREACH, BREACH, BREACH]),
    ("Response", [NO_ANSWER, HARM, NOTHING, HARM]),
    ("Data", [BREACH, HARM, NOTHING, HARM]),
    ("File", [BREACH, HARM, NOTHING, HARM]),
    ("Abort", [BREACH, NO_ANSWER, NOTHING, NO_ANSWER]),
    ("Informational", [NO_ANSWER, NOTHING, NOTHING, PASSED_ON]),
    ("Trailers", [NO_ANSWER, NO_ANSWER, NOTHING, NO_ANSWER]),
    ("Accept", [HARM, HARM, NOTHING, HARM]),
    ("Return", [BREACH, NOTHING, NOTHING, NOTHING]),
    ("Tray", [BREACH, BREACH, BREACH, BREACH]),
    ("Socket", [BREACH, HARM, NOTHING, HARM]),
    ("Message", [BREACH, HARM, NOTHING, HARM]),
    ("Close", [HARM, HARM, NOTHING, HARM]),
];

/// What becomes of the process that says it, on its control socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// It is ended and replaced.
    Ends,
    /// It goes on.
    Stays,
}

use Sender::{Ends, Stays};

/// Each kind of [`wire::control::FromWorker`], in each of the [`WAYS`]: of a worker that has been ready for
/// long, so that all but the last is late. What wants to leave may do so, and is replaced.
const FROM_WORKER: &[(&str, [Sender; 4])] = &[
    ("Hello", [Ends, Ends, Ends, Ends]),
    ("Ready", [Ends, Ends, Ends, Ends]),
    ("Failed", [Ends, Ends, Stays, Ends]),
    ("Leave", [Ends, Ends, Ends, Ends]),
];

/// Each kind of [`wire::control::FromZygote`], in each of the [`WAYS`]: before the zygote says the same
/// itself, or late, when it forks.
const FROM_ZYGOTE: &[(&str, [Sender; 4])] = &[
    ("Ready", [Ends, Ends, Ends, Ends]),
    ("Failed", [Ends, Stays, Stays, Ends]),
    ("ForkFailed", [Ends, Stays, Stays, Ends]),
];

/// Hostile applications, so that a worker that is ended keeps nobody waiting.
const APPS: usize = 6;

/// An honest application at /, these at /0 and so on: a directory and further keys.
fn site(test: &str, hostile: &[(&str, String)]) -> Attacked {
    let app = |name: &str, directory: &str, keys: &str| {
        format!(
            "[app.{name}]\nwsgi = \"wsgi\"\ndirectory = \"{{apps}}/{directory}\"\npython = \"{{python}}\"\nworkers = 1\n{keys}\n"
        )
    };
    let mut config = "[server]\npid_file = \"pid\"\n".to_owned();
    config += &app("honest", "hello", "");
    let mut routes = "[[site]]\n[[site.route]]\npath = \"/\"\napp = \"honest\"\n".to_owned();
    for (number, (directory, keys)) in hostile.iter().enumerate() {
        config += &app(&format!("hostile{number}"), directory, keys);
        routes += &format!("[[site.route]]\npath = \"/{number}\"\napp = \"hostile{number}\"\nstrip = true\n");
    }
    let site = Attacked::new(Site::new(test));
    site.config(&(config + &routes));
    site
}

/// The process id of this app's worker, once there is one.
fn pid(site: &Site, app: usize) -> String {
    wait_for("a worker", || {
        let answer = site.get(&format!("/{app}/pid"));
        (answer.status == 200).then(|| answer.text())
    })
}

/// The state of this worker of the app, once the supervisor has heard all that was said to it before.
fn state(site: &Site, app: usize, pid: &str) -> Option<String> {
    let ask = || {
        let output = site.command(&["status", "--json"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    // The first may be answered before the workers are heard in the same turn; then the second is not.
    ask();
    let status = ask();
    let apps = status["generations"][0]["apps"].as_array().unwrap();
    let name = format!("hostile{app}");
    let app = apps.iter().find(|app| app["app"] == *name).unwrap();
    let mut workers = app["workers"].as_array().unwrap().iter();
    let worker = workers.find(|worker| worker["pid"].as_u64() == pid.parse().ok())?;
    worker["state"].as_str().map(str::to_owned)
}

/// Has the worker of this app say it, and looks what has become of that.
fn say(site: &Site, app: usize, kind: &str, way: &str) -> Becomes {
    let before = pid(site, app);
    let target = format!("/{app}/frames/{}/{way}", kind.to_lowercase());
    let mut connection = site.connect();
    connection
        .send(format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        ))
        .unwrap();
    // It may be cut in its midst.
    let answer = connection.read_response("POST");
    let whole = answer.is_ok_and(|answer| answer.status == 200 && answer.text() == "hello");
    match (whole, pid(site, app) == before) {
        (_, false) => Becomes::Breach,
        (false, true) => Becomes::NoAnswer,
        (true, true) => Becomes::Nothing,
    }
}

#[test]
fn each_kind_of_frame_in_each_wrong_way_costs_its_worker_at_most() {
    let hostile = vec![("hostile", String::new()); APPS];
    let mut site = site("hostile-frames", &hostile);
    for text in [
        "worker died",
        "link broken",
        "answer",
        "trailers refused",
        "refused",
    ] {
        site.expect_error(text);
    }
    site.start();
    let proxy = site.processes_named(": proxy").remove(0).pid;
    let neighbour = Neighbour::of(&site);
    let cases = FRAMES
        .iter()
        .flat_map(|(kind, may)| WAYS.iter().zip(may).map(move |(way, may)| (kind, way, may)));
    let cases = Mutex::new(cases);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for app in 0..APPS {
            let (site, cases, wrong) = (&site, &cases, &wrong);
            scope.spawn(move || {
                loop {
                    let Some((kind, way, expected)) = cases.lock().unwrap().next() else {
                        return;
                    };
                    let became = say(site, app, kind, way);
                    if !expected.contains(&became) {
                        wrong.lock().unwrap().push((*kind, *way, became));
                    }
                }
            });
        }
    });
    assert!(neighbour.leave() > 0);
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(site.processes_named(": proxy").remove(0).pid, proxy);
    let log = site.error_log();
    assert!(!log.contains("worker died app=honest"), "{log}");
    // Each worker that died did so at once, and for what it said.
    for line in log.lines().filter(|line| line.contains("] worker died")) {
        assert!(line.contains("it broke the protocol of its link: "), "{line}");
    }
    assert!(site.stop().success());
}

#[test]
fn each_kind_of_message_of_a_worker_in_each_wrong_way_costs_it_at_most() {
    let hostile = vec![("hostile", String::new()); FROM_WORKER.len()];
    let mut site = site("hostile-worker", &hostile);
    for text in [
        "worker died",
        "a stranger says",
        "message refused",
        "says more to the supervisor",
    ] {
        site.expect_error(text);
    }
    site.start();
    let neighbour = Neighbour::of(&site);
    std::thread::scope(|scope| {
        for (app, (kind, becomes)) in FROM_WORKER.iter().enumerate() {
            let site = &site;
            scope.spawn(move || {
                for (way, becomes) in WAYS.iter().zip(becomes) {
                    let before = pid(site, app);
                    // It may be ended before it can answer.
                    let target = format!("/{app}/control/{}/{way}", kind.to_lowercase());
                    site.connect()
                        .request("POST", &target, &[("Content-Length", "0")], b"");
                    match becomes {
                        Ends => wait_for(&format!("{kind} {way} costs the worker"), || {
                            (pid(site, app) != before).then_some(())
                        }),
                        Stays => {
                            let state = state(site, app, &before);
                            assert_eq!(state.as_deref(), Some("ready"), "{kind} {way}");
                        }
                    }
                }
            });
        }
    });
    assert!(neighbour.leave() > 0);
    assert!(!site.error_log().contains("worker died app=honest"));
    assert!(site.stop().success());
}

#[test]
fn each_kind_of_message_of_a_zygote_in_each_wrong_way_costs_its_application_at_most() {
    let cases = || {
        FROM_ZYGOTE.iter().flat_map(|(kind, becomes)| {
            WAYS.iter()
                .zip(becomes)
                .map(move |(way, becomes)| (kind, way, becomes))
        })
    };
    let hostile: Vec<_> = cases()
        .map(|(kind, way, _)| {
            let keys = format!("env = {{ SAYS = \"{}/{way}\" }}", kind.to_lowercase());
            ("hostile_zygote", keys)
        })
        .collect();
    let mut site = site("hostile-zygote", &hostile);
    for text in ["app=hostile", "message refused", "says more to the supervisor"] {
        site.expect_error(text);
    }
    site.start();
    let neighbour = Neighbour::of(&site);
    for (app, (kind, way, becomes)) in cases().enumerate() {
        match becomes {
            Ends => site.wait_for_log(&format!("zygote died app=hostile{app} ")),
            Stays => wait_for(&format!("{kind} {way} costs nothing"), || {
                (site.get(&format!("/{app}")).status == 200).then_some(())
            }),
        }
    }
    let log = site.error_log();
    for (app, (kind, way, _)) in cases()
        .enumerate()
        .filter(|(_, (.., becomes))| **becomes == Stays)
    {
        assert!(
            !log.contains(&format!("zygote died app=hostile{app} ")),
            "{kind} {way}"
        );
    }
    assert!(neighbour.leave() > 0);
    assert!(site.stop().success());
}

/// Names of the variants of an enum, by its source.
fn variants(path: &str, name: &str, is_variant: impl Fn(&str) -> Option<&str>) -> Vec<String> {
    let source = std::fs::read_to_string(workspace().join(path)).unwrap();
    let (_, body) = source.split_once(&format!("enum {name} {{\n")).unwrap();
    let body = body.lines().take_while(|line| !matches!(*line, "}" | "    }"));
    body.filter_map(|line| Some(is_variant(line.trim())?.to_owned()))
        .collect()
}

#[test]
fn no_kind_of_message_is_left_out() {
    let kinds = variants("crates/wire/src/frame.rs", "Kind", |line| {
        Some(line.split_once(" = ")?.0).filter(|_| line.ends_with(','))
    });
    let tried: Vec<&str> = FRAMES.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, tried);
    for (name, tried) in [("FromWorker", FROM_WORKER), ("FromZygote", FROM_ZYGOTE)] {
        let kinds = variants("crates/wire/src/control.rs", name, |line| {
            Some(line.split_once(" => ")?.1.split_once(' ')?.0)
        });
        let tried: Vec<&str> = tried.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, tried, "{name}");
    }
}
