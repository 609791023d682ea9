//! No text makes the reader panic, and what it reports can be shown.

use proptest::prelude::*;

use crate::surroundings::MadeUp;

/// Fragments of real files: arbitrary characters alone never get past the TOML parser.
fn fragment() -> impl Strategy<Value = String> {
    let lines = [
        "[server]",
        "[[listener]]",
        "[listener.limits]",
        "[tls]",
        "[app.web]",
        "[app]",
        "[app.web.timeout]",
        "[upstream.api]",
        "[[site]]",
        "[[site.route]]",
        "[site]",
        "[log.access]",
        "[log]",
    ];
    let keys = [
        "user",
        "threads",
        "grace",
        "address",
        "tls",
        "limits",
        "certificates",
        "wsgi",
        "python",
        "env",
        "env_file",
        "workers",
        "timeout",
        "servers",
        "hosts",
        "files",
        "app",
        "upstream",
        "redirect",
        "respond",
        "path",
        "mount",
        "methods",
        "headers",
        "body_max",
        "to",
        "route",
        "trusted_proxies",
    ];
    let values = [
        "1",
        "-1",
        "\"web\"",
        "\"30s\"",
        "\"8MiB\"",
        "\"/a/b/\"",
        "\"= /ä\"",
        "\"unix:/x\"",
        "\":80\"",
        "\"http://[::1]:80\"",
        "\"http://]:\"",
        "\"{host}{\"",
        "\"*.a.b\"",
        "[\"a\", \"b\"]",
        "{ \"/a\" = \"b\" }",
        "{ root = \"x\" }",
        "{ to = \"/\" }",
        "{ status = 200 }",
        "[[1]]",
        "true",
        "1.5",
        "2020-01-01",
        "\"\\u0000\"",
        "\"\"",
    ];
    prop_oneof![
        proptest::sample::select(lines.to_vec()).prop_map(str::to_owned),
        (
            proptest::sample::select(keys.to_vec()),
            proptest::sample::select(values.to_vec())
        )
            .prop_map(|(key, value)| format!("{key} = {value}")),
        (proptest::sample::select(keys.to_vec()), "[^\"\\\\\\pC]{0,12}")
            .prop_map(|(key, value)| format!("{key} = \"{value}\"")),
        ".{0,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        check(&text);
    }

    #[test]
    fn arbitrary_tables_never_panic(lines in proptest::collection::vec(fragment(), 0..12)) {
        check(&lines.join("\n"));
    }
}

fn check(text: &str) {
    match MadeUp::default().config(text) {
        Ok(config) => assert!(!config.sites.is_empty()),
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(
                problems
                    .iter()
                    .all(|problem| problem.starts_with("/srv/site/site.toml:"))
            );
        }
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    check(&format!("a = {}", "[".repeat(20_000)));
    check(&format!("a = {}", "{a=".repeat(20_000)));
    check(&format!("{} = 1", vec!["a"; 20_000].join(".")));
    check(&format!("[{}]", vec!["a"; 20_000].join(".")));
}
