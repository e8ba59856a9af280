//! Names and paths that end up in a cmsh script or a remote command line.
//!
//! Everything here is parsed once, at the edge, and carried as its own type afterwards. The accepted
//! alphabets are narrower than what Bright or Linux would take: cmsh interprets `!`, backticks,
//! `|`, `>` and `;` inside a batch (administrator manual, section 2.5.5), so a name that needs
//! quoting is refused by name instead of quoted and hoped for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name, path or URL that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {shown:?} is not usable: {rule}")]
pub struct NameError {
    /// What it was meant to be, as "node name".
    pub what: &'static str,
    /// The refused text, shortened and with control characters escaped when printed.
    pub shown: String,
    /// The rule it broke.
    pub rule: &'static str,
}

impl NameError {
    fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        let shown = text.chars().take(80).collect();
        Self { what, shown, rule }
    }

    /// The stable error code.
    pub const fn code(&self) -> &'static str {
        "name-refused"
    }
}

type Rule = fn(&str) -> Result<(), &'static str>;

/// A string newtype that can only hold what its rule accepts, also after deserialising.
macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// [`NameError`] when the text breaks the rule for this kind of name.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                let rule: Rule = $rule;
                match rule(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(rule) => Err(NameError::new($what, &text, rule)),
                }
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(
    /// A node's host name as Bright knows it, as `node001`.
    NodeName, "node name", host_rule
);
checked_name!(
    /// An etcd member's name (`--name`); Bright's default is the host name.
    MemberName, "member name", host_rule
);
checked_name!(
    /// A configuration overlay, as `kube-default-etcd`.
    OverlayName, "configuration overlay", word_rule
);
checked_name!(
    /// A node category, as `default`.
    CategoryName, "category", word_rule
);
checked_name!(
    /// The label this tool files a cluster's runs under, as `default`.
    ClusterLabel, "cluster label", word_rule
);
checked_name!(
    /// A systemd unit or Bright service, as `etcd`.
    ServiceName, "service name", word_rule
);
checked_name!(
    /// An environment module, as `etcd/kube-default/3.4.4`.
    ModuleName, "environment module", module_rule
);
checked_name!(
    /// `user:group` that must own the restored data, as `etcd:etcd`.
    Owner, "owner", owner_rule
);
checked_name!(
    /// An absolute, normalised path in a plain alphabet.
    AbsPath, "path", path_rule
);
checked_name!(
    /// A client or peer URL of etcd: scheme, host and port, nothing else.
    EtcdUrl, "etcd URL", url_rule
);
checked_name!(
    /// The name of one unit of a plan, as `reprovision/node001/reboot`.
    UnitId, "unit id", unit_rule
);

impl AbsPath {
    /// The sibling of this path with a suffix glued to its last component.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let path = Self(format!("{}{suffix}", self.0));
        debug_assert!(path_rule(&path.0).is_ok(), "suffixes come from this crate");
        path
    }

    /// This path with one more component.
    #[must_use]
    pub fn join(&self, component: &str) -> Self {
        self.with_suffix(&format!("/{component}"))
    }

    /// The directory that holds this path.
    #[must_use]
    pub fn parent(&self) -> Self {
        match self.0.rsplit_once('/') {
            Some(("", _)) | None => Self("/".into()),
            Some((dir, _)) => Self(dir.into()),
        }
    }
}

impl EtcdUrl {
    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.parsed()
            .and_then(|url| url.port_or_known_default())
            .unwrap_or(0)
    }

    /// The host part: an IP address or a name.
    pub fn host(&self) -> String {
        self.parsed()
            .and_then(|url| url.host_str().map(String::from))
            .unwrap_or_default()
    }

    fn parsed(&self) -> Option<url::Url> {
        url::Url::parse(&self.0).ok()
    }
}

impl Owner {
    /// The user and the group.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((&self.0, &self.0))
    }
}

fn letters(text: &str, max: usize, extra: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > max {
        return Err("it is too long");
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("it must begin with a letter or digit");
    }
    if !text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    {
        return Err("it holds a character that cmsh or a shell could take for a command");
    }
    Ok(())
}

fn host_rule(text: &str) -> Result<(), &'static str> {
    letters(text, 253, ".-")?;
    // cmsh takes `node001..node003` for three nodes (administrator manual 2.5.5).
    if text.split('.').any(str::is_empty) {
        return Err("it has an empty part between dots");
    }
    Ok(())
}

fn word_rule(text: &str) -> Result<(), &'static str> {
    letters(text, 128, "_.-")
}

fn unit_rule(text: &str) -> Result<(), &'static str> {
    letters(text, 600, "/_.-")
}

fn module_rule(text: &str) -> Result<(), &'static str> {
    if text.len() > 256 {
        return Err("it is too long");
    }
    text.split('/')
        .try_for_each(|part| letters(part, 128, "_.+-"))
}

fn owner_rule(text: &str) -> Result<(), &'static str> {
    let (user, group) = text
        .split_once(':')
        .ok_or("it must be written user:group")?;
    letters(user, 32, "_-")?;
    letters(group, 32, "_-")
}

