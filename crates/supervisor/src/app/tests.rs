use std::path::Path;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// An app with a drain timeout of ten seconds whose generation serves.
fn app(now: Instant) -> App {
    let text = "[app.web]\nwsgi = \"a\"\ntimeout.drain = \"10s\"\n[[site]]\napp = \"web\"\n";
    let config = Config::parse(text, Path::new("/srv/site.toml")).expect("a good configuration");
    let mut app = App::new(&Arc::new(config), 0, 1, now);
    app.zygote_at = None;
    app.serves(now);
    app
}

#[test]
fn what_cannot_be_handed_over_yet_is_handed_over_later_and_wakes_nobody_until_then() {
    let now = Instant::now();
    let mut app = app(now);
    app.drain(None, now);
    assert!(!app.shall_hand_over(now + 4 * SECOND));
    assert!(app.shall_hand_over(now + 5 * SECOND));
    // The next generation had no worker.
    assert!(app.shall_hand_over(now + 6 * SECOND));
    assert!(app.takes_requests());
    assert!(app.deadline() > Some(now + 6 * SECOND));
    assert_eq!(app.hand_over().count(), 0);
    assert!(!app.shall_hand_over(now + 7 * SECOND));
    assert!(!app.takes_requests());
}

#[test]
fn a_stop_during_a_reload_leaves_no_deadline_of_a_hand_over_behind() {
    let now = Instant::now();
    // The grace of the stop ends before, with, or after the drain timeout that runs already.
    for grace in [SECOND, 9 * SECOND, 60 * SECOND] {
        let mut app = app(now);
        app.drain(None, now);
        let stop = now + SECOND;
        app.drain(Some(stop + grace), stop);
        assert!(!app.shall_hand_over(now + 6 * SECOND));
        assert!(app.deadline() > Some(now + 6 * SECOND));
    }
}

#[test]
fn what_was_handed_over_before_a_stop_stays_so() {
    let now = Instant::now();
    let mut app = app(now);
    app.drain(None, now);
    assert!(app.shall_hand_over(now + 5 * SECOND));
    app.hand_over().for_each(drop);
    app.drain(Some(now + 60 * SECOND), now + 6 * SECOND);
    assert!(!app.takes_requests());
}
