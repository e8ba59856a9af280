//! What of a script's work a power cut may take back, whatever script it is. etcd-adapter's tests have it as
//! well.
//!
//! Nobody cuts the power of a test, so the script's programs tell what lies on the disk before and behind each
//! of them. What differs between two looks has changed, and is in doubt until a `sync` covers it. Two rules:
//! nothing that is in doubt gets another name, and at the end nothing is in doubt.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Every program with which a script changes names, owners and modes, or syncs. What it writes by itself
/// shows in the next look.
const PROGRAMS: [&str; 8] = ["mv", "ln", "rm", "rmdir", "mkdir", "chown", "chmod", "sync"];

/// Watches everything below a directory.
pub(crate) struct Watch(TempDir);

impl Watch {
    /// Watches from the first look on.
    pub(crate) fn over(root: &Path) -> Self {
        let watch = Self(TempDir::new().unwrap());
        let look = format!(
            "find {} -printf 'at\\t%y\\t%i\\t%s %T@\\t%m %U:%G\\t%p\\n' >>{log}\necho seen >>{log}\n",
            root.display(),
            log = watch.at("log").display()
        );
        fs::write(watch.at("look"), look).unwrap();
        watch
    }

    /// The programs to put before the real ones.
    pub(crate) fn programs(&self) -> [(&'static str, String); 8] {
        PROGRAMS.map(|name| (name, self.program(name, &format!("{name} \"$@\""))))
    }

    /// One of them that does this instead.
    pub(crate) fn program(&self, name: &str, does: &str) -> String {
        format!(
            "#!/bin/sh\n\
             PATH=/usr/bin:/bin own={own}\n\
             sh $own/look\n\
             if [ -e $own/left ]; then\n\
             read -r left <$own/left\n\
             if [ \"$left\" -eq 0 ]; then kill -9 $PPID; exit 1; fi\n\
             echo $((left - 1)) >$own/left\n\
             fi\n\
             {does}\n\
             status=$?\n\
             {{ printf 'ran\\t%s\\t{name}' $status; printf '\\t%s' \"$@\"; echo; }} >>$own/log\n\
             sh $own/look\n\
             exit $status\n",
            own = self.0.path().display()
        )
    }

    /// What runs next is killed before its program of this number.
    pub(crate) fn kill_before(&self, program: u32) {
        fs::write(self.at("left"), format!("{program}\n")).unwrap();
    }

    /// What runs next is not killed.
    pub(crate) fn let_live(&self) {
        fs::remove_file(self.at("left")).unwrap();
    }

    /// Everything that a power cut might have taken back, or might now.
    pub(crate) fn finds(&self) -> Vec<String> {
        self.look();
        let log = fs::read_to_string(self.at("log")).unwrap();
        let mut judge = Judge::default();
        log.lines().for_each(|line| judge.hears(line));
        assert!(judge.changes > 0, "nothing was watched:\n{log}");
        let doubts = judge.doubts.values();
        judge
            .found
            .extend(doubts.map(|what| format!("{what}: not synced")));
        judge.found
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What lies there at the first look has survived.
    pub(crate) fn look(&self) {
        let status = Command::new("sh").arg(self.at("look")).status();
        assert!(status.unwrap().success());
    }
}

type Inode = String;

/// Everything that lies there: its inode, and how it is.
type Disk = BTreeMap<PathBuf, (Inode, String)>;

#[derive(Default)]
struct Judge {
    /// As of the last look.
    disk: Disk,
    /// As far as this look has come.
    look: Disk,
    /// What may not be on the disk, and what of it.
    doubts: BTreeMap<Inode, String>,
    changes: usize,
    found: Vec<String>,
}

impl Judge {
    fn hears(&mut self, line: &str) {
        let words: Vec<&str> = line.split('\t').collect();
        match words[..] {
            ["at", kind, inode, data, meta, path] => {
                // Of a directory, what is in it shows by itself.
                let data = if kind == "d" { "" } else { data };
                let how = format!("{kind} {data} {meta}");
                self.look.insert(path.into(), (inode.into(), how));
            }
            ["seen"] => {
                let now = std::mem::take(&mut self.look);
                let before = std::mem::replace(&mut self.disk, now);
                if !before.is_empty() {
                    self.compare(&before);
                }
            }
            ["ran", "0", "sync", ref operands @ ..] => self.synced(operands),
            ["ran", ..] => {}
            _ => panic!("{line}"),
        }
    }

    fn synced(&mut self, operands: &[&str]) {
        match operands {
            [""] | ["-f", _] => self.doubts.clear(),
            ["--", paths @ ..] => {
                for path in paths {
                    // Without the slash at its end.
                    let path: PathBuf = Path::new(path).components().collect();
                    if let Some((inode, _)) = self.disk.get(&path) {
                        self.doubts.remove(inode);
                    }
                }
            }
            ["--help"] => {}
            other => panic!("no known way to sync: {other:?}"),
        }
    }

    fn compare(&mut self, before: &Disk) {
        let old: BTreeMap<_, _> = before.values().cloned().collect();
        for (path, (inode, how)) in &self.disk {
            if old.get(inode) != Some(how) {
                let what = path.display().to_string();
                self.doubts.insert(inode.clone(), what);
                self.changes += 1;
            }
        }
        let (names, now) = (entries(before), entries(&self.disk));
        for (path, (inode, _)) in &self.disk {
            let named_anew = entry(&self.disk, path).is_some_and(|it| !names.contains(&it));
            if named_anew && old.contains_key(inode) {
                let below = self.disk.iter().filter(|(at, _)| at.starts_with(path));
                for what in below.filter_map(|(_, (inode, _))| self.doubts.get(inode)) {
                    let path = path.display();
                    let what = format!("{what}: not synced before it was named {path}");
                    self.found.push(what);
                }
            }
        }
        let changed: BTreeSet<&Inode> = now
            .symmetric_difference(&names)
            .map(|(directory, ..)| *directory)
            .collect();
        self.changes += changed.len();
        for (path, (inode, _)) in &self.disk {
            if changed.contains(inode) {
                let what = format!("the names in {}", path.display());
                self.doubts.insert(inode.clone(), what);
            }
        }
        let there: BTreeSet<&Inode> = self.disk.values().map(|(inode, _)| inode).collect();
        self.doubts.retain(|inode, _| there.contains(inode));
    }
}

/// Which directory has which name for what.
type Entry<'a> = (&'a Inode, &'a OsStr, &'a Inode);

fn entry<'a>(disk: &'a Disk, path: &'a Path) -> Option<Entry<'a>> {
    let (directory, it) = (disk.get(path.parent()?)?, disk.get(path)?);
    Some((&directory.0, path.file_name()?, &it.0))
}

fn entries(disk: &Disk) -> BTreeSet<Entry<'_>> {
    disk.keys().filter_map(|path| entry(disk, path)).collect()
}
