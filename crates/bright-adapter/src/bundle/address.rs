//! Where addresses stand in a text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A piece of a text.
pub(super) enum Part<'a> {
    Address(IpAddr),
    Mac(&'a str),
    Other(&'a str),
}

/// The longest stretches of such characters, no letter or digit beside them.
pub(super) fn runs(text: &str, is: impl Fn(char) -> bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let (mut begun, mut before) = (None, ' ');
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (begun, is(c)) {
            (None, true) => begun = Some((at, before)),
            (Some((from, before)), false) => {
                let beside = |c: char| c.is_alphanumeric();
                if !beside(before) && !beside(c) {
                    found.push((from, at));
                }
                begun = None;
            }
            _ => {}
        }
        before = c;
    }
    found
}

const fn is_between(c: char) -> bool {
    matches!(c, ':' | '.')
}

/// Where addresses may stand: also right behind a word and its colon, `addr:10.1.2.3`, or before one.
pub(super) fn address_runs(text: &str) -> Vec<(usize, usize)> {
    let is = |c: char| c.is_ascii_hexdigit() || is_between(c);
    let mut found = Vec::new();
    let mut done = 0;
    while let Some(at) = text[done..].find(is) {
        let mut from = done + at;
        let mut to = text[from..]
            .find(|c| !is(c))
            .map_or(text.len(), |n| from + n);
        done = to;
        // What belongs to the word beside it is cut off.
        if text[..from].ends_with(char::is_alphanumeric) {
            from = text[from..to].find(is_between).map_or(to, |n| from + n + 1);
        }
        if text[to..].starts_with(char::is_alphanumeric) {
            to = text[from..to].rfind(is_between).map_or(from, |n| from + n);
        }
        if from < to {
            found.push((from, to));
        }
    }
    found
}

/// Takes a stretch apart: addresses, with ports or without, and what stands between them.
pub(super) fn parts(run: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let mut rest = run;
    while !rest.is_empty() {
        let end = rest.find("..").unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        let bare = match piece.trim_end_matches(is_between) {
            // An address may end with two colons, and with nothing less.
            bare if piece[bare.len()..].starts_with("::") => &piece[..bare.len() + 2],
            bare => bare,
        };
        found.extend(piece_parts(bare));
        let between = behind.len() - behind.trim_start_matches('.').len();
        found.push(Part::Other(&rest[bare.len()..end + between]));
        rest = &behind[between..];
    }
    found
}

fn piece_parts(run: &str) -> Vec<Part<'_>> {
    if is_mac(run) {
        return vec![Part::Mac(run)];
    }
    if let Ok(address) = run.parse::<Ipv6Addr>() {
        return vec![if address.is_loopback() || address.is_unspecified() {
            Part::Other(run)
        } else {
            Part::Address(address.into())
        }];
    }
    let mut found = Vec::new();
    let mut rest = run;
    while !rest.is_empty() {
        let end = rest.find(':').unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let bare = word.trim_end_matches('.');
        match bare.parse::<Ipv4Addr>() {
            Ok(address) if !address.is_loopback() && !address.is_unspecified() => {
                found.push(Part::Address(address.into()));
                found.push(Part::Other(&word[bare.len()..]));
            }
            _ => found.push(Part::Other(word)),
        }
        let between = behind.len() - behind.trim_start_matches([':', '.']).len();
        found.push(Part::Other(&behind[..between]));
        rest = &behind[between..];
    }
    found
}

/// InfiniBand's are longer than Ethernet's.
fn is_mac(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    pairs.len() >= 6
        && pairs
            .iter()
            .all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))
}
