//! The end of a log, whichever it is: lines come in, and go into a file.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use crate::channel::{Channel, Then};

/// The target of what is said here.
pub(crate) const TARGET: &str = module_path!();

/// A file that fails is tried again after this long, then twice as long, up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);

/// The longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The pause between two waits for a reader.
const STUCK_PAUSE: Duration = Duration::from_millis(10);

/// A file that keeps failing is told about once in this time.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A reader that does not read is told about after this time.
const TELL_STUCK_AFTER: Duration = Duration::from_secs(5);

/// Writes the lines of one log, on a thread that may wait for a file. Its end is the log's end.
#[derive(Debug)]
pub(crate) struct Writer {
    channel: Arc<Channel>,
    trouble: Option<Trouble>,
    gave_up: bool,
    told_dropped: u64,
    told_dropped_at: Option<Instant>,
}

/// The file does not take what it should.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    told: Option<Instant>,
    retry: Duration,
}

impl Writer {
    pub(crate) fn new(channel: Arc<Channel>) -> Self {
        Self {
            channel,
            trouble: None,
            gave_up: false,
            told_dropped: 0,
            told_dropped_at: None,
        }
    }

    /// Writes whole lines: comes back when they are in a file, or given up because the log is closed.
    pub(crate) fn write(&mut self, mut lines: &[u8]) {
        while !lines.is_empty() {
            let (_, bytes) = self.channel.output();
            let (now, later) = lines.split_at(bytes.min(lines.len()));
            self.write_until_done(now);
            self.channel.end(now.len());
            lines = later;
        }
    }

    /// Writes lines that belong in one file, or all in a later one when this one fails.
    fn write_until_done(&mut self, lines: &[u8]) {
        let mut written = 0;
        while !self.gave_up {
            let (output, _) = self.channel.output();
            let Err(error) = output.write(lines, &mut written) else {
                self.recovered();
                return;
            };
            if self.channel.replace_early() {
                // From the start of the line that was cut.
                written = whole_lines(&lines[..written]);
            } else {
                self.gave_up = self.failed(&error) == Then::GiveUp;
            }
        }
        self.channel.room.count_dropped(count(&lines[written..]));
    }

    /// The file did not take a line.
    fn failed(&mut self, error: &io::Error) -> Then {
        let now = Instant::now();
        let trouble = self.trouble.get_or_insert(Trouble {
            since: now,
            told: None,
            retry: RETRY_MIN,
        });
        let stuck = error.kind() == io::ErrorKind::WouldBlock;
        let too_early = stuck && now - trouble.since < TELL_STUCK_AFTER;
        if !too_early && trouble.told.is_none_or(|told| now - told >= TELL_EVERY) {
            trouble.told = Some(now);
            let log = self.channel.log;
            if stuck {
                error!(log, "log is not being read, lines wait and then are dropped");
            } else {
                error!(log, %error, "log cannot be written, lines wait and then are dropped");
            }
        }
        let pause = trouble.retry;
        trouble.retry = (pause * 2).min(RETRY_MAX);
        // The wait for a reader is a pause by itself.
        let pause = if stuck { STUCK_PAUSE } else { pause };
        self.channel.pause(pause, trouble.told.is_some())
    }

    fn recovered(&mut self) {
        let Some(trouble) = self.trouble.take() else {
            return;
        };
        self.channel.recover();
        if trouble.told.is_some() {
            info!(log = self.channel.log, "log can be written again");
        }
    }

    /// Says how many lines a shortage of room has cost since it was last said, unless that was a moment ago.
    pub(crate) fn tell_dropped(&mut self) {
        if self
            .told_dropped_at
            .is_none_or(|told| told.elapsed() >= TELL_EVERY)
        {
            self.tell_dropped_now();
        }
    }

    /// Waits for more lines while there is something left to say about dropped ones, and says it in the end.
    pub(crate) fn wait_to_tell_dropped(&mut self) {
        if let Some(pause) = self.tells_dropped_in() {
            self.channel.wait_for_lines(pause);
            self.tell_dropped();
        }
    }

