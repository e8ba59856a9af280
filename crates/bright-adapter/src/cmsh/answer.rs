//! What cmsh answered, parsed: a JSON list, one line, or sections between marks.
//!
//! Neither exit codes nor the split between standard output and standard error are documented. So an
//! answer counts only when all of it reads as what was asked for, and anything else is a refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::ports::PortResult;
use serde_json::Value;

use super::complaint::{Complaint, Kind};
use super::groups;
use super::lexicon::{Boolean, Mark, Property, Word as _};
use super::noise::{is_echo, is_warning};
use crate::codes;
use crate::text::shown;

/// A batch's answer, cleaned of colours and events.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) script: Arc<str>,
    pub(crate) status: Option<i32>,
    /// Whether its last line came to an end.
    pub(crate) whole: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// One object of a JSON list.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    script: Arc<str>,
    cells: BTreeMap<String, Value>,
}

pub(crate) fn unreadable(script: &str, what: &str) -> AdapterError {
    let what = format!("the answer of cmsh to {script:?} {what}");
    // Nothing was changed by asking, and a lost line may be there the next time.
    AdapterError::new(codes::CMSH_ANSWER, Certainty::NotDone, what)
        .hint("run the same batch by hand; if its answer is right, please report it with its text")
}

impl Answer {
    /// The refusal in what cmsh said, on either stream, if there is one.
    pub(super) fn complaint(&self) -> Option<Complaint> {
        Complaint::within(&[&self.stderr, &self.stdout])
    }

    /// What it was refused with, where something is known to have failed.
    pub(super) fn refusal(&self) -> Complaint {
        self.complaint().unwrap_or_else(|| Complaint {
            kind: Kind::Other,
            text: self.said(),
        })
    }

    /// All that it printed, for people.
    pub(crate) fn said(&self) -> String {
        shown(&format!("{}\n{}", self.stderr, self.stdout))
    }

    /// Fails when the batch was visibly refused. For questions only: their answer is on standard output,
    /// where a value may read like a complaint, and where what is no answer is found later.
    pub(crate) fn accepted(self) -> PortResult<Self> {
        if let Some(error) = self.barred() {
            return Err(error);
        }
        if self.status == Some(0) && Complaint::within(&[&self.stderr]).is_none() {
            return Ok(self);
        }
        Err(self.refused(&self.refusal()))
    }

    /// The refusal beside which nothing counts as an answer: the session is over, or was never allowed.
    pub(crate) fn barred(&self) -> Option<AdapterError> {
        let said = self.complaint()?;
        let bars = matches!(said.kind, Kind::SessionEnded | Kind::NotPermitted);
        bars.then(|| self.refused(&said))
    }

    fn refused(&self, said: &Complaint) -> AdapterError {
        let certainty = match said.kind {
            Kind::Absent | Kind::NotPermitted => Certainty::Refused,
            _ => Certainty::NotDone,
        };
        let (script, text) = (&self.script, &said.text);
        let what = match self.status {
            Some(status) => format!("cmsh refused {script:?} (exit status {status}): {text}"),
            None => format!("cmsh refused {script:?} (ended by a signal): {text}"),
        };
        said.error(certainty, what)
    }

    /// The rows of a list in JSON (`list … -d {}`).
    pub(crate) fn rows(&self) -> PortResult<Vec<Row>> {
        let text = self.without_noise(&self.stdout);
        let value: Value = serde_json::from_str(text.trim())
            .map_err(|error| self.unreadable(&format!("is no JSON ({error}): {}", shown(&text))))?;
        let Value::Array(rows) = value else {
            return Err(self.unreadable("is no list"));
        };
        let rows: Vec<Row> = rows
            .into_iter()
            .map(|row| self.row(row))
            .collect::<PortResult<_>>()?;
        Ok(with_empty_columns(rows))
    }

    fn row(&self, row: Value) -> PortResult<Row> {
        let Value::Object(cells) = row else {
            return Err(self.unreadable("holds a row that is no object"));
        };
        let mut named = BTreeMap::new();
        for (title, value) in cells {
            if named.insert(column_name(&title), value).is_some() {
                return Err(self.unreadable(&format!("has the column {} twice", shown(&title))));
            }
        }
        Ok(Row {
            script: Arc::clone(&self.script),
            cells: named,
        })
    }

    /// The answer to a single `get` of a property that is one word.
    pub(crate) fn line(&self) -> PortResult<String> {
        let text = self.without_noise(&self.stdout);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        match lines.as_slice() {
            // The beginning of a path is a path.
            [_] if !self.whole => Err(self.unreadable("ends in the middle of a line")),
            [line] => Ok((*line).to_owned()),
            [] => Err(self.unreadable("is empty")),
            _ => Err(self.unreadable(&format!("is more than one line: {}", shown(&text)))),
        }
    }

