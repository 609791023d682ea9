//! Session tickets that the next proxy can read.
//!
//! A ticket is a session, sealed with a key that only we have; TLS is resumed with it wherever the client's next connection lands.
//! The keys are derived from a secret that the supervisor makes when it starts and hands to each of its proxies, so a reload
//! costs no client a full handshake. A key seals for [`PERIOD_S`] and opens for one period more.
//!
//! What that protects: the keys are one-way functions of the secret and the period, so who gets hold of a single key reads the
//! tickets of that period and no others. Who gets hold of the secret has every key, those of the past included, for as long as
//! the supervisor lives; a restart makes a new one, a reload does not. It is never written to a file and is overwritten when it
//! is dropped, but it is in the memory of the supervisor and of each proxy, and passes through their control sockets.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
    rand::{SecureRandom, SystemRandom},
};
use rustls::server::ProducesTickets;
use wire::control::Secret;

/// Seals and opens tickets.
pub(super) struct Tickets {
    secret: Secret,
    random: SystemRandom,
    now_s: fn() -> u64,
}

impl Tickets {
    /// With keys made of this secret.
    pub(super) fn new(secret: &[u8]) -> Self {
        Self {
            secret: Secret(secret.to_vec()),
            random: SystemRandom::new(),
            now_s,
        }
    }

    fn key(&self, period: u64) -> Option<LessSafeKey> {
        let secret = Salt::new(HKDF_SHA256, b"appliance session tickets").extract(&self.secret.0);
        let period = period.to_be_bytes();
        let info = [&period[..]];
        let key = UnboundKey::from(secret.expand(&info, &CHACHA20_POLY1305).ok()?);
        Some(LessSafeKey::new(key))
    }

    fn period(&self) -> u64 {
        (self.now_s)() / PERIOD_S
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        PERIOD_S as u32
    }

    /// Period, nonce, sealed session.
    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let period = self.period();
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut ticket = period.to_be_bytes().to_vec();
        ticket.extend_from_slice(&nonce);
        let mut sealed = session.to_vec();
        self.key(period)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .ok()?;
        ticket.append(&mut sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (period, rest) = ticket.split_first_chunk()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        let (period, now) = (u64::from_be_bytes(*period), self.period());
        if period != now && Some(period) != now.checked_sub(1) {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let opened = self
            .key(period)?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut sealed)
            .ok()?;
        Some(opened.to_vec())
    }
}

/// Without the secret.
impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// So long a key seals; a ticket is good for at least as long.
const PERIOD_S: u64 = 6 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secret: &[u8], now_s: fn() -> u64) -> Tickets {
        Tickets {
            now_s,
            ..Tickets::new(secret)
        }
    }

    #[test]
    fn another_proxy_with_the_same_secret_opens_a_ticket_and_nobody_else_does() {
        let ticket = at(b"one", || 10 * PERIOD_S).encrypt(b"session").unwrap();
        let other = at(b"one", || 11 * PERIOD_S - 1);
        assert_eq!(other.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(at(b"two", || 10 * PERIOD_S).decrypt(&ticket), None);
        for at in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[at] ^= 1;
            assert_eq!(other.decrypt(&forged), None, "byte {at}");
            assert_eq!(other.decrypt(&ticket[..at]), None, "cut at {at}");
        }
        assert_ne!(
            at(b"one", || 0).encrypt(b"session"),
            at(b"one", || 0).encrypt(b"session")
        );
    }

    #[test]
    fn a_ticket_is_good_in_the_next_period_and_not_after_it() {
        let ticket = at(b"s", || 10 * PERIOD_S).encrypt(b"session").unwrap();
        assert!(at(b"s", || 11 * PERIOD_S).decrypt(&ticket).is_some());
        assert_eq!(at(b"s", || 12 * PERIOD_S).decrypt(&ticket), None);
        assert_eq!(at(b"s", || 9 * PERIOD_S).decrypt(&ticket), None);
    }
}
