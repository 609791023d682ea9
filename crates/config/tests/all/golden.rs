//! Each file in `golden/` is an input and, below a ruler, the report expected for it, as comments. Run with
//! `UPDATE_GOLDEN=1` to write what is reported now, and read the difference.

use std::{fs, path::Path};

use crate::surroundings::MadeUp;

const RULER: &str = "# ---- expected ----\n";

#[test]
fn every_mistake_is_reported_where_it_stands_and_all_at_once() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for entry in fs::read_dir(directory).expect("the golden files are there") {
        let path = entry.expect("the directory can be read").path();
        let text = fs::read_to_string(&path).expect("a golden file is text");
        let (input, expected) = text.split_once(RULER).unwrap_or((&text, ""));
        let machine = MadeUp::default();
        let report = match machine.config(input) {
            Ok(config) => config.warnings.join("\n\n"),
            Err(problems) => problems.to_string(),
        };
        let report: String = report
            .lines()
            .map(|line| format!("# {line}").trim_end().to_owned() + "\n")
            .collect();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let updated = format!("{input}{RULER}{report}");
            fs::write(&path, updated).expect("a golden file can be written");
        } else {
            assert_eq!(report, expected, "in {}", path.display());
        }
        seen += 1;
    }
    assert!(seen > 0);
}
