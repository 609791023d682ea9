use std::path::Path;

use wire::control::FromZygote;

use super::*;
use crate::{
    Engine,
    cause::OomKills,
    context::{Numbers, Outputs, Pids},
    engine::EngineFile,
    names::Names,
    zygote::tests::booting,
};

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

/// Does it in a turn of a loop that has nothing else to do.
fn in_a_turn<T>(now: Instant, act: impl FnOnce(&mut Context<'_>) -> T) -> T {
    let engine = Engine {
        library: b"",
        bootstrap: "",
    };
    act(&mut Context {
        now,
        ready: &Interest::default().wait(Duration::ZERO).expect("poll"),
        engine: &EngineFile::new(engine, None).expect("a memory file"),
        outputs: &mut Outputs::default(),
        numbers: &mut Numbers::default(),
        pids: &mut Pids::default(),
        oom_kills: &mut OomKills::find(),
        names: &mut Names::default(),
    })
}

#[test]
fn a_worker_that_its_zygote_never_forked_is_no_death() {
    let now = Instant::now();
    // The zygote dies by itself, is killed by us, or was looked at before its end came.
    for (killed, forks) in [(false, true), (true, true), (false, false)] {
        let mut app = app(now);
        let (mut zygote, mut child, theirs) = booting(now);
        zygote.is_in_time();
        app.zygote = Some(zygote);
        app.pool.source(Forks::Here);
        in_a_turn(now, |cx| {
            app.tick(cx);
            assert_eq!(app.workers.len(), app.pool.len());
            if killed {
                app.zygote.as_mut().expect("it is there").child.kill();
            }
            // What it was sent and has not read is gone with it.
            let theirs = Some(theirs).filter(|_| !forks);
            if let Some(theirs) = &theirs {
                // It has read it, and what it has forked ended at once.
                let mut packet = [0; 64];
                for _ in 0..app.pool.len() {
                    rustix::io::read(theirs, &mut packet).expect("an order");
                }
            }
            let patience = Instant::now() + 10 * SECOND;
            while !app.workers.iter().all(Worker::is_lost) {
                assert!(Instant::now() < patience, "killed: {killed}, forks: {forks}");
                (0..app.workers.len()).for_each(|at| app.hear_worker(at, cx));
            }
            app.drop_lost(cx);
        });
        let deaths: u32 = (0..).take(app.pool.len()).map(|slot| app.pool.deaths(slot)).sum();
        assert_eq!(deaths > 0, !forks, "{deaths}");
        assert_eq!(app.told.is_some(), !forks);
        child.kill().expect("our child");
        child.wait().expect("our child");
    }
}

#[test]
fn a_zygote_whose_forks_fail_again_and_again_is_replaced() {
    let now = Instant::now();
    let mut app = app(now);
    let (mut zygote, mut child, theirs) = booting(now);
    zygote.is_in_time();
    app.zygote = Some(zygote);
    let fork_fails = |app: &mut App| {
        let message = "Resource temporarily unavailable".to_owned();
        let failed = FromZygote::ForkFailed { slot: 0, message };
        rustix::io::write(&theirs, &failed.encode()).expect("there is room");
        in_a_turn(now, |cx| app.hear_zygote(cx));
        app.zygote.as_ref().expect("it is there").child.is_killed()
    };
    assert_eq!([fork_fails(&mut app), fork_fails(&mut app)], [false, false]);
    // One that succeeds in between begins a new count.
    app.zygote.as_mut().expect("it is there").has_forked();
    let killed = [(); 3].map(|()| fork_fails(&mut app));
    assert_eq!(killed, [false, false, true]);
    assert!(child.wait().expect("our child").code().is_none());
}
