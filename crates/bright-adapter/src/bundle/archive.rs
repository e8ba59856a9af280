//! The file: a gzipped tar archive, written and read in memory.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use runbook_core::text::shortened;
use rustix::fs::OFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tar::{Archive, Builder, EntryType, Header};

use super::redact::Redactor;
use super::{Bundle, Exchange, FORMAT, Proof};
use crate::doctor::{Report, Settings};

/// The largest archive that is read, in bytes.
const PACKED_BYTES: u64 = 64 << 20;
/// The most that it may hold, in bytes. What is parsed of it takes several times as much. Half of it is
/// written at most.
const PLAIN_BYTES: u64 = 64 << 20;
/// Its parts with the most of each, in bytes: the first and the last are short, and hold lists.
const PARTS: [(&str, u64); 3] = [
    ("bundle.json", 4 << 20),
    ("exchanges.jsonl", PLAIN_BYTES),
    ("doctor.json", 8 << 20),
];
/// The most nodes that it may name: a replay asks each of them, and compares what they say.
const NODES: usize = 1000;
/// The most entries that are looked at.
const ENTRIES: usize = 64;

const README: &str = "\
This is what `restore-runbook doctor` asked and was answered, to go with a report to its project.
Names and addresses of machines are pseudonyms; keys, passwords and tokens are taken out. Read it
before you send it: all of it is text. docs/doctor.md says what is in it.

  bundle.json       what was looked at, with which program, and the proofs of snapshots
  exchanges.jsonl   one question and its answer per line
  doctor.json       what the doctor made of it
";

/// Why a bundle cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is something of that name already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// The file cannot be written or read.
    #[error("{} cannot be used", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no bundle, or a damaged one.
    #[error("this is no bundle: {0}")]
    NotOne(String),
    /// It is larger than any bundle should be.
    #[error("it is larger than a bundle may be")]
    TooLarge,
    /// It was written by a newer program.
    #[error("it has format {0}, and this program reads up to {FORMAT}")]
    Newer(u32),
}

impl BundleError {
    /// The stable error code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Exists(_) => "bundle-exists",
            Self::Io { .. } => "bundle-io",
            Self::NotOne(_) => "bundle-not-one",
            Self::TooLarge => "bundle-too-large",
            Self::Newer(_) => "bundle-newer",
        }
    }
}

/// What `bundle.json` of any build begins with.
#[derive(Deserialize)]
struct Format {
    #[serde(default)]
    format: u32,
}

/// `bundle.json`.
#[derive(Serialize, Deserialize)]
struct Front {
    format: u32,
    tool: String,
    settings: Settings,
    proofs: Vec<Proof>,
}

impl Bundle {
    /// Redacts all of it, and gives what is left: what is written, and what a replay sees.
    ///
    /// `names` are names of machines besides those that the report has met.
    ///
    /// # Errors
    /// [`BundleError::NotOne`] where it cannot be written down, which is a fault of this program.
    pub fn redacted(&self, names: &[String]) -> Result<Self, BundleError> {
        let met = self.report.names.iter().map(String::as_str);
        let mut redactor = Redactor::new(met.chain(names.iter().map(String::as_str)));
        let mut all = json!({
            "settings": value(&self.settings)?,
            "exchanges": value(&self.exchanges)?,
            "proofs": value(&self.proofs)?,
            "report": value(&self.report)?,
        });
        redactor.learn(&all);
        redactor.learned();
        redactor.redact(&mut all);
        Ok(Self {
            tool: self.tool.clone(),
            settings: back(all["settings"].take())?,
            exchanges: back(all["exchanges"].take())?,
            proofs: back(all["proofs"].take())?,
            report: back(all["report"].take())?,
        })
    }

