use super::*;
use crate::digest::Digest;
use crate::names::RunId;

fn actor() -> Actor {
    Actor {
        tool: "test 0".into(),
        host: "head".into(),
        user: "root".into(),
        pid: 1,
    }
}

fn opened(format: Format) -> Entry {
    let run = RunId::parse("01936f6e-0000-7000-8000-000000000001").unwrap();
    Entry::Opened {
        format,
        run,
        plan: Digest::of(b"plan"),
        by: actor(),
    }
}

fn unit(n: u32) -> UnitId {
    UnitId::new(format!("stop/node{n:03}")).unwrap()
}

/// A journal with four records.
fn sample() -> Vec<u8> {
    let store = MemoryStore::default();
    let at = jiff::Timestamp::UNIX_EPOCH;
    let mut journal = Journal::begin(Box::new(store.clone()), at, opened(JOURNAL_FORMAT)).unwrap();
    journal.intend(at, &unit(1), Baseline::default()).unwrap();
    let done = Entry::Done {
        unit: unit(1),
        acted: true,
        seen: "stopped".into(),
    };
    journal.write(at, done).unwrap();
    journal
        .write(
            at,
            Entry::Halted {
                reason: "by hand".into(),
            },
        )
        .unwrap();
    store.bytes()
}

/// Whoever acts knows where in the journal it is written that he may.
#[test]
fn a_permit_names_its_record() {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let store = Box::new(MemoryStore::default());
    let mut journal = Journal::begin(store, at, opened(JOURNAL_FORMAT)).unwrap();
    for record in 1..4 {
        let unit = unit(7);
        let permit = journal.intend(at, &unit, Baseline::default()).unwrap();
        assert_eq!((permit.unit(), permit.record()), (&unit, record));
    }
}

#[test]
fn every_error_says_what_to_do_next() {
    let place = || "the journal".to_owned();
    let (fault, found) = (place(), Format { major: 9, minor: 9 });
    let (doing, source) = ("written", io::Error::other("full"));
    let (seen, by, line) = (place(), None, 2);
    let errors = [
        (JournalError::Poisoned { place: place() }, "then resume"),
        (
            JournalError::Overtaken {
                place: place(),
                seen,
                by,
            },
            "`restore-runbook status`",
        ),
        (
            JournalError::Damaged {
                place: place(),
                line,
                fault: place(),
            },
            "do not edit it",
        ),
        (JournalError::Empty { place: place() }, "from a copy"),
        (
            JournalError::Foreign {
                place: place(),
                fault,
            },
            "the newer restore-runbook",
        ),
        (
            JournalError::Newer {
                place: place(),
                found,
            },
            "the release of restore-runbook",
        ),
        (
            JournalError::Io {
                place: place(),
                doing,
                source,
            },
            "then resume",
        ),
    ];
    for (error, advice) in errors {
        assert!(
            error.hint().contains(advice),
            "{}: {}",
            error.code(),
            error.hint()
        );
    }
}

fn read(bytes: &[u8]) -> Result<History, JournalError> {
    History::read(bytes, "test")
}

#[test]
fn what_is_written_is_read() {
    let history = read(&sample()).unwrap();
    assert_eq!(history.records.len(), 4);
    assert_eq!(history.torn_bytes, 0);
    assert!(matches!(history.records[3].entry, Entry::Halted { .. }));
}

#[test]
fn every_truncation_is_a_prefix_or_empty() {
    let bytes = sample();
    let whole = read(&bytes).unwrap().records;
    for len in 0..bytes.len() {
        match read(&bytes[..len]) {
            Ok(history) => {
                let kept = history.records.len();
                assert_eq!(history.records, whole[..kept], "cut at {len}");
                let lines = bytes[..len].split(|byte| *byte == b'\n').count() - 1;
                // A line that lost only its line feed is whole, and kept.
                assert!(kept == lines || kept == lines + 1, "cut at {len}");
            }
            Err(error) => assert_eq!(error.code(), "journal-empty", "cut at {len}"),
        }
    }
}

#[test]
fn every_bit_flip_is_refused() {
    let bytes = sample();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let code = read(&flipped).unwrap_err().code();
            let known = ["journal-damaged", "journal-empty"].contains(&code);
            assert!(known, "{at}:{bit}: {code}");
        }
    }
}

#[test]
fn a_dropped_or_swapped_line_is_refused() {
    let bytes = sample();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
    let dropped = [lines[0], lines[2], lines[3]].concat();
    let swapped = [lines[0], lines[2], lines[1], lines[3]].concat();
    for broken in [dropped, swapped] {
        assert_eq!(read(&broken).unwrap_err().code(), "journal-damaged");
    }
}

