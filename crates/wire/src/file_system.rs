//! Which files may travel from a worker to the proxy: those that can be read without waiting for somebody
//! else.

/// Does a file system of this kind (`f_type` of statfs(2), its lower 32 bits) answer at once, from memory or
/// from a disk of this machine? The others (network file systems, FUSE, what the kernel makes up) may wait
/// for a server, or for a process of the application's own, for as long as that likes; what is not known
/// counts as one of them.
pub const fn answers_at_once(kind: u32) -> bool {
    matches!(
        kind,
        0xef53 // ext2, ext3, ext4
            | 0x5846_5342 // XFS
            | 0x9123_683e // Btrfs
            | 0x2fc1_2fc1 // ZFS
            | 0xf2f5_2010 // F2FS
            | 0xca45_1a4e // bcachefs
            | 0x5265_4973 // ReiserFS
            | 0x3153_464a // JFS
            | 0x7366_746e // NTFS
            | 0x2011_bab0 // exFAT
            | 0x4d44 // FAT
            | 0x9660 // ISO 9660
            | 0x1501_3346 // UDF
            | 0x7371_7368 // SquashFS
            | 0xe0f5_e1e2 // EROFS
            | 0x794c_7630 // overlayfs
            | 0x0102_1994 // tmpfs, and memory files
            | 0x8584_58f6 // ramfs
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_and_memory_answer_at_once_and_others_need_not() {
        for kind in [0xef53, 0x0102_1994, 0x794c_7630] {
            assert!(answers_at_once(kind), "{kind:#x}");
        }
        for (kind, name) in [
            (0x9fa0, "proc"),
            (0x6573_5546, "FUSE"),
            (0x6969, "NFS"),
            (0xff53_4d42, "CIFS"),
            (0x0102_1997, "9p"),
            (0, "nothing"),
        ] {
            assert!(!answers_at_once(kind), "{name}");
        }
    }
}
