//! From the first message of the supervisor to a proxy that could accept.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Seek},
    iter,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::Arc,
};

use config::{PEM_BYTES_MAX, ProxyConfig};
use logs::{AccessLog, error_log};
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{Gid, Uid, setgid, setgroups, setuid},
};
use rustix::{
    process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal},
    thread::{CapabilitySet, CapabilitySets, set_capabilities},
};
use wire::{
    control::{Secret, ToProxy},
    parts,
};

use crate::{
    control::{Control, ControlError},
    listening::Listening,
    tls::{self, ListenerTls, Pem, TlsError, UpstreamServersTls},
};

/// What the supervisor gives to a new proxy.
pub(crate) struct Boot {
    /// Counts the proxies of this supervisor.
    pub(crate) generation: u64,
    config: File,
    certificates: Option<File>,
    access_log: Option<File>,
    error_log: Option<File>,
    addresses: HashMap<String, Vec<IpAddr>>,
    listeners: Vec<(usize, OwnedFd)>,
    ticket_secret: Secret,
}

/// A process that has all it needed privileges for.
pub(crate) struct Ready {
    pub(crate) config: ProxyConfig,
    pub(crate) tls: Vec<Option<ListenerTls>>,
    pub(crate) upstream_tls: Vec<UpstreamServersTls>,
    /// Where names of upstream servers led to before this process was started.
    pub(crate) addresses: HashMap<String, Vec<IpAddr>>,
    pub(crate) listening: Vec<Arc<Listening>>,
    pub(crate) access_log: AccessLog,
}

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    /// The supervisor.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The configuration.
    #[error(
        "the proxy cannot read the configuration that the supervisor has handed over: {0}; the two are not of the same build: \
         stop the server and start it again"
    )]
    Config(io::Error),
    /// Certificates and keys.
    #[error("the certificates that the supervisor has handed over cannot be read: {0}")]
    Certificates(io::Error),
    /// A listener that the configuration does not have.
    #[error("a socket came for listener {0}, which the configuration does not have")]
    Listener(usize),
    /// A log.
    #[error(transparent)]
    Log(#[from] logs::Error),
    /// Certificates and keys.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A system call on the way to fewer privileges.
    #[error("{step} as user {user} (uid {uid}, gid {gid}): {error}")]
    Privileges {
        /// Which step.
        step: &'static str,
        /// Name as configured.
        user: String,
        /// Its uid.
        uid: u32,
        /// Its gid.
        gid: u32,
        /// What the system said.
        error: io::Error,
    },
    /// Threads and loops.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}

impl Boot {
    /// Receives everything.
    pub(crate) fn receive(control: &Control) -> Result<Self, BootError> {
        let (message, descriptors) = control.receive()?;
        let ToProxy::Boot {
            certificates,
            names,
            listeners,
            generation,
            access_log,
            error_log,
            ticket_secret,
        } = message
        else {
            return Err(ControlError::Unexpected(Box::new(message)).into());
        };
        let mut descriptors = descriptors.into_iter();
        let mut next = |name| descriptors.next().ok_or(ControlError::NoDescriptor(name));
        let config = File::from(next("the configuration")?);
        let certificates = certificates
            .then(|| next("the certificates"))
            .transpose()?
            .map(File::from);
        let access_log = access_log
            .then(|| next("the access log"))
            .transpose()?
            .map(File::from);
        let error_log = error_log
            .then(|| next("the error log"))
            .transpose()?
            .map(File::from);
        let mut known = HashMap::new();
        for _ in 0..names {
            match control.receive()? {
                (ToProxy::Addresses { host, addresses }, _) => known.insert(host, addresses),
                (message, _) => return Err(ControlError::Unexpected(Box::new(message)).into()),
            };
        }
        let mut sockets = Vec::new();
        for _ in 0..listeners {
            match control.receive()? {
                (ToProxy::Listener { index }, descriptors) => {
                    let socket = descriptors.into_iter().next();
                    let socket = socket.ok_or(ControlError::NoDescriptor("a listener"))?;
                    sockets.push((usize::try_from(index).unwrap_or(usize::MAX), socket));
                }
                (message, _) => return Err(ControlError::Unexpected(Box::new(message)).into()),
            }
        }
        Ok(Self {
            generation,
            config,
            certificates,
            access_log,
            error_log,
            addresses: known,
            listeners: sockets,
            ticket_secret,
        })
    }

    /// Reads the configuration and starts the error log; what fails after this can be told there, too.
    pub(crate) fn start_log(&mut self) -> Result<(ProxyConfig, error_log::Guard), BootError> {
        // A proxy that died has left the offset of these descriptors at the end.
        let mut bytes = Vec::new();
        let config = self
            .config
            .rewind()
            .and_then(|()| self.config.read_to_end(&mut bytes))
            .and_then(|_| ProxyConfig::from_bytes(&bytes))
            .map_err(BootError::Config)?;
        let guard = error_log::init(&config.error_log, "proxy", self.error_log.take())?;
        Ok((config, guard))
    }

    /// Does everything that needs privileges, then gives them up.
    pub(crate) fn prepare(mut self, config: ProxyConfig) -> Result<Ready, BootError> {
        let certificates = self.certificates(&config)?;
        let access_log = match &config.access_log {
            Some(log) => AccessLog::new(log, self.access_log)?,
            None => AccessLog::off(),
        };
        let tls = tls::listeners(&config, &certificates, &self.ticket_secret.0)?;
        let (upstream_tls, warning) = tls::servers(&config.upstreams)?;
        if let Some(warning) = warning {
            tracing::warn!("{warning}");
        }
        let listening = self.listeners.into_iter().map(|(index, socket)| {
            let listener = config.listeners.get(index).ok_or(BootError::Listener(index))?;
            Ok(Arc::new(Listening::new(index, socket, listener)))
        });
        let listening = listening.collect::<Result<_, BootError>>()?;
        raise_descriptor_limit();
        become_user(&config)?;
        keep_nothing()?;
        Ok(Ready {
            config,
            tls,
            upstream_tls,
            addresses: self.addresses,
            listening,
            access_log,
        })
    }

    /// What stands in the files of each certificate and its key.
    fn certificates(&mut self, config: &ProxyConfig) -> Result<Vec<Pem>, BootError> {
        let Some(mut file) = self.certificates.take() else {
            return Ok(Vec::new());
        };
        let count = config.tls.certificates.len();
        let parts = file
            .rewind()
            .and_then(|()| parts::read(file, 2 * count, PEM_BYTES_MAX))
            .map_err(BootError::Certificates)?;
        let mut parts = parts.into_iter();
        Ok(iter::from_fn(|| {
            let (chain, key) = (parts.next()?, parts.next()?);
            Some(Pem { chain, key })
        })
        .collect())
    }
}

/// A connection is a descriptor; the soft limit of old is for programs that use select(2).
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(())
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "limit of open files could not be raised");
    }
}