#[test]
fn a_torn_line_is_cut_before_going_on() {
    let mut bytes = sample();
    let whole = bytes.len();
    bytes.extend_from_slice(b"{\"hash\":\"0123");
    let store = MemoryStore::over(bytes);
    let (mut journal, history) = Journal::reopen(Box::new(store.clone())).unwrap();
    assert_eq!(history.torn_bytes, 13);
    assert_eq!(store.bytes().len(), whole);
    journal
        .write(jiff::Timestamp::UNIX_EPOCH, Entry::Resumed { by: actor() })
        .unwrap();
    assert_eq!(read(&store.bytes()).unwrap().records.len(), 5);
}

/// A power cut may leave the end of the last write on the disk, and zeroes where a sector before it was to be.
#[test]
fn a_last_line_with_a_hole_in_it_is_torn_and_any_other_one_is_damaged() {
    let bytes = sample();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
    let (_, before) = lines.split_last().unwrap();
    let last = before.concat().len();
    for hole in [
        last..last + 8,
        last..last + 1,
        last + 40..last + 48,
        last + 8..bytes.len() - 1,
    ] {
        let mut torn = bytes.clone();
        torn[hole].fill(0);
        let store = MemoryStore::over(torn);
        let (_, history) = Journal::reopen(Box::new(store.clone())).unwrap();
        assert_eq!(history.records.len(), 3);
        assert_eq!(store.bytes(), before.concat());
    }
    let mut damaged = bytes;
    damaged[last - 20..last - 10].fill(0);
    assert_eq!(read(&damaged).unwrap_err().code(), "journal-damaged");
}

#[test]
fn a_lost_line_feed_is_mended_before_going_on() {
    let mut bytes = sample();
    bytes.pop();
    let store = MemoryStore::over(bytes);
    let (mut journal, history) = Journal::reopen(Box::new(store.clone())).unwrap();
    assert_eq!(history.records.len(), 4);
    journal
        .write(jiff::Timestamp::UNIX_EPOCH, Entry::Resumed { by: actor() })
        .unwrap();
    assert_eq!(read(&store.bytes()).unwrap().records.len(), 5);
}

#[test]
fn a_newer_minor_version_is_readable_but_not_writable() {
    let store = MemoryStore::default();
    let at = jiff::Timestamp::UNIX_EPOCH;
    let newer = Format {
        minor: JOURNAL_FORMAT.minor + 1,
        ..JOURNAL_FORMAT
    };
    Journal::begin(Box::new(store.clone()), at, opened(newer)).unwrap();
    assert_eq!(read(&store.bytes()).unwrap().format, newer);
    assert_eq!(
        Journal::reopen(Box::new(store)).unwrap_err().code(),
        "journal-newer"
    );
}

/// A line as written, with an entry that this build does not know.
fn strange_line(before: Option<&Record>) -> Vec<u8> {
    let prev = before.map_or(record::GENESIS, |record| &record.hash);
    let seq = before.map_or(0, |record| record.seq + 1);
    let covered = format!(
        r#","prev":"{prev}","seq":{seq},"at":"2027-01-01T00:00:00Z","entry":{{"kind":"dreamt"}}}}"#
    );
    let hash = Digest::of(covered.as_bytes()).hex();
    format!("{{\"hash\":\"{hash}\"{covered}\n").into_bytes()
}

/// A later build of the same major version may write what this one does not know; nobody else may.
#[test]
fn a_strange_entry_is_read_only_where_a_newer_build_wrote() {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let with_one = |minor: u32| {
        let store = MemoryStore::default();
        let format = Format {
            minor,
            ..JOURNAL_FORMAT
        };
        Journal::begin(Box::new(store.clone()), at, opened(format)).unwrap();
        let begun = read(&store.bytes()).unwrap();
        [store.bytes(), strange_line(begun.records.last())].concat()
    };
    let newer = read(&with_one(JOURNAL_FORMAT.minor + 1)).unwrap();
    assert_eq!(newer.records[1].entry, Entry::Unknown);
    let Err(JournalError::Damaged { line, .. }) = read(&with_one(JOURNAL_FORMAT.minor)) else {
        panic!("it is damaged");
    };
    assert_eq!(line, 2);
    // Where not even the first line is known, it is no journal of this tool, or a much newer one.
    assert_eq!(
        read(&strange_line(None)).unwrap_err().code(),
        "journal-foreign"
    );
}

#[test]
fn another_major_version_is_refused() {
    let store = MemoryStore::default();
    let other = Format {
        major: JOURNAL_FORMAT.major + 1,
        minor: 0,
    };
    Journal::begin(
        Box::new(store.clone()),
        jiff::Timestamp::UNIX_EPOCH,
        opened(other),
    )
    .unwrap();
    assert_eq!(read(&store.bytes()).unwrap_err().code(), "journal-newer");
}

