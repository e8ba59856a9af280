//! Node lists: input as `node00[1-3]`, `node001..node003`, `a,b`, `-node002`; output as ranges
//! under the default grouping syntax (admin manual, "grouping syntax").

use crate::dialect::Grouping;

/// Expands words of a node list; an exclusion takes names out again.
pub(crate) fn expand<S: AsRef<str>>(words: &[S]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for item in words.iter().flat_map(|word| split_commas(word.as_ref())) {
        if let Some(excluded) = item.strip_prefix('-') {
            let gone = expand_item(excluded);
            names.retain(|name| !gone.contains(name));
        } else {
            for name in expand_item(&item) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    names
}

fn split_commas(word: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut depth = 0_u32;
    for c in word.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = items.last_mut() {
            last.push(c);
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

fn expand_item(item: &str) -> Vec<String> {
    expand_dots(item)
        .or_else(|| expand_bracket(item))
        .unwrap_or_else(|| vec![item.to_owned()])
}

fn expand_dots(item: &str) -> Option<Vec<String>> {
    let (first, last) = item.split_once("..")?;
    let (prefix, from, width) = number(first)?;
    let (last_prefix, to, _) = number(last)?;
    (prefix == last_prefix).then(|| counted(prefix, from, to, width, ""))
}

fn expand_bracket(item: &str) -> Option<Vec<String>> {
    let (prefix, rest) = item.split_once('[')?;
    let (inside, suffix) = rest.split_once(']')?;
    let mut names = Vec::new();
    for part in inside.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let width = from.len();
        names.extend(counted(
            prefix,
            from.parse().ok()?,
            to.parse().ok()?,
            width,
            suffix,
        ));
    }
    Some(names)
}

fn counted(prefix: &str, from: u64, to: u64, width: usize, suffix: &str) -> Vec<String> {
    (from..=to)
        .map(|n| format!("{prefix}{n:0width$}{suffix}"))
        .collect()
}

/// Splits `node001` into `node`, 1 and the width of the number.
fn number(name: &str) -> Option<(&str, u64, usize)> {
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (prefix, tail) = name.split_at(name.len() - digits);
    tail.parse().ok().map(|n| (prefix, n, digits))
}

/// Writes names as a grouping syntax does: `node001..node003,node007` or `node[001-003],node007`.
pub(crate) fn compress(names: &[String], grouping: Grouping) -> String {
    let mut sorted = names.to_vec();
    sorted.sort();
    let mut groups: Vec<(String, String)> = Vec::new();
    for name in sorted {
        match groups.last_mut() {
            Some((_, last)) if follows(last, &name) => *last = name,
            _ => groups.push((name.clone(), name)),
        }
    }
    let shown: Vec<String> = groups
        .into_iter()
        .map(
            |(first, last)| match (grouping, number(&first), number(&last)) {
                _ if first == last => first,
                (Grouping::Bracket, Some((prefix, _, _)), Some(_)) => {
                    let at = prefix.len();
                    format!("{prefix}[{}-{}]", &first[at..], &last[at..])
                }
                _ => format!("{first}..{last}"),
            },
        )
        .collect();
    shown.join(",")
}

fn follows(last: &str, next: &str) -> bool {
    match (number(last), number(next)) {
        (Some((stem, n, width)), Some((next_stem, m, next_width))) => {
            stem == next_stem && width == next_width && n + 1 == m
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_documented_form() {
        let three = ["node001", "node002", "node003"];
        assert_eq!(expand(&["node00[1-3]"]), three);
        assert_eq!(expand(&["node001..node003"]), three);
        assert_eq!(expand(&["node001,node002", "node003"]), three);
        assert_eq!(
            expand(&["node001..node003,-node002"]),
            ["node001", "node003"]
        );
        assert_eq!(
            expand(&["node[001-002,004]"]),
            ["node001", "node002", "node004"]
        );
        assert_eq!(expand(&["web-1"]), ["web-1"]);
    }

    #[test]
    fn writes_ranges() {
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            compress(&names(&["node003", "node001", "node002"]), Grouping::Dot),
            "node001..node003"
        );
        assert_eq!(
            compress(
                &names(&["node003", "node001", "node002"]),
                Grouping::Bracket
            ),
            "node[001-003]"
        );
        assert_eq!(
            compress(&names(&["node001", "node003"]), Grouping::Dot),
            "node001,node003"
        );
        assert_eq!(
            compress(&names(&["node001", "node002", "x"]), Grouping::Dot),
            "node001..node002,x"
        );
        assert_eq!(compress(&[], Grouping::Bracket), "");
    }
}