/// Becomes the configured user when started as root. Groups first: afterwards nobody may change them.
fn become_user(config: &ProxyConfig) -> Result<(), BootError> {
    let Some(user) = config.server.user.as_ref().filter(|_| Uid::effective().is_root()) else {
        return Ok(());
    };
    let failed = |step| {
        move |error: nix::Error| BootError::Privileges {
            step,
            user: user.name.clone(),
            uid: user.uid,
            gid: user.gid,
            error: error.into(),
        }
    };
    let groups: Vec<_> = user.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).map_err(failed("groups can not be set"))?;
    setgid(Gid::from_raw(user.gid)).map_err(failed("group can not be set"))?;
    setuid(Uid::from_raw(user.uid)).map_err(failed("user can not be set"))?;
    // Changing the user has cleared it: the death of the supervisor is to be ours.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| BootError::System("death signal can not be set", error.into()))
}

/// Gives up what our starter gave a process that is not root (ports below 1024, keys that others may
/// not read), and hides, which a change of user may have undone: the keys are in this memory, and
/// applications may run as the same user.
fn keep_nothing() -> Result<(), BootError> {
    if !Uid::effective().is_root() {
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        // The ambient set goes with them. This thread loses them, and those that it starts from now on; the
        // writers of the logs, which run already, give up their own.
        set_capabilities(None, none)
            .map_err(|error| BootError::System("capabilities cannot be given up", error.into()))?;
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| BootError::System("memory cannot be hidden", error.into()))
}
