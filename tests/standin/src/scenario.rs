//! What is odd or goes wrong in this run: data, in `scenario.json` of the state directory, read again whenever
//! it changed. Which fault strikes a session is decided here and nowhere else.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::{Config, Delays};
use crate::dialect::{Dialect, DialectConfig};

/// The whole file; all of it may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Scenario {
    version: Option<String>,
    /// Instead of the configuration's.
    dialect: Option<DialectConfig>,
    /// Over the configuration's.
    delays_ms: Map<String, Value>,
    output: Vec<Oddity>,
    faults: Vec<Fault>,
    /// The status text of a node, word for word, whatever its state is.
    pub(crate) status: BTreeMap<String, String>,
    pub(crate) bmc_failed: Vec<String>,
    /// What happens when a node is installed next.
    installs: BTreeMap<String, Install>,
    pub(crate) provisioning: Provisioning,
}

/// Something about the output that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Oddity {
    /// Events in the middle of an answer, also with `--hide-events`.
    Events,
    /// Colours, also with `--color=no`.
    Colour,
    /// Each command before its answer, also without `-x`.
    Echo,
    /// Cells cut at sixteen characters, in JSON as well.
    Cut,
    /// A column in which no row has a value is left out; in JSON, an empty value.
    MissingColumns,
}

/// A fault, and when it strikes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) what: What,
    /// Only a session whose commands have this text.
    #[serde(default)]
    at: String,
    /// Not the first so many of those.
    #[serde(default)]
    skip: u32,
    /// Not more often than this; always if left out.
    #[serde(default)]
    times: Option<u32>,
    /// The text of a warning or of a refusal.
    #[serde(default)]
    pub(crate) text: Option<String>,
}

impl Fault {
    /// One that strikes the session it is given to.
    pub(crate) fn of(what: What) -> Self {
        Self {
            what,
            at: String::new(),
            skip: 0,
            times: None,
            text: None,
        }
    }
}

/// What can go wrong in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// No connection.
    NoDaemon,
    /// The certificate's profile allows nothing.
    NotPermitted,
    /// The certificate's profile allows to look only.
    ReadOnly,
    /// No word, and nothing done.
    Hang,
    /// Half of the answer, and all done.
    HangHalfWay,
    /// No word, and all done.
    HangAtTheEnd,
    /// The answer ends half-way.
    HalfAnswer,
    /// All done, and the connection lost before the answer.
    LostAnswer,
    /// The texts of a failover, and nothing done.
    SessionEnded,
    /// The texts of a failover, and all done.
    SessionEndedLate,
    /// The table of a refused commit; the object stays modified.
    Refused,
    /// Done, with a warning.
    Warning,
    /// Said to be done, and not done.
    NoEffect,
    /// A commit says nothing and does nothing: the object stays modified.
    LeftModified,
}

/// What happens to a node in the node-installer or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    Fails,
    Unreachable,
    /// A question at the console that cmsh cannot answer.
    Console,
    /// It is called up, and nothing more is heard of it.
    NeverUp,
    /// Once up, it goes down and is installed FULL again.
    FullAgain,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Install {
    what: Fate,
    #[serde(default)]
    times: Option<u32>,
}

/// The provisioning subsystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Provisioning {
    /// How many nodes are provisioned at once; any number if left out.
    pub(crate) slots: Option<usize>,
    pub(crate) locked_images: Vec<String>,
}

/// The scenario in force, with what it leaves to the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    pub(crate) scenario: Scenario,
    pub(crate) version: String,
    pub(crate) dialect: Dialect,
    pub(crate) delays: Delays,
}

impl Settled {
    fn of(scenario: Scenario, config: &Config) -> Result<Self, String> {
        Ok(Self {
            version: scenario
                .version
                .clone()
                .unwrap_or_else(|| config.version.clone()),
            dialect: scenario
                .dialect
                .as_ref()
                .unwrap_or(&config.dialect)
                .settle(),
            delays: config.delays_ms.with(&scenario.delays_ms)?,
            scenario,
        })
    }

    pub(crate) fn output(&self) -> Vec<Oddity> {
        self.scenario.output.clone()
    }

    /// What is in store for a node that is being installed, if anything.
    pub(crate) fn in_store(&self, node: &str) -> Option<Fate> {
        self.scenario.installs.get(node).map(|install| install.what)
    }
}

/// Reads a scenario as the daemon would.
pub(crate) fn read(path: &Path) -> Result<Scenario, String> {
    let shown = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| shown(&e))?;
    let scenario: Scenario = serde_json::from_str(&text).map_err(|e| shown(&e))?;
    Delays::default()
        .with(&scenario.delays_ms)
        .map_err(|e| shown(&e))?;
    Ok(scenario)
}

/// When a file changed, as far as one can see without reading it.
type Stamp = Option<(i64, i64, u64)>;