    /// The words of the answer to a single `get`.
    pub(crate) fn words(&self) -> Vec<String> {
        let text = self.without_noise(&self.stdout);
        let words = text.split([' ', ',', '\n', '\t']);
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// What stands between two lines that say the mark, for each mark in its order, and nothing else.
    pub(crate) fn sections(&self, marks: &[&str]) -> PortResult<Vec<String>> {
        // An object may be named like a statement of ours; then an echo cannot be told from a mark.
        let alike = marks.iter().any(|mark| is_echo(mark, &self.script));
        let text = &if alike {
            self.stdout.clone()
        } else {
            self.without_noise(&self.stdout)
        };
        let mut lines = text.lines();
        let mut sections = Vec::new();
        for mark in marks {
            let begin = lines.by_ref().find(|line| !line.trim().is_empty());
            if begin.map(str::trim) != Some(mark) {
                return Err(self.unreadable(&format!("lacks its part on {mark}: {}", shown(text))));
            }
            let mut section = String::new();
            loop {
                match lines.next() {
                    Some(line) if line.trim() == *mark => break,
                    Some(line) => section.extend([line, "\n"]),
                    None => {
                        let what = format!("ends within its part on {mark}: {}", shown(text));
                        return Err(self.unreadable(&what));
                    }
                }
            }
            sections.push(section);
        }
        match lines.find(|line| !line.trim().is_empty()) {
            None => Ok(sections),
            Some(line) => Err(self.unreadable(&format!("goes on with {}", shown(line)))),
        }
    }

    /// What is no answer is a refusal where it reads like one, whichever stream it came on.
    pub(crate) fn unreadable(&self, what: &str) -> AdapterError {
        match self.complaint() {
            Some(said) if said.kind != Kind::Other => self.refused(&said),
            _ if self.stderr.is_empty() => unreadable(&self.script, what),
            _ => unreadable(
                &self.script,
                &format!("{what}; on standard error: {}", shown(&self.stderr)),
            ),
        }
    }

    /// Without warnings, and without lines that repeat our own statements.
    fn without_noise(&self, text: &str) -> String {
        let kept = text.lines();
        let kept = kept.filter(|line| !is_warning(line) && !is_echo(line, &self.script));
        kept.collect::<Vec<_>>().join("\n")
    }
}

/// A column that some row has and another lacks is empty there, as where a printer leaves out what is
/// empty. A column that no row has is a property of another name, and stays missing.
fn with_empty_columns(mut rows: Vec<Row>) -> Vec<Row> {
    let columns: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| row.cells.keys().cloned())
        .collect();
    for row in &mut rows {
        for column in &columns {
            if !row.cells.contains_key(column) {
                row.cells.insert(column.clone(), Value::Null);
            }
        }
    }
    rows
}

/// `hostname (key)` and `Data node` are printed where `hostname` and `datanode` were asked for.
fn column_name(title: &str) -> String {
    let title = title.trim();
    let title = title.strip_suffix(Mark::Key.text()).unwrap_or(title);
    title.split_whitespace().collect::<String>().to_lowercase()
}

impl Row {
    fn cell(&self, column: Property) -> PortResult<&Value> {
        self.cells
            .get(column.text())
            .ok_or_else(|| self.bad(column, "is missing"))
    }

    pub(crate) fn bad(&self, column: Property, what: &str) -> AdapterError {
        unreadable(
            &self.script,
            &format!("cannot be used: column {} {what}", column.text()),
        )
    }

    /// A cell as printed, perhaps cut short; a missing value is empty.
    pub(crate) fn printed(&self, column: Property) -> PortResult<String> {
        match self.cell(column)? {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.trim().to_owned()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(value) => Ok(Boolean::from(*value).text().into()),
            Value::Array(_) | Value::Object(_) => Err(self.bad(column, "is no plain value")),
        }
    }

    /// A cell as text, all of it; a missing value is empty.
    pub(crate) fn text(&self, column: Property) -> PortResult<String> {
        let text = self.printed(column)?;
        self.whole(column, &text)?;
        Ok(text)
    }

    /// A cell that is too long for its column ends with a mark.
    fn whole(&self, column: Property, text: &str) -> PortResult<()> {
        if Mark::Cut.ends(text) {
            let what = format!("is cut short: {}", shown(text));
            return Err(self.bad(column, &what));
        }
        Ok(())
    }

    /// A cell as text, empty also where this kind of object has no such property.
    pub(crate) fn text_or_empty(&self, column: Property) -> PortResult<String> {
        if self.cells.contains_key(column.text()) {
            self.text(column)
        } else {
            Ok(String::new())
        }
    }

    /// A boolean (administrator manual 2.5.3: yes, 1, on, true and their opposites).
    pub(crate) fn flag(&self, column: Property) -> PortResult<bool> {
        let text = self.text(column)?;
        Boolean::of(&text).map(Boolean::value).ok_or_else(|| {
            let what = format!("is neither yes nor no but {}", shown(&text));
            self.bad(column, &what)
        })
    }

    /// A cell that holds several values: a JSON list, or a text of some separation.
    pub(crate) fn items(&self, column: Property) -> PortResult<Vec<String>> {
        let Value::Array(items) = self.cell(column)? else {
            let text = self.text(column)?;
            let items = text
                .split([',', ' ', '\n', '\t'])
                .filter(|item| !item.is_empty());
            return Ok(items.map(str::to_owned).collect());
        };
        let items: Option<Vec<String>> = items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect();
        let items = items.ok_or_else(|| self.bad(column, "holds something that is no text"))?;
        items.iter().try_for_each(|item| self.whole(column, item))?;
        Ok(items)
    }

