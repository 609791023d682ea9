//! A name server on an address of its own, port 53, since a resolv.conf knows no other.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What it says of every name below `test.`, and how long that is good.
#[derive(Debug, Clone)]
pub(crate) enum Says {
    Addresses(Vec<IpAddr>, u32),
    NoSuchName,
    ServerFailure,
    Nothing,
    /// The first to who asks for addresses of IPv4, the second to who asks for those of IPv6.
    ByProtocol(Box<Says>, Box<Says>),
}

/// A running name server.
pub(crate) struct NameServer {
    address: Ipv4Addr,
    shared: Arc<Shared>,
}

struct Shared {
    says: Mutex<Says>,
    asked: Mutex<Vec<String>>,
    stopped: Mutex<bool>,
}

impl NameServer {
    /// `None` where the port is for others only, which needs root.
    pub(crate) fn start(says: Says) -> Option<Self> {
        // All of 127/8 is this machine, and tests run at the same time.
        let mut tries = (1..=250).map(|last| Ipv4Addr::new(127, 53, std::process::id() as u8, last));
        let bound = tries.find_map(|address| Some((address, UdpSocket::bind((address, 53)).ok()?)));
        let Some((address, socket)) = bound else {
            println!("skipped: needs port 53");
            return None;
        };
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let shared = Arc::new(Shared {
            says: Mutex::new(says),
            asked: Mutex::default(),
            stopped: Mutex::new(false),
        });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while !*lock(&served.stopped) {
                let Ok((len, client)) = socket.recv_from(&mut question) else {
                    continue;
                };
                if let Some(answer) = served.answer(&question[..len]) {
                    let _ = socket.send_to(&answer, client);
                }
            }
        });
        Some(Self { address, shared })
    }

    /// From now on it says this.
    pub(crate) fn says(&self, says: Says) {
        *lock(&self.shared.says) = says;
    }

    /// The names that it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        lock(&self.shared.asked).clone()
    }

    /// The line of a resolv.conf.
    pub(crate) fn line(&self) -> String {
        format!("nameserver {}\n", self.address)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        *lock(&self.shared.stopped) = true;
    }
}

impl Shared {
    /// The answer to one message (RFC 1035 §4.1).
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let mut name = String::new();
        let mut at = 12;
        while let len @ 1.. = usize::from(*question.get(at)?) {
            name.push_str(&String::from_utf8_lossy(question.get(at + 1..at + 1 + len)?));
            name.push('.');
            at += 1 + len;
        }
        let asked = question.get(12..at + 5)?;
        let kind = u16::from_be_bytes([*question.get(at + 1)?, *question.get(at + 2)?]);
        lock(&self.asked).push(name.clone());
        let says = match name.ends_with(".test.") {
            true => lock(&self.says).clone(),
            false => Says::NoSuchName,
        };
        let is_for_four = kind == 1;
        let says = match says {
            Says::ByProtocol(four, six) => *if is_for_four { four } else { six },
            says => says,
        };
        let (code, addresses, good_for) = match says {
            Says::Addresses(addresses, good_for) => (0, addresses, good_for),
            Says::NoSuchName => (3, Vec::new(), 0),
            Says::ServerFailure => (2, Vec::new(), 0),
            Says::Nothing | Says::ByProtocol(..) => return None,
        };
        let of_kind = |address: &&IpAddr| kind == if address.is_ipv4() { 1 } else { 28 };
        let addresses: Vec<_> = addresses.iter().filter(of_kind).collect();
        let mut answer = question.get(..2)?.to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
        answer.extend(asked);
        for address in addresses {
            let octets = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            answer.extend([0xc0, 12, 0, kind as u8, 0, 1]);
            answer.extend(good_for.to_be_bytes());
            answer.extend([0, octets.len() as u8]);
            answer.extend(octets);
        }
        Some(answer)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