#[derive(Debug)]
struct Current {
    stamp: Stamp,
    settled: Arc<Settled>,
    problem: Option<String>,
    /// How often each fault's text was met, and each node installed.
    met: BTreeMap<usize, u32>,
    installed: BTreeMap<String, u32>,
}

/// Keeps the scenario, and counts.
#[derive(Debug)]
pub(crate) struct Stage {
    path: PathBuf,
    current: Mutex<Current>,
}

impl Stage {
    pub(crate) fn open(dir: &Path, config: &Config) -> Result<Self, String> {
        let settled = Arc::new(Settled::of(Scenario::default(), config)?);
        let current = Current {
            stamp: None,
            settled,
            problem: None,
            met: BTreeMap::new(),
            installed: BTreeMap::new(),
        };
        Ok(Self {
            path: dir.join("scenario.json"),
            current: Mutex::new(current),
        })
    }

    fn look<T>(&self, config: &Config, then: impl FnOnce(&mut Current) -> T) -> T {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = std::fs::metadata(&self.path).ok();
        let stamp = stamp.map(|file| (file.mtime(), file.mtime_nsec(), file.ino()));
        if stamp != current.stamp {
            current.stamp = stamp;
            current.met.clear();
            current.installed.clear();
            let read = stamp.map_or(Ok(Scenario::default()), |_| read(&self.path));
            match read.and_then(|scenario| Settled::of(scenario, config)) {
                Ok(settled) => (current.settled, current.problem) = (Arc::new(settled), None),
                Err(problem) => current.problem = Some(problem),
            }
        }
        then(&mut current)
    }

    pub(crate) fn now(&self, config: &Config) -> Arc<Settled> {
        self.look(config, |current| Arc::clone(&current.settled))
    }

    /// The fault that strikes a session with these commands; an error when the scenario cannot be read.
    pub(crate) fn strike(&self, config: &Config, commands: &str) -> Result<Option<Fault>, String> {
        self.look(config, |current| {
            if let Some(problem) = &current.problem {
                return Err(problem.clone());
            }
            let faults = &current.settled.scenario.faults;
            for (at, fault) in faults.iter().enumerate() {
                if !commands.contains(&fault.at) {
                    continue;
                }
                let met = current.met.entry(at).or_default();
                *met += 1;
                let over = fault
                    .times
                    .is_some_and(|times| *met > fault.skip.saturating_add(times));
                if *met > fault.skip && !over {
                    return Ok(Some(fault.clone()));
                }
            }
            Ok(None)
        })
    }

    /// What happens to a node that is being installed now.
    pub(crate) fn fate(&self, config: &Config, node: &str) -> Option<Fate> {
        self.look(config, |current| {
            let install = current.settled.scenario.installs.get(node)?;
            let count = current.installed.entry(node.to_owned()).or_default();
            *count += 1;
            let strikes = install.times.is_none_or(|times| *count <= times);
            strikes.then_some(install.what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_readme_is_valid_and_misspelt_ones_are_not() {
        let readme = include_str!("../README.md");
        let example = readme.split("```json\n").nth(2).unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let scenario: Scenario = serde_json::from_str(example).unwrap();
        assert!(!scenario.faults.is_empty() && !scenario.installs.is_empty());
        assert!(Delays::default().with(&scenario.delays_ms).is_ok());
        for wrong in [
            r#"{ "fault": [] }"#,
            r#"{ "faults": [{ "what": "explode" }] }"#,
            r#"{ "faults": [{ "what": "hang", "when": "commit" }] }"#,
            r#"{ "output": ["color"] }"#,
        ] {
            assert!(serde_json::from_str::<Scenario>(wrong).is_err(), "{wrong}");
        }
        let delays = serde_json::from_str(r#"{ "bot": 1 }"#).unwrap();
        assert!(Delays::default().with(&delays).is_err());
    }

    #[test]
    fn a_fault_strikes_where_and_as_often_as_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let config = r#"{ "head": { "name": "head", "ip": "10.141.255.254" } }"#;
        let config: Config = serde_json::from_str(config).unwrap();
        let stage = Stage::open(dir.path(), &config).unwrap();
        let strikes = |text: &str| stage.strike(&config, text).map(|fault| fault.is_some());
        assert_eq!(strikes("commit"), Ok(false));
        let text = r#"{ "faults": [{ "what": "hang", "at": "commit", "skip": 1, "times": 2 }] }"#;
        std::fs::write(dir.path().join("scenario.json"), text).unwrap();
        let struck: Vec<_> = (0..5).map(|_| strikes("x; commit").unwrap()).collect();
        assert_eq!(struck, [false, true, true, false, false]);
        assert_eq!(strikes("list"), Ok(false));
        std::fs::write(dir.path().join("scenario.json.new"), "{").unwrap();
        std::fs::rename(
            dir.path().join("scenario.json.new"),
            dir.path().join("scenario.json"),
        )
        .unwrap();
        assert!(strikes("list").unwrap_err().contains("scenario.json"));
    }
}
