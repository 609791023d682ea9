//! What the proxies of a generation read when they start: made once, so that one which is started again hours
//! later finds what the first one found, whatever has become of the files since.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
};

use config::{Config, PEM_BYTES_MAX, ProxyConfig};
use rustix::fs::sendfile;
use wire::parts;

use crate::Error;

/// Sealed memory files; each proxy gets descriptors of the same ones.
#[derive(Debug)]
pub(crate) struct ProxyFiles {
    config: OwnedFd,
    /// `None` where no listener speaks TLS.
    certificates: Option<OwnedFd>,
}

impl ProxyFiles {
    /// Opens what the configuration names, with the rights that only we have.
    pub(crate) fn make(config: &Config) -> Result<Self, Error> {
        let bytes = ProxyConfig::from(config).to_bytes();
        let handed = bytes.and_then(|bytes| shm::file::sealed("appliance-config", &bytes, false));
        let speaks_tls = config.listeners.iter().any(|listener| listener.tls);
        Ok(Self {
            config: handed.map_err(Error::system("configuration for the proxy"))?,
            certificates: speaks_tls.then(|| certificates(config)).transpose()?,
        })
    }

    /// Descriptors for one proxy.
    pub(crate) fn hand_out(&self) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
        let certificates = self.certificates.as_ref().map(OwnedFd::try_clone);
        Ok((self.config.try_clone()?, certificates.transpose()?))
    }
}

/// All chains and keys in one file. The kernel copies them: no byte of a key comes into our memory.
fn certificates(config: &Config) -> Result<OwnedFd, Error> {
    let paths: Vec<&PathBuf> = config
        .tls
        .certificates
        .iter()
        .flat_map(|files| [&files.certificate, &files.key])
        .collect();
    let failed = Error::system("certificates for the proxy");
    let table_bytes = parts::table_bytes(paths.len());
    let made = shm::file::unsealed("appliance-certificates").and_then(|mut file| {
        file.seek(SeekFrom::Start(table_bytes as u64))?;
        Ok(file)
    });
    let mut all = made.map_err(failed)?;
    let lengths = paths.iter().map(|path| {
        copy(path, &mut all).map_err(|source| Error::Certificate {
            path: path.to_path_buf(),
            source,
        })
    });
    let lengths: Vec<u64> = lengths.collect::<Result<_, _>>()?;
    all.write_all_at(&parts::table(&lengths), 0)
        .and_then(|()| shm::file::seal(all))
        .map_err(Error::system("certificates for the proxy"))
}

/// Appends a file, and says how long it is. One byte more than it may have tells that it is too long.
fn copy(path: &Path, to: &mut File) -> io::Result<u64> {
    let from = config::open_regular(path)?;
    let mut length = 0;
    while length <= PEM_BYTES_MAX {
        let left = usize::try_from(PEM_BYTES_MAX + 1 - length).unwrap_or(usize::MAX);
        match sendfile(to.as_fd(), &from, None, left) {
            Ok(0) => break,
            Ok(count) => length += count as u64,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if length > PEM_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than {PEM_BYTES_MAX} bytes"),
        ));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read, Write},
    };

    use super::*;

    /// The configuration of a site with one certificate, below `directory`.
    fn config(directory: &Path) -> Config {
        let text = "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = true\n[tls]\n\
                    certificates = [{ certificate = \"chain.pem\", key = \"secret.key\" }]\n[[site]]\nrespond = \"x\"\n";
        Config::parse(text, &directory.join("site.toml")).expect("a good configuration")
    }

    fn files(test: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("appliance-{test}-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("chain.pem"), "chain").expect("a chain");
        fs::write(directory.join("secret.key"), "the key").expect("a key");
        directory
    }

    #[test]
    fn every_proxy_gets_the_same_whatever_has_become_of_the_files() {
        let directory = files("proxy-files");
        let config = config(&directory);
        let made = ProxyFiles::make(&config).expect("files");
        fs::write(directory.join("secret.key"), "another").expect("a key");
        fs::remove_file(directory.join("chain.pem")).expect("a chain");
        for _ in 0..2 {
            let (handed, certificates) = made.hand_out().expect("descriptors");
            let mut handed = File::from(handed);
            assert!(handed.write_all(b"x").is_err(), "it is sealed");
            handed.rewind().expect("a file");
            let mut bytes = Vec::new();
            handed.read_to_end(&mut bytes).expect("a configuration");
            assert_eq!(
                ProxyConfig::from_bytes(&bytes).expect("one that can be read"),
                ProxyConfig::from(&config)
            );
            let mut certificates = File::from(certificates.expect("TLS is spoken"));
            assert!(certificates.write_all(b"x").is_err(), "it is sealed");
            certificates.rewind().expect("a file");
            let read = parts::read(&certificates, 2, PEM_BYTES_MAX).expect("two files");
            assert_eq!(read, [&b"chain"[..], b"the key"]);
        }
        fs::remove_dir_all(directory).expect("a directory");
    }

    #[test]
    fn a_file_that_is_too_long_is_refused_by_name_and_not_cut() {
        let directory = files("proxy-files-long");
        let chain = directory.join("chain.pem");
        let lengthen = |length| {
            let file = File::options().write(true).open(&chain).expect("a chain");
            file.set_len(length).expect("room");
        };
        lengthen(PEM_BYTES_MAX);
        let made = ProxyFiles::make(&config(&directory)).expect("files");
        let (_, certificates) = made.hand_out().expect("descriptors");
        let certificates = File::from(certificates.expect("TLS is spoken"));
        let mut certificates = &certificates;
        certificates.rewind().expect("a file");
        let read = parts::read(certificates, 2, PEM_BYTES_MAX).expect("two files");
        assert_eq!(read[0].len() as u64, PEM_BYTES_MAX);
        lengthen(PEM_BYTES_MAX + 1);
        let refused = ProxyFiles::make(&config(&directory)).map(drop);
        let told = refused.expect_err("too long").to_string();
        let named = format!("{}", chain.display());
        assert!(told.contains(&named) && told.contains("longer than"), "{told}");
        fs::remove_dir_all(directory).expect("a directory");
    }

    #[test]
    fn what_is_no_file_is_refused_by_name_and_nobody_waits_for_it() {
        let directory = files("proxy-files-none");
        let key = directory.join("secret.key");
        fs::remove_file(&key).expect("a key");
        let refused = |what: &str| {
            let refused = ProxyFiles::make(&config(&directory)).map(drop);
            let told = refused.expect_err("no key").to_string();
            let named = format!("{}", key.display());
            assert!(told.contains(&named) && told.contains(what), "{told}");
        };
        refused("");
        nix::unistd::mkfifo(&key, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        refused("not a regular file; name one");
        fs::remove_file(&key).expect("a FIFO");
        fs::create_dir(&key).expect("a directory");
        refused("directory");
        fs::remove_dir_all(directory).expect("a directory");
    }
}
