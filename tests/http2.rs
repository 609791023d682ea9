//! HTTP/2 with a client that is not ours: curl.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::harness::{Site, certificate::Certificate, upstream::Upstream, wait_for};

fn site(test: &str, more: &str) -> Site {
    let mut site = Site::new(test);
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "localhost");
    site.write("static/hello.txt", "from a file\n");
    site.config(&format!(
        r#"
        [tls]
        certificates = [{{ certificate = "localhost.crt", key = "localhost.key" }}]

        [[listener]]
        address = "127.0.0.1:{{tls_port}}"
        tls = true
        limits = {{ head_max = "8k", target_max = "4k" }}

        [app.echo]
        wsgi = "wsgi:application"
        directory = "{{apps}}/echo"
        python = "{{python}}"
        workers = 1
        [app.environ]
        wsgi = "wsgi:application"
        directory = "{{apps}}/environ"
        python = "{{python}}"
        workers = 1
        [app.barrier]
        wsgi = "wsgi:application"
        directory = "{{apps}}/barrier"
        python = "{{python}}"
        workers = 1
        env = {{ BARRIER = "{{dir}}" }}

        [[site]]
        body_max = "100MiB"
        app = "environ"
        [[site.route]]
        path = "/echo"
        app = "echo"
        [[site.route]]
        path = "/barrier"
        mount = "/barrier"
        app = "barrier"
        [[site.route]]
        path = "/static/"
        files = "static/"
        {more}
        "#
    ));
    site.start();
    site
}