    /// How long until it is said that more lines were dropped; `None` when there is nothing to say.
    pub(crate) fn tells_dropped_in(&self) -> Option<Duration> {
        let told = self.told_dropped_at?;
        (self.channel.room.dropped() > self.told_dropped).then(|| TELL_EVERY.saturating_sub(told.elapsed()))
    }

    fn tell_dropped_now(&mut self) {
        let total = self.channel.room.dropped();
        let lines = total - self.told_dropped;
        if lines > 0 {
            self.told_dropped = total;
            self.told_dropped_at = Some(Instant::now());
            warn!(log = self.channel.log, lines, total, "log lines were dropped");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Before anybody goes on to end the error log.
        self.tell_dropped_now();
        self.channel.finish();
    }
}

/// The bytes of the whole lines that `bytes` begins with.
fn whole_lines(bytes: &[u8]) -> usize {
    let end = bytes.iter().rposition(|&byte| byte == b'\n');
    end.map_or(0, |end| end + 1)
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::{self, Read},
        os::fd::OwnedFd,
        thread,
    };

    use super::*;
    use crate::{open_for_append, output::Output, room::Room};

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn channel(file: File) -> Arc<Channel> {
        Arc::new(Channel::new("test", Room::new(1 << 20, 0), Output::new(file)))
    }

    fn full() -> File {
        File::options()
            .write(true)
            .open("/dev/full")
            .expect("the full device")
    }

    #[test]
    fn each_line_goes_to_the_file_of_its_position_in_whatever_pieces_lines_come() {
        let directory = tempfile::tempdir().expect("directory");
        let path = |number: usize| directory.path().join(number.to_string());
        let file = |number: usize| open_for_append(&path(number)).expect("file");
        let channel = channel(file(0));
        channel.accept(4);
        channel.replace(file(1));
        channel.accept(2);
        channel.replace(file(2));
        // Nothing goes there.
        channel.replace(file(3));
        channel.accept(2);
        let mut writer = Writer::new(Arc::clone(&channel));
        writer.write(b"a\n");
        assert!(!channel.flush(Duration::ZERO));
        writer.write(b"b\nc\nd\n");
        assert!(channel.flush(Duration::ZERO));
        let texts = [0, 1, 2, 3].map(|number| fs::read_to_string(path(number)).expect("text"));
        assert_eq!(texts, ["a\nb\n", "c\n", "", "d\n"]);
    }

    #[test]
    fn a_file_is_closed_when_it_is_replaced_although_no_line_comes() {
        let (mut reader, file) = io::pipe().expect("pipe");
        let channel = channel(File::from(OwnedFd::from(file)));
        let mut writer = Writer::new(Arc::clone(&channel));
        channel.accept(2);
        writer.write(b"a\n");
        channel.replace(full());
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("its end");
        assert_eq!(text, "a\n");
    }

    #[test]
    fn a_full_disk_is_left_for_another_file_or_given_up_at_the_close() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("log");
        let channel = channel(full());
        let mut writer = Writer::new(Arc::clone(&channel));
        channel.accept(4);
        thread::scope(|scope| {
            scope.spawn(|| writer.write(b"a\nb\n"));
            // Nobody waits for a file that fails, and everybody for one that may not.
            assert!(!channel.flush(TIMEOUT));
            channel.replace(open_for_append(&path).expect("file"));
            assert!(channel.flush(TIMEOUT));
        });
        assert_eq!(fs::read_to_string(&path).expect("text"), "a\nb\n");

        channel.replace(full());
        channel.accept(4);
        assert!(channel.close(TIMEOUT));
        let start = Instant::now();
        writer.write(b"c\nd\n");
        assert!(start.elapsed() < TIMEOUT);
        assert_eq!(channel.room.dropped(), 2);
        drop(writer);
        assert!(!channel.wait_for_end(TIMEOUT));
    }
}