    /// The same, none also where the column is missing.
    pub(crate) fn items_or_none(&self, column: Property) -> PortResult<Vec<String>> {
        if self.cells.contains_key(column.text()) {
            self.items(column)
        } else {
            Ok(Vec::new())
        }
    }

    /// A cell that lists nodes, ranges expanded.
    pub(crate) fn nodes(&self, column: Property) -> PortResult<Vec<String>> {
        let text = match self.cell(column)? {
            Value::Array(_) => self.items(column)?.join("\n"),
            _ => self.text(column)?,
        };
        groups::expand(&text)
            .map_err(|fault| self.bad(column, &format!("is no node list: {fault}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::lexicon::Suspect;
    use super::*;

    fn answer(stdout: &str) -> Answer {
        Answer {
            script: "device; list -f hostname,ip,mac,status -d {}".into(),
            status: Some(0),
            whole: true,
            stdout: stdout.into(),
            stderr: String::new(),
        }
    }

    #[test]
    fn the_manuals_sample() {
        let text = r#"[ { "hostname (key)": "basecm11", "ip": "10.141.255.254", "mac": "FA:16:3E:D3:56:E0", "status": "[ UP ]" } ]"#;
        let rows = answer(text).rows().unwrap();
        assert_eq!(rows[0].text(Property::Hostname).unwrap(), "basecm11");
        assert_eq!(rows[0].text(Property::Status).unwrap(), "[ UP ]");
        let error = rows[0].text(Property::Category).unwrap_err();
        assert!(error.what.contains("column category is missing"), "{error}");
        assert!(error.what.contains("device; list -f"), "{error}");
    }

    #[test]
    fn echoed_commands_are_no_answer() {
        let text = "device\nlist -f hostname,ip,mac,status -d {}\n[]\n";
        assert!(answer(text).rows().unwrap().is_empty());
    }

    #[test]
    fn anything_beside_the_json_is_refused() {
        for text in [
            "",
            "hello\n[]",
            "[]\n[]",
            "[] x",
            "{}",
            "[1]",
            "[{\"a\":1,\"A (key)\":2}]",
        ] {
            assert_eq!(
                answer(text).rows().unwrap_err().code,
                codes::CMSH_ANSWER,
                "{text:?}"
            );
        }
    }

    #[test]
    fn values_come_in_several_shapes() {
        let text = r#"[{"nodes": ["node001", "node002"], "roles": "Etcd::Host, X", "all head nodes": "No", "priority": 500, "ip": null, "spool": {}}]"#;
        let row = &answer(text).rows().unwrap()[0];
        assert_eq!(row.nodes(Property::Nodes).unwrap(), ["node001", "node002"]);
        assert_eq!(row.items(Property::Roles).unwrap(), ["Etcd::Host", "X"]);
        assert!(!row.flag(Property::AllHeadNodes).unwrap());
        assert_eq!(row.text(Property::Priority).unwrap(), "500");
        assert_eq!(row.text(Property::Ip).unwrap(), "");
        assert!(row.text(Property::Spool).is_err() && row.flag(Property::Priority).is_err());
    }

    #[test]
    fn complaints() {
        let table = "Code Field Message\n----- ------------------------ ----\n1 category The category should be set\n";
        let said = answer(table).complaint().unwrap();
        assert!(
            said.text.ends_with("1 category The category should be set"),
            "{said:?}"
        );
        let mut refused = answer("");
        refused.stderr = "node009: not found".into();
        assert_eq!(
            refused.clone().accepted().unwrap_err().code,
            codes::CMSH_ABSENT
        );
        refused.stderr = "could not connect".into();
        refused.status = Some(1);
        let error = refused.accepted().unwrap_err();
        assert_eq!(
            (error.code, error.certainty),
            (codes::CMSH_REFUSED, Certainty::NotDone)
        );
        assert!(answer("[ UP ] health check failed").accepted().is_ok());
    }

    #[test]
    fn complaining_words() {
        for word in Suspect::ALL {
            let said = answer(&format!("it is {} here", word.text())).complaint();
            assert_eq!(said.unwrap().kind, Kind::Other, "{word:?}");
        }
        assert_eq!(answer("node001: Reboot in progress ...").complaint(), None);
    }

    #[test]
    fn sections_need_both_marks() {
        let whole = answer("node001\nName (key)\n\nnode001\nnode002\nnode002\n");
        let sections = whole.sections(&["node001", "node002"]).unwrap();
        assert_eq!(sections, ["Name (key)\n\n", ""]);
        for text in [
            "",
            "node001\n",
            "x\nnode001\nnode001\n",
            "node001\nnode001\nx\n",
        ] {
            assert!(answer(text).sections(&["node001"]).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}|[\\[\\]{}\":, a-z\n]{0,80}") {
            let answer = answer(&text);
            let _ = answer.rows();
            let _ = answer.line();
            let _ = answer.sections(&["a"]);
            let _ = answer.complaint();
        }
    }
}