/// `curl --http2` on the site's certificate, in its directory.
fn curl(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command
        .args([
            "--http2",
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--noproxy",
            "*",
            "--cacert",
            "localhost.crt",
        ])
        .args(
            arguments
                .iter()
                .map(|argument| argument.replace("{url}", &format!("https://localhost:{}", site.tls_port))),
        )
        .current_dir(&site.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it; what it printed.
#[track_caller]
fn run(site: &Site, arguments: &[&str]) -> String {
    let output = curl(site, arguments).output().expect("curl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

const TOLD: &str = "\n%{http_version} %{http_code}";

#[test]
fn files_and_applications_are_served() {
    let mut site = site("http2-served", "");
    assert_eq!(
        run(&site, &["-w", TOLD, "{url}/static/hello.txt"]),
        "from a file\n\n2 200"
    );
    assert_eq!(
        run(&site, &["-w", TOLD, "--data", "posted", "{url}/echo"]),
        "posted\n2 200"
    );
    assert_eq!(
        run(
            &site,
            &["-w", TOLD, "-X", "PUT", "--data-binary", "put", "{url}/echo"]
        ),
        "put\n2 200"
    );
    let told = run(&site, &["-H", "X-Mine: 1", "{url}/some/path?q=1"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["SERVER_PROTOCOL"], "HTTP/2.0");
    assert_eq!(told["wsgi.url_scheme"], "https");
    assert_eq!(
        (&told["PATH_INFO"], &told["QUERY_STRING"]),
        (&"/some/path".into(), &"q=1".into())
    );
    assert_eq!(told["HTTP_HOST"], format!("localhost:{}", site.tls_port));
    assert_eq!(told["HTTP_X_MINE"], "1");

    let head = run(&site, &["--head", "{url}/static/hello.txt"]).to_ascii_lowercase();
    assert!(
        head.starts_with("http/2 200") && head.contains("content-length: 12"),
        "{head}"
    );
    let part = run(&site, &["-w", TOLD, "-r", "5-5", "{url}/static/hello.txt"]);
    assert_eq!(part, "a\n2 206");
    assert_eq!(
        run(
            &site,
            &["-o", "missing", "-w", "%{http_code}", "{url}/static/missing"]
        ),
        "404"
    );

    let records = site.records(7);
    assert!(
        records
            .iter()
            .all(|record| record["protocol"] == "HTTP/2.0" && record["tls_version"] == "TLSv1.3")
    );
    assert_eq!(
        (&records[0]["bytes_out"], &records[1]["bytes_in"]),
        (&12.into(), &6.into())
    );
    assert_eq!(records[4]["bytes_out"], 0, "HEAD");
    assert!(site.stop().success());
}

#[test]
fn many_streams_share_a_connection() {
    let mut site = site("http2-streams", "");
    let codes = run(
        &site,
        &[
            "--parallel",
            "--parallel-max",
            "100",
            "-o",
            "out#1",
            "-w",
            "%{http_version} %{http_code}\n",
            "{url}/static/hello.txt?[1-300]",
        ],
    );
    assert_eq!(
        codes.lines().filter(|line| *line == "2 200").count(),
        300,
        "{codes}"
    );
    let codes = run(
        &site,
        &[
            "--parallel",
            "--parallel-max",
            "100",
            "-o",
            "app#1",
            "-w",
            "%{http_version} %{http_code}\n",
            "--data",
            "posted",
            "{url}/echo?[1-300]",
        ],
    );
    assert_eq!(
        codes.lines().filter(|line| *line == "2 200").count(),
        300,
        "{codes}"
    );
    for number in 1..=300 {
        assert_eq!(
            fs::read_to_string(site.directory.join(format!("app{number}"))).unwrap(),
            "posted"
        );
    }
    let records = site.records(600);
    let mut ports: Vec<_> = records
        .iter()
        .map(|record| record["client_port"].as_u64())
        .collect();
    ports.sort();
    ports.dedup();
    assert!(ports.len() < 20, "{} connections", ports.len());
    assert!(site.stop().success());
}

fn make(path: &Path, size: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..size).map(|i| ((i * 31) >> 3) as u8).collect();
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn large_bodies_go_up_and_come_back() {
    let mut site = site("http2-large", "");
    let bytes = make(&site.directory.join("static/big.bin"), 50 << 20);
    let told = run(
        &site,
        &[
            "-o",
            "echoed",
            "-w",
            "%{http_code}",
            "--data-binary",
            "@static/big.bin",
            "{url}/echo",
        ],
    );
    assert_eq!(told, "200");
    assert!(fs::read(site.directory.join("echoed")).unwrap() == bytes);
    let told = run(
        &site,
        &["-o", "loaded", "-w", "%{http_code}", "{url}/static/big.bin"],
    );
    assert_eq!(told, "200");
    assert!(fs::read(site.directory.join("loaded")).unwrap() == bytes);
    let records = site.records(2);
    assert_eq!(
        (&records[0]["bytes_in"], &records[0]["bytes_out"]),
        (&(50 << 20).into(), &(50 << 20).into())
    );
    assert!(site.stop().success());
}

#[test]
fn limits_hold() {
    let mut site = site("http2-limits", "");
    let big = format!("X-Big: {}", "a".repeat(12_000));
    let output = curl(
        &site,
        &[
            "-o",
            "out",
            "-w",
            "%{http_code}",
            "-H",
            &big,
            "{url}/static/hello.txt",
        ],
    )
    .output()
    .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "431", "{output:?}");
    let record = &site.records(1)[0];
    assert_eq!(
        (&record["status"], &record["outcome"]),
        (&431.into(), &"refused".into()),
        "{record}"
    );
    make(&site.directory.join("huge"), 101 << 20);
    // No reset follows the answer while the client still sends: it would take the answer away again.
    let output = curl(
        &site,
        &[
            "-o",
            "out",
            "-w",
            "%{http_code}",
            "--data-binary",
            "@huge",
            "{url}/echo",
        ],
    )
    .output()
    .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "413", "{output:?}");
    wait_for("the upload is refused", || {
        site.access_log().contains("\"status\":413").then_some(())
    });
    assert_eq!(run(&site, &["{url}/static/hello.txt"]), "from a file\n");
    assert!(site.stop().success());
}

#[test]
fn upstreams_are_reached() {
    let upstream = Upstream::tcp("back");
    let route = format!(
        "[[site.route]]\npath = \"/up\"\nupstream = \"back\"\nstrip = true\n[upstream.back]\nservers = [\"{}\"]\n",
        upstream.url
    );
    let mut site = site("http2-upstream", &route);
    assert_eq!(run(&site, &["-w", TOLD, "{url}/up/x"]), "back\n2 200");
    assert_eq!(
        run(&site, &["-w", TOLD, "--data", "posted", "{url}/up/echo"]),
        "posted\n2 200"
    );
    let received = upstream.received_at("/x");
    assert_eq!(received.header("x-forwarded-proto"), "https");
    assert_eq!(received.header("host"), format!("localhost:{}", site.tls_port));
    let records = site.records(2);
    assert!(
        records
            .iter()
            .all(|record| record["upstream"] == upstream.url.as_str())
    );
    assert!(site.stop().success());
}

#[test]
fn a_running_request_survives_a_reload() {
    let mut site = site("http2-reload", "");
    let child: Child = curl(&site, &["-w", TOLD, "{url}/barrier/held"]).spawn().unwrap();
    wait_for("the application has it", || {
        fs::read_to_string(site.directory.join("seen"))
            .ok()
            .filter(|seen| seen.contains("/held"))
    });
    let before: Vec<_> = site
        .processes_named("appliance: proxy")
        .iter()
        .map(|process| process.pid)
        .collect();
    site.signal("HUP");
    wait_for("a new proxy", || {
        site.processes_named("appliance: proxy")
            .iter()
            .any(|process| !before.contains(&process.pid))
            .then_some(())
    });
    // While the old proxy drains, the new one serves.
    wait_for("the new proxy answers", || {
        (run(&site, &["{url}/static/hello.txt"]) == "from a file\n"
            && site.error_log().contains(" serving generation=2 "))
        .then_some(())
    });
    site.write("open", "");
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "through\n\n2 200");
    wait_for("the old proxy has left", || {
        site.processes_named("appliance: proxy")
            .iter()
            .all(|process| !before.contains(&process.pid))
            .then_some(())
    });
    assert!(site.stop().success());
}

#[test]
fn a_stream_that_is_not_read_does_not_hold_up_the_others() {
    let mut site = site("http2-slow", "");
    make(&site.directory.join("static/big.bin"), 30 << 20);
    // One slow stream and many quick ones, on one connection.
    let limits = "--parallel --parallel-max 20 --limit-rate 20M -o out#1 -w";
    let mut arguments: Vec<_> = limits.split(' ').collect();
    arguments.push("%{http_code} %{size_download}\n");
    arguments.push("{url}/static/{big.bin,hello.txt,hello.txt,hello.txt,hello.txt,hello.txt}");
    let codes = run(&site, &arguments);
    assert_eq!(
        codes.lines().filter(|line| *line == "200 12").count(),
        5,
        "{codes}"
    );
    assert_eq!(
        codes.lines().last(),
        Some("200 31457280"),
        "the slow one is the last: {codes}"
    );
    site.records(6);
    assert!(site.stop().success());
}

#[test]
fn answers_that_wait_for_each_other_come_whole() {
    const BYTES: usize = 3_000_000;
    // Also where nothing may wait in memory that answers share.
    for shared in ["0", "32MiB"] {
        let mut site = Site::certified(
            "http2-together",
            &format!(
                r#"
                [server.buffers]
                shared = "{shared}"
                [app.size]
                wsgi = "wsgi:application"
                directory = "{{apps}}/size"
                python = "{{python}}"
                workers = 1
                [[site]]
                app = "size"
                https = "off"
                [[site.route]]
                path = "/static/"
                files = "static/"
                "#
            ),
        );
        site.write("static/large", vec![b'x'; BYTES]);
        site.start();
        let mut curl = Command::new("curl");
        curl.args([
            "--http2",
            "--silent",
            "--show-error",
            "--fail",
            "--parallel",
            "--max-time",
            "40",
        ])
        .args(["--noproxy", "*", "--cacert", "localhost.crt"])
        .current_dir(&site.directory);
        for number in 0..12 {
            let target = match number % 3 {
                0 => "static/large".to_owned(),
                1 => format!("?{BYTES}"),
                _ => "?200000".to_owned(),
            };
            curl.args(["-o", &format!("got-{number}")])
                .arg(format!("https://localhost:{}/{target}", site.tls_port));
        }
        let output = curl.output().unwrap();
        assert!(
            output.status.success(),
            "{shared}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        for number in 0..12 {
            let got = fs::metadata(site.directory.join(format!("got-{number}")))
                .unwrap()
                .len();
            assert_eq!(
                got,
                if number % 3 == 2 { 200_000 } else { BYTES as u64 },
                "{shared} {number}"
            );
        }
        assert!(site.stop().success());
    }
}