/// A store whose disk fills up after some appends.
struct Full(MemoryStore, usize);

impl JournalStore for Full {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        self.0.load()
    }
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.1 == 0 {
            self.0.append(&line[..line.len() / 2])?;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.1 -= 1;
        self.0.append(line)
    }
    fn check(&mut self) -> io::Result<()> {
        self.0.check()
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
    fn settle(&mut self) -> io::Result<()> {
        self.0.settle()
    }
    fn place(&self) -> String {
        "full".into()
    }
}

#[test]
fn a_failed_write_gives_no_permit_and_poisons_the_handle() {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let store = MemoryStore::default();
    let full = Full(store.clone(), 1);
    let mut journal = Journal::begin(Box::new(full), at, opened(JOURNAL_FORMAT)).unwrap();
    let first = journal
        .intend(at, &unit(1), Baseline::default())
        .unwrap_err();
    assert_eq!(first.code(), "journal-io");
    let second = journal
        .intend(at, &unit(1), Baseline::default())
        .unwrap_err();
    assert_eq!(second.code(), "journal-poisoned");
    let (_, history) = Journal::reopen(Box::new(store)).unwrap();
    assert_eq!(history.records.len(), 1);
    assert!(history.torn_bytes > 0);
}

#[test]
fn a_file_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let at = jiff::Timestamp::UNIX_EPOCH;
    let store = FileStore::create(&path).unwrap();
    assert_eq!(store.place(), path.display().to_string());
    let journal = Journal::begin(Box::new(store), at, opened(JOURNAL_FORMAT)).unwrap();
    assert_eq!(
        FileStore::open(&path).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    assert_eq!(read(&peek(&path).unwrap()).unwrap().records.len(), 1);
    drop(journal);
    assert!(FileStore::open(&path).is_ok());
    assert!(FileStore::create(&path).is_err());
}

/// Who has worked on the run, whether his life said that it ends, and whether anything may have been changed.
#[test]
fn a_journal_tells_its_lives() {
    let (at, store) = (jiff::Timestamp::UNIX_EPOCH, MemoryStore::default());
    let mut journal = Journal::begin(Box::new(store.clone()), at, opened(JOURNAL_FORMAT)).unwrap();
    let reason = "by hand".into();
    journal.write(at, Entry::Halted { reason }).unwrap();
    let by = Actor { pid: 2, ..actor() };
    journal.write(at, Entry::Resumed { by }).unwrap();
    assert!(read(&store.bytes()).unwrap().changed_nothing());
    journal.intend(at, &unit(1), Baseline::default()).unwrap();
    assert_eq!(
        format!("{journal:?}"),
        format!("Journal({}, next record 4)", store.place())
    );
    let history = read(&store.bytes()).unwrap();
    let lives: Vec<_> = history
        .lives()
        .iter()
        .map(|life| (life.by.pid, life.ended))
        .collect();
    assert_eq!(lives, [(1, true), (2, false)]);
    assert!(!history.changed_nothing());
}

/// No reader would take it: what is written can be read.
#[test]
fn a_line_is_as_long_as_one_that_is_read() {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let with = |length: usize| {
        let store = MemoryStore::default();
        let first = opened(JOURNAL_FORMAT);
        let mut journal = Journal::begin(Box::new(store.clone()), at, first).unwrap();
        let begun = store.bytes().len();
        let reason = "x".repeat(length);
        let written = journal.write(at, Entry::Halted { reason }).map(drop);
        (written, store.bytes().len() - begun)
    };
    let (_, shortest) = with(0);
    let longest = LINE_LIMIT_BYTES - shortest;
    let (written, line) = with(longest);
    assert_eq!((written.is_ok(), line), (true, LINE_LIMIT_BYTES));
    let (written, line) = with(longest + 1);
    assert_eq!((written.unwrap_err().code(), line), ("journal-io", 0));
}

/// Whatever a reason is made of, four thousand characters of it fit: each may be written in six bytes.
#[test]
fn a_reason_of_control_characters_fits_a_line() {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let store = Box::new(MemoryStore::default());
    let mut journal = Journal::begin(store, at, opened(JOURNAL_FORMAT)).unwrap();
    let reason = "\u{1b}".repeat(4096);
    journal.write(at, Entry::Halted { reason }).unwrap();
}

