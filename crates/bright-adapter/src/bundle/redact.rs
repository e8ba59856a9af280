//! What must not leave the house is replaced: names and addresses of machines by pseudonyms, the same ones
//! throughout, so that the answers still parse and fit together; secrets by a word.
//!
//! Two passes: [`Redactor::learn`] sees every text first, so that pseudonyms are given in order and no
//! answer depends on which came first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::address::{Part, address_runs, parts, runs};

const SECRET: &str = "[redacted]";

/// Names of machines that name nobody, and are words of scripts.
const PLAIN: [&str; 10] = [
    "head",
    "master",
    "localhost",
    "node",
    "admin",
    "login",
    "etcd",
    "cluster",
    "default",
    "mgmt",
];

/// Words before a secret; what follows `=` or `:` behind them goes.
const KEYS: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "apikey",
    "api-key",
    "api_key",
];

/// A run of this many base64 characters is taken for a secret.
const BASE64_CHARS: usize = 40;

/// Replaces what it has learned.
#[derive(Debug, Default)]
pub struct Redactor {
    /// What stands before the number of a numbered name, as `node`.
    stems: BTreeMap<String, String>,
    /// Names without a number, and domains.
    words: BTreeMap<String, String>,
    /// Fully qualified names behind `://` and `@`.
    hosts: BTreeMap<String, String>,
    addresses: BTreeMap<IpAddr, IpAddr>,
    macs: BTreeMap<String, String>,
}

impl Redactor {
    /// A redactor for machines of these names, fully qualified or not.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut stems, mut words, mut domains) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for name in names {
            let (host, domain) = name.split_once('.').unwrap_or((name, ""));
            if !domain.is_empty() {
                domains.insert(domain);
            }
            let stem = host.trim_end_matches(|c: char| c.is_ascii_digit());
            if stem.len() < host.len() && !stem.is_empty() {
                stems.insert(stem);
            } else if !host.is_empty() && !PLAIN.contains(&host) {
                words.insert(host);
            }
        }
        let stem = |(n, stem): (usize, &str)| {
            let pseudonym = if n == 0 {
                "n".into()
            } else {
                format!("n{}-", letters(n - 1))
            };
            (stem.to_owned(), pseudonym)
        };
        let word = |(n, word): (usize, &str)| (word.to_owned(), format!("host-{}", letters(n)));
        let domain =
            |(n, name): (usize, &str)| (name.to_owned(), format!("d{}.example", letters(n)));
        Self {
            stems: stems.into_iter().enumerate().map(stem).collect(),
            words: words
                .into_iter()
                .enumerate()
                .map(word)
                .chain(domains.into_iter().enumerate().map(domain))
                .collect(),
            ..Self::default()
        }
    }

    /// Takes note of the addresses in every text of a value.
    pub fn learn(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.learn_text(text),
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(fields) => fields.values().for_each(|field| self.learn(field)),
            _ => {}
        }
    }

    fn learn_text(&mut self, text: &str) {
        for name in named_hosts(text) {
            self.hosts.insert(name, String::new());
        }
        for (from, to) in address_runs(text) {
            for part in parts(&text[from..to]) {
                match part {
                    Part::Address(address) => {
                        self.addresses.insert(address, address);
                    }
                    Part::Mac(mac) => {
                        self.macs.insert(mac.to_lowercase(), String::new());
                    }
                    Part::Other(_) => {}
                }
            }
        }
    }

    /// Gives everything learned a pseudonym.
    pub fn learned(&mut self) {
        for (n, (address, pseudonym)) in (1_u32..).zip(&mut self.addresses) {
            *pseudonym = match address {
                IpAddr::V4(_) => Ipv4Addr::from_bits((10 << 24) + n).into(),
                IpAddr::V6(_) => Ipv6Addr::from_bits((0xfd00 << 112) + u128::from(n)).into(),
            };
        }
        // Of a machine that is known only the domain is new.
        let hosts = std::mem::take(&mut self.hosts).into_keys().map(|name| {
            let (host, domain) = name.split_once('.').unwrap_or((&name, ""));
            let known = self.without_names(host) != host || PLAIN.contains(&host);
            if known { domain.to_owned() } else { name }
        });
        let hosts: BTreeSet<String> = hosts
            .filter(|name| !self.words.contains_key(name))
            .collect();
        let named = |(n, name)| (name, format!("u{}.example", letters(n)));
        self.words.extend(hosts.into_iter().enumerate().map(named));
        for (n, pseudonym) in (1_u32..).zip(self.macs.values_mut()) {
            let [a, b, c, d] = n.to_be_bytes();
            *pseudonym = format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
        }
    }

    /// Redacts every text of a value.
    pub fn redact(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.redact(field)),
            _ => {}
        }
    }

    /// Redacts a text.
    pub fn text(&self, text: &str) -> String {
        let text = without_pem(text);
        let text = without_credentials(&text);
        let text = without_keys(&text);
        let text = without_base64(&text);
        let text = self.without_addresses(&text);
        let text = self.without_names(&text);
        without_homes(&text)
    }

    fn without_addresses(&self, text: &str) -> String {
        let mut safe = String::with_capacity(text.len());
        let mut done = 0;
        for (from, to) in address_runs(text) {
            safe.push_str(&text[done..from]);
            for part in parts(&text[from..to]) {
                match part {
                    Part::Address(address) => {
                        let pseudonym = self.addresses.get(&address);
                        safe.push_str(
                            &pseudonym.map_or_else(|| SECRET.into(), ToString::to_string),
                        );
                    }
                    Part::Mac(mac) => {
                        let pseudonym = self.macs.get(&mac.to_lowercase());
                        safe.push_str(pseudonym.map_or(SECRET, String::as_str));
                    }
                    Part::Other(text) => safe.push_str(text),
                }
            }
            done = to;
        }
        safe.push_str(&text[done..]);
        safe
    }

    fn without_names(&self, text: &str) -> String {
        let mut safe = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = ' ';
        while let Some(c) = rest.chars().next() {
            let named = (!before.is_ascii_alphanumeric()).then(|| self.name_at(rest));
            if let Some((pseudonym, behind)) = named.flatten() {
                safe.push_str(pseudonym);
                (rest, before) = (behind, 'x');
            } else {
                safe.push(c);
                before = c;
                rest = &rest[c.len_utf8()..];
            }
        }
        safe
    }

    /// The pseudonym of the longest name that a text begins with, and what stands behind it: of `gpu` and
    /// `gpu-login` the shorter one would leave half of the other.
    fn name_at<'a>(&self, text: &'a str) -> Option<(&str, &'a str)> {
        let ends = |behind: &&str| !behind.starts_with(|c: char| c.is_ascii_alphanumeric());
        let words = self.words.iter().filter_map(|(name, pseudonym)| {
            let behind = behind(text, name).filter(ends)?;
            Some((pseudonym.as_str(), behind))
        });
        let stems = self.stems.iter().filter_map(|(stem, pseudonym)| {
            let behind = behind(text, stem).filter(|behind| is_number(behind))?;
            Some((pseudonym.as_str(), behind))
        });
        words.chain(stems).min_by_key(|(_, behind)| behind.len())
    }
}

