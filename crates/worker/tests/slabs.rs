//! The slabs that a worker knows, without an interpreter.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::fs::FileExt},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use shm::Reader;
use slabs::Slabs;

#[path = "../src/engine/slabs.rs"]
mod slabs;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A memory file of this length that begins with `bytes`.
fn file(len: u64, bytes: &[u8], seals: SealFlags) -> File {
    let file = memfd_create("body", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a file");
    ftruncate(&file, len).expect("a length");
    fcntl_add_seals(&file, seals).expect("seals");
    let file = File::from(file);
    file.write_all_at(bytes, 0).expect("written");
    file
}

fn slab(bytes: &[u8]) -> File {
    file(1 << 20, bytes, SealFlags::SHRINK | SealFlags::GROW)
}

/// Each time another descriptor, as they come from a link.
fn descriptor(of: &File) -> OwnedFd {
    of.try_clone().expect("a duplicate").into()
}

/// How often this file is mapped by this process.
fn maps(of: &File) -> usize {
    use std::os::unix::fs::MetadataExt;
    let inode = of.metadata().expect("a file").ino().to_string();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    maps.lines()
        .filter(|line| line.contains("/memfd:body") && line.split_whitespace().nth(4) == Some(&inode))
        .count()
}

/// The first bytes of a slab.
fn begin(map: &Reader) -> [u8; 5] {
    let mut begin = [0; 5];
    map.bytes(5).expect("five bytes").copy_to(&mut begin);
    begin
}

#[test]
fn a_slab_is_mapped_once_when_it_comes_again() {
    let (slabs, slab) = (Slabs::default(), slab(b"first"));
    assert!(slabs.find(&descriptor(&slab)).is_none());
    assert_eq!(maps(&slab), 0);
    let map = slabs.find(&descriptor(&slab)).expect("mapped");
    assert_eq!(begin(&map), *b"first");
    slab.write_all_at(b"later", 0).expect("written");
    let again = slabs.find(&descriptor(&slab)).expect("mapped");
    assert!(Arc::ptr_eq(&map, &again));
    assert_eq!(begin(&again), *b"later");
    assert_eq!(maps(&slab), 1);
}

#[test]
fn what_is_cleared_goes_with_the_last_who_has_it() {
    for forget in [Slabs::clear, Slabs::disown] {
        let (slabs, kept, idle) = (Slabs::default(), slab(b"kept"), slab(b"idle"));
        for slab in [&kept, &idle] {
            assert!(slabs.find(&descriptor(slab)).is_none());
        }
        assert!(slabs.find(&descriptor(&idle)).is_some());
        let map = slabs.find(&descriptor(&kept)).expect("mapped");
        forget(&slabs);
        assert_eq!((maps(&kept), maps(&idle)), (1, 0));
        assert_eq!(begin(&map), *b"kept\0");
        drop(map);
        assert_eq!(maps(&kept), 0);
        assert!(slabs.find(&descriptor(&kept)).is_none());
    }
}

#[test]
fn a_file_that_may_change_its_length_is_not_mapped() {
    let slabs = Slabs::default();
    let unsealed = file(1 << 20, b"x", SealFlags::empty());
    let grows_not = file(1 << 20, b"x", SealFlags::GROW);
    let shrinks_not = file(1 << 20, b"x", SealFlags::SHRINK);
    let on_disk = tempfile::tempfile().expect("a file");
    on_disk.set_len(1 << 20).expect("a length");
    for file in [unsealed, grows_not, shrinks_not, on_disk] {
        for _ in 0..3 {
            assert!(slabs.find(&descriptor(&file)).is_none());
        }
    }
}

#[test]
fn only_a_length_that_a_slab_has_is_mapped() {
    let slabs = Slabs::default();
    for len in [0, (16 << 20) + 1, 1 << 60] {
        let odd = file(len, b"", SealFlags::SHRINK | SealFlags::GROW);
        for _ in 0..3 {
            assert!(slabs.find(&descriptor(&odd)).is_none(), "{len}");
        }
    }
}

#[test]
fn a_map_has_no_more_than_its_file() {
    let slabs = Slabs::default();
    let small = file(6000, b"small", SealFlags::SHRINK | SealFlags::GROW);
    assert!(slabs.find(&descriptor(&small)).is_none());
    let map = slabs.find(&descriptor(&small)).expect("mapped");
    assert_eq!(map.bytes(6000).map(|bytes| bytes.len()), Some(6000));
    assert!(map.bytes(6001).is_none());
}

#[test]
fn beyond_the_bound_slabs_are_not_mapped_until_the_next_rest() {
    let slabs = Slabs::default();
    let all: Vec<File> = (0..20).map(|_| slab(b"x")).collect();
    let mapped = |slab: &File| slabs.find(&descriptor(slab)).is_some();
    assert_eq!(all.iter().filter(|slab| mapped(slab)).count(), 0);
    for _ in 0..2 {
        let mapped: Vec<bool> = all.iter().map(&mapped).collect();
        assert!(mapped[..16].iter().all(|mapped| *mapped));
        assert!(mapped[16..].iter().all(|mapped| !*mapped));
    }
    slabs.clear();
    assert!(!mapped(&all[19]));
    assert!(mapped(&all[19]));
}
