//! What one access line costs the request it is about.

use std::{fs::File, net::SocketAddr};

use config::{Format, To};
use logs::{AccessLog, OpenRecord, Protocol, Scheme, Tls};

#[path = "../../wire/benches/counted/mod.rs"]
mod counted;

fn main() {
    let (combined, json) = (to_nowhere(Format::Combined), to_nowhere(Format::Json));
    let counted = counted::counted(&mut [
        ("line_combined", &mut || fill(&combined).finish()),
        ("line_json", &mut || fill(&json).finish()),
    ]);
    if !counted {
        divan::main();
    }
}

/// From the opening of the record to the line in the thread's buffer, the writer emptying it meanwhile.
#[divan::bench(args = [Format::Combined, Format::Json])]
fn record_to_line(bencher: divan::Bencher<'_, '_>, format: &Format) {
    let log = to_nowhere(*format);
    bencher.bench_local(|| fill(&log).finish());
    assert_eq!(log.dropped(), 0);
}

fn to_nowhere(format: Format) -> AccessLog {
    let config = config::AccessLog {
        to: To::Stdout,
        format,
        buffer_bytes_max: 64 << 20,
    };
    let file = File::options()
        .write(true)
        .open("/dev/null")
        .expect("the null device");
    AccessLog::new(&config, Some(file)).expect("an access log")
}

/// The record alone.
#[divan::bench]
fn record(bencher: divan::Bencher<'_, '_>) {
    let log = AccessLog::off();
    bencher.bench_local(|| fill(&log).finish());
}

fn fill(log: &AccessLog) -> OpenRecord {
    let peer: SocketAddr = ([192, 0, 2, 7], 40000).into();
    let mut record = log.open(peer.into());
    record.set_request_id(b"0123456789abcdef0123456789abcdef");
    record.set_request(b"GET", b"/shop/items/4711?color=blue&page=2");
    record.protocol = Some(Protocol::Http11);
    record.scheme = Scheme::Https;
    record.tls = Some(Tls {
        version: "TLSv1.3",
        cipher: "TLS13_AES_128_GCM_SHA256",
    });
    record.set_host(b"www.example.org");
    record.set_referer(b"https://www.example.org/shop/");
    record.set_user_agent(b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
    record.status = Some(200);
    record.bytes_out = 18_342;
    (record.worker, record.pid) = (Some(1), Some(4242));
    (record.queue_us, record.app_us) = (Some(12), Some(3456));
    record
}