/// Names of hosts with a domain in URLs and behind an at sign, in lower case.
fn named_hosts(text: &str) -> Vec<String> {
    let starts = ["://", "@"].into_iter().flat_map(|mark| {
        let found = text.match_indices(mark);
        found.map(move |(at, _)| &text[at + mark.len()..])
    });
    let names = starts.map(|behind| {
        let is = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let end = behind.find(|c| !is(c)).unwrap_or(behind.len());
        behind[..end].trim_end_matches('.').to_ascii_lowercase()
    });
    let qualified = |name: &String| {
        let last = name.rsplit_once('.').map_or("", |(_, last)| last);
        last.starts_with(|c: char| c.is_ascii_alphabetic())
    };
    names.filter(qualified).collect()
}

/// What stands behind a name; host names are the same in either case.
fn behind<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (begin, behind) = text.split_at_checked(name.len())?;
    begin.eq_ignore_ascii_case(name).then_some(behind)
}

/// `001` and no letter behind it, or `00[1-3]`, as cmsh writes several.
fn is_number(text: &str) -> bool {
    let behind = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let range = behind
        .strip_prefix('[')
        .is_some_and(|inside| inside.starts_with(|c: char| c.is_ascii_digit()));
    range || behind.len() < text.len() && !behind.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// `a`, `b`, … `z`, `ba`, …
fn letters(mut n: usize) -> String {
    let mut text = Vec::new();
    loop {
        text.push(b'a' + u8::try_from(n % 26).unwrap_or(0));
        n /= 26;
        if n == 0 {
            break;
        }
    }
    text.iter().rev().map(|b| char::from(*b)).collect()
}

/// Keys and certificates alike: their dates are in the answers, nothing else of them is needed.
fn without_pem(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find("-----BEGIN ") {
        safe.push_str(&rest[..begin]);
        safe.push_str(SECRET);
        let inside = &rest[begin..];
        // What is cut short is a secret to its end.
        let Some(end) = inside.find("-----END ") else {
            return safe;
        };
        let behind = &inside[end + "-----END ".len()..];
        rest = behind.find("-----").map_or("", |at| &behind[at + 5..]);
    }
    safe.push_str(rest);
    safe
}

/// `https://name:password@host`.
fn without_credentials(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        safe.push_str(before);
        let ends = |c: char| c.is_whitespace() || "/\"',?#".contains(c);
        let authority = &behind[..behind.find(ends).unwrap_or(behind.len())];
        let who = authority.rfind('@').unwrap_or(0);
        if who > 0 {
            safe.push_str(SECRET);
        }
        rest = &behind[who..];
    }
    safe.push_str(rest);
    safe
}

