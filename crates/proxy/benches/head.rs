//! Reading a request head, and finding its route.

use divan::Bencher;

#[path = "../../wire/benches/counted/mod.rs"]
mod counted;

fn main() {
    let routes = proxy::bench::Routes::new(100, 10);
    let counted = counted::counted(&mut [
        ("head_small", &mut || {
            divan::black_box(proxy::bench::read_head(divan::black_box(SMALL)));
        }),
        ("head_browser", &mut || {
            divan::black_box(proxy::bench::read_head(divan::black_box(BROWSER)));
        }),
        ("route", &mut || {
            divan::black_box(routes.find(divan::black_box("site77.example.org"), b"/part7/a/b"));
        }),
    ]);
    if !counted {
        divan::main();
    }
}

const SMALL: &[u8] = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";

const BROWSER: &[u8] = b"GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\n\
    Host: www.kittyhell.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    Cookie: sessionid=rmjvw1nfrh3zzxbwdsjtiay4yvg2ekwk; csrftoken=8BqUPOtcoEGpHnKR\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: none\r\n\
    Priority: u=0, i\r\n\r\n";

/// 100 sites with ten prefixes each.
#[divan::bench]
fn route(bencher: Bencher<'_, '_>) {
    let routes = proxy::bench::Routes::new(100, 10);
    assert!(routes.find("site77.example.org", b"/part7/a/b").is_some());
    bencher.bench_local(|| routes.find(divan::black_box("site77.example.org"), b"/part7/a/b"));
}

/// What a benchmark client sends.
#[divan::bench]
fn small(bencher: Bencher<'_, '_>) {
    bench(bencher, SMALL);
}

/// What a browser sends.
#[divan::bench]
fn browser(bencher: Bencher<'_, '_>) {
    bench(bencher, BROWSER);
}

fn bench(bencher: Bencher<'_, '_>, head: &[u8]) {
    assert!(proxy::bench::read_head(head).is_some());
    bencher
        .counter(divan::counter::BytesCount::new(head.len()))
        .bench_local(|| proxy::bench::read_head(divan::black_box(head)));
}
