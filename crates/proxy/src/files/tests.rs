use std::{
    fs::{self, File, FileTimes},
    time::{Duration, UNIX_EPOCH},
};

use config::{Charset, Symlinks};
use message::{answer::AnswerLength, downstream::recorder::Recorder, path};
use tempfile::TempDir;

use super::*;

mod kept;
mod paths;

const MODIFIED: &str = "Fri, 02 Jan 2026 03:04:05 GMT";
const ETAG: &str = "\"695735a5-1f4\"";

/// A directory with a file of 500 digits and some traps beside it.
struct Site {
    base: TempDir,
    files: Files,
    headers: Vec<(String, String)>,
}

impl Site {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("root");
        fs::create_dir_all(root.join("dir")).unwrap();
        fs::create_dir_all(root.join("with index/deep")).unwrap();
        fs::write(root.join("with index/index.html"), "<p>").unwrap();
        fs::write(base.path().join("secret"), "secret").unwrap();
        let site = Self {
            files: Files {
                root,
                strip: "/static/".into(),
                index: vec!["index.html".into()],
                precompressed: true,
                cache_control: String::new(),
                symlinks: Symlinks::Inside,
                types: Vec::new(),
                charset: Charset::Usual,
            },
            headers: Vec::new(),
            base,
        };
        site.write("a.txt", &digits());
        site
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.files.root.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let file = File::create(self.path(name)).unwrap();
        fs::write(self.path(name), text).unwrap();
        let modified = UNIX_EPOCH + Duration::from_secs(0x6957_35a5);
        file.set_times(FileTimes::new().set_modified(modified)).unwrap();
    }

    fn ask(&self, method: &str, target: &str, lines: &[(&str, &str)]) -> (Served, Recorder) {
        let mut down = Recorder::new(method, target, lines);
        let (encoded, query) = path::split(target.as_bytes()).unwrap();
        let request = Request {
            path: path::normalise(encoded).unwrap().0,
            query: query.to_vec(),
            ..Request::default()
        };
        let served = run(answer(&mut down, &request, &self.files, &self.headers)).unwrap();
        if served == Served::Sent {
            assert!(down.ended);
            if let Some(AnswerLength::Known(len)) = down.answer.as_ref().map(|answer| answer.length)
                && method == "GET"
            {
                assert_eq!(len, down.body_out.len() as u64, "Content-Length tells the truth");
            }
        }
        (served, down)
    }

    fn get(&self, target: &str, lines: &[(&str, &str)]) -> Recorder {
        let (served, down) = self.ask("GET", target, lines);
        assert_eq!(served, Served::Sent, "{target} {lines:?}");
        down
    }

    /// The status that the caller has to answer with.
    fn refused(&self, target: &str) -> u16 {
        match self.ask("GET", target, &[]).0 {
            Served::Refused { status, .. } => status,
            other => panic!("{target}: {other:?}"),
        }
    }
}

