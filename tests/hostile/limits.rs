//! A worker that lowers the limits of its zygote, which every process of its user may do, hidden or not.

use super::{Neighbour, users::site};
use crate::harness::{app, wait_for};

#[test]
fn a_zygote_whose_limits_were_lowered_is_replaced_before_it_forks_again() {
    let user = if app::root() { "user = \"games\"\n" } else { "" };
    let mut site = site("hostile-limits");
    let keys = "wsgi = \"wsgi\"\ndirectory = \"hostile\"\npython = \"{python}\"\nworkers = 1\n";
    site.config(&format!(
        "[app.honest]\n{keys}[app.hostile]\n{keys}{user}\
         [[site]]\n[[site.route]]\npath = \"/\"\napp = \"honest\"\n\
         [[site.route]]\npath = \"/hostile\"\napp = \"hostile\"\nstrip = true\n"
    ));
    for text in [
        "worker died",
        "limits of the zygote were lowered",
        "zygote died",
        "its limits were lowered",
    ] {
        site.expect_error(text);
    }
    site.start();
    let neighbour = Neighbour::of(&site);
    let one = |title: &str| wait_for(title, || site.processes_named(title).pop());
    // No process more, no descriptor, no memory, and what harms only what is forked.
    let limits = [
        ("NPROC", "Max processes"),
        ("NOFILE", "Max open files"),
        ("AS", "Max address space"),
        ("FSIZE", "Max file size"),
    ];
    for (number, (limit, name)) in (1..).zip(limits) {
        let zygote = one("zygote hostile").pid;
        assert_eq!(
            site.get(&format!("/hostile/limit/{limit}/{zygote}")).text(),
            "lowered"
        );
        one("worker hostile/0").signal("KILL");
        site.wait_for_log_times(
            "limits of the zygote were lowered, it is replaced app=hostile",
            number,
        );
        assert!(
            site.error_log().contains(&format!("limit={name:?}")),
            "{}",
            site.error_log()
        );
        wait_for("another worker", || {
            (site.get("/hostile/").status == 200).then_some(())
        });
        assert_ne!(one("zygote hostile").pid, zygote);
    }
    assert!(neighbour.leave() > 0);
    assert!(!site.error_log().contains("app=honest cause"));
    assert!(site.stop().success());
}
