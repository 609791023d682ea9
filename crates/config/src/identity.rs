//! The user that proxy and workers run as.

use std::{ffi::CString, path::PathBuf};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist, getgroups};
use serde::{Deserialize, Serialize};

/// A user and the groups a process gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Name as written (or the number).
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// All groups, the primary one included.
    pub groups: Vec<u32>,
    /// Home directory, when the user database knows one.
    #[serde(with = "crate::serialised_path::optional")]
    pub home: Option<PathBuf>,
}

impl Identity {
    /// Who this process is now.
    pub fn current() -> Self {
        let (uid, gid) = (Uid::effective(), Gid::effective());
        let user = User::from_uid(uid).ok().flatten();
        let mut groups: Vec<u32> = getgroups()
            .unwrap_or_default()
            .into_iter()
            .map(Gid::as_raw)
            .collect();
        if !groups.contains(&gid.as_raw()) {
            groups.push(gid.as_raw());
        }
        Self {
            name: user
                .as_ref()
                .map_or_else(|| uid.to_string(), |user| user.name.clone()),
            uid: uid.as_raw(),
            gid: gid.as_raw(),
            groups,
            home: user.map(|user| user.dir),
        }
    }

    /// The user of this name or number.
    pub(crate) fn from_database(name: &str) -> Option<Self> {
        let user = match name.parse() {
            Ok(uid) => User::from_uid(Uid::from_raw(uid)),
            Err(_) => User::from_name(name),
        };
        let user = user.ok().flatten()?;
        let groups = CString::new(user.name.as_str())
            .ok()
            .and_then(|name| getgrouplist(&name, user.gid).ok());
        Some(Self {
            name: name.to_owned(),
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups
                .unwrap_or_else(|| vec![user.gid])
                .into_iter()
                .map(Gid::as_raw)
                .collect(),
            home: Some(user.dir),
        })
    }

    /// A user that no database knows, as containers have them: its group has the same number unless one is given.
    pub(crate) fn from_number(uid: u32) -> Self {
        Self {
            name: uid.to_string(),
            uid,
            gid: uid,
            groups: vec![uid],
            home: None,
        }
    }

    /// The same user with another primary group.
    pub(crate) fn with_group(mut self, gid: u32) -> Self {
        self.groups.retain(|group| *group != gid);
        self.groups.insert(0, gid);
        self.gid = gid;
        self
    }

    /// Name of a user id, or its number.
    pub(crate) fn user_name(uid: u32) -> String {
        User::from_uid(Uid::from_raw(uid))
            .ok()
            .flatten()
            .map_or_else(|| uid.to_string(), |user| user.name)
    }

    /// Name of a group id, or its number.
    pub(crate) fn group_name(gid: u32) -> String {
        Group::from_gid(Gid::from_raw(gid))
            .ok()
            .flatten()
            .map_or_else(|| gid.to_string(), |group| group.name)
    }
}
