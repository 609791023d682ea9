//! What applications say and are told over HTTP/2, seen by curl.

use std::fs;

use crate::harness::{Site, curl::VERSIONS};

fn hinting(test: &str) -> Site {
    let mut site = Site::certified(
        test,
        r#"
        [app.wsgi]
        wsgi = "wsgi:application"
        directory = "{apps}/hints"
        python = "{python}"
        workers = 1

        [app.asgi]
        asgi = "asgi:application"
        lifespan = "off"
        directory = "{apps}/hints"
        python = "{python}"
        workers = 1

        [[site]]
        https = "off"
        [[site.route]]
        path = "/wsgi/"
        app = "wsgi"
        [[site.route]]
        path = "/asgi/"
        app = "asgi"
        [[site.route]]
        path = "/asgi/late"
        app = "asgi"
        request_buffering = false
        "#,
    );
    site.start();
    site
}

#[test]
fn early_hints_of_applications_reach_clients_of_either_version() {
    let mut site = hinting("hints");
    for round in 1..=2 {
        for version in VERSIONS {
            for interface in ["/asgi/", "/wsgi/"] {
                let answer = site.curl(version, interface, &["--dump-header", "heads"]);
                assert_eq!(answer.status, 200, "{version} {interface}");
                let heads = fs::read_to_string(site.directory.join("heads")).unwrap();
                let (hint, rest) = heads.split_once("\r\n\r\n").unwrap();
                assert!(hint.contains(" 103"), "{version} {interface}: {heads}");
                let link = "link: </a.css>; rel=preload; as=style";
                assert!(
                    hint.to_ascii_lowercase().contains(link),
                    "{version} {interface}: {heads}"
                );
                assert!(rest.contains(" 200"), "{version} {interface}: {heads}");
            }
        }
        site.signal("HUP");
        site.wait_for_log(&format!(" serving generation={} ", round + 1));
    }
    assert!(site.stop().success());
}

#[test]
fn any_number_of_cookies_is_one_field_over_http2() {
    let mut site = hinting("crumbs");
    for count in [1, 99, 100, 101, 150, 400] {
        let crumbs: Vec<String> = (0..count)
            .map(|at| format!("cookie: name{at}=value{at}"))
            .collect();
        let arguments: Vec<&str> = crumbs.iter().flat_map(|crumb| ["--header", crumb]).collect();
        let sent: Vec<&str> = crumbs
            .iter()
            .filter_map(|crumb| crumb.strip_prefix("cookie: "))
            .collect();
        for interface in ["/asgi/", "/wsgi/"] {
            let answer = site.curl("--http2", interface, &arguments);
            assert_eq!(
                (answer.status, answer.text()),
                (200, sent.join("; ")),
                "{count} {interface}"
            );
        }
    }
    // Fields that are no crumbs have their limit.
    let fields: Vec<String> = (0..150).map(|at| format!("x-{at}: a")).collect();
    let arguments: Vec<&str> = fields.iter().flat_map(|field| ["--header", field]).collect();
    assert_eq!(site.curl("--http2", "/wsgi/", &arguments).status, 431);
    assert!(site.stop().success());
}

#[test]
fn an_application_that_answers_first_gets_the_body_of_a_client_that_asked_whether_to_send_it() {
    let mut site = hinting("late");
    for version in VERSIONS {
        for size in [3, 100_000] {
            let body = vec![b'x'; size];
            let expects = ["--header", "Expect: 100-continue", "--expect100-timeout", "0.1"];
            let arguments = [&expects[..], &["--data-binary", "@-"]].concat();
            let answer = site.curl_with(version, "/asgi/late", &arguments, &body);
            assert_eq!(answer.text(), format!("first and {size} bytes"), "{version}");
        }
    }
    assert!(site.stop().success());
}

#[test]
fn what_was_sent_of_an_answer_that_breaks_off_arrives() {
    let mut site = hinting("breaks-off");
    site.expect_error("RuntimeError: in the middle");
    for interface in ["/wsgi/breaks-off", "/asgi/breaks-off"] {
        // An end of the stream, or of a transfer in chunks.
        for (version, code) in [("--http2", 92), ("--http1.1", 18)] {
            for _ in 0..10 {
                let broken = site.curl_broken(version, interface);
                assert_eq!(
                    broken,
                    (Some(code), "first second".into()),
                    "{version} {interface}"
                );
            }
        }
    }
    site.wait_for_log("RuntimeError: in the middle");
    assert!(site.stop().success());
}

#[test]
fn blanks_around_the_value_of_a_field_are_no_part_of_it() {
    let mut site = hinting("blanks");
    for version in VERSIONS {
        for interface in ["/wsgi/blanks", "/asgi/blanks"] {
            let answer = site.curl(version, interface, &["--dump-header", "heads"]);
            assert_eq!(
                (answer.status, answer.text()),
                (200, "hello".into()),
                "{version} {interface}"
            );
            let heads = fs::read_to_string(site.directory.join("heads")).unwrap();
            for line in ["x-mine: a b\r\n", "content-length: 5\r\n"] {
                assert!(
                    heads.to_ascii_lowercase().contains(line),
                    "{version} {interface}: {heads}"
                );
            }
        }
    }
    assert!(site.stop().success());
}

#[test]
fn an_answer_that_announces_a_body_and_has_none_is_a_500_for_clients_of_either_version() {
    let mut site = hinting("announced");
    let told = "the application's answer ended 5 bytes short of its Content-Length";
    site.expect_error(told);
    for version in VERSIONS {
        for interface in ["/wsgi/announced", "/asgi/announced"] {
            let answer = site.curl(version, interface, &[]);
            assert_eq!(answer.status, 500, "{version} {interface}");
            assert!(
                answer.text().contains("500 Internal Server Error"),
                "{version} {interface}"
            );
        }
    }
    for interface in ["/wsgi/announced", "/asgi/announced"] {
        site.wait_for_log(&format!("GET {interface}: {told}"));
    }
    assert!(site.stop().success());
}
