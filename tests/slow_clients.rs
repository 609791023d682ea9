//! A worker never sees a slow client: with one worker and one thread, and a thousand clients that take their time, a quick
//! client is answered as if it were alone.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::harness::{Connection, Site, limits};

const SLOW: usize = 500;
const QUICK: usize = 200;
const UPLOAD: usize = 20_000;
const DOWNLOAD: usize = 1 << 20;

fn site(test: &str) -> Site {
    limits::raise_open_files(4 * SLOW as u64);
    let mut site = Site::new(test);
    site.config(
        r#"
        [app.echo]
        wsgi = "wsgi:application"
        directory = "{apps}/echo"
        python = "{python}"
        workers = 1
        threads = 1
        [app.size]
        wsgi = "wsgi:application"
        directory = "{apps}/size"
        python = "{python}"
        workers = 1
        threads = 1

        [[site]]
        app = "echo"
        [[site.route]]
        path = "/size"
        app = "size"
        "#,
    );
    site.start();
    site
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Clients that have sent the head and a part of the body.
fn uploaders(site: &Site) -> Vec<TcpStream> {
    let mut streams: Vec<_> = (0..SLOW).map(|_| connect(site.port)).collect();
    for stream in &mut streams {
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD}\r\n\r\n"
        )
        .unwrap();
        stream.write_all(&[b'u'; 100]).unwrap();
    }
    streams
}

/// Clients that have asked and read only the first byte of the answer, so that the application has begun it.
fn downloaders(site: &Site) -> Vec<TcpStream> {
    let mut streams: Vec<_> = (0..SLOW).map(|_| connect(site.port)).collect();
    for stream in &mut streams {
        write!(
            stream,
            "GET /size?{DOWNLOAD} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
    }
    for stream in &mut streams {
        stream.read_exact(&mut [0]).unwrap();
    }
    streams
}

/// Every quick request is answered while every slow client goes on with its trickle.
#[track_caller]
fn quick(site: &Site, mut trickle: impl FnMut(usize)) {
    let mut client = Connection::open(site.port);
    for number in 0..QUICK {
        trickle(number);
        let answer = client.request("POST", "/", &[], b"quick");
        assert_eq!((answer.status, answer.text().as_str()), (200, "quick"));
        let answer = client.get("/size?10", &[]);
        assert_eq!((answer.status, answer.body.len()), (200, 10));
    }
}

/// What the log says of slow requests that have ended.
fn finished(site: &Site, large: impl Fn(u64, u64) -> bool) -> usize {
    site.access_log()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|record| {
            large(
                record["bytes_in"].as_u64().unwrap(),
                record["bytes_out"].as_u64().unwrap(),
            )
        })
        .count()
}

#[test]
fn slow_uploads_leave_the_worker_free() {
    let mut site = site("slow-uploads");
    let mut slow = uploaders(&site);
    let mut sent = 100;
    quick(&site, |_| {
        for stream in &mut slow {
            stream.write_all(b"u").unwrap();
        }
        sent += 1;
    });
    assert_eq!(
        finished(&site, |bytes_in, _| bytes_in > 5),
        0,
        "all quick ones were answered before any slow one"
    );
    let rest = vec![b'u'; UPLOAD - sent];
    for stream in &mut slow {
        stream.write_all(&rest).unwrap();
    }
    for stream in slow {
        let mut client = Connection::over(stream);
        let answer = client.read_response("POST").unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, UPLOAD));
    }
    site.records(SLOW + 2 * QUICK);
    assert!(site.stop().success());
}

#[test]
fn slow_downloads_leave_the_worker_free() {
    let mut site = site("slow-downloads");
    let mut slow = downloaders(&site);
    let mut taken = vec![1; SLOW];
    quick(&site, |number| {
        let mut byte = [0];
        for (stream, taken) in slow.iter_mut().zip(&mut taken).skip(number % 10).step_by(10) {
            *taken += stream.read(&mut byte).unwrap();
        }
    });
    for (mut stream, taken) in slow.into_iter().zip(taken) {
        let all = taken as u64 + io::copy(&mut stream, &mut io::sink()).unwrap();
        assert!(all > DOWNLOAD as u64, "{all} bytes, head included");
    }
    let records = site.records(SLOW + 2 * QUICK);
    assert!(
        records
            .iter()
            .all(|record| record["status"] == 200 && record["outcome"] == "ok")
    );
    assert!(site.stop().success());
}

#[test]
fn slow_clients_of_both_kinds_at_once_are_all_served() {
    let mut site = site("slow-both");
    let mut up = uploaders(&site);
    let down = downloaders(&site);
    quick(&site, |_| {});
    assert_eq!(finished(&site, |bytes_in, _| bytes_in > 5), 0);
    for stream in &mut up {
        stream.write_all(&[b'u'; UPLOAD - 100]).unwrap();
    }
    for mut stream in down {
        assert!(io::copy(&mut stream, &mut io::sink()).unwrap() >= DOWNLOAD as u64);
    }
    for stream in up {
        assert_eq!(
            Connection::over(stream).read_response("POST").unwrap().status,
            200
        );
    }
    site.records(2 * SLOW + 2 * QUICK);
    assert!(site.stop().success());
}

#[test]
fn a_low_soft_limit_of_open_files_does_not_limit_connections() {
    limits::raise_open_files(4 * SLOW as u64);
    let mut site = Site::new("slow-limit");
    site.config("[[site]]\nrespond = \"home\\n\"\n");
    // By way of a shell that lowers the limit.
    let shell = site.command_by("sh", &["-c", "ulimit -Sn 128 && exec \"$0\" \"$@\""]);
    site.start_by(shell);
    let mut clients: Vec<_> = (0..SLOW).map(|_| Connection::open(site.port)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/", &[]).status, 200);
    }
    drop(clients);
    assert!(site.stop().success());
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let mut site = Site::new("slow-stuck");
    site.write("static/big.bin", vec![b'x'; 64 << 20]);
    site.config(
        r#"
        [[listener]]
        address = "127.0.0.1:{port}"
        limits = { body_timeout = "1s" }

        [app.size]
        wsgi = "wsgi:application"
        directory = "{apps}/size"
        python = "{python}"
        workers = 1
        threads = 1

        [[site]]
        app = "size"
        [[site.route]]
        path = "/static/"
        files = "static/"
        "#,
    );
    site.start();
    let mut stuck = Vec::new();
    for target in ["/?67108864", "/static/big.bin"] {
        let mut stream = connect(site.port);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stuck.push(stream);
    }
    for record in site.records(2) {
        assert_eq!(record["outcome"], "client_timeout", "{record}");
        assert!(record["total_us"].as_u64().unwrap() >= 900_000, "{record}");
        assert!(record["bytes_out"].as_u64().unwrap() < 64 << 20, "{record}");
    }
    assert_eq!(site.get("/?5").body, b"xxxxx");
    assert!(site.stop().success());
}
