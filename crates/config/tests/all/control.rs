//! Where the control socket is, for the server and for the commands that look for it.

use std::path::{Path, PathBuf};

use config::{Control, ControlDirectory, ControlSearch, control_search_in};

use crate::surroundings::{MadeUp, read};

fn search(root: bool, text: &str) -> ControlSearch {
    let machine = MadeUp {
        root,
        ..MadeUp::default()
    };
    control_search_in(&machine, Path::new("/srv/site/site.toml"), text)
}

fn paths(search: &ControlSearch) -> Vec<&Path> {
    search.places.iter().map(|place| place.path.as_path()).collect()
}

const NAME: &str = "6f3abf448720d4f3.ctl";

#[test]
fn the_usual_places_are_beside_the_pid_file_then_in_the_state_directory_then_in_a_runtime_directory() {
    let text = "[server]\npid_file = \"run/site.pid\"\nstate_dir = \"state\"\n";
    let found = search(true, text);
    assert_eq!(
        paths(&found),
        [
            Path::new("/srv/site/run/site.ctl"),
            &Path::new("/srv/site/state").join(NAME),
            &Path::new("/run/appliance").join(NAME),
        ]
    );
    let owns: Vec<_> = found.places.iter().map(|place| place.directory).collect();
    assert_eq!(
        owns,
        [
            ControlDirectory::Given,
            ControlDirectory::Given,
            ControlDirectory::Own
        ]
    );
    // Who is not root has directories of the session, and one below /tmp where there is no session.
    let found = search(false, "[server]\nstate_dir = \"state\"\n");
    assert_eq!(
        paths(&found)[1..],
        [
            &Path::new("/run/user/1001/appliance").join(NAME),
            &Path::new("/run/appliance").join(NAME),
            &Path::new("/tmp/appliance-1001").join(NAME),
        ]
    );
}

#[test]
fn a_place_of_its_own_is_looked_at_first_and_the_usual_ones_too() {
    for text in [
        "[server]\ncontrol = \"site.ctl\"\n",
        // The file is broken in every way.
        "colour = \"blue\"\n[server]\ntreads = 2\ncontrol = \"site.ctl\"\ngrace = 7\n[[siet]]\n",
        "[server]\ncontrol = \"site.ctl\"\n[[site]\nhosts = [\"a\n",
    ] {
        let found = search(true, text);
        assert_eq!(paths(&found)[0], Path::new("/srv/site/site.ctl"), "{text}");
        assert!(paths(&found).contains(&&*Path::new("/run/appliance").join(NAME)));
        assert!(!found.is_off);
    }
    let off = search(true, "[server]\ncontrol = \"off\"\n");
    assert!(off.is_off && !off.places.is_empty());
    // What is no configuration at all still has a path.
    for text in ["", "\u{0}\u{1}", "{ \"server\": 1 }", "server = 3"] {
        let found = search(true, text);
        assert!(
            paths(&found).contains(&&*Path::new("/run/appliance").join(NAME)),
            "{text:?}"
        );
    }
}

#[test]
fn control_is_a_path_or_off() {
    let control = |line: &str| {
        read(&format!("[server]\n{line}\n[[site]]\nrespond = \"here\"\n"))
            .server
            .control
    };
    assert_eq!(control(""), Control::Usual);
    assert_eq!(control("control = \"off\""), Control::Off);
    assert_eq!(
        control("control = \"run/site.ctl\""),
        Control::At(PathBuf::from("/srv/site/run/site.ctl"))
    );
    let problem = |value: &str| {
        let text = format!("[server]\ncontrol = {value}\n");
        MadeUp::default().config(&text).expect_err(value).to_string()
    };
    for (value, told) in [
        ("\"of\"", "is not a path"),
        ("false", "control = \"off\""),
        ("true", "leave it out"),
        ("8000", "must be a text"),
        ("\"\"", "empty path"),
    ] {
        let problem = problem(value);
        assert!(problem.contains(told), "{problem}");
    }
    let long = format!("\"/run/{}.ctl\"", "x".repeat(120));
    assert!(problem(&long).contains("at most 107"), "{}", problem(&long));
}
