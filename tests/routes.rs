//! Which site and which route answers, and what routes do by themselves.

use crate::harness::{Connection, Response, Site};

fn site(test: &str, sites: &str) -> Site {
    let mut site = Site::new(test);
    site.config(sites);
    site.start();
    site
}

/// The body that a host and a target get.
#[track_caller]
fn told(site: &Site, host: &str, target: &str) -> String {
    site.connect()
        .get(target, &[("Host", host)])
        .text()
        .trim_end()
        .to_owned()
}

#[test]
fn exact_paths_win_and_then_the_longest_prefix() {
    let mut site = site(
        "routes-prefix",
        r#"
        [[site]]
        respond = "root"
        [[site.route]]
        path = "/a"
        respond = "a"
        [[site.route]]
        path = "/a/b/"
        respond = "a b"
        [[site.route]]
        path = "= /a/b"
        respond = "exactly a b"
        [[site.route]]
        path = "/a/b/c"
        respond = "a b c"
        [[site.route]]
        path = "/grüße"
        respond = "greetings"
        "#,
    );
    let told = |target| told(&site, "localhost", target);
    assert_eq!(told("/"), "root");
    assert_eq!(told("/ab"), "root", "a prefix ends at a slash");
    assert_eq!(told("/a"), "a");
    assert_eq!(told("/a/"), "a");
    assert_eq!(told("/a/x?y=/a/b/c"), "a");
    assert_eq!(told("/a/b"), "exactly a b");
    assert_eq!(told("/a/b?q"), "exactly a b");
    assert_eq!(told("/a/b/"), "a b");
    assert_eq!(told("/a/b/x"), "a b");
    assert_eq!(told("/a/bx"), "a");
    assert_eq!(told("/a/b/c/d"), "a b c");
    // Compared after decoding and tidying, so that there is no way around a route.
    assert_eq!(told("/%61/%62/c"), "a b c");
    assert_eq!(told("//a//b//c"), "a b c");
    assert_eq!(told("/a/x/../b/./c"), "a b c");
    assert_eq!(told("/a/b%2Fc"), "a b c");
    assert_eq!(told("/A"), "root");
    assert_eq!(told("/gr%C3%BC%C3%9Fe/x"), "greetings");
    assert!(site.stop().success());
}

