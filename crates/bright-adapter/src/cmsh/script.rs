//! The grammar of a batch: words of the lexicon, and names as checked types. No text gets in.
//!
//! cmsh takes `;`, `!`, backticks, `|` and `>` for its own (administrator manual 2.5.5): no word of the
//! lexicon and no name has one of those.

use runbook_core::names::{CategoryName, NodeName, OverlayName};

use super::lexicon::{Argument, Property, Typed, Verb, Word as _};

/// A name that may stand in a script.
pub(super) trait Name {
    fn text(&self) -> &str;
}

macro_rules! name {
    ($($kind:ty),*) => {$(
        impl Name for $kind {
            fn text(&self) -> &str {
                self.as_str()
            }
        }
    )*};
}

name!(NodeName, OverlayName, CategoryName);

/// A batch, statement by statement.
///
/// A mode is a statement of its own: `device status x; list` would run `list` in the mode before
/// (administrator manual 2.5.2).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Script(String);

impl Script {
    /// One more statement, which begins with this word.
    pub(super) fn then(mut self, word: impl Typed) -> Self {
        if !self.0.is_empty() {
            self.0.push_str("; ");
        }
        self.0.push_str(word.text());
        self
    }

    /// One more word of the last statement.
    pub(super) fn with(mut self, word: impl Typed) -> Self {
        self.0.push(' ');
        self.0.push_str(word.text());
        self
    }

    /// A name as one more word of the last statement: `reboot node001`.
    pub(super) fn name(mut self, name: &impl Name) -> Self {
        self.0.push(' ');
        self.0.push_str(name.text());
        self
    }

    /// Enters an object, quoted as `path` prints it: `use "kube-default-etcd"`.
    pub(super) fn enter(mut self, name: &impl Name) -> Self {
        self = self.then(Verb::Use);
        self.0.extend([" \"", name.text(), "\""]);
        self
    }

    /// Lists what is in the mode, in JSON: `list -f hostname,status -d {}`.
    pub(super) fn list(mut self, columns: &[Property]) -> Self {
        self = self.then(Verb::List).with(Argument::Columns);
        for (at, column) in columns.iter().enumerate() {
            self.0.push(if at == 0 { ' ' } else { ',' });
            self.0.push_str(column.text());
        }
        self.with(Argument::Json)
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}