fn path_rule(text: &str) -> Result<(), &'static str> {
    if !text.starts_with('/') {
        return Err("it must be absolute");
    }
    if text.len() > 1024 {
        return Err("it is longer than 1024 bytes");
    }
    if text == "/" {
        return Ok(());
    }
    for part in text[1..].split('/') {
        match part {
            "" => return Err("it has an empty component"),
            "." | ".." => return Err("it must not contain . or .. components"),
            _ if part.starts_with('-') => return Err("a component begins with a dash"),
            _ => {}
        }
    }
    if !text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-@%+=:,".contains(c))
    {
        return Err("only letters, digits and /._-@%+=:, are accepted in a path");
    }
    Ok(())
}

/// `scheme://`, a host name of 253 bytes, a port.
const URL_LIMIT_BYTES: usize = 280;

fn url_rule(text: &str) -> Result<(), &'static str> {
    if text.len() > URL_LIMIT_BYTES {
        return Err("it is too long");
    }
    // A URL's own alphabet is wider: a comma or an equals sign would make two members of one where
    // etcd is given `name=url,name=url`, and `$(id)` passes for a host there.
    let fine = |c: char| c.is_ascii_alphanumeric() || "/:.-[]".contains(c);
    if !text.chars().all(fine) {
        return Err("only letters, digits and /:.-[] are accepted in a URL");
    }
    let url = url::Url::parse(text).map_err(|_| "it is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("its scheme must be http or https");
    }
    if url.host_str().is_none_or(str::is_empty) || url.port().is_none() {
        return Err("it needs a host and a port, as https://10.141.0.1:2379");
    }
    // etcd hashes the text of a peer URL into the member's id: one spelling only.
    let plain = format!(
        "{}://{}:{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.port().unwrap_or_default()
    );
    if plain == text {
        Ok(())
    } else {
        Err("write it as scheme://host:port and nothing else")
    }
}

/// The identity of one run; a UUID version 7, so that names sort by time.
///
/// Markers, staging directories and moved spools carry it: what another run left never counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(uuid::Uuid);

impl RunId {
    /// A fresh id.
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7())
    }

    /// Parses the usual hyphenated form.
    ///
    /// # Errors
    /// [`NameError`] when the text is not a UUID.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        uuid::Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| NameError::new("run id", text, "it must be a UUID"))
    }

    /// When it was made; `None` of an id that does not say.
    pub fn made_at(&self) -> Option<jiff::Timestamp> {
        let (seconds, _) = self.0.get_timestamp()?.to_unix();
        jiff::Timestamp::from_second(seconds.try_into().ok()?).ok()
    }

    /// The last twelve hex digits: enough to tell runs apart at a glance, and in file names.
    pub fn short(&self) -> String {
        let text = self.0.simple().to_string();
        text[20..].to_owned()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cmsh_would_run_are_refused() {
        for bad in [
            "",
            "a;b",
            "`id`",
            "$(id)",
            "a b",
            "-n",
            "a\nb",
            "a|b",
            "a>b",
            "!x",
            "{a,b}",
            "é",
            "a\u{202e}b",
        ] {
            assert!(NodeName::new(bad).is_err(), "{bad:?}");
            assert!(OverlayName::new(bad).is_err(), "{bad:?}");
            assert!(ModuleName::new(bad).is_err(), "{bad:?}");
        }
        assert!(NodeName::new("n".repeat(4096)).is_err());
        assert!(NodeName::new("node001..node003").is_err());
    }

    #[test]
    fn usual_names_are_accepted() {
        assert!(NodeName::new("node001").is_ok());
        assert!(OverlayName::new("kube-default-etcd").is_ok());
        assert!(ModuleName::new("etcd/kube-default/3.4.4").is_ok());
        assert!(Owner::new("etcd:etcd").is_ok());
        assert!(EtcdUrl::new("https://10.141.0.1:2379").is_ok());
    }

    #[test]
    fn paths_are_absolute_and_normal() {
        for bad in [
            "var",
            "/var/../etc",
            "/var//lib",
            "/a b",
            "/var/lib/",
            "/a/-rf",
            "/a\0",
        ] {
            assert!(AbsPath::new(bad).is_err(), "{bad:?}");
        }
        let spool = AbsPath::new("/var/lib/etcd").unwrap();
        assert_eq!(spool.parent().as_str(), "/var/lib");
        assert_eq!(AbsPath::new("/spool").unwrap().parent().as_str(), "/");
        assert_eq!(spool.with_suffix(".old").as_str(), "/var/lib/etcd.old");
    }

    #[test]
    fn urls_have_one_spelling() {
        for bad in [
            "https://a:1/",
            "https://u@a:1",
            "ftp://a:1",
            "https://a",
            "https://a:1/x",
            "HTTPS://a:1",
            "https://$(id):1",
            "https://a,b=http://c:1",
            "https://`id`:1",
            "https://a;b:1",
            "https://a'b:1",
            "https://a{b,c}:1",
            "https://\u{202e}a:1",
        ] {
            assert!(EtcdUrl::new(bad).is_err(), "{bad:?}");
        }
        let long = |n: usize| EtcdUrl::new(format!("https://{}:2379", "a".repeat(n)));
        assert!(long(253).is_ok() && long(270).is_err());
        assert!(EtcdUrl::new("https://[fd00::1]:2379").is_ok());
        let url = EtcdUrl::new("https://10.141.0.1:2380").unwrap();
        assert_eq!((url.host().as_str(), url.port()), ("10.141.0.1", 2380));
    }

    #[test]
    fn a_deserialised_name_is_checked_too() {
        assert!(serde_json::from_str::<NodeName>("\"a;b\"").is_err());
    }
}
