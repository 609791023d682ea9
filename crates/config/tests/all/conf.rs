//! Everything under `conf/` can be read, so that nobody starts from a broken example.

use std::{
    fs,
    path::{Path, PathBuf},
};

use config::{Config, Interface, WsgiHost};

use crate::surroundings::MadeUp;

fn conf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf")
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("conf is there");
    let paths = entries.map(|entry| entry.expect("conf can be read").path());
    let (directories, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let below = directories.iter().flat_map(|directory| files_below(directory));
    below
        .chain(
            files
                .into_iter()
                .filter(|file| file.extension().is_some_and(|end| end == "toml")),
        )
        .collect()
}

#[test]
fn every_file_is_valid_and_without_warnings() {
    let files = files_below(&conf());
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a text");
        match MadeUp::default().config(&text) {
            Ok(config) => {
                assert_eq!(config.warnings, [""; 0], "{}", file.display());
                let shared = config.check_users(&MadeUp::default());
                assert_eq!(shared, [""; 0], "{}", file.display());
            }
            Err(problems) => panic!("{}:\n{problems}", file.display()),
        }
    }
}

/// In `conf/site.toml` a commented key begins with `#` and no space, prose with `# `.
#[test]
fn the_commented_keys_of_the_default_are_valid_too() {
    let text = fs::read_to_string(conf().join("site.toml")).expect("a text");
    let uncommented: Vec<_> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.is_empty() && !key.starts_with(' ') => key,
            _ => line,
        })
        .collect();
    let config = MadeUp::default().config(&uncommented.join("\n"));
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((config.apps.len(), config.upstreams.len()), (3, 1));

    // What the comments call defaults are those of the code.
    let bare = "[app.web]\nwsgi = \"web\"\n[app.live]\nasgi = \"main:app\"\n[app.chat]\nwsgi = \"chat:app\"\ngreen = \"gevent\"\n\
         [upstream.api]\nservers = \"http://127.0.0.1\"\n[[site]]\napp = \"web\"";
    let bare = MadeUp::default()
        .config(bare)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let tls = &config.listeners[1];
    assert_eq!(
        (&tls.limits, tls.backlog),
        (&bare.listeners[0].limits, bare.listeners[0].backlog)
    );
    let (written, default) = (&config.server, &bare.server);
    assert_eq!((written.threads, written.grace), (default.threads, default.grace));
    assert_eq!(written.state_dir, default.state_dir);
    assert_eq!(written.buffers.memory_bytes, default.buffers.memory_bytes);
    assert_eq!(written.buffers.shared_bytes, default.buffers.shared_bytes);
    assert_eq!(
        written.buffers.response_bytes_max,
        default.buffers.response_bytes_max
    );
    assert_eq!(written.buffers.directory, default.buffers.directory);
    let app = |config: &config::Config, name: &str| {
        let app = config.apps.iter().find(|app| app.name == name);
        app.unwrap_or_else(|| panic!("no app {name}")).clone()
    };
    for name in ["live", "chat"] {
        let (written, default) = (app(&config, name), app(&bare, name));
        assert_eq!(
            (written.interface, written.timeout),
            (default.interface, default.timeout)
        );
    }
    let (written, default) = (&app(&config, "web"), &app(&bare, "web"));
    assert_eq!(
        (&written.timeout, &written.python),
        (&default.timeout, &default.python)
    );
    assert_eq!(
        (
            written.workers,
            written.concurrency(),
            written.preload,
            written.no_new_privileges
        ),
        (
            default.workers,
            default.concurrency(),
            default.preload,
            default.no_new_privileges
        )
    );
    // The one key that means more by being written than by its value.
    let patched = |app: &config::App| match app.interface {
        Interface::Wsgi(WsgiHost::Threads { patched, .. }) => patched,
        _ => 0,
    };
    assert_eq!((patched(written), patched(default)), (4, 1));
    assert_eq!(
        (written.queue_length_max, written.queue_timeout),
        (default.queue_length_max, default.queue_timeout)
    );
    assert_eq!(written.directory, default.directory);
    let (written, default) = (&config.upstreams[0], &bare.upstreams[0]);
    assert_eq!(
        (written.balance, written.keepalive),
        (default.balance, default.keepalive)
    );
    assert_eq!(
        (written.connect_timeout, written.read_timeout),
        (default.connect_timeout, default.read_timeout)
    );
    assert_eq!(
        (&config.access_log, &config.error_log),
        (&bare.access_log, &bare.error_log)
    );
    assert_eq!(config.tls.minimum, bare.tls.minimum);
    let body_max = |config: &config::Config| config.sites[0].routes.last().map(|route| route.body_bytes_max);
    assert_eq!(body_max(&config), body_max(&bare));
}

#[test]
fn a_device_or_a_log_given_by_mistake_does_not_fill_the_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let log = fs::File::create(at("error.log")).expect("a file");
    log.set_len(5 << 20).expect("room");
    for (path, why) in [
        (PathBuf::from("/dev/zero"), "not a regular file"),
        (at("error.log"), "larger than 4194304 bytes"),
    ] {
        let problems = Config::load(&path).expect_err("it has no end").to_string();
        assert!(problems.contains(why), "{problems}");
    }
    for problem in problem_of_named(&at("error.log")) {
        assert!(problem.contains("larger than 4194304 bytes"), "{problem}");
    }
}

/// The problem that a file is for each key that names one which is read at the start.
fn problem_of_named(path: &Path) -> [String; 2] {
    let env_file = format!("[app.web]\nwsgi = \"web\"\nenv_file = {path:?}\n[[site]]\napp = \"web\"\n");
    let ca = format!(
        "[upstream.web]\nservers = [\"https://web\"]\ntls = {{ ca = {path:?} }}\n[[site]]\nupstream = \"web\"\n"
    );
    [env_file, ca].map(|text| {
        Config::parse(&text, Path::new("/site.toml"))
            .expect_err("it cannot be read")
            .to_string()
    })
}

/// A start or a reload would wait for a writer.
#[test]
fn a_pipe_or_a_device_that_a_key_names_is_refused_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    for path in [pipe.as_path(), Path::new("/dev/zero")] {
        for problem in problem_of_named(path) {
            assert!(
                problem.contains("cannot be read: not a regular file"),
                "{problem}"
            );
        }
    }
}

/// As a shell hands over what `--conf <(...)` makes.
#[test]
fn the_configuration_itself_may_come_from_a_pipe() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let writer = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::write(pipe, "[[site]]\nrespond = \"here\"\n"))
    };
    let config = Config::load(&pipe).expect("a configuration");
    assert_eq!(config.sites.len(), 1);
    writer.join().expect("no panic").expect("written");
}