/// `password=…`, `"token": "…"`, `Bearer …`.
fn without_keys(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut safe = String::with_capacity(text.len());
    let mut done = 0;
    while let Some((at, key)) = KEYS
        .iter()
        .chain(&["bearer"])
        .filter_map(|key| Some((done + lower[done..].find(key)?, *key)))
        .min()
    {
        let behind = &text[at + key.len()..];
        let between = behind.len() - behind.trim_start_matches(['"', '\'', ' ', '=', ':']).len();
        let gap = &behind[..between];
        let value = &behind[between..];
        let quoted = gap.chars().last().filter(|c| matches!(c, '"' | '\''));
        let ends = |c: char| match quoted {
            Some(quote) => c == quote || c == '\n',
            None => c.is_whitespace() || "\"',;}".contains(c),
        };
        let end = value.find(ends).unwrap_or(value.len());
        let is_value = gap.contains(['=', ':']) || (key == "bearer" && !gap.is_empty());
        safe.push_str(&text[done..at + key.len() + between]);
        done = at + key.len() + between;
        if is_value && end > 0 && !value.to_ascii_lowercase().starts_with("bearer") {
            safe.push_str(SECRET);
            done += end;
        }
    }
    safe.push_str(&text[done..]);
    safe
}

/// Long base64: keys, tokens and fingerprints. Paths are no base64, and hexadecimal digests stay.
fn without_base64(text: &str) -> String {
    let is = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let mut safe = String::with_capacity(text.len());
    let mut done = 0;
    for (from, to) in runs(text, is) {
        let run = &text[from..to];
        let has = |of: fn(&char) -> bool| run.chars().any(|c| of(&c));
        let mixed = has(char::is_ascii_uppercase)
            && has(char::is_ascii_lowercase)
            && has(char::is_ascii_digit);
        let path = run.starts_with('/') || run.matches('/').count() * 16 > run.len();
        if run.len() >= BASE64_CHARS && mixed && !path {
            safe.push_str(&text[done..from]);
            safe.push_str(SECRET);
            done = to;
        }
    }
    safe.push_str(&text[done..]);
    safe
}