/// Whoever wrote a longer line was not this program.
#[test]
fn a_longer_line_than_is_written_is_refused() {
    let of = |length: usize| {
        let reason = "x".repeat(length);
        let at = jiff::Timestamp::UNIX_EPOCH;
        let (_, line) = Record::after(None, at, Entry::Halted { reason }).unwrap();
        line.strip_suffix(b"\n").unwrap().to_vec()
    };
    let longest = LINE_LIMIT_BYTES - of(0).len();
    for (length, fits) in [(longest, true), (longest + 1, false), (longest + 9, false)] {
        let line = of(length);
        assert_eq!(Record::read(&line, None, false).is_ok(), fits, "{length}");
    }
}

/// Nothing is read without an end: a file of holes costs whoever made it nothing.
#[test]
fn a_file_over_the_limit_is_no_journal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(64 * 1024 * 1024).unwrap();
    assert_eq!(peek(&path).unwrap().len(), 64 * 1024 * 1024);
    file.set_len(64 * 1024 * 1024 + 1).unwrap();
    let refused = peek(&path).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
}

/// A store that another life has written to: these bytes.
struct Taken(MemoryStore, Vec<u8>);

impl JournalStore for Taken {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.1.clone())
    }
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.append(line)
    }
    fn check(&mut self) -> io::Result<()> {
        Err(io::Error::other(Overtaken("it is longer".into())))
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
    fn settle(&mut self) -> io::Result<()> {
        self.0.settle()
    }
    fn place(&self) -> String {
        "taken".into()
    }
}

/// Only a life that began behind our last record has overtaken us; and nothing is written any more.
#[test]
fn who_was_overtaken_says_by_whom_and_stops() {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let other = MemoryStore::default();
    let mut theirs = Journal::begin(Box::new(other.clone()), at, opened(JOURNAL_FORMAT)).unwrap();
    for (pid, overtakes) in [(7, false), (8, true)] {
        let by = Actor { pid, ..actor() };
        theirs.write(at, Entry::Resumed { by }).unwrap();
        let taken = Taken(MemoryStore::default(), other.bytes());
        let mut ours = Journal::begin(Box::new(taken), at, opened(JOURNAL_FORMAT)).unwrap();
        ours.write(at, Entry::Resumed { by: actor() }).unwrap();
        let Err(JournalError::Overtaken { by, .. }) = ours.still_ours() else {
            panic!("it is theirs");
        };
        assert_eq!(by.map(|by| by.pid), overtakes.then_some(pid));
        let reason = String::new();
        let more = ours.write(at, Entry::Halted { reason });
        assert_eq!(more.unwrap_err().code(), "journal-poisoned");
        assert_eq!(ours.still_ours().unwrap_err().code(), "journal-poisoned");
    }
}

/// Nobody has gone on with a journal that only cannot be looked at.
#[test]
fn what_cannot_be_looked_at_is_not_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let mut store = FileStore::create(&path).unwrap();
    std::fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    let gone = store.check().unwrap_err();
    assert!(Overtaken::of(&gone).unwrap().0.contains("gone"), "{gone}");
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    let refused = store.check().unwrap_err();
    assert_eq!(Overtaken::of(&refused), None, "{refused}");
}

/// Two handles on one memory are two lives: each notices the other's hand, also one that leaves the same length.
#[test]
fn a_journal_in_memory_notices_another_hand() {
    let mut ours = MemoryStore::over(b"one\n".to_vec());
    let mut theirs = ours.clone();
    assert_eq!(ours.place(), "memory");
    theirs.truncate(0).unwrap();
    theirs.append(b"two\n").unwrap();
    for refused in [ours.check(), ours.settle(), ours.append(b"three\n")] {
        assert!(Overtaken::of(&refused.unwrap_err()).is_some());
    }
    assert_eq!(ours.load().unwrap(), b"two\n");
    ours.append(b"three\n").unwrap();
    assert!(theirs.check().is_err());
    assert_eq!(ours.bytes(), b"two\nthree\n");
}

/// The kernel's own files take bytes and cannot be synced: its refusal tells that it was asked.
#[test]
fn what_a_file_is_given_is_synced() {
    let kernels = |path: &str| {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        (file, std::path::Path::new(path).to_owned())
    };
    let (mut name, _) = kernels("/proc/thread-self/comm");
    let (mut score, path) = kernels("/proc/self/oom_score_adj");
    let same = std::fs::read(&path).unwrap();
    let tried = [
        Medium::sync(&mut name),
        name.cut(0),
        score.again(&path, 0, &same),
        sync_directory(&path),
    ];
    let invalid = rustix::io::Errno::INVAL.raw_os_error();
    for (at, tried) in tried.into_iter().enumerate() {
        assert_eq!(tried.unwrap_err().raw_os_error(), Some(invalid), "{at}");
    }
    // A bare name lies in the current directory.
    sync_directory(std::path::Path::new("journal.jsonl")).unwrap();
}