    /// Writes a file that only its owner can read, and that was not there before.
    ///
    /// It is written as it is: see [`Bundle::redacted`].
    ///
    /// # Errors
    /// [`BundleError`] when there is such a file, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), BundleError> {
        let packed = self.packed()?;
        let io = |source: io::Error| BundleError::Io {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(path);
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(BundleError::Exists(path.to_owned()));
            }
            other => other.map_err(io)?,
        };
        let written = file.write_all(&packed).and_then(|()| file.sync_all());
        written.map_err(|error| {
            // Half a bundle is worse than none; that it cannot be removed either adds nothing.
            let _ = std::fs::remove_file(path);
            io(error)
        })
    }

    fn packed(&self) -> Result<Vec<u8>, BundleError> {
        let front = Front {
            format: FORMAT,
            tool: self.tool.clone(),
            settings: self.settings.clone(),
            proofs: self.proofs.clone(),
        };
        let mut lines = String::new();
        for exchange in &self.exchanges {
            lines.extend([value(exchange)?.to_string(), "\n".into()]);
        }
        let texts = [
            format!("{:#}\n", value(&front)?),
            lines,
            format!("{:#}\n", value(&self.report)?),
        ];
        let too_long = |(text, (_, most)): (&String, (&str, u64))| text.len() as u64 > most;
        if texts.iter().map(|text| text.len() as u64).sum::<u64>() > PLAIN_BYTES / 2
            || texts.iter().zip(PARTS).any(too_long)
        {
            return Err(BundleError::TooLarge);
        }
        let parts = PARTS.iter().map(|(name, _)| *name).zip(texts);
        let files = [("README", README.to_owned())].into_iter().chain(parts);
        let odd = |error: io::Error| BundleError::NotOne(shortened(&error.to_string()));
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (name, text) in files {
            let mut header = Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(self.settings.at.as_second().try_into().unwrap_or(0));
            builder
                .append_data(&mut header, name, text.as_bytes())
                .map_err(odd)?;
        }
        let encoder = builder.into_inner().map_err(odd)?;
        encoder.finish().map_err(odd)
    }

    /// Reads a bundle, whoever made it.
    ///
    /// # Errors
    /// [`BundleError`] when it cannot be read, is none, is too large, or newer than this program.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let io = |source| BundleError::Io {
            path: path.to_owned(),
            source,
        };
        // Opening a FIFO would wait for its other end.
        let nonblock = OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        let opened = options.read(true).custom_flags(nonblock).open(path);
        let file = opened.map_err(io)?;
        let about = file.metadata().map_err(io)?;
        if !about.is_file() {
            return Err(BundleError::NotOne("it is no ordinary file".into()));
        }
        if about.len() > PACKED_BYTES {
            return Err(BundleError::TooLarge);
        }
        Self::unpacked(file.take(PACKED_BYTES))
    }

    /// The same from any bytes.
    ///
    /// # Errors
    /// As [`Bundle::read`].
    pub fn unpacked(packed: impl Read) -> Result<Self, BundleError> {
        Self::unpacked_within(packed, PLAIN_BYTES)
    }

    fn unpacked_within(packed: impl Read, plain_bytes: u64) -> Result<Self, BundleError> {
        let plain = GzDecoder::new(packed).take(plain_bytes);
        let mut found: [Option<String>; 3] = [None, None, None];
        let mut archive = Archive::new(plain);
        for entry in archive
            .entries()
            .map_err(|error| damaged(&error))?
            .take(ENTRIES)
        {
            let mut entry = entry.map_err(|error| damaged(&error))?;
            if entry.header().entry_type() != EntryType::Regular {
                continue;
            }
            // Nothing is unpacked: a path only tells which of three texts this is.
            let Some(at) = PARTS
                .iter()
                .position(|(name, _)| name.as_bytes() == &*entry.path_bytes())
            else {
                continue;
            };
            let size = entry
                .header()
                .entry_size()
                .map_err(|error| damaged(&error))?;
            if size > PARTS[at].1 {
                return Err(BundleError::TooLarge);
            }
            let mut text = String::new();
            entry
                .read_to_string(&mut text)
                .map_err(|error| damaged(&error))?;
            // The end of what may be read looks like the end of the file.
            if (text.len() as u64) < size {
                return Err(BundleError::TooLarge);
            }
            found[at] = Some(text);
        }
        let [Some(front), Some(lines), Some(report)] = found else {
            return Err(BundleError::NotOne("a part of it is missing".into()));
        };
        match parsed::<Format>(&front)?.format {
            0 => return Err(BundleError::NotOne("it names no format".into())),
            format if format > FORMAT => return Err(BundleError::Newer(format)),
            _ => {}
        }
        let front: Front = parsed(&front)?;
        if front.settings.nodes.len() > NODES {
            return Err(BundleError::TooLarge);
        }
        let exchanges: Result<Vec<Exchange>, _> = lines.lines().map(parsed).collect();
        let report: Report = parsed(&report)?;
        Ok(Self {
            tool: front.tool,
            settings: front.settings,
            exchanges: exchanges?,
            proofs: front.proofs,
            report,
        })
    }
}

