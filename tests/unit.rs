//! The systemd unit, `deploy/appliance.service`.

use std::{fs, process::Command};

use crate::harness::{Site, workspace};

fn unit() -> String {
    fs::read_to_string(workspace().join("deploy/appliance.service")).unwrap()
}

/// The values of a key in a section, in their order.
fn values<'a>(unit: &'a str, section: &str, key: &str) -> Vec<&'a str> {
    let header = format!("[{section}]");
    unit.lines()
        .skip_while(|line| *line != header)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .filter(|(found, _)| *found == key)
        .map(|(_, value)| value)
        .collect()
}

/// The number of seconds of a default in `conf/site.toml`.
fn seconds(key: &str) -> u32 {
    let conf = fs::read_to_string(workspace().join("conf/site.toml")).unwrap();
    let start = format!("#{key} = \"");
    let line = conf.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
    let (number, _) = line.split_once("s\"").unwrap();
    number.parse().unwrap()
}

#[test]
fn the_unit_goes_on_trying_what_may_get_better_and_leaves_a_bad_configuration() {
    let unit = unit();
    let prevented: Vec<&str> = values(&unit, "Service", "RestartPreventExitStatus")
        .into_iter()
        .flat_map(str::split_whitespace)
        .collect();
    // 3 is an application that cannot be imported: its database may not be up yet after a boot.
    assert_eq!(prevented, ["2"]);
    assert_eq!(values(&unit, "Service", "Restart"), ["on-failure"]);
    // In [Service] it would mean nothing.
    assert_eq!(values(&unit, "Unit", "StartLimitIntervalSec"), ["0"]);
    assert_eq!(values(&unit, "Unit", "StartLimitBurst"), [""; 0]);

    let mut broken = Site::new("unit-configuration");
    broken.config("[[site]\n");
    assert_eq!(broken.spawn().wait().code(), Some(2));
    let mut early = Site::new("unit-import");
    early.write("app.py", "raise OSError('the database is not up')\n");
    early.config("[app.web]\nwsgi = \"app\"\nworkers = 1\n[[site]]\napp = \"web\"\n");
    early.expect_error("supervisor[");
    assert_eq!(early.spawn().wait().code(), Some(3));
}

#[test]
fn the_unit_waits_longer_than_the_server_does() {
    let unit = unit();
    let of = |key| values(&unit, "Service", key)[0].parse::<u32>().unwrap();
    assert!(of("TimeoutStopSec") > seconds("grace"));
    assert!(of("TimeoutStartSec") > seconds("boot"));
    // A stop is the supervisor's to carry out, and what it leaves is killed with all that it has started.
    assert_eq!(values(&unit, "Service", "KillMode"), ["mixed"]);
}

#[test]
fn systemd_understands_the_unit() {
    let site = Site::new("unit-verify");
    // It also looks for the programs.
    let text = unit().replace("/usr/local/bin/appliance", env!("CARGO_BIN_EXE_appliance"));
    let file = site.write("appliance.service", text);
    let analyze = |arguments: &[&str]| {
        Command::new("systemd-analyze")
            .args(arguments)
            .arg(&file)
            .output()
            .ok()
            .map(|output| {
                let told = [output.stdout, output.stderr].concat();
                (output.status, String::from_utf8_lossy(&told).into_owned())
            })
    };
    let Some((status, told)) = analyze(&["verify", "--man=no"]) else {
        println!("skipped: there is no systemd-analyze");
        return;
    };
    assert!(status.success(), "{told}");
    // What it says of other units of the machine does not count.
    let ours: Vec<&str> = told.lines().filter(|line| line.contains("appliance")).collect();
    assert_eq!(ours, [""; 0]);
    let version = Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .unwrap()
        .stdout;
    let version = String::from_utf8_lossy(&version)
        .split_ascii_whitespace()
        .nth(1)
        .map(str::parse::<u32>);
    if !version.is_some_and(|version| version.is_ok_and(|version| version >= 250)) {
        println!("skipped: before release 250 systemd-analyze judges only units that are installed");
        return;
    }
    // In tenths; a unit that takes nothing away has 9.6.
    let (status, told) = analyze(&["security", "--offline=true", "--threshold=35"]).unwrap();
    assert!(status.success(), "{told}");
}
