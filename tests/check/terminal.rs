//! What others have written never acts on the administrator's terminal.

use std::process::Command;

use super::{check, ended};
use crate::harness::Site;

/// Whatever an application raises, prints, or is called.
#[test]
fn nothing_that_an_application_says_acts_on_the_terminal() {
    let wicked = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}redro\u{2066}\u{9b}1m";
    let cases = [
        (
            format!("raise RuntimeError('{wicked}\\neverything is in order')\n"),
            "wsgi",
        ),
        (format!("print('{wicked}')\nimport os\nos._exit(1)\n"), "wsgi"),
        (
            format!("# {wicked}\nraise ImportError('x', name='{wicked}')\n"),
            "wsgi",
        ),
        ("application = print\n".to_owned(), "w\u{202e}sgi"),
        (
            format!("import sys\nsys.modules['{wicked}'] = sys\nimport no_such_module\n"),
            "wsgi",
        ),
    ];
    for (module, target) in cases {
        let site = Site::new("check-wicked");
        site.write("wsgi.py", &module);
        site.config(&format!(
            "[log.error]\nto = \"stderr\"\n[app.web]\nwsgi = \"{target}\"\npython = \"{{python}}\"\nworkers = 1\n[[site]]\napp = \"web\"\n"
        ));
        let started = ended(site.command(&[]));
        for (code, told, complaints) in [check(&site), started] {
            assert!(matches!(code, Some(2 | 3)), "{module}: {code:?}");
            let shown = told + &complaints;
            let acts = |c: char| !matches!(c, '\n' | '\t') && config::is_invisible(c);
            assert!(!shown.contains(acts), "{module}: {shown:?}");
            assert!(
                !shown.lines().any(|line| line == "everything is in order"),
                "{shown}"
            );
        }
    }
}

/// Nor what a configuration says, which somebody may have sent.
#[test]
fn nothing_in_a_configuration_acts_on_the_terminal() {
    let wicked = "\u{202e}x\u{2066}";
    for text in [
        format!("[server]\nuser = \"{wicked}\"\n"),
        format!("\"{wicked}\" = 1\n"),
        format!("[app.\"{wicked}\"]\nwsgi = \"x\"\n"),
        "[server]\nuser = \"\\u001b[2J\"\n".to_owned(),
        "[server]\n\"\\u001b[2J\" = 1\n".to_owned(),
        "[server]\npid_file = \"\u{202e}/x\"\n[[site]]\nrespond = \"x\"\n".to_owned(),
        "[server]\nuser = \u{1b}[2J\n".to_owned(),
    ] {
        let site = Site::new("check-wicked-conf");
        site.write("site.toml", &text);
        let mut missing = Command::new(site.command(&[]).get_program());
        missing.args(["--conf", "/no/\u{1b}[2J"]);
        for (_, told, complaints) in [check(&site), ended(site.command(&[])), ended(missing)] {
            let acts = |c: char| !matches!(c, '\n' | '\t') && config::is_invisible(c);
            let shown = told + &complaints;
            assert!(!shown.contains(acts), "{text:?}: {shown:?}");
            assert!(!shown.is_empty());
        }
    }
}
