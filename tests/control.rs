//! The control socket and the commands on it, on the real program: what is told is compared with what is.

mod clients;
mod commands;
mod squatter;

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
