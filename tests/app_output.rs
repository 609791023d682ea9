//! What applications print, and their threads.

use std::collections::HashSet;

use crate::harness::Site;

#[test]
fn so_many_requests_run_at_once_as_there_are_threads() {
    let mut site = Site::of_app("meeting", "meeting", "workers = 1\nthreads = 4", "");
    site.start();
    let guests: Vec<_> = (0..4).map(|_| site.beside("/")).collect();
    let answers: Vec<_> = guests.into_iter().map(|guest| guest.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let threads: HashSet<_> = answers.iter().map(|answer| answer.text()).collect();
    assert_eq!(threads.len(), 4, "{threads:?}");
    assert!(site.stop().success());
}

#[test]
fn every_line_an_application_prints_is_logged_with_its_worker_and_its_request() {
    let mut site = Site::of_app("talk", "talk", "workers = 2\nthreads = 4", "");
    site.start();
    site.wait_for_log("talk is imported");
    assert_eq!(site.error_log().matches("stdout: talk is imported").count(), 1);
    assert!(site.error_log().contains(" INFO web/zygote["));

    let guests: Vec<_> = (0..40)
        .map(|number| (number, site.beside(&format!("/?{number}"))))
        .collect();
    let ids: Vec<_> = guests
        .into_iter()
        .map(|(number, guest)| (number, guest.join().unwrap().text()))
        .collect();
    assert_eq!(ids.iter().map(|(_, id)| id).collect::<HashSet<_>>().len(), 40);
    for (number, id) in &ids {
        for (stream, line) in [
            ("stdout", format!("print-{number} of {id}")),
            ("stderr", format!("WARNING log-{number} of {id}")),
            ("stderr", format!("errors-{number} of {id}")),
            // The end of the request is the end of the line.
            ("stdout", format!("unended-{number} of {id}")),
        ] {
            site.wait_for_log(&format!("{stream} request_id={id}: {line}\n"));
        }
    }
    let records = site.records(40);
    let log = site.error_log();
    for line in log.lines().filter(|line| line.contains(": print-")) {
        let id = line.rsplit(' ').next().unwrap();
        let record = records.iter().find(|record| record["request_id"] == id).unwrap();
        let printer = format!(" INFO web/{}[{}] stdout ", record["worker"], record["pid"]);
        assert!(line.contains(&printer), "{printer}: {line}");
    }
    assert!(site.stop().success());
}
