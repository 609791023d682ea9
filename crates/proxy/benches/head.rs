//! Reading a request head.

use divan::Bencher;

fn main() {
    divan::main();
}

/// What a benchmark client sends.
#[divan::bench]
fn small(bencher: Bencher<'_, '_>) {
    bench(bencher, b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
}

/// What a browser sends.
#[divan::bench]
fn browser(bencher: Bencher<'_, '_>) {
    bench(
        bencher,
        b"GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\n\
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
        Priority: u=0, i\r\n\r\n",
    );
}

fn bench(bencher: Bencher<'_, '_>, head: &[u8]) {
    assert!(proxy::bench::read_head(head).is_some());
    bencher
        .counter(divan::counter::BytesCount::new(head.len()))
        .bench_local(|| proxy::bench::read_head(divan::black_box(head)));
}