fn digits() -> String {
    "0123456789".repeat(50)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn a_file_comes_with_type_length_and_validators() {
    let site = Site::new();
    let down = site.get("/static/a.txt", &[]);
    assert_eq!(down.status(), 200);
    assert_eq!(down.text(), digits());
    assert_eq!(down.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(down.field("last-modified"), Some(MODIFIED));
    assert_eq!(down.field("etag"), Some(ETAG));
    assert_eq!(down.field("accept-ranges"), Some("bytes"));
    assert_eq!(down.field("cache-control"), None);
    assert_eq!(down.field("vary"), None);
}

#[test]
fn head_has_the_same_fields_and_no_body() {
    let site = Site::new();
    let (_, head) = site.ask("HEAD", "/static/a.txt", &[("Range", "bytes=0-1")]);
    assert_eq!(head.answer, site.get("/static/a.txt", &[]).answer);
    assert_eq!(head.text(), "");
}

#[test]
fn other_methods_are_told_which_there_are() {
    let site = Site::new();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
        let allow = Some(("allow", "GET, HEAD".to_owned()));
        let expected = Served::Refused {
            status: 405,
            field: allow,
        };
        assert_eq!(site.ask(method, "/static/a.txt", &[]).0, expected, "{method}");
    }
}

#[test]
fn an_empty_file_is_a_file() {
    let site = Site::new();
    site.write("empty.css", "");
    let down = site.get("/static/empty.css", &[("Range", "bytes=0-9")]);
    assert_eq!((down.status(), down.text()), (200, ""));
}

#[test]
fn cache_control_is_on_every_answer_with_the_file() {
    let mut site = Site::new();
    site.files.cache_control = "max-age=60".into();
    for lines in [&[][..], &[("If-None-Match", "*")], &[("Range", "bytes=0-0")]] {
        assert_eq!(
            site.get("/static/a.txt", lines).field("cache-control"),
            Some("max-age=60")
        );
    }
}

#[test]
fn a_copy_that_is_still_good_is_not_sent_again() {
    let site = Site::new();
    for line in [("If-None-Match", ETAG), ("If-Modified-Since", MODIFIED)] {
        let down = site.get("/static/a.txt", &[line, ("Range", "bytes=0-1")]);
        assert_eq!((down.status(), down.text()), (304, ""));
        assert_eq!(
            down.answer.as_ref().map(|answer| answer.length),
            Some(AnswerLength::None)
        );
        assert_eq!(down.field("etag"), Some(ETAG));
        assert_eq!(down.field("last-modified"), Some(MODIFIED));
        assert_eq!(down.field("content-type"), None);
    }
    let (served, down) = site.ask("GET", "/static/a.txt", &[("If-Match", "\"other\"")]);
    assert_eq!(
        served,
        Served::Refused {
            status: 412,
            field: None
        }
    );
    assert!(!down.answered());
}

#[test]
fn one_range_is_a_part_of_the_file() {
    let site = Site::new();
    let down = site.get("/static/a.txt", &[("Range", "bytes=8-12")]);
    assert_eq!((down.status(), down.text()), (206, "89012"));
    assert_eq!(down.field("content-range"), Some("bytes 8-12/500"));
    assert_eq!(down.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(down.field("accept-ranges"), None);
    let (served, _) = site.ask("GET", "/static/a.txt", &[("Range", "bytes=500-")]);
    let field = Some(("content-range", "bytes */500".to_owned()));
    assert_eq!(served, Served::Refused { status: 416, field });
}

#[test]
fn if_range_decides_whether_the_range_counts() {
    let site = Site::new();
    for (value, status) in [(ETAG, 206), (MODIFIED, 206), ("\"other\"", 200)] {
        let down = site.get("/static/a.txt", &[("Range", "bytes=0-1"), ("If-Range", value)]);
        assert_eq!(down.status(), status, "{value}");
    }
}

#[test]
fn several_ranges_are_parts_of_one_body() {
    let site = Site::new();
    let down = site.get("/static/a.txt", &[("Range", "bytes=0-1,4-5")]);
    assert_eq!(down.status(), 206);
    assert_eq!(down.field("content-range"), None);
    let boundary = down
        .field("content-type")
        .and_then(|value| value.strip_prefix("multipart/byteranges; boundary="))
        .expect("a multipart type");
    let part = |range: &str, text: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/500\r\n\r\n{text}"
        )
    };
    let expected = format!("{}{}\r\n--{boundary}--\r\n", part("0-1", "01"), part("4-5", "45"));
    assert_eq!(down.text(), expected);
}

#[test]
fn a_large_file_is_sent_by_descriptor() {
    let site = Site::new();
    let large = "x".repeat(SMALL_BYTES_MAX as usize + 1);
    site.write("large.txt", &large);
    let down = site.get("/static/large.txt", &[]);
    assert_eq!(down.body_out.len(), large.len());
}

#[test]
fn a_client_that_leaves_is_told_from_a_file_that_shrinks() {
    let site = Site::new();
    let large = "x".repeat(200_000);
    site.write("large.txt", &large);
    let mut down = Recorder::new("GET", "/static/large.txt", &[]);
    down.leaves_after = Some(1000);
    let request = Request {
        path: b"/static/large.txt".to_vec(),
        ..Request::default()
    };
    assert_eq!(
        run(answer(&mut down, &request, &site.files, &[])),
        Err(ClientError::Gone)
    );

    let file = File::open(site.path("large.txt")).unwrap();
    let mut down = Recorder::new("GET", "/static/large.txt", &[]);
    run(down.send_head(&message::answer::Answer::new(200))).unwrap();
    File::options()
        .write(true)
        .open(site.path("large.txt"))
        .unwrap()
        .set_len(50_000)
        .unwrap();
    let pieces = vec![Piece::Part {
        offset: 0,
        len: 200_000,
    }];
    let data = Data::File(file.into());
    assert_eq!(run(send(&mut down, &data, pieces)), Ok(false));
    assert_eq!(down.body_out.len(), 50_000);
}

#[test]
fn the_compressed_sibling_is_served_to_who_accepts_it() {
    let site = Site::new();
    for (name, text) in [
        ("b.css", "plain"),
        ("b.css.gz", "gz"),
        ("b.css.br", "br"),
        ("c.css", "plain"),
    ] {
        site.write(name, text);
    }
    fs::create_dir(site.path("c.css.gz")).unwrap();
    let get = |target: &str, accept: &str| site.get(target, &[("Accept-Encoding", accept)]);
    for (accept, text, coding) in [
        ("gzip, br", "br", Some("br")),
        ("gzip, zstd", "gz", Some("gzip")),
        ("gzip;q=0", "plain", None),
        ("deflate", "plain", None),
    ] {
        let down = get("/static/b.css", accept);
        assert_eq!(
            (down.text(), down.field("content-encoding")),
            (text, coding),
            "{accept}"
        );
        assert_eq!(down.field("vary"), Some("Accept-Encoding"), "{accept}");
        assert_eq!(down.field("content-type"), Some("text/css; charset=utf-8"));
    }
    let gzip = get("/static/b.css", "gzip");
    let br = get("/static/b.css", "br");
    assert_ne!(gzip.field("etag"), br.field("etag"));
    let part = site.get(
        "/static/b.css",
        &[("Accept-Encoding", "gzip"), ("Range", "bytes=1-")],
    );
    assert_eq!(
        (part.text(), part.field("content-range")),
        ("z", Some("bytes 1-1/2"))
    );
    let tag = gzip.field("etag").unwrap().to_owned();
    let again = site.get(
        "/static/b.css",
        &[("Accept-Encoding", "gzip"), ("If-None-Match", &tag)],
    );
    assert_eq!(
        (again.status(), again.field("vary")),
        (304, Some("Accept-Encoding"))
    );
    assert_eq!(get("/static/c.css", "gzip").text(), "plain");
    assert_eq!(get("/static/c.css", "gzip").field("vary"), None);
}

