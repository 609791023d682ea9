//! curl: a client that is not ours and speaks both versions of HTTP.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use super::{Response, Site, certificate::Certificate};

/// The versions, as curl's options.
pub(crate) const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

/// A listener with TLS beside the plain one, for the certificate of [`Site::certified`].
const LISTENERS: &str = r#"
    [tls]
    certificates = [{ certificate = "localhost.crt", key = "localhost.key" }]

    [[listener]]
    address = "127.0.0.1:{port}"

    [[listener]]
    address = "127.0.0.1:{tls_port}"
    tls = true
"#;

impl Site {
    /// A site of this configuration with a plain listener and one with TLS, where curl speaks either version.
    /// The plain one is redirected unless the configuration says `https = "off"`.
    pub(crate) fn certified(test: &str, config: &str) -> Self {
        let site = Self::new(test);
        Certificate::new(&["localhost"]).write(&site.directory, "localhost");
        site.config(&format!("{LISTENERS}\n{config}"));
        site
    }

    /// One request over TLS; `version` is one of [`VERSIONS`].
    #[track_caller]
    pub(crate) fn curl(&self, version: &str, target: &str, arguments: &[&str]) -> Response {
        self.curl_with(version, target, arguments, b"")
    }

    /// The same, with something on curl's standard input.
    #[track_caller]
    pub(crate) fn curl_with(
        &self,
        version: &str,
        target: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> Response {
        let output = self.curl_output(version, target, arguments, input);
        assert!(
            output.status.success(),
            "{version} {target} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        parse(&output.stdout)
    }

    /// One request whose answer breaks off: curl's exit code, and what came of the body.
    #[track_caller]
    pub(crate) fn curl_broken(&self, version: &str, target: &str) -> (Option<i32>, String) {
        let output = self.curl_output(version, target, &[], b"");
        let answered = output.stdout.windows(4).any(|window| window == b"\r\n\r\n");
        let body = answered.then(|| parse(&output.stdout).text());
        (output.status.code(), body.unwrap_or_default())
    }

    fn curl_output(&self, version: &str, target: &str, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new("curl")
            .args([
                version,
                "--include",
                "--silent",
                "--show-error",
                "--max-time",
                "60",
            ])
            .args(["--noproxy", "*", "--cacert", "localhost.crt", "--path-as-is"])
            .args(arguments)
            .arg(format!("https://localhost:{}{target}", self.tls_port))
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("curl is installed");
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // It may have its answer before it has read everything.
            scope.spawn(move || drop(stdin.write_all(input)));
            child.wait_with_output().unwrap()
        })
    }
}

/// An answer as curl prints it; interim answers are passed over.
#[track_caller]
fn parse(mut output: &[u8]) -> Response {
    loop {
        let end = output
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("curl prints a head");
        let head = String::from_utf8_lossy(&output[..end]).into_owned();
        output = &output[end + 4..];
        let (line, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
        let mut parts = line.splitn(3, ' ').skip(1);
        let status = parts.next().unwrap_or_default().parse().unwrap();
        if (100..200).contains(&status) {
            continue;
        }
        return Response {
            status,
            reason: parts.next().unwrap_or_default().to_owned(),
            headers: fields
                .split("\r\n")
                .filter_map(|field| field.split_once(':'))
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            body: output.to_vec(),
        };
    }
}
