//! Certificates and keys that no server can start with.

use super::{TLS, check, ended};
use crate::harness::{Site, certificate::Certificate};

#[test]
fn the_key_of_another_certificate_is_refused() {
    let site = Site::of_app("check-mismatch", "hello", "", TLS);
    let (one, other) = (
        Certificate::new(&["example.org"]),
        Certificate::new(&["example.org"]),
    );
    site.write("site.crt", &one.certificate);
    site.write("site.key", &other.key);
    let (code, _, complaints) = check(&site);
    assert_eq!(code, Some(2), "{complaints}");
    assert!(
        complaints.contains("site.key: this key does not belong to the certificate "),
        "{complaints}"
    );
}

#[test]
fn an_expired_certificate_is_told() {
    let site = Site::of_app("check-expired", "hello", "", TLS);
    Certificate::expired(&["example.org"]).write(&site.directory, "site");
    let (code, told, complaints) = check(&site);
    assert_eq!(code, Some(0), "it is served all the same: {complaints}");
    assert!(told.contains("expires 2020-01-01, expired"), "{told}");
}

#[test]
fn a_certificate_that_is_not_there_is_told_once() {
    let mut site = Site::of_app("check-no-certificate", "hello", "", TLS);
    site.expect_error("site.crt: does not exist");
    for arguments in [&["check"][..], &[]] {
        let (code, told, complaints) = ended(site.command(arguments));
        assert!(code.is_some_and(|code| code != 0), "{told}{complaints}");
        let named = complaints.matches("site.crt: does not exist; make it").count();
        assert_eq!(named, 1, "{complaints}");
    }
}