#[test]
fn siblings_can_be_switched_off() {
    let mut site = Site::new();
    site.write("a.txt.gz", "gz");
    site.files.precompressed = false;
    let down = site.get("/static/a.txt", &[("Accept-Encoding", "gzip")]);
    assert_eq!((down.text(), down.field("vary")), (digits().as_str(), None));
}

#[test]
fn a_file_whose_time_says_nothing_is_told_apart_by_its_content() {
    let site = Site::new();
    let set = |name: &str, text: &str, seconds: u64| {
        let file = File::create(site.path(name)).unwrap();
        fs::write(site.path(name), text).unwrap();
        let modified = UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_times(FileTimes::new().set_modified(modified)).unwrap();
    };
    for seconds in [0, 1] {
        set("built.css", "one", seconds);
        let first = site.get("/static/built.css", &[]);
        let tag = first.field("etag").unwrap().to_owned();
        assert_eq!(first.field("last-modified"), None);
        let same = site.get("/static/built.css", &[("If-None-Match", &tag)]);
        assert_eq!(same.status(), 304);
        set("built.css", "two", seconds);
        let other = site.get("/static/built.css", &[("If-None-Match", &tag)]);
        assert_eq!((other.status(), other.text()), (200, "two"), "{seconds}");
    }
    set("large.txt", &"x".repeat(SMALL_BYTES_MAX as usize + 1), 1);
    let large = site.get("/static/large.txt", &[]);
    assert_eq!((large.field("etag"), large.field("last-modified")), (None, None));
}

#[test]
fn two_writes_of_one_size_in_one_second_are_two_files() {
    let site = Site::new();
    let mut tags = Vec::new();
    for nanoseconds in [1, 2] {
        let file = File::create(site.path("b.txt")).unwrap();
        let modified = UNIX_EPOCH + Duration::new(0x6957_35a5, nanoseconds);
        file.set_times(FileTimes::new().set_modified(modified)).unwrap();
        tags.push(site.get("/static/b.txt", &[]).field("etag").unwrap().to_owned());
    }
    assert_ne!(tags[0], tags[1]);
    File::create(site.path("new.txt")).unwrap();
    let new = site.get("/static/new.txt", &[]);
    assert!(
        new.field("etag").unwrap().starts_with("W/"),
        "it may be written once more"
    );
    let far = UNIX_EPOCH + Duration::from_secs(5_000_000_000);
    let file = File::create(site.path("far.txt")).unwrap();
    file.set_times(FileTimes::new().set_modified(far)).unwrap();
    let dated = site
        .get("/static/far.txt", &[])
        .field("last-modified")
        .unwrap()
        .to_owned();
    assert!(
        httpdate::parse_http_date(&dated).unwrap() <= std::time::SystemTime::now(),
        "{dated}"
    );
}

#[test]
fn conditions_compare_with_what_the_route_says() {
    let mut site = Site::new();
    site.headers = vec![("Last-Modified".into(), "Thu, 01 Jan 2026 00:00:00 GMT".into())];
    let range = |value: &str| {
        site.get("/static/a.txt", &[("Range", "bytes=0-1"), ("If-Range", value)])
            .status()
    };
    assert_eq!(range("Thu, 01 Jan 2026 00:00:00 GMT"), 206);
    assert_eq!(range(MODIFIED), 200, "no client was told of this date");
    let since = site.get(
        "/static/a.txt",
        &[("If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT")],
    );
    assert_eq!(since.status(), 304);
}

#[test]
fn accepted_encodings_may_come_in_two_fields() {
    let site = Site::new();
    site.write("b.css", "plain");
    site.write("b.css.gz", "gz");
    let down = site.get(
        "/static/b.css",
        &[("Accept-Encoding", "deflate"), ("Accept-Encoding", "gzip")],
    );
    assert_eq!(down.text(), "gz");
    // What one field wants and the other refuses is one list as well.
    let down = site.get(
        "/static/b.css",
        &[
            ("Accept-Encoding", "br, gzip;q=0"),
            ("Accept-Encoding", "identity"),
        ],
    );
    assert_eq!(down.text(), "plain");
}
