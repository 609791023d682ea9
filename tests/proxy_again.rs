//! A proxy that dies is started again from what its generation was given, whatever has become of the machine
//! since.

use std::{fs, io::Write, os::unix::fs::FileExt, process::Command};

use crate::harness::{
    Connection, Site, app, certificate::Certificate, processes::Process, python::python, upstream::Upstream,
    wait_for,
};

/// The one proxy of a site.
fn proxy(site: &Site) -> Process {
    site.processes_at_least("appliance: proxy", 1).remove(0)
}

/// Kills the proxy; another one accepts when this returns.
fn kill_proxy(site: &mut Site) {
    site.expect_error("proxy died, it is started again");
    site.wait_for_log("proxy accepts");
    let before = site.error_log().matches("proxy accepts").count();
    proxy(site).signal("KILL");
    site.wait_for_log_times("proxy accepts", before + 1);
}

/// Writes a file that somebody has bound or opened, in its place.
fn overwrite(site: &Site, name: &str, text: &str) {
    let path = site.directory.join(name);
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(0).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn it_serves_an_app_whose_directory_was_renamed_and_whose_virtualenv_is_gone() {
    let mut site = Site::new("again-app");
    site.write(
        "code/hello.py",
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n",
    );
    let made = Command::new(&python().path)
        .args(["-m", "venv", "--without-pip"])
        .arg(site.directory.join("venv"))
        .status();
    assert!(made.unwrap().success());
    site.config(
        "[app.web]\nwsgi = \"hello:app\"\ndirectory = \"code\"\nvenv = \"venv\"\nworkers = 1\n[[site]]\napp = \"web\"\n",
    );
    site.start();
    assert_eq!(site.get("/").text(), "hello");
    fs::rename(site.directory.join("code"), site.directory.join("moved")).unwrap();
    kill_proxy(&mut site);
    assert_eq!(site.get("/").text(), "hello");
    fs::remove_dir_all(site.directory.join("moved")).unwrap();
    fs::remove_dir_all(site.directory.join("venv")).unwrap();
    kill_proxy(&mut site);
    assert_eq!(site.get("/").text(), "hello");
    assert!(site.stop().success());
}

#[test]
fn it_serves_by_https_with_the_certificates_of_its_start() {
    let mut site = Site::new("again-certificates");
    let certificate = Certificate::new(&["localhost"]);
    certificate.write(&site.directory, "site");
    site.config(
        "[tls]\ncertificates = [{ certificate = \"site.crt\", key = \"site.key\" }]\n\
         [[listener]]\naddress = \"127.0.0.1:{tls_port}\"\ntls = true\n[[site]]\nrespond = \"secure\"\n",
    );
    site.start();
    let client = certificate.client();
    let ask = |site: &Site| {
        let mut connection = Connection::open_tls(site.tls_port, client.clone(), "localhost");
        connection.get("/", &[]).text()
    };
    assert_eq!(ask(&site), "secure");
    if app::root() {
        let line = certificate.key.lines().nth(1).unwrap();
        assert!(
            memory_has(site.pid(), b"site.crt"),
            "the look finds what is there"
        );
        assert!(
            !memory_has(site.pid(), line.as_bytes()),
            "the supervisor has read the key"
        );
    }
    // A renewal that has come half way, a copy in place, and then neither file.
    overwrite(
        &site,
        "site.crt",
        &Certificate::new(&["other.example"]).certificate,
    );
    kill_proxy(&mut site);
    assert_eq!(ask(&site), "secure");
    overwrite(&site, "site.key", "");
    kill_proxy(&mut site);
    assert_eq!(ask(&site), "secure");
    fs::rename(site.directory.join("site.crt"), site.directory.join("old.crt")).unwrap();
    fs::remove_file(site.directory.join("site.key")).unwrap();
    kill_proxy(&mut site);
    assert_eq!(ask(&site), "secure");
    // What is new is for a reload to see.
    site.expect_error("site.crt: does not exist");
    site.expect_error("reload refused");
    site.signal("HUP");
    site.wait_for_log("reload refused");
    assert_eq!(ask(&site), "secure");
    let renewed = Certificate::new(&["localhost"]);
    renewed.write(&site.directory, "site");
    site.signal("HUP");
    site.wait_for_log(" serving generation=");
    wait_for("the new certificate", || {
        let socket = std::net::TcpStream::connect(("127.0.0.1", site.tls_port)).ok()?;
        let name = "localhost".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(renewed.client(), name).unwrap();
        client.complete_io(&mut &socket).ok()
    });
    assert!(site.stop().success());
}

#[test]
fn it_serves_without_the_configuration_file_and_without_a_directory_of_files() {
    let mut site = Site::new("again-files");
    site.write("static/a.txt", "a file");
    site.config("[[site]]\nrespond = \"here\"\n[[site.route]]\npath = \"/static/\"\nfiles = \"static\"\n");
    site.start();
    assert_eq!(site.get("/static/a.txt").text(), "a file");
    site.write("site.toml", "[[site\n");
    fs::rename(site.directory.join("static"), site.directory.join("away")).unwrap();
    kill_proxy(&mut site);
    assert_eq!(site.get("/").text(), "here");
    assert_eq!(site.get("/static/a.txt").status, 404);
    fs::remove_file(site.directory.join("site.toml")).unwrap();
    kill_proxy(&mut site);
    assert_eq!(site.get("/").text(), "here");
    // A deployment puts it back.
    fs::rename(site.directory.join("away"), site.directory.join("static")).unwrap();
    wait_for("the file", || {
        (site.get("/static/a.txt").text() == "a file").then_some(())
    });
    assert!(site.stop().success());
}

#[test]
fn it_writes_on_in_the_logs_of_its_start_until_they_are_reopened() {
    let mut site = Site::new("again-logs");
    site.write("logs/readme", "");
    site.config("[log.access]\nto = \"logs/access.log\"\nformat = \"json\"\n[[site]]\nrespond = \"here\"\n");
    site.start();
    let line = |site: &Site, log: &str, target: &str| {
        let path = site.directory.join(log);
        wait_for(&format!("{target} in {log}"), || {
            let text = fs::read_to_string(&path).ok()?;
            text.contains(&format!("\"{target}\"")).then_some(())
        });
    };
    assert_eq!(site.get("/first").text(), "here");
    line(&site, "logs/access.log", "/first");
    fs::rename(site.directory.join("logs"), site.directory.join("old")).unwrap();
    kill_proxy(&mut site);
    assert_eq!(site.get("/second").text(), "here");
    line(&site, "old/access.log", "/second");
    // What is opened anew stays open for the next one as well.
    fs::create_dir(site.directory.join("logs")).unwrap();
    site.signal("USR1");
    site.wait_for_log("logs reopened");
    kill_proxy(&mut site);
    assert_eq!(site.get("/third").text(), "here");
    line(&site, "logs/access.log", "/third");
    assert!(site.stop().success());
}

#[test]
fn it_serves_where_names_cannot_be_looked_up_and_users_are_gone() {
    if !app::mounts() {
        return;
    }
    let mut site = Site::in_the_open("again-names");
    site.write("hosts", "127.0.0.1 localhost back.internal\n");
    site.write("nsswitch.conf", "hosts: files\npasswd: files\ngroup: files\n");
    let root = "root:x:0:0::/root:/bin/sh\n";
    site.write("passwd", format!("{root}ghost:x:4242:4343::/:/bin/false\n"));
    site.write("group", "root:x:0:\nghosts:x:4343:\n");
    let server = Upstream::tcp("back");
    let port = server.url.rsplit(':').next().unwrap();
    site.config(&format!(
        "[server]\nuser = \"ghost\"\n[upstream.back]\nservers = [\"http://back.internal:{port}\"]\n[[site]]\nrespond = \"here\"\n\
         [[site.route]]\npath = \"/back/\"\nupstream = \"back\"\n"
    ));
    let own = site.directory.display();
    let binds: String = ["hosts", "nsswitch.conf", "passwd", "group"]
        .iter()
        .map(|name| format!("; mount --bind {own}/{name} /etc/{name}"))
        .collect();
    let command = app::in_namespace(&site, &format!("mount --make-rprivate /{binds}"), "");
    site.start_by(command);
    let user = |site: &Site| {
        let status = fs::read_to_string(format!("/proc/{}/status", proxy(site).pid)).unwrap();
        status
            .lines()
            .filter(|line| line.starts_with("Uid:") || line.starts_with("Gid:"))
            .map(|line| line.split_whitespace().nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(site.get("/").text(), "here");
    assert_eq!(site.get("/back/").text(), "back");
    assert_eq!(user(&site), ["4242", "4343"]);
    overwrite(&site, "passwd", root);
    overwrite(&site, "group", "root:x:0:\n");
    overwrite(&site, "hosts", "127.0.0.1 localhost\n");
    kill_proxy(&mut site);
    assert_eq!(site.get("/").text(), "here");
    assert_eq!(site.get("/back/").text(), "back");
    assert_eq!(user(&site), ["4242", "4343"]);
    assert!(site.stop().success());
}

#[test]
fn nothing_of_the_environment_of_an_app_is_in_its_memory() {
    if !app::root() {
        return;
    }
    let mut site = Site::new("again-secrets");
    // Made here, so that they are nowhere in the program by chance.
    let secret = |kind: &str| format!("{kind}-{:x}-secret", std::process::id());
    let (written, filed, inherited) = (secret("written"), secret("filed"), secret("inherited"));
    // Its first bytes come again within it, as those of any secret may.
    let public = secret("public-public");
    site.environment("INHERITED", &inherited);
    site.write("app.env", format!("TOKEN={filed}\n"));
    site.write(
        "shown.py",
        "import os\n\ndef app(environ, start_response):\n    start_response('204 No Content', [])\n    \
         assert os.environ['TOKEN'] and os.environ['PASSWORD'] and os.environ['INHERITED']\n    return []\n",
    );
    site.config(&format!(
        "[app.web]\nwsgi = \"shown:app\"\ndirectory = \"{{dir}}\"\npython = \"{{python}}\"\nworkers = 1\nenv_file = \"app.env\"\n\
         env = {{ PASSWORD = \"{written}\" }}\n[[site]]\napp = \"web\"\n[[site.route]]\npath = \"/known\"\nrespond = \"{public}\"\n"
    ));
    site.start();
    assert_eq!(site.get("/").status, 204);
    let has = |site: &Site, text: &str| memory_has(proxy(site).pid, text.as_bytes());
    for again in [false, true] {
        if again {
            kill_proxy(&mut site);
        }
        assert!(has(&site, &public), "the look finds what is there");
        for secret in [&written, &filed, &inherited, "env_file", "PASSWORD"] {
            assert!(!has(&site, secret), "{secret} is in the memory of the proxy");
        }
    }
    assert!(site.stop().success());
}

/// Is this text in what the process can write to: its heap, stacks and mappings of its own?
fn memory_has(pid: i32, text: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let ranges = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
        rest.starts_with("rw").then(|| (number(from), number(to)))
    });
    let (mut read, mut unread) = (0, 0);
    for (from, to) in ranges {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        if memory.read_exact_at(&mut bytes, from).is_err() {
            // It has gone meanwhile, or is one of a device.
            unread += 1;
        } else if memchr::memmem::find(&bytes, text).is_some() {
            return true;
        } else {
            read += 1;
        }
    }
    assert!(
        read > unread,
        "of the memory of {pid} {unread} mappings could not be read, {read} could"
    );
    false
}
