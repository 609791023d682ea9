//! Ports of 127.0.0.1 for servers that tests start.

use std::{
    fs::{self, File},
    net::TcpListener,
    sync::{Mutex, PoisonError},
};

use rustix::fs::{FlockOperation, flock};

use super::scratch;

/// Ports that one test process takes at once.
const BLOCK: u16 = 32;

/// Below it other programs have theirs.
const FIRST: u16 = 11_000;

/// What this process has taken: the lock of each block, which ends with the process, and the next port of the
/// last one.
static TAKEN: Mutex<(Vec<File>, Vec<u16>)> = Mutex::new((Vec::new(), Vec::new()));

/// A TCP port of 127.0.0.1 that nobody listens on, and that no other test gets as long as this process lives.
/// It is not one of those that the kernel gives to connections and to whoever binds port 0: between our look
/// and the start of the server somebody could be given it.
pub(crate) fn free_port() -> u16 {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (locks, ports) = &mut *taken;
    loop {
        while let Some(port) = ports.pop() {
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
        let (lock, first) = block();
        locks.push(lock);
        ports.extend((first..first + BLOCK).rev());
    }
}

/// A block of ports that is nobody else's.
fn block() -> (File, u16) {
    let directory = scratch().join("ports");
    fs::create_dir_all(&directory).unwrap();
    let blocks = (first_of_the_kernel() - FIRST) / BLOCK;
    // Runs of several checkouts do not know of each other's locks, so each process begins elsewhere.
    let start = u16::try_from(std::process::id() % u32::from(blocks)).unwrap();
    for step in 0..blocks {
        let number = (start + step) % blocks;
        let lock = File::create(directory.join(number.to_string())).unwrap();
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return (lock, FIRST + number * BLOCK);
        }
    }
    panic!("all {blocks} blocks of ports are taken");
}

fn first_of_the_kernel() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = range
        .split_whitespace()
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap();
    // Where the kernel's begin below, some of its are ours as well: rarely a collision, as with port 0.
    first.max(FIRST + 64 * BLOCK)
}