#[test]
fn hosts_find_their_site() {
    let mut site = site(
        "routes-hosts",
        r#"
        [[site]]
        hosts = ["example.org", "www.example.org"]
        respond = "example"
        [[site]]
        hosts = ["*.example.org"]
        respond = "any"
        [[site]]
        hosts = ["*.deep.example.org"]
        respond = "deep"
        [[site]]
        respond = "others"
        "#,
    );
    let told = |host| told(&site, host, "/");
    assert_eq!(told("example.org"), "example");
    assert_eq!(told("EXAMPLE.org"), "example");
    assert_eq!(told("example.org."), "example");
    assert_eq!(told("example.org:1234"), "example");
    assert_eq!(told("www.example.org"), "example", "a name wins over a wildcard");
    assert_eq!(told("a.example.org"), "any");
    assert_eq!(told("a.b.example.org"), "any");
    assert_eq!(told("a.deep.example.org"), "deep", "the longest wildcard wins");
    assert_eq!(told("deep.example.org"), "any");
    assert_eq!(told("badexample.org"), "others");
    assert_eq!(told("127.0.0.1"), "others");
    assert_eq!(told("[::1]:8000"), "others");
    let mut client = site.connect();
    client.send("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(client.read_response("GET").unwrap().text(), "others");
    let records = site.records(13);
    assert_eq!(records[3]["site"], "example.org");
    assert_eq!(records[3]["host"], "example.org:1234");
    assert_eq!(records[9]["site"], "default");
    assert!(site.stop().success());
}

#[test]
fn a_host_no_site_has_is_refused() {
    let mut site = site(
        "routes-no-host",
        "[[site]]\nhosts = [\"example.org\"]\nrespond = \"mine\"\n",
    );
    assert_eq!(told(&site, "example.org", "/"), "mine");
    let answer = site.connect().get("/", &[("Host", "other.example")]);
    assert!(matches!(answer.status, 404 | 421), "{}", answer.status);
    assert!(!answer.text().contains("mine"));
    site.wait_for_log("no site has this host: 404; each [[site]] names its `hosts` host=other.example");
    // Who looks for hosts that are not there does not fill the log.
    for number in 0..30 {
        let host = format!("host{number}.example");
        site.connect().get("/", &[("Host", &host)]);
    }
    assert!(site.stop().success());
    let log = site.error_log();
    assert_eq!(log.matches("no site has this host").count(), 20, "{log}");
}

#[test]
fn other_methods_are_told_which_are_allowed() {
    let mut site = site(
        "routes-methods",
        r#"
        [[site]]
        respond = "any"
        [[site.route]]
        path = "/form"
        methods = ["GET", "POST"]
        respond = "form"
        [[site.route]]
        path = "/hook"
        methods = ["POST"]
        respond = "hook"
        "#,
    );
    let ask = |method: &str, target: &str| site.connect().request(method, target, &[], b"");
    let allowed = |answer: &Response| {
        let mut methods: Vec<_> = answer
            .header("allow")
            .unwrap_or_default()
            .split(", ")
            .map(str::to_owned)
            .collect();
        methods.sort();
        (answer.status, methods.join(" "))
    };
    for method in ["GET", "HEAD", "POST"] {
        assert_eq!(ask(method, "/form").status, 200, "{method}");
    }
    assert_eq!(allowed(&ask("PUT", "/form")), (405, "GET HEAD POST".to_owned()));
    assert_eq!(allowed(&ask("GET", "/hook")), (405, "POST".to_owned()));
    assert_eq!(ask("BREW", "/").status, 200, "a route without methods takes all");
    assert!(site.stop().success());
}

#[test]
fn redirects_are_made_from_the_request() {
    let mut site = site(
        "routes-redirect",
        r#"
        [[site]]
        redirect = "https://{host}/new{target}"
        [[site.route]]
        path = "/a"
        redirect = { to = "{scheme}://www.{host}{path}{query}", status = 301 }
        [[site.route]]
        path = "/b"
        redirect = { to = "/elsewhere{query}", status = 303 }
        [[site.route]]
        path = "/c"
        redirect = { to = "{path}x", status = 302 }
        "#,
    );
    let redirect = |target: &str| {
        let answer = site.connect().get(target, &[("Host", "example.org")]);
        (
            answer.status,
            answer.header("location").unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(
        redirect("/x?y=1"),
        (308, "https://example.org/new/x?y=1".to_owned())
    );
    assert_eq!(
        redirect("/a/b?c"),
        (301, "http://www.example.org/a/b?c".to_owned())
    );
    assert_eq!(redirect("/b?c=%20d"), (303, "/elsewhere?c=%20d".to_owned()));
    assert_eq!(redirect("/b"), (303, "/elsewhere".to_owned()));
    // What was encoded stays so: no line ends, no second host.
    let (status, location) = redirect("/c/%0d%0aSet-Cookie:%20a=b");
    assert!(
        status == 302 && !location.contains(['\r', '\n']) && location.contains("%0D%0A"),
        "{location}"
    );
    let (_, location) = redirect("/c/%E2%82%AC%22");
    assert!(
        location.is_ascii() && location.contains("%E2%82%AC%22"),
        "{location}"
    );
    let (_, location) = redirect("//evil.example/c");
    assert!(location.starts_with("https://example.org/new/"), "{location}");
    for sent in ["/http://x.test/y", "/x%2F%2e%2E/y", "//x?y//z"] {
        assert_eq!(redirect(sent), (308, format!("https://example.org/new{sent}")));
    }
    assert!(site.stop().success());
}

#[test]
fn a_redirect_to_a_path_never_leaves_the_host() {
    for to in ["{path}", "/{target}"] {
        leads_home(to);
    }
}

fn leads_home(to: &str) {
    let mut site = site(
        "routes-open-redirect",
        &format!("[[site]]\nredirect = {{ to = \"{to}\", status = 302 }}\n"),
    );
    for target in [
        "//evil.example/",
        "/%2Fevil.example/",
        "/.//evil.example/",
        "/\\evil.example",
        "/%5Cevil.example",
    ] {
        let answer = site.get(target);
        let location = answer.header("location").unwrap_or_default();
        assert!(
            !location.starts_with("//") && !location.starts_with("/\\"),
            "{target} leads to {location} by {to}"
        );
    }
    assert!(site.stop().success());
}

#[test]
fn a_fixed_answer_has_its_status_type_and_length() {
    let mut site = site(
        "routes-respond",
        r#"
        [[site]]
        respond = "plain"
        [[site.route]]
        path = "= /gone"
        respond = { status = 410, body = "<p>gone</p>", content_type = "text/html" }
        [[site.route]]
        path = "= /nothing"
        respond = { status = 204 }
        "#,
    );
    let mut client = site.connect();
    let answer = client.get("/", &[]);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let answer = client.get("/gone", &[]);
    assert_eq!((answer.status, answer.text().as_str()), (410, "<p>gone</p>"));
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.header("content-length"), Some("11"));
    let answer = client.request("HEAD", "/gone", &[], b"");
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (410, Some("11"))
    );
    let answer = client.get("/nothing", &[]);
    assert_eq!((answer.status, answer.header("content-length")), (204, None));
    assert_eq!(client.get("/", &[]).text(), "plain", "the connection is in step");
    assert!(site.stop().success());
}

#[test]
fn fields_of_a_route_are_on_every_answer_of_it() {
    let mut site = Site::new("routes-headers");
    site.write("static/a.txt", "a");
    site.config(
        r#"
        [app.size]
        wsgi = "wsgi:application"
        directory = "{apps}/size"
        python = "{python}"
        workers = 1

        [[site]]
        headers = { "X-Frame-Options" = "DENY", "X-Site" = "yes" }
        respond = "home"
        [[site.route]]
        path = "/static/"
        files = { root = "static/", cache_control = "max-age=60" }
        headers = { "X-Site" = "replaced", "X-Route" = "files" }
        [[site.route]]
        path = "/old"
        redirect = "/new"
        [[site.route]]
        path = "/app"
        app = "size"
        headers = { "X-Frame-Options" = "" }
        [[site.route]]
        path = "= /post"
        methods = ["POST"]
        respond = "posted"
        "#,
    );
    site.start();
    let mut client = site.connect();
    let mut fields = |target: &str| {
        let answer = client.get(target, &[]);
        let of = |name: &str| {
            let all: Vec<_> = answer
                .headers
                .iter()
                .filter(|(field, _)| field.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.clone())
                .collect();
            all.join("|")
        };
        (
            answer.status,
            of("x-frame-options"),
            of("x-site"),
            of("x-route"),
            of("cache-control"),
        )
    };
    let expected = |status, frame: &str, site: &str, route: &str, cache: &str| {
        (
            status,
            frame.to_owned(),
            site.to_owned(),
            route.to_owned(),
            cache.to_owned(),
        )
    };
    assert_eq!(fields("/"), expected(200, "DENY", "yes", "", ""));
    assert_eq!(
        fields("/static/a.txt"),
        expected(200, "DENY", "replaced", "files", "max-age=60")
    );
    assert_eq!(
        fields("/static/missing"),
        expected(404, "DENY", "replaced", "files", "")
    );
    assert_eq!(fields("/old"), expected(308, "DENY", "yes", "", ""));
    assert_eq!(fields("/app?5"), expected(200, "", "yes", "", ""));
    assert_eq!(fields("/post"), expected(405, "DENY", "yes", "", ""));
    assert!(site.stop().success());
}

#[test]
fn headers_of_a_route_leave_pages_of_our_own_what_they_are() {
    let mut site = site(
        "routes-pages",
        r#"
        [[site]]
        headers = { "Server" = "", "Strict-Transport-Security" = "max-age=1" }
        [[site.route]]
        path = "/static/"
        files = "static/"
        headers = { "Cache-Control" = "immutable", "Content-Type" = "text/css", "Content-Security-Policy" = "default-src" }
        [[site.route]]
        path = "/named"
        headers = { "server" = "theirs" }
        respond = "x"
        "#,
    );
    site.write("static/a.css", "x");
    let raw = |target: &str, method: &str| {
        let mut client = site.connect();
        client
            .send(format!(
                "{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            ))
            .unwrap();
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = client.read(&mut buffer) {
            text.extend_from_slice(&buffer[..len]);
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    let found = raw("/static/a.css", "GET");
    for line in [
        "Cache-Control: immutable\r\n",
        "Content-Type: text/css\r\n",
        "Strict-Transport-Security: ",
    ] {
        assert!(found.contains(line), "{line}: {found}");
    }
    for (target, method) in [
        ("/static/missing.css", "GET"),
        ("/static/a.css", "TRACE"),
        ("/nowhere", "GET"),
    ] {
        let page = raw(target, method);
        assert!(
            !page.contains("immutable") && page.contains("Content-Type: text/html"),
            "{page}"
        );
        assert!(
            page.contains("Strict-Transport-Security: max-age=1\r\n"),
            "{page}"
        );
        assert_eq!(
            page.contains("Content-Security-Policy: "),
            target.starts_with("/static"),
            "{page}"
        );
        assert!(!page.contains("Server:"), "{page}");
    }
    assert!(raw("/static/a.css", "TRACE").contains("Allow: GET, HEAD\r\n"));
    assert!(raw("/named", "TRACE").contains("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"));
    let named = raw("/named", "GET");
    assert!(
        named.contains("Server: theirs\r\n") && !named.contains("appliance"),
        "{named}"
    );
    assert!(site.stop().success());
}

#[test]
fn each_route_has_its_own_body_limit_and_mount() {
    let mut site = Site::new("routes-mount");
    site.config(
        r#"
        [app.environ]
        wsgi = "wsgi:application"
        directory = "{apps}/environ"
        python = "{python}"
        workers = 1

        [[site]]
        body_max = "10B"
        app = "environ"
        [[site.route]]
        path = "/shop"
        mount = "/shop"
        app = "environ"
        body_max = "1k"
        [[site.route]]
        path = "/whole"
        mount = ""
        app = "environ"
        "#,
    );
    site.start();
    let mut client = site.connect();
    let mut names = |target: &str| {
        let told: serde_json::Value = serde_json::from_slice(&client.get(target, &[]).body).unwrap();
        (
            told["SCRIPT_NAME"].as_str().unwrap().to_owned(),
            told["PATH_INFO"].as_str().unwrap().to_owned(),
        )
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(names("/"), pair("", "/"));
    assert_eq!(names("/x/y"), pair("", "/x/y"));
    assert_eq!(names("/shop"), pair("/shop", ""));
    assert_eq!(names("/shop/"), pair("/shop", "/"));
    assert_eq!(names("/shop/a%20b?q"), pair("/shop", "/a b"));
    assert_eq!(names("/whole/x"), pair("", "/whole/x"));

    let post = |target: &str, size| {
        Connection::open(site.port)
            .request("POST", target, &[], &vec![b'x'; size])
            .status
    };
    assert_eq!(post("/", 10), 200);
    assert_eq!(post("/", 11), 413);
    assert_eq!(post("/shop", 1024), 200);
    assert_eq!(post("/shop", 1025), 413);
    assert!(site.stop().success());
}

#[test]
fn a_prefix_is_cut_off_for_an_application_that_is_not_to_know_of_it() {
    let mut site = Site::new("routes-strip");
    site.config(
        r#"
        [app.environ]
        wsgi = "wsgi:application"
        directory = "{apps}/environ"
        python = "{python}"
        workers = 1

        [[site]]
        respond = "no"
        [[site.route]]
        path = "/sanic/"
        app = "environ"
        strip = true
        [[site.route]]
        path = "/sanic/upload/"
        app = "environ"
        strip = true
        body_max = "1GiB"
        "#,
    );
    site.start();
    let mut client = site.connect();
    let mut told = |target: &str| {
        let told: serde_json::Value = serde_json::from_slice(&client.get(target, &[]).body).unwrap();
        ["SCRIPT_NAME", "PATH_INFO", "REQUEST_URI", "RAW_URI"]
            .map(|name| told[name].as_str().unwrap().to_owned())
    };
    for (target, path, below) in [
        ("/sanic/a%20b?q=%20", "/a b", "/a%20b?q=%20"),
        ("/sanic", "/", "/"),
        ("/sanic?q", "/", "/?q"),
        ("/sanic//a%2Fb", "//a/b", "//a%2Fb"),
        ("/sanic/./a%2Fb", "/a/b", "/a/b"),
        // As for a mount, what is cut belongs to the outermost route of the app.
        ("/sanic/upload/x", "/upload/x", "/upload/x"),
    ] {
        assert_eq!(
            told(target),
            ["", path, below, below].map(str::to_owned),
            "{target}"
        );
    }
    assert!(site.stop().success());
}

#[test]
fn an_application_gets_its_path_with_the_slashes_it_came_with() {
    let mut site = Site::of_app("environ", "environ", "", "");
    site.start();
    let mut client = site.connect();
    for (target, path) in [
        ("/http://x.test/y", "/http://x.test/y"),
        ("//a", "//a"),
        ("/a%2F%2Fb", "/a//b"),
        ("/a///?q", "/a///"),
        ("/a//../b", "/b"),
        ("/a//%2e/b", "/a/b"),
        ("/a/..%2F/b", "/b"),
    ] {
        let told: serde_json::Value = serde_json::from_slice(&client.get(target, &[]).body).unwrap();
        assert_eq!(
            (&told["PATH_INFO"], &told["REQUEST_URI"]),
            (&path.into(), &target.into()),
            "{target}"
        );
    }
    assert!(site.stop().success());
}