/// Who has a home here is nobody's business.
fn without_homes(text: &str) -> String {
    let mut parts = text.split("/home/");
    let mut safe = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
        safe.push_str("/home/user");
        safe.push_str(&part[end.unwrap_or(part.len())..]);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redacted(names: &[&str], text: &str) -> String {
        let mut redactor = Redactor::new(names.iter().copied());
        redactor.learn_text(text);
        redactor.learned();
        redactor.text(text)
    }

    #[test]
    fn machines_get_pseudonyms_that_still_parse() {
        let names = ["node001", "node002", "gpu-a01", "acme.corp.example", "head"];
        for (text, safe) in [
            ("use \"node001\"; reboot", "use \"nb-001\"; reboot"),
            ("node001..node003,node00[1-2]", "nb-001..nb-003,nb-00[1-2]"),
            ("etcd-node001-2026.db gpu-a01", "etcd-nb-001-2026.db n01"),
            ("nodes of anode001 node001x", "nodes of anode001 node001x"),
            (
                "acme acme.corp.example acmes",
                "host-a host-a.da.example acmes",
            ),
            ("head -c 200", "head -c 200"),
            (
                "https://10.141.0.1:2379,https://10.141.0.2:2379.",
                "https://10.0.0.1:2379,https://10.0.0.2:2379.",
            ),
            (
                "127.0.0.1 0.0.0.0 3.4.23 07:14:05 Etcd::Host",
                "127.0.0.1 0.0.0.0 3.4.23 07:14:05 Etcd::Host",
            ),
            (
                "FA:16:3E:D3:56:E0 fe80::1 ::1",
                "02:00:00:00:00:01 fd00::1 ::1",
            ),
            ("/home/jdoe/x", "/home/user/x"),
        ] {
            let names: Vec<&str> = if text.contains("gpu") || text.contains("node") {
                names.to_vec()
            } else {
                vec!["acme.corp.example", "head"]
            };
            let safe = safe.replace(
                "nb-",
                if names.contains(&"gpu-a01") {
                    "na-"
                } else {
                    "n"
                },
            );
            assert_eq!(redacted(&names, text), safe, "{text}");
        }
    }

    /// Wherever they stand, and however they are written.
    #[test]
    fn addresses_and_names_beside_anything() {
        for (text, safe) in [
            ("addr:10.1.2.3 used:10.1.2.3", "addr:10.0.0.1 used:10.0.0.1"),
            ("10.1.2.3:exports", "10.0.0.1:exports"),
            ("at fd12:34::1: refused", "at fd00::1: refused"),
            ("fd12:34::1. fd12:34::1:", "fd00::1. fd00::1:"),
            ("fd12:34::1..fd12:34::2", "fd00::1..fd00::2"),
            (
                "[fd12:34::1]:2379 fe80::1%eth0",
                "[fd00::1]:2379 fd00::2%eth0",
            ),
            ("net fd12:34:: is", "net fd00::1 is"),
            ("mac:FA:16:3E:D3:56:E0: x", "mac:02:00:00:00:00:01: x"),
            (
                "80:00:02:08:fe:80:00:00:00:00:00:00:24:8a:07:03:00:b3:4c:71",
                "02:00:00:00:00:01",
            ),
            ("NODE001 Node001.", "n001 n001."),
            (
                "https://etcd9.acme.example:2379 jdoe@acme.example ETCD9.acme.example, not etcd9",
                "https://ub.example:2379 jdoe@ua.example ub.example, not etcd9",
            ),
            (
                "root@node001.acme.example: denied",
                "root@n001.ua.example: denied",
            ),
            (
                "v3.4.23 3.4.23-1 Etcd::Host Kubernetes::ApiServer Etcd::Ca 07:14:05:",
                "v3.4.23 3.4.23-1 Etcd::Host Kubernetes::ApiServer Etcd::Ca 07:14:05:",
            ),
        ] {
            assert_eq!(redacted(&["node001"], text), safe, "{text}");
        }
    }

    #[test]
    fn of_two_names_the_longer_one_goes_whole() {
        let names = ["gpu", "gpu-login", "gpu-a01", "gpu.acme.example"];
        assert_eq!(
            redacted(&names, "gpu gpu-login gpu-a01 gpu-login.x"),
            "host-a host-b n01 host-b.x"
        );
    }

    #[test]
    fn secrets_go() {
        let pem = "a\n-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----\nb";
        assert_eq!(redacted(&[], pem), "a\n[redacted]\nb");
        let cut = "a -----BEGIN PRIVATE KEY-----\nMHcCAQ";
        assert_eq!(redacted(&[], cut), "a [redacted]");
        for (text, safe) in [
            ("password=hunter2 x", "password=[redacted] x"),
            (
                "password: \"hunter2 is long\" x",
                "password: \"[redacted]\" x",
            ),
            (
                "https://root:hun@ter2@etcd.acme.example:2379/x http://a/@b",
                "https://[redacted]@etcd.ua.example:2379/x http://a/@b",
            ),
            (
                "{\"token\": \"abc\", \"a\": 1}",
                "{\"token\": \"[redacted]\", \"a\": 1}",
            ),
            (
                "Authorization: Bearer abc.def",
                "Authorization: Bearer [redacted]",
            ),
            (
                "--initial-cluster-token=t1 b",
                "--initial-cluster-token=[redacted] b",
            ),
            (
                "Permission denied (publickey,password).",
                "Permission denied (publickey,password).",
            ),
            (
                "SHA256:Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYm8 x",
                "SHA256:[redacted] x",
            ),
        ] {
            assert_eq!(redacted(&[], text), safe, "{text}");
        }
        let digest = "6a74e77d8e781f6532781ed2b0f4aa8202a960005b50119cf5f62befacd9ba48";
        assert_eq!(redacted(&[], digest), digest);
    }

    proptest! {
        /// Whatever the text, neither a name nor an address of it is left, and nothing panics.
        #[test]
        fn nothing_known_is_left(before in "\\PC{0,20}", behind in "\\PC{0,20}", host in 1u8..=254) {
            let text = format!("{before} secretnode{host:03} 192.168.77.{host} {behind}");
            let safe = redacted(&["secretnode001"], &text);
            prop_assert!(!safe.contains("secretnode"), "{}", safe);
            let own = format!("192.168.77.{host}");
            prop_assert!(!safe.contains(&own), "{}", safe);
        }
    }
}
