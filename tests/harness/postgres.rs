//! PostgreSQL as far as a client that waits for it can tell: a stand-in that every machine can run, and a real one where it is installed.
//!
//! Queries that take the advisory lock wait until a given number of them is in flight at the same time; what counts them is the server.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
};

use super::{Site, free_port, processes, wait::PATIENCE, wait_for};

/// A server that speaks enough of protocol 3.0 for libpq. It runs until the test ends.
pub(crate) struct StandIn {
    wanted: usize,
    flight: Mutex<Flight>,
    changed: Condvar,
}

/// Queries that wait: now, and at most so far.
#[derive(Default)]
struct Flight {
    now: usize,
    most: usize,
}

impl StandIn {
    /// On the port that it gives: lets nobody's query end before `wanted` of them are in flight.
    pub(crate) fn start(wanted: usize) -> (u16, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Arc::new(Self {
            wanted,
            flight: Mutex::default(),
            changed: Condvar::new(),
        });
        let shared = Arc::clone(&server);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = Arc::clone(&shared);
                std::thread::spawn(move || server.serve(client));
            }
        });
        (port, server)
    }

    /// The largest number of queries that were in flight at once.
    pub(crate) fn most(&self) -> usize {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner).most
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        // Requests for encryption (SSLRequest, GSSENCRequest) come before the startup message and are refused.
        while matches!(code(&body(&mut reader)?), 80_877_103 | 80_877_104) {
            client.write_all(b"N")?;
        }
        let mut hello = message(b'R', &0_i32.to_be_bytes());
        for parameter in [
            "server_version\x0015.0\0",
            "client_encoding\0UTF8\0",
            "DateStyle\0ISO, MDY\0",
            "integer_datetimes\0on\0",
            "standard_conforming_strings\0on\0",
        ] {
            hello.extend(message(b'S', parameter.as_bytes()));
        }
        hello.extend(message(b'Z', b"I"));
        client.write_all(&hello)?;
        let mut statement = String::new();
        let mut status = b'I';
        loop {
            let mut kind = [0];
            reader.read_exact(&mut kind)?;
            let body = body(&mut reader)?;
            let answer = match kind[0] {
                b'Q' => {
                    let text = texts(&body).swap_remove(0);
                    let mut answer = if locks(&text) { columns() } else { Vec::new() };
                    answer.extend(self.execute(&text, &mut status));
                    answer.extend(message(b'Z', &[status]));
                    answer
                }
                b'P' => {
                    statement = texts(&body).swap_remove(1);
                    message(b'1', b"")
                }
                b'B' => message(b'2', b""),
                b'D' if locks(&statement) => columns(),
                b'D' => message(b'n', b""),
                b'E' => self.execute(&statement, &mut status),
                b'C' => message(b'3', b""),
                b'S' => message(b'Z', &[status]),
                b'X' => return Ok(()),
                _ => Vec::new(),
            };
            client.write_all(&answer)?;
        }
    }

    /// Rows and the end of one statement; `status` is that of the transaction.
    fn execute(&self, statement: &str, status: &mut u8) -> Vec<u8> {
        if locks(statement) {
            self.meet();
            let row = [&1_i16.to_be_bytes()[..], &3_i32.to_be_bytes(), b"met"].concat();
            let mut answer = message(b'D', &row);
            answer.extend(message(b'C', b"SELECT 1\0"));
            return answer;
        }
        let tag = statement.split([' ', ';']).next().unwrap_or_default();
        *status = match tag {
            "BEGIN" => b'T',
            "COMMIT" | "ROLLBACK" => b'I',
            _ => *status,
        };
        message(b'C', format!("{tag}\0").as_bytes())
    }

    fn meet(&self) {
        let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        flight.now += 1;
        flight.most = flight.most.max(flight.now);
        self.changed.notify_all();
        let (mut flight, _) = self
            .changed
            .wait_timeout_while(flight, PATIENCE, |flight| flight.most < self.wanted)
            .unwrap_or_else(PoisonError::into_inner);
        flight.now -= 1;
    }
}

