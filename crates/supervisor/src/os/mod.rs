//! The edge to the kernel: one wrapper per system call, safe signatures, owned descriptors. The only unsafe code of this
//! crate is below this folder.

pub(crate) mod allocator;
pub(crate) mod descriptors;
pub(crate) mod fork;
pub(crate) mod inherited;
pub(crate) mod open_files;
pub(crate) mod packet;
pub(crate) mod privileges;
pub(crate) mod proc;
pub(crate) mod signals;
pub(crate) mod spawn;
pub(crate) mod wait;
