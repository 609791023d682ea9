//! Symbolic links that `symlinks = "inside"` refuses, each told once.

use std::{path::PathBuf, sync::Mutex};

use super::walk::Link;

/// Names the link in the error log: without that a 404 for a file that is there is a riddle. Once, because a
/// client may ask for it as often as it likes.
pub(super) fn tell(link: &Link) {
    if is_news(&TOLD, link) {
        tracing::warn!(
            link = %link.path.display(),
            target = %link.target.display(),
            "a symbolic link leads out of its files root and is refused; symlinks = \"follow\" serves it"
        );
    }
}

fn is_news(told: &Mutex<Vec<PathBuf>>, link: &Link) -> bool {
    // A thread that panicked with it left a list all the same.
    let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let news = told.len() < LINKS_MAX && !told.contains(&link.path);
    if news {
        told.push(link.path.clone());
    }
    news
}

static TOLD: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Whoever can make links must not fill the log and the memory either.
const LINKS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_link_is_news_once_and_only_so_many_are() {
        let told = Mutex::default();
        let link = |number: usize| Link {
            path: number.to_string().into(),
            target: "/etc/passwd".into(),
        };
        for number in 0..LINKS_MAX {
            assert!(
                is_news(&told, &link(number)) && !is_news(&told, &link(number)),
                "{number}"
            );
        }
        assert!(!is_news(&told, &link(LINKS_MAX)));
    }
}
