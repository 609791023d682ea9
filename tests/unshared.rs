//! Imports that leave what workers cannot share, with real libraries.

use std::collections::HashSet;

use crate::harness::{Site, postgres::Cluster, python};

#[test]
fn tables_made_on_a_real_postgresql_at_import_cost_no_worker_its_first_request() {
    let venv = python::virtualenv(
        python::python(),
        &["flask-sqlalchemy", "psycopg2-binary", "psycopg[binary]"],
    );
    for driver in ["psycopg2", "psycopg"] {
        let mut site = Site::new("tables-at-import");
        let Some(cluster) = Cluster::start(&site) else {
            println!("skipped: needs PostgreSQL");
            return;
        };
        site.config(&format!(
            r#"
            [app.web]
            wsgi = "site_app:app"
            directory = "{{apps}}/flask_tables"
            venv = "{}"
            env = {{ DATABASE = "postgresql+{driver}://postgres@127.0.0.1:{}/postgres?client_encoding=utf8" }}
            workers = 2
            threads = 2

            [[site]]
            app = "web"
            "#,
            venv.display(),
            cluster.port,
        ));
        site.expect_error("worker died");
        site.start();
        site.wait_for_log("the import leaves what workers cannot share");
        let log = site.error_log();
        assert!(
            log.contains(&format!("a connection to 127.0.0.1:{}", cluster.port)),
            "{log}"
        );
        site.wait_for_log("site_app.py:18 opened a connection to 127.0.0.1:");
        site.wait_for_log_times("worker ready", 2);
        every_worker_answers(&site);
        site.processes_named("worker web/")[0].signal("KILL");
        site.wait_for_log_times("worker ready", 3);
        every_worker_answers(&site);
        site.signal("HUP");
        site.wait_for_log_times("worker ready", 5);
        site.wait_for_log(" serving generation=2 ");
        every_worker_answers(&site);
        assert!(site.stop().success());
    }
}

/// Asks until both workers have answered.
fn every_worker_answers(site: &Site) {
    let mut workers = HashSet::new();
    for _ in 0..1000 {
        let clients: Vec<_> = (0..4).map(|_| site.beside("/")).collect();
        for client in clients {
            let answer = client.join().unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            workers.insert(answer.text().split(' ').next().unwrap().to_owned());
        }
        if workers.len() >= 2 {
            return;
        }
    }
    panic!("only {workers:?} answered");
}

/// An application with an import that computes, so that a library starts its threads.
fn numeric(test: &str, keys: &str, import: &str) -> Site {
    let site = Site::new(test);
    site.write(
        "app/wsgi.py",
        format!(
            "import os\nIMPORTER = os.getpid()\n{import}\n\ndef application(environ, start_response):\n    \
             start_response('200 OK', [])\n    return [b'%d %d %d' % (IMPORTER, os.getpid(), compute())]\n"
        ),
    );
    site.config(&format!(
        r#"
        [app.web]
        wsgi = "wsgi"
        directory = "app"
        workers = 2
        {keys}

        [[site]]
        app = "web"
        "#
    ));
    site
}

const NUMPY: &str = "
import numpy
ONES = numpy.ones((300, 300))
def compute():
    return int((ONES @ ONES).sum())
compute()
THREADS = len(os.listdir('/proc/self/task'))
";

#[test]
fn numpy_is_imported_once_though_openblas_has_threads() {
    let venv = python::virtualenv(python::python(), &["numpy"]);
    let keys = format!(
        "venv = \"{}\"\nenv = {{ OPENBLAS_NUM_THREADS = \"4\" }}",
        venv.display()
    );
    let check = format!("{NUMPY}assert THREADS > 1, 'OpenBLAS has no threads here'\n");
    let mut site = numeric("numpy", &keys, &check);
    site.start();
    site.wait_for_log_times("worker ready", 2);
    let zygote = site.processes_named("zygote web")[0].pid.to_string();
    for _ in 0..10 {
        let text = site.get("/").text();
        let words: Vec<_> = text.split(' ').collect();
        assert_eq!(words[0], zygote, "the import is the zygote's");
        assert_ne!(words[1], zygote);
        assert_eq!(words[2], "27000000");
    }
    let log = site.error_log();
    assert!(!log.contains("cannot share"), "{log}");
    assert!(site.stop().success());
}

/// Has libgomp start threads, which it keeps.
const OPENMP: &str = "
import ctypes
try:
    gomp = ctypes.CDLL('libgomp.so.1')
except OSError:
    gomp = None
def compute():
    # Each thread of a parallel region calls a function that does nothing.
    if gomp is not None:
        gomp.GOMP_parallel(ctypes.CDLL(None).abs, None, 0, 0)
    return 0 if gomp is None else 1
compute()
";

#[test]
fn threads_of_openmp_are_named_with_the_variable_that_avoids_them() {
    let mut site = numeric(
        "openmp",
        "python = \"{python}\"\nenv = { OMP_NUM_THREADS = \"3\" }",
        OPENMP,
    );
    site.start();
    if site.get("/").text().ends_with(" 0") {
        println!("skipped: needs libgomp");
    } else {
        let log = site.error_log();
        assert!(
            log.contains("the import leaves what workers cannot share"),
            "{log}"
        );
        let told = "2 threads of libgomp.so.1.0.0 (none with env = { OMP_NUM_THREADS = \\\"1\\\" })";
        assert!(
            log.contains(told) || log.contains(&told.replace('\\', "")),
            "{log}"
        );
    }
    assert!(site.stop().success());
    let mut site = numeric(
        "openmp-one",
        "python = \"{python}\"\nenv = { OMP_NUM_THREADS = \"1\" }",
        OPENMP,
    );
    site.start();
    let zygote = site.processes_named("zygote web")[0].pid.to_string();
    assert!(site.get("/").text().starts_with(&zygote));
    assert!(!site.error_log().contains("cannot share"));
    assert!(site.stop().success());
}