fn locks(statement: &str) -> bool {
    statement.contains("pg_advisory_lock_shared")
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// One column of type text.
fn columns() -> Vec<u8> {
    let mut body = 1_i16.to_be_bytes().to_vec();
    body.extend(b"?column?\0");
    body.extend([0; 6]);
    body.extend(25_i32.to_be_bytes());
    body.extend((-1_i16).to_be_bytes());
    body.extend((-1_i32).to_be_bytes());
    body.extend([0; 2]);
    message(b'T', &body)
}

/// What follows the kind of a message: its length, which counts itself, and so many bytes.
fn body(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length).saturating_sub(4);
    let mut body = Vec::new();
    reader.take(length.into()).read_to_end(&mut body)?;
    Ok(body)
}

fn code(body: &[u8]) -> u32 {
    body.first_chunk().map_or(0, |code| u32::from_be_bytes(*code))
}

/// Its texts, each of which ends with a zero byte.
fn texts(body: &[u8]) -> Vec<String> {
    body.split(|&byte| byte == 0)
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

/// A real server with a cluster of its own below the site's directory.
pub(crate) struct Cluster {
    pub(crate) port: u16,
    programs: PathBuf,
    child: Child,
}

impl Cluster {
    /// `None` where PostgreSQL is not installed.
    pub(crate) fn start(site: &Site) -> Option<Self> {
        let mut found: Vec<_> = fs::read_dir("/usr/lib/postgresql")
            .ok()?
            .flatten()
            .map(|version| version.path().join("bin"))
            .filter(|programs| programs.join("initdb").exists() && programs.join("psql").exists())
            .collect();
        found.sort();
        let programs = found.pop()?;
        let data = site.directory.join("postgres");
        fs::create_dir(&data).unwrap();
        let port = free_port();
        let made = as_another(&programs.join("initdb"), &data)
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--locale=C",
                "--pgdata",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let child = as_another(&programs.join("postgres"), &data)
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off"])
            .env(processes::MARK, site.mark())
            .stdout(Stdio::null())
            .stderr(fs::File::create(site.directory.join("postgres.log")).unwrap())
            .spawn()
            .unwrap();
        let cluster = Self {
            port,
            programs,
            child,
        };
        wait_for("PostgreSQL accepts connections", || {
            let ready = cluster
                .psql(&["SELECT 1"])
                .stderr(Stdio::null())
                .output()
                .unwrap();
            ready.status.success().then_some(())
        });
        Some(cluster)
    }

    /// Holds the lock until `wanted` queries wait for it; gives how many waited then.
    pub(crate) fn hold(&self, wanted: usize) -> JoinHandle<String> {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        let until =
            format!("DO $$ BEGIN WHILE ({waiting}) < {wanted} LOOP PERFORM pg_sleep(0.01); END LOOP; END $$");
        let patience = format!("SET statement_timeout = '{}s'", PATIENCE.as_secs());
        let mut holder = self
            .psql(&[
                &patience,
                "SELECT 'held' FROM pg_advisory_lock(1)",
                &until,
                waiting,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(holder.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("held"));
        std::thread::spawn(move || {
            let seen = lines.last().unwrap_or_default();
            holder.wait().unwrap();
            seen
        })
    }

    fn psql(&self, statements: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-h",
            "127.0.0.1",
        ]);
        command.args(["-p", &self.port.to_string()]);
        for statement in statements {
            command.args(["-c", statement]);
        }
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Cluster {
    /// SIGINT ends its sessions and then the server.
    fn drop(&mut self) {
        processes::signal_pid(i32::try_from(self.child.id()).unwrap(), "INT");
        let _ = self.child.wait();
    }
}

/// PostgreSQL refuses to run as root: nobody does it then, and owns the data.
fn as_another(program: &Path, data: &Path) -> Command {
    const NOBODY: u32 = 65534;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Command::new(program);
    }
    std::os::unix::fs::chown(data, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program)
        .current_dir(data);
    command
}
