//! The same files behind either server.

use std::{
    fs::File,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use super::cases::{Case, LETTERS, MODIFIED_S};
use crate::harness::{
    Connection, Response, Site,
    nginx::{self, Nginx},
};

/// The server under test.
pub(super) enum Server {
    Appliance(Box<Site>),
    /// The site is only a directory.
    Nginx(
        Nginx,
        #[expect(dead_code, reason = "keeps the files until nginx has ended")] Box<Site>,
    ),
}

impl Server {
    pub(super) fn under_test() -> Self {
        if nginx::is_under_test() {
            Self::nginx()
        } else {
            Self::appliance()
        }
    }

    pub(super) fn appliance() -> Self {
        let mut site = Site::new("parity");
        plant(&site);
        site.config(
            r#"
            [[site]]
            respond = "home\n"
            [[site.route]]
            path = "/files/"
            files = "tree/"
            [[site.route]]
            path = "= /only.txt"
            files = "tree/letters.txt"
            "#,
        );
        site.start();
        Self::Appliance(Box::new(site))
    }

    pub(super) fn nginx() -> Self {
        let site = Site::new("parity-nginx");
        plant(&site);
        let tree = nginx::quoted(&site.directory.join("tree/"));
        let letters = nginx::quoted(&site.directory.join("tree/letters.txt"));
        let server = format!(
            r#"
            location / {{ default_type text/plain; return 200 "home\n"; }}
            location = /only.txt {{ alias {letters}; }}
            location ~ /\. {{ return 404; }}
            location /files/ {{ alias {tree}; index index.html; gzip_static on; }}
            "#
        );
        Self::Nginx(Nginx::start(&server), Box::new(site))
    }

    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Appliance(site) => site.port,
            Self::Nginx(nginx, _) => nginx.port,
        }
    }

    pub(super) fn ask(&self, case: &Case) -> Response {
        Connection::open(self.port()).request(case.method, case.target, case.request, b"")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Appliance(site) = self
            && !std::thread::panicking()
        {
            assert!(site.stop().success());
        }
    }
}

fn plant(site: &Site) {
    let files: [(&str, &[u8]); 20] = [
        ("letters.txt", LETTERS),
        ("empty.txt", b""),
        ("page.html", b"<p>page</p>"),
        ("style.css", b"p {}"),
        ("code.js", b"1"),
        ("data.json", b"{}"),
        ("image.png", b"\x89PNG"),
        ("module.wasm", b"\0asm"),
        ("font.woff2", b"wOF2"),
        ("unknown.qqq", b"?"),
        ("no-extension", b"?"),
        ("UPPER.TXT", b"upper"),
        ("two words.txt", b"two words"),
        ("grüße.txt", b"greetings"),
        ("100%.txt", b"percent"),
        ("a+b.txt", b"plus"),
        ("dir/index.html", b"<p>index</p>"),
        (".secret", b"secret"),
        (".git/config", b"secret"),
        ("bare/file.txt", b"?"),
    ];
    for (name, content) in files {
        date(&site.write(&format!("tree/{name}"), content));
    }
    date(&site.write("tree/big.bin", vec![b'x'; 300_000]));
    date(&site.write("tree/packed.css", "body { margin: 0 }\n"));
    date(&site.write("tree/packed.css.gz", "gzip bytes\n"));
}

fn date(path: &Path) {
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(MODIFIED_S))
        .unwrap();
}
