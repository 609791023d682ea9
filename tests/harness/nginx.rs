//! Debian's nginx, the reference where a test says so.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{free_port, scratch, wait_for};

/// A running nginx with a directory of its own. Dropping it kills it.
pub(crate) struct Nginx {
    pub(crate) port: u16,
    directory: PathBuf,
    child: Child,
}

/// Where nginx is on this machine.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join("nginx"))
        .find(|file| file.is_file())
}

/// Is it of this release? What is written down of it is true for one.
pub(crate) fn is_of(release: &str) -> bool {
    let told = find().and_then(|nginx| Command::new(nginx).arg("-v").output().ok());
    told.is_some_and(|told| String::from_utf8_lossy(&told.stderr).contains(&format!("nginx/{release}.")))
}

/// Are the parity tests to run against nginx?
pub(crate) fn is_under_test() -> bool {
    std::env::var("SERVER_UNDER_TEST").is_ok_and(|server| server == "nginx")
}

impl Nginx {
    /// Starts it with these directives in its one `server` block; `{port}` is replaced.
    pub(crate) fn start(server: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let binary = find().expect("nginx is installed: apt-get install nginx-light");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = scratch()
            .join("nginx")
            .join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let port = free_port();
        let config = CONFIG
            .replace("{server}", server)
            .replace("{port}", &port.to_string())
            .replace("{dir}", &directory.display().to_string());
        let file = directory.join("nginx.conf");
        fs::write(&file, config).unwrap();
        let child = Command::new(binary)
            .arg("-p")
            .arg(&directory)
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(directory.join("error.log"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut nginx = Self {
            port,
            directory,
            child,
        };
        wait_for("nginx accepts connections", || {
            if let Some(status) = nginx.child.try_wait().unwrap() {
                panic!("nginx ended with {status}: {}", nginx.error_log());
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        nginx
    }

    fn error_log(&self) -> String {
        fs::read_to_string(self.directory.join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("kept for inspection: {}", self.directory.display());
        } else {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// The directory of `root` as nginx wants it in its configuration.
pub(crate) fn quoted(root: &Path) -> String {
    format!("\"{}\"", root.display())
}

/// One process without privileges; everything it writes is in its directory. The types are those that appliance knows.
const CONFIG: &str = r#"
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log info;
events { worker_connections 512; }
http {
    types {
        text/html html;
        text/css css;
        text/javascript js;
        text/plain txt;
        application/gzip gz;
        application/json json;
        application/wasm wasm;
        image/png png;
        image/svg+xml svg;
        font/woff2 woff2;
    }
    default_type application/octet-stream;
    charset utf-8;
    charset_types text/css text/plain text/javascript;
    access_log off;
    absolute_redirect off;
    if_modified_since before;
    gzip_vary on;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {
        listen 127.0.0.1:{port};
        server_name localhost;
        {server}
    }
}
"#;
