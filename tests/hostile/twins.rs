//! What needs no attacker: applications that do the same for reasons of their own, and lose nothing by it.

use super::{Neighbour, site};
use crate::harness::{app, wait_for};

#[test]
fn an_application_that_closes_or_duplicates_descriptors_which_are_not_its_own_costs_one_worker_at_most() {
    let mut site = site("twin-descriptors");
    for text in ["worker died", "link broken", "a process says", "message refused"] {
        site.expect_error(text);
    }
    site.start();
    let neighbour = Neighbour::of(&site);
    let serves = |what: &str| {
        wait_for(what, || (site.get("/hostile/").status == 200).then_some(()));
    };
    // As daemons do before they run something: copies of all, which are closed again.
    for _ in 0..20 {
        assert_eq!(site.get("/hostile/duplicate-all").text(), "duplicated");
    }
    assert!(!site.error_log().contains("worker died"));
    // As a library does that was not told of the descriptors of others.
    for _ in 0..2 {
        let _ = site
            .connect()
            .request("POST", "/hostile/close-all", &[("Content-Length", "0")], b"");
        serves("another worker");
    }
    site.wait_for_log("worker died app=hostile");
    assert!(neighbour.leave() > 0);
    assert!(!site.error_log().contains("worker died app=honest"));
    assert!(site.stop().success());
}

/// Many processes that live for long, as many as their user may have.
#[test]
fn an_application_that_forks_up_to_its_limit_hurts_itself_alone() {
    if !app::root() {
        return;
    }
    let mut site = super::users::site("twin-forks");
    site.config(
        "[server]\nuser = \"nobody\"\n\
         [app.honest]\nwsgi = \"wsgi\"\ndirectory = \"hostile\"\npython = \"{python}\"\nworkers = 1\nuser = \"daemon\"\n\
         [app.hostile]\nwsgi = \"wsgi\"\ndirectory = \"hostile\"\npython = \"{python}\"\nworkers = 1\nuser = \"games\"\n\
         [[site]]\n[[site.route]]\npath = \"/\"\napp = \"honest\"\n\
         [[site.route]]\npath = \"/hostile\"\napp = \"hostile\"\nstrip = true\n",
    );
    site.expect_error("worker died");
    site.start();
    let neighbour = Neighbour::of(&site);
    assert_eq!(site.get("/hostile/fork-many").text(), "no more");
    // Its worker is replaced all the same once it dies.
    let worker = site.processes_named("worker hostile/0").remove(0).pid;
    crate::harness::processes::signal_pid(worker, "KILL");
    site.wait_for_log("worker died app=hostile");
    wait_for("another worker", || {
        (site.get("/hostile/").status == 200).then_some(())
    });
    assert!(neighbour.leave() > 0);
    assert!(site.stop().success());
}
