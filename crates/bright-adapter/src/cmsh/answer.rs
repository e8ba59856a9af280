//! What cmsh answered, parsed: a JSON list, one line, or sections between marks.
//!
//! Neither exit codes nor the split between standard output and standard error are documented. So an
//! answer counts only when all of it reads as what was asked for, and anything else is a refusal.

use std::collections::BTreeMap;
use std::sync::Arc;

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::ports::PortResult;
use serde_json::Value;

use super::groups;
use super::lexicon::{Boolean, Complaint, Mark, Message, Property, Word as _};
use crate::codes;
use crate::text::shown;

/// A batch's answer, cleaned of colours and events.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) script: Arc<str>,
    pub(crate) status: Option<i32>,
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
    /// The line in which cmsh complains, if it does.
    ///
    /// `not found` is the one documented wording, the table the one documented form.
    pub(crate) fn complaint(&self) -> Option<String> {
        let both = format!("{}\n{}", self.stderr, self.stdout);
        let lines: Vec<&str> = both.lines().map(str::trim).collect();
        let head = Message::ValidationTable.text();
        let table = |line: &str| line.split_whitespace().eq(head.split_whitespace());
        if let Some(at) = lines.iter().position(|line| table(line)) {
            return Some(shown(&lines[at..].join("\n")));
        }
        lines
            .iter()
            .find(|line| {
                let line = line.to_lowercase();
                Complaint::ALL.iter().any(|word| word.is_in(&line))
            })
            .map(|line| shown(line))
    }

    /// Fails when the batch was visibly refused. For questions only.
    pub(crate) fn accepted(self) -> PortResult<Self> {
        let said = Self {
            stdout: String::new(),
            ..self.clone()
        };
        let complaint = said.complaint();
        if self.status == Some(0) && complaint.is_none() {
            return Ok(self);
        }
        let whole = self.complaint();
        let text = whole.unwrap_or_else(|| shown(&format!("{}\n{}", self.stderr, self.stdout)));
        let absent = Message::NotFound.is_in(&text.to_lowercase());
        let status = match self.status {
            Some(status) => format!("exit status {status}"),
            None => format!("no exit status"),
        };
        let what = format!("cmsh refused {:?} ({status}): {text}", self.script);
        let error = if absent {
            AdapterError::new(codes::CMSH_ABSENT, Certainty::Refused, what)
                .hint("compare the spec with what `restore-runbook discover` finds")
        } else {
            AdapterError::new(codes::CMSH_REFUSED, Certainty::NotDone, what)
                .hint("check that CMDaemon runs on this head node: systemctl status cmd")
        };
        Err(error)
    }

    /// The rows of a list in JSON (`list … -d {}`).
    pub(crate) fn rows(&self) -> PortResult<Vec<Row>> {
        let text = self.without_echo(&self.stdout);
        let value: Value = serde_json::from_str(text.trim())
            .map_err(|error| self.unreadable(&format!("is no JSON ({error}): {}", shown(&text))))?;
        let Value::Array(rows) = value else {
            return Err(self.unreadable("is no list"));
        };
        rows.into_iter().map(|row| self.row(row)).collect()
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
        let text = self.without_echo(&self.stdout);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        match lines.as_slice() {
            [line] => Ok((*line).to_owned()),
            [] => Err(self.unreadable("is empty")),
            _ => Err(self.unreadable(&format!("is more than one line: {}", shown(&text)))),
        }
    }

    /// What stands between two lines that say the mark, for each mark in its order, and nothing else.
    pub(crate) fn sections(&self, marks: &[&str]) -> PortResult<Vec<String>> {
        // An echoed statement might be taken for a mark here: it is not stripped but refused.
        let text = &self.stdout;
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

    pub(crate) fn unreadable(&self, what: &str) -> AdapterError {
        unreadable(&self.script, what)
    }

    /// Drops leading lines that repeat our own statements, as `--echo` in some profile would.
    fn without_echo(&self, text: &str) -> String {
        let statements: Vec<&str> = self.script.split("; ").collect();
        let ours = |line: &str| {
            let line = line.trim();
            line == &*self.script || statements.contains(&line)
        };
        text.lines()
            .filter(|line| !ours(line))
            .collect::<Vec<_>>()
            .join("\n")
    }
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

    /// A cell as text; a missing value is empty.
    pub(crate) fn text(&self, column: Property) -> PortResult<String> {
        match self.cell(column)? {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.trim().to_owned()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(value) => Ok(Boolean::from(*value).text().into()),
            Value::Array(_) | Value::Object(_) => Err(self.bad(column, "is no plain value")),
        }
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
        items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| self.bad(column, "holds something that is no text"))
    }

    /// The same, nothing also where this kind of object has no such property.
    pub(crate) fn items_or_none(&self, column: Property) -> PortResult<Vec<String>> {
        match self.cells.get(column.text()) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(_) => self.items(column),
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
    use super::*;
    use proptest::prelude::*;

    fn answer(stdout: &str) -> Answer {
        Answer {
            script: "device; list -f hostname,ip,mac,status -d {}".into(),
            status: Some(0),
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
            said.ends_with("1 category The category should be set"),
            "{said}"
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
