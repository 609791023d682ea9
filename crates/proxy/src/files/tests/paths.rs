//! Which file a path leads to, and which it does not.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_directory_is_redirected_to_its_slash_and_answers_with_its_index() {
    let site = Site::new();
    let down = site.get("/static/with%20index?a=b", &[]);
    assert_eq!(
        (down.status(), down.field("location")),
        (301, Some("/static/with%20index/?a=b"))
    );
    let down = site.get("/static/with%20index/", &[]);
    assert_eq!((down.status(), down.text()), (200, "<p>"));
    assert_eq!(down.field("content-type"), Some("text/html"));
    assert_eq!(site.refused("/static/dir/"), 403);
    assert_eq!(site.refused("/static/"), 403);
    assert_eq!(site.refused("/static/nothing/"), 404);
    assert_eq!(site.refused("/static/a.txt/"), 404);
}

#[test]
fn what_is_not_there_is_not_found() {
    let site = Site::new();
    let long = format!("/static/{}", "x".repeat(5000));
    for target in [
        "/static/nothing",
        "/static/a.txt/x",
        "/static/nothing/x",
        long.as_str(),
        "/other/a.txt",
    ] {
        assert_eq!(site.refused(target), 404, "{target}");
    }
}

#[test]
fn nothing_outside_the_directory_is_reached_where_links_stay_inside() {
    let site = Site::new();
    symlink("../secret", site.path("out.txt")).unwrap();
    symlink(site.base.path().join("secret"), site.path("far.txt")).unwrap();
    symlink("..", site.path("up")).unwrap();
    symlink("/proc/self/environ", site.path("proc.txt")).unwrap();
    for target in [
        "/static/out.txt",
        "/static/far.txt",
        "/static/up/secret",
        "/static/up/",
        "/static/proc.txt",
    ] {
        assert_eq!(site.refused(target), 404, "{target}");
    }
    // The path is resolved before a route is looked for, so this is never below /static/.
    assert_eq!(path::normalise(b"/static/../secret").unwrap().0, b"/secret");
    assert_eq!(path::normalise(b"/static/..%2fsecret").unwrap().0, b"/secret");
}

#[test]
fn links_lead_wherever_they_point_unless_told_otherwise() {
    let mut site = Site::new();
    site.files.symlinks = Symlinks::Follow;
    let media = site.base.path().join("media");
    fs::create_dir(&media).unwrap();
    fs::write(media.join("photo.txt"), "photo").unwrap();
    fs::write(media.join("photo.txt.gz"), "packed").unwrap();
    fs::write(media.join("index.html"), "photos").unwrap();
    symlink(media.join("photo.txt"), site.path("linked.txt")).unwrap();
    symlink("../secret", site.path("relative.txt")).unwrap();
    symlink(&media, site.path("media")).unwrap();
    symlink("linked.txt", site.path("twice.txt")).unwrap();
    symlink("/proc/self/fd/0", site.path("stdin.txt")).unwrap();
    for (target, text) in [
        ("/static/linked.txt", "photo"),
        ("/static/relative.txt", "secret"),
        ("/static/media/photo.txt", "photo"),
        ("/static/media/", "photos"),
        ("/static/twice.txt", "photo"),
    ] {
        assert_eq!(site.get(target, &[]).text(), text, "{target}");
    }
    let packed = site.get("/static/media/photo.txt", &[("Accept-Encoding", "gzip")]);
    assert_eq!(packed.text(), "packed");
    assert_eq!(site.get("/static/media", &[]).status(), 301);
    assert_eq!(
        site.refused("/static/stdin.txt"),
        404,
        "an open file of ours is no file of the site"
    );
}

#[test]
fn links_inside_the_directory_are_followed() {
    let site = Site::new();
    symlink("a.txt", site.path("near.txt")).unwrap();
    symlink("../a.txt", site.path("dir/up.txt")).unwrap();
    symlink(site.path("a.txt"), site.path("absolute.txt")).unwrap();
    symlink(site.path("with index"), site.path("linked")).unwrap();
    for target in ["/static/near.txt", "/static/dir/up.txt", "/static/absolute.txt"] {
        assert_eq!(site.get(target, &[]).text(), digits(), "{target}");
    }
    assert_eq!(site.get("/static/linked/", &[]).text(), "<p>");
    assert_eq!(site.get("/static/linked", &[]).status(), 301);
}

#[test]
fn the_directory_may_be_a_link_that_a_deployment_moves() {
    let mut site = Site::new();
    let link = site.base.path().join("current");
    symlink("root", &link).unwrap();
    site.files.root = link.clone();
    assert_eq!(site.get("/static/a.txt", &[]).text(), digits());
    fs::create_dir(site.base.path().join("next")).unwrap();
    fs::write(site.base.path().join("next/a.txt"), "next").unwrap();
    fs::remove_file(&link).unwrap();
    symlink("next", &link).unwrap();
    assert_eq!(site.get("/static/a.txt", &[]).text(), "next");
}

#[test]
fn names_that_start_with_a_dot_are_private_but_for_the_well_known() {
    let mut site = Site::new();
    for directory in [".git", ".well-known", "dir/.well-known"] {
        fs::create_dir_all(site.path(directory)).unwrap();
        fs::write(site.path(directory).join("x"), "x").unwrap();
    }
    fs::write(site.path(".env"), "x").unwrap();
    fs::write(site.path(".well-known/.x"), "x").unwrap();
    for target in [
        "/static/.env",
        "/static/.git/x",
        "/static/.well-known/x",
        "/static/dir/.well-known/x",
    ] {
        assert_eq!(site.refused(target), 404, "{target}");
    }
    site.files.strip = "/".into();
    assert_eq!(site.get("/.well-known/x", &[]).text(), "x");
    assert_eq!(site.refused("/.well-known/.x"), 404);
    assert_eq!(site.refused("/dir/.well-known/x"), 404);
    assert_eq!(site.refused("/.well-knownx"), 404);
}

#[test]
fn special_files_are_refused_and_do_not_block() {
    let site = Site::new();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        site.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(site.path("socket")).unwrap();
    for target in ["/static/pipe", "/static/socket"] {
        assert_eq!(site.refused(target), 404, "{target}");
    }
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    use rustix::io::Errno;
    assert_eq!(fault_of(&Fault::from(Errno::ACCESS), b"/x"), refused(403, None));
    assert_eq!(fault_of(&Fault::from(Errno::MFILE), b"/x"), refused(500, None));
    assert_eq!(
        fault_of(&Fault::from(Errno::NAMETOOLONG), b"/x"),
        refused(404, None)
    );
}

#[test]
fn an_exact_route_may_be_one_file() {
    let mut site = Site::new();
    site.files.root = site.path("a.txt");
    site.files.strip = "/robots.txt".into();
    assert_eq!(site.get("/robots.txt", &[]).text(), digits());
    assert_eq!(
        site.get("/robots.txt", &[]).field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    site.files.root = site.path("nothing");
    assert_eq!(site.refused("/robots.txt"), 404);
}

#[test]
fn a_prefix_without_slash_leads_to_the_same_files() {
    let mut site = Site::new();
    site.files.strip = "/static".into();
    assert_eq!(site.get("/static/a.txt", &[]).text(), digits());
    assert_eq!(site.get("/static", &[]).field("location"), Some("/static/"));
}
