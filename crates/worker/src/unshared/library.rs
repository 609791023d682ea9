//! Which library a thread that Python does not know belongs to.
//!
//! A thread that waits has the addresses of its callers on its stack; the innermost one that is not the C
//! library's tells whose thread it is. A guess, but one that needs no list of libraries.

use std::{fs::File, os::unix::fs::FileExt, time::Duration};

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// How much of a stack is looked at.
const STACK_MAX: usize = 8 << 10;

/// How often threads that run are looked at again, a millisecond apart; all of them together, since a pool of
/// spinning threads may have hundreds. On a busy machine a thread that has just been started runs only later.
const LOOKS: u32 = 200;

/// Libraries whose code runs in everybody's threads.
const SYSTEM: [&str; 7] = [
    "libc.so",
    "libc-",
    "libpthread",
    "ld-",
    "libstdc++",
    "libgcc_s",
    "libm.",
];

/// Variables with which a library starts no threads.
const WAYS_OUT: [(&str, &str); 5] = [
    ("libgomp", "OMP_NUM_THREADS"),
    ("libomp", "OMP_NUM_THREADS"),
    ("libiomp5", "OMP_NUM_THREADS"),
    ("libopenblas", "OPENBLAS_NUM_THREADS"),
    ("libscipy_openblas", "OPENBLAS_NUM_THREADS"),
];

/// One word for all threads of each library.
pub(crate) fn of_threads(tasks: &[u32]) -> Vec<String> {
    let _seen = Seen::begin();
    let code = Code::of_this_process();
    let mut looks = LOOKS;
    let mut counted: Vec<(String, usize)> = Vec::new();
    for &task in tasks {
        let name = code.of(task, &mut looks).unwrap_or_else(|| "C code".to_owned());
        match counted.iter_mut().find(|(same, _)| *same == name) {
            Some((_, count)) => *count += 1,
            None => counted.push((name, 1)),
        }
    }
    counted
        .into_iter()
        .map(|(name, count)| {
            let threads = if count == 1 { "thread" } else { "threads" };
            match WAYS_OUT.iter().find(|(library, _)| name.starts_with(library)) {
                Some((_, variable)) => {
                    format!("{count} {threads} of {name} (none with env = {{ {variable} = \"1\" }})")
                }
                None => format!("{count} {threads} of {name}"),
            }
        })
        .collect()
}

/// While it is there, this process does not hide: in one that does, only root may read what its threads do.
struct Seen;

impl Seen {
    fn begin() -> Self {
        // Where the kernel refuses, the names are missing.
        let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
        Self
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Where code is in memory, by file name.
#[derive(Debug)]
struct Code {
    ranges: Vec<(u64, u64, String)>,
}

impl Code {
    fn of_this_process() -> Self {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Self {
            ranges: maps.lines().filter_map(range).collect(),
        }
    }

    /// The library of a thread. One that runs is asked again, as long as there are `looks`: it may just have
    /// been started.
    fn of(&self, task: u32, looks: &mut u32) -> Option<String> {
        loop {
            let found = self.innermost(task);
            if found.is_some() || *looks == 0 {
                return found;
            }
            *looks -= 1;
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn innermost(&self, task: u32) -> Option<String> {
        // "number argument... stack-pointer program-counter"; "running" where it does not wait.
        let call = std::fs::read_to_string(format!("/proc/self/task/{task}/syscall")).ok()?;
        let pointer = call.split_whitespace().rev().nth(1)?;
        let pointer = u64::from_str_radix(pointer.strip_prefix("0x")?, 16).ok()?;
        let mut stack = vec![0; STACK_MAX];
        let read = File::open("/proc/self/mem")
            .ok()?
            .read_at(&mut stack, pointer)
            .ok()?;
        stack[..read]
            .chunks_exact(8)
            .filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?)))
            .find_map(|word| self.library(word))
            .map(str::to_owned)
    }

    /// The library that this address is in, if it is not one that everybody's code calls.
    fn library(&self, address: u64) -> Option<&str> {
        let (_, _, name) = self
            .ranges
            .iter()
            .find(|(from, to, _)| (*from..*to).contains(&address))?;
        let system = SYSTEM.iter().any(|system| name.starts_with(system));
        (!system).then_some(name)
    }
}

/// A line of `/proc/self/maps` that is code of a file.
fn range(line: &str) -> Option<(u64, u64, String)> {
    let mut fields = line.split_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    fields.next().filter(|rights| rights.contains('x'))?;
    let file = fields.nth(3)?.rsplit_once('/')?.1;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(from)?, number(to)?, file.to_owned()))
}
