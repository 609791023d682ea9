//! An application that is called the wrong way is recognised, before it is served and when it should be.

use std::process::Command;

use crate::harness::Site;

#[test]
fn each_interface_recognises_an_application_of_the_other() {
    for (wrong, right) in [
        ("wsgi = \"asynchronous:app\"", "asgi = \"asynchronous:app\""),
        ("asgi = \"forms:handler\"", "wsgi = \"forms:handler\""),
    ] {
        let site = Site::of_app("asgi-check", "forms", wrong, "");
        let run = |command: &mut Command| {
            let output = command.output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.code(), told)
        };
        let (code, told) = run(&mut site.command(&["check"]));
        assert_eq!(code, Some(3), "{wrong}: {told}");
        assert!(told.contains(&format!("write {right}")), "{wrong}: {told}");

        let good = Site::of_app("asgi-check", "forms", right, "");
        let (code, told) = run(&mut good.command(&["check"]));
        assert_eq!(code, Some(0), "{right}: {told}");
    }
}

#[test]
fn a_site_does_not_start_with_an_application_that_is_called_the_wrong_way() {
    let mut site = Site::of_app("asgi-wrong", "forms", "asgi = \"forms:handler\"", "");
    site.expect_error("supervisor[");
    site.spawn();
    assert_eq!(site.wait().code(), Some(3));
    assert!(
        site.error_log().contains("write wsgi = \"forms:handler\""),
        "{}",
        site.error_log()
    );
}