fn damaged(error: &io::Error) -> BundleError {
    BundleError::NotOne(shortened(&error.to_string()))
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, BundleError> {
    serde_json::from_str(text).map_err(|error| BundleError::NotOne(shortened(&error.to_string())))
}

fn value(of: &impl Serialize) -> Result<Value, BundleError> {
    serde_json::to_value(of).map_err(|error| BundleError::NotOne(shortened(&error.to_string())))
}

fn back<T: DeserializeOwned>(value: Value) -> Result<T, BundleError> {
    serde_json::from_value(value)
        .map_err(|error| BundleError::NotOne(shortened(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use runbook_core::names::{AbsPath, ClusterLabel};

    use super::*;

    fn bundle() -> Bundle {
        let pki = AbsPath::new("/etc/kubernetes/pki/default").unwrap();
        let label = ClusterLabel::new("default").unwrap();
        Bundle {
            tool: "test 1".into(),
            settings: Settings::new(Timestamp::UNIX_EPOCH, label, &pki).unwrap(),
            exchanges: Vec::new(),
            proofs: Vec::new(),
            report: Report {
                at: Timestamp::UNIX_EPOCH,
                findings: Vec::new(),
                names: Vec::new(),
            },
        }
    }

    /// An archive of these entries.
    fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, kind, bytes) in entries {
            let mut header = Header::new_ustar();
            // Past the builder, which would refuse such a path.
            header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn code(packed: &[u8]) -> &'static str {
        Bundle::unpacked(packed).unwrap_err().code()
    }

    #[test]
    fn what_is_written_is_read_and_never_over_something() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.tgz");
        bundle().write(&file).unwrap();
        assert_eq!(Bundle::read(&file).unwrap(), bundle());
        let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().unwrap());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(bundle().write(&file).unwrap_err().code(), "bundle-exists");
        let nowhere = dir.path().join("no/b.tgz");
        assert_eq!(bundle().write(&nowhere).unwrap_err().code(), "bundle-io");
        assert_eq!(
            Bundle::read(dir.path()).unwrap_err().code(),
            "bundle-not-one"
        );
    }

    /// Other names, links and devices are passed over; nothing is ever unpacked.
    #[test]
    fn a_path_leads_nowhere() {
        let regular = EntryType::Regular;
        let strangers: &[(&str, EntryType, &[u8])] = &[
            ("../../etc/passwd", regular, b"x"),
            ("/bundle.json", regular, b"x"),
            ("bundle.json", EntryType::Symlink, b""),
            ("exchanges.jsonl", EntryType::Char, b""),
        ];
        assert_eq!(code(&archive(strangers)), "bundle-not-one");
        let mut whole = strangers.to_vec();
        let front = serde_json::to_vec(&Front {
            format: FORMAT,
            tool: "test 1".into(),
            settings: bundle().settings,
            proofs: Vec::new(),
        });
        let (front, report) = (
            front.unwrap(),
            serde_json::to_vec(&bundle().report).unwrap(),
        );
        whole.extend([
            ("bundle.json", regular, &*front),
            ("exchanges.jsonl", regular, b""),
            ("doctor.json", regular, &*report),
        ]);
        assert_eq!(Bundle::unpacked(&*archive(&whole)).unwrap(), bundle());
    }

    #[test]
    fn what_is_none_or_too_much_is_refused() {
        let whole = bundle().packed().unwrap();
        for end in [0, 1, 20, whole.len() / 2] {
            assert_eq!(code(&whole[..end]), "bundle-not-one", "{end}");
        }
        let regular = EntryType::Regular;
        let of = |front: &str| {
            archive(&[
                ("bundle.json", regular, front.as_bytes()),
                ("exchanges.jsonl", regular, b""),
                ("doctor.json", regular, b"{}"),
            ])
        };
        assert_eq!(code(&of("{\"format\":2}")), "bundle-newer");
        let newer = r#"{"format":2,"settings":[0,0],"proofs":7}"#;
        assert_eq!(code(&of(newer)), "bundle-newer");
        for front in [
            "",
            "[]",
            "{}",
            "{\"format\":0}",
            "{\"format\":-1}",
            "{\"format\":1}",
        ] {
            assert_eq!(code(&of(front)), "bundle-not-one", "{front}");
        }
    }

    /// A small file that would be large: as much is read of it as may be, and no more.
    #[test]
    fn a_bomb_does_not_go_off() {
        const LIMIT: u64 = 1 << 20;
        let mut header = Header::new_ustar();
        header.set_path("exchanges.jsonl").unwrap();
        header.set_size(LIMIT * 10);
        header.set_cksum();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(header.as_bytes()).unwrap();
        let spaces = vec![b' '; 2 * usize::try_from(LIMIT).unwrap()];
        encoder.write_all(&spaces).unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 10_000);
        let refused = Bundle::unpacked_within(&*bomb, LIMIT).unwrap_err();
        assert_eq!(refused.code(), "bundle-too-large");
    }
}
