//! A made-up machine: four processors, a few users, every file there except those with `missing` in their
//! path, and one link: `/srv/site/current` leads to `/srv/releases/7`.

use std::{
    io,
    path::{Path, PathBuf},
};

use config::{Config, Identity, Problems, Surroundings};

pub(crate) struct MadeUp {
    pub(crate) root: bool,
    pub(crate) env_file: &'static str,
    pub(crate) open_files_max: u64,
}

impl Default for MadeUp {
    fn default() -> Self {
        Self {
            root: true,
            env_file: "SECRET_KEY='from the file'\nDEBUG=0\n",
            open_files_max: 524_288,
        }
    }
}

impl MadeUp {
    /// Reads `text` as `/srv/site/site.toml`.
    pub(crate) fn config(&self, text: &str) -> Result<Config, Problems> {
        Config::parse_in(self, text, Path::new("/srv/site/site.toml"))
    }
}

/// Reads a text that has no problem.
pub(crate) fn read(text: &str) -> Config {
    MadeUp::default()
        .config(text)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

impl Surroundings for MadeUp {
    fn is_root(&self) -> bool {
        self.root
    }

    fn uid(&self) -> u32 {
        if self.root { 0 } else { 1001 }
    }

    fn user(&self, name: &str) -> Option<Identity> {
        let (uid, groups, home) = match name {
            "www-data" | "33" => (33, vec![33, 50], "/var/www"),
            "mysite" | "blog" | "shop" | "chat" | "api" | "gateway" => (1001, vec![1001], "/srv"),
            _ => return None,
        };
        Some(Identity {
            name: name.to_owned(),
            uid,
            gid: uid,
            groups,
            home: Some(PathBuf::from(home)),
        })
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "staff").then_some(50)
    }

    fn cpus(&self) -> usize {
        4
    }

    fn is_directory(&self, path: &Path) -> bool {
        !missing(path) && !path.ends_with("python3")
    }

    fn is_file(&self, path: &Path) -> bool {
        !missing(path) && !path.ends_with("venv/pyvenv.cfg")
    }

    fn is_executable(&self, path: &Path) -> bool {
        !missing(path)
    }

    fn closed(&self, _: &Path) -> Option<String> {
        None
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        if missing(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let text = path.to_string_lossy();
        Ok(text.replace("/srv/site/current", "/srv/releases/7").into())
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        if missing(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if path.extension().is_some_and(|extension| extension == "pem") {
            return Ok("-----BEGIN CERTIFICATE-----\n".to_owned());
        }
        Ok(self.env_file.to_owned())
    }

    fn read_for_app(&self, path: &Path) -> io::Result<String> {
        self.read(path)
    }

    fn variable(&self, name: &str) -> Option<String> {
        (name == "PATH").then(|| "/opt/missing:/usr/bin".to_owned())
    }

    fn temp_dir(&self) -> PathBuf {
        PathBuf::from("/tmp")
    }

    fn open_files_max(&self) -> u64 {
        self.open_files_max
    }
}

fn missing(path: &Path) -> bool {
    path.to_string_lossy().contains("missing")
}
