//! ASGI applications that go on and on: for nobody, with nothing, or whatever they are told.

use wire::frame::{self, AbortReason, Kind};

use crate::{
    asgi::{printed, told, with_app},
    link::Ask,
    rig::until,
};

#[test]
fn an_application_hears_that_its_client_has_left() {
    with_app(|worker, link| {
        link.ask(1, Ask::get("/disconnect"));
        assert_eq!(link.get(2, "/hello").text(), "hello");
        link.tell(1, Kind::Cancel, b"");
        let answer = &link.answers(&[1])[&1];
        assert_eq!(answer.aborted, Some(AbortReason::Cancelled));
        printed(worker, "\u{1e}id1\u{1f}received http.disconnect");
        assert_eq!(link.get(3, "/disconnect_after").text(), "done");
        printed(worker, "\u{1e}id3\u{1f}received http.disconnect");
        link.ask(4, Ask::get("/big"));
        link.tell(4, Kind::Cancel, b"");
        assert_eq!(link.answers(&[4])[&4].aborted, Some(AbortReason::Cancelled));
        assert_eq!(worker.stderr.lock().expect("no panic").as_str(), "");
    });
}

#[test]
fn who_sends_without_end_to_nobody_lets_others_run_and_is_ended() {
    with_app(|worker, link| {
        for (stream, path) in [(1, "/endless"), (3, "/endless_of_another_kind")] {
            link.ask(stream, Ask::get(path));
            until("it has filled its window", || link.claimed(stream));
            link.tell(stream, Kind::Cancel, b"");
            // Answered by the same loop; which of them comes to its end first is not ours to say.
            link.ask(stream + 1, Ask::get("/hello"));
            let answers = link.answers(&[stream, stream + 1]);
            assert_eq!(answers[&(stream + 1)].text(), "hello");
            assert_eq!(answers[&stream].aborted, Some(AbortReason::Cancelled));
            printed(worker, &format!("\u{1e}id{stream}\u{1f}endless: ClientLeft"));
        }
        assert_eq!(worker.stderr.lock().expect("no panic").as_str(), "");
    });
}

#[test]
fn who_sends_nothing_without_end_lets_others_run_and_is_ended_with_its_client() {
    with_app(|worker, link| {
        link.ask(1, Ask::get("/endless_of_nothing"));
        assert_eq!(link.get(2, "/hello").text(), "hello");
        link.tell(1, Kind::Cancel, b"");
        assert_eq!(link.get(3, "/hello").text(), "hello");
        printed(worker, "\u{1e}id1\u{1f}endless: ClientLeft");
    });
}

#[test]
fn who_sends_early_hints_without_end_lets_others_run_and_is_ended() {
    with_app(|worker, link| {
        link.ask(1, Ask::get("/endless_of_hints"));
        link.ask(2, Ask::get("/hello"));
        let answers = link.answers(&[1, 2]);
        assert_eq!(answers[&2].text(), "hello");
        assert_eq!(answers[&1].aborted, Some(AbortReason::Exception));
        printed(worker, "\u{1e}id1\u{1f}endless: ClientLeft");
    });
}

#[test]
fn who_goes_on_sending_whatever_is_raised_lets_others_run() {
    with_app(|_, link| {
        link.ask(1, Ask::get("/endless_whatever_is_raised"));
        until("it has filled its window", || link.claimed(1));
        link.tell(1, Kind::Cancel, b"");
        for stream in 2..200 {
            assert_eq!(link.get(stream, "/hello").text(), "hello");
        }
    });
}

#[test]
fn who_sends_without_end_behind_the_end_of_an_answer_lets_others_run_and_is_ended() {
    with_app(|worker, link| {
        let head = Ask {
            method: "HEAD",
            ..Ask::get("/endless")
        };
        assert_eq!(link.fetch(1, head).status, 200);
        assert_eq!(link.get(2, "/hello").text(), "hello");
        printed(worker, "\u{1e}id1\u{1f}endless: ClientLeft");
        assert_eq!(link.get(3, "/endless_behind_its_end").text(), "done");
        assert_eq!(link.get(4, "/hello").text(), "hello");
        assert_eq!(worker.stderr.lock().expect("no panic").as_str(), "");
        assert_eq!(link.get(5, "/endless_beyond_its_length").text(), "123");
        assert_eq!(link.get(6, "/hello").text(), "hello");
        told(
            worker,
            "\u{1e}id5\u{1f}GET /endless_beyond_its_length: the application sent more than",
        );
        assert!(!worker.stderr.lock().expect("no panic").contains("Traceback"));
    });
}

#[test]
fn who_receives_without_end_lets_others_run_and_can_be_cancelled() {
    with_app(|_, link| {
        link.ask(1, Ask::get("/deaf"));
        assert_eq!(link.get(2, "/hello").text(), "hello");
        link.tell(1, Kind::Cancel, b"");
        assert_eq!(link.get(3, "/hello").text(), "hello");
        link.tell_flags(1, Kind::Cancel, frame::OVERDUE, b"");
        assert_eq!(link.answers(&[1])[&1].aborted, Some(AbortReason::Cancelled));
    });
}
