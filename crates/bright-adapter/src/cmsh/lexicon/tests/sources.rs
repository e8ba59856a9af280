//! Reads the sources: a literal that goes past the lexicon, a hint that types what is no word of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, LitStr, Stmt, Token};

use super::{Entry, whole};
use crate::cmsh::lexicon::{Mode, Verb, Word as _};

/// Where a literal is text for people: what these are given.
const SPEAKING: [&str; 7] = [
    "hint",
    "bad",
    "unreadable",
    "refused",
    "role_error",
    "absent",
    "debug_tuple",
];

/// Literals of one file that are neither punctuation nor text for people.
struct Literals {
    found: Vec<(usize, String)>,
    speaking: bool,
}

impl Literals {
    /// `strict`: in this file nothing is said to anybody.
    fn of(source: &str, strict: bool) -> Vec<(usize, String)> {
        let file = syn::parse_file(source).unwrap();
        let mut literals = Self {
            found: Vec::new(),
            speaking: !strict,
        };
        literals.visit_file(&file);
        literals.found
    }

    fn listen<'ast>(&mut self, what: impl IntoIterator<Item = &'ast Expr>) {
        for expr in what {
            match unwrapped(expr) {
                Expr::Lit(lit) if matches!(lit.lit, syn::Lit::Str(_)) && self.speaking => {}
                Expr::Match(choice) => {
                    self.visit_expr(&choice.expr);
                    for arm in &choice.arms {
                        self.visit_pat(&arm.pat);
                        self.listen([&*arm.body]);
                    }
                }
                other => self.visit_expr(other),
            }
        }
    }
}

/// Without `&` and `.into()`, which change nothing about what a literal says.
fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Reference(inner) => unwrapped(&inner.expr),
        Expr::MethodCall(call) if call.method == "into" => unwrapped(&call.receiver),
        Expr::Block(block) => match block.block.stmts.as_slice() {
            [Stmt::Expr(inner, None)] => unwrapped(inner),
            _ => expr,
        },
        other => other,
    }
}

fn of_tests(attrs: &[Attribute]) -> bool {
    let test = |attr: &Attribute| {
        let cfg = attr.path().is_ident("cfg");
        cfg && attr
            .parse_args::<syn::Path>()
            .is_ok_and(|path| path.is_ident("test"))
    };
    attrs.iter().any(test)
}

impl<'ast> Visit<'ast> for Literals {
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !of_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        let text = literal.value();
        if text.chars().any(char::is_alphabetic) {
            self.found.push((literal.span().start().line, text));
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.visit_expr(&call.receiver);
        if SPEAKING.iter().any(|name| call.method == name) {
            self.listen(&call.args);
        } else {
            call.args.iter().for_each(|arg| self.visit_expr(arg));
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        let Expr::Path(function) = &*call.func else {
            return visit::visit_expr_call(self, call);
        };
        let names: Vec<String> = function
            .path
            .segments
            .iter()
            .map(|s| s.ident.to_string())
            .collect();
        let says = match names.as_slice() {
            [kind, new] => kind == "AdapterError" && new == "new" || kind == "Err",
            [one] => SPEAKING.contains(&one.as_str()) || one == "Err",
            _ => false,
        };
        if says {
            self.listen(&call.args);
        } else {
            call.args.iter().for_each(|arg| self.visit_expr(arg));
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let what = matches!(&local.pat, syn::Pat::Ident(name) if name.ident == "what" || name.ident == "hint");
        match &local.init {
            Some(init) if what => self.listen([&*init.expr]),
            _ => visit::visit_local(self, local),
        }
    }

    /// The text of a `format!` is for people; what is put into it is looked at.
    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
        match parser.parse2(mac.tokens.clone()) {
            Ok(args) => {
                let args: Vec<Expr> = args.into_iter().collect();
                let format = mac.path.is_ident("format") || mac.path.is_ident("write");
                let mut own = Self {
                    found: Vec::new(),
                    speaking: self.speaking,
                };
                if format {
                    own.listen(&args);
                } else {
                    for arg in &args {
                        own.visit_expr(arg);
                    }
                }
                self.found.append(&mut own.found);
            }
            // `matches!(x, "pattern")`, or a macro's own definition.
            Err(_) => each_literal(mac.tokens.clone(), &mut |literal| {
                self.visit_lit_str(literal);
            }),
        }
    }
}

fn each_literal(tokens: TokenStream, found: &mut impl FnMut(&LitStr)) {
    let mut attribute = false;
    for token in tokens {
        let punct = |c| matches!(&token, TokenTree::Punct(punct) if punct.as_char() == c);
        let (hash, bang) = (punct('#'), punct('!'));
        match token {
            TokenTree::Group(_) if attribute => {}
            TokenTree::Group(group) => each_literal(group.stream(), found),
            TokenTree::Literal(literal) => {
                if let Ok(syn::Lit::Str(literal)) = syn::parse_str(&literal.to_string()) {
                    found(&literal);
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
        // Comments on items are attributes too.
        attribute = hash || attribute && bang;
    }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

#[test]
fn nothing_in_cmsh_goes_past_the_lexicon() {
    let dir = here().join("src/cmsh");
    let mut files = Vec::new();
    rust_files(&dir, &mut files);
    let mut bypasses = Vec::new();
    let mut read = 0;
    for file in files {
        let name = file
            .strip_prefix(&dir)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("lexicon") || name.ends_with("tests.rs") {
            continue;
        }
        read += 1;
        let source = fs::read_to_string(&file).unwrap();
        for (line, text) in Literals::of(&source, name == "script.rs") {
            bypasses.push(format!("{name}:{line}: {text:?}"));
        }
    }
    assert!(read > 10, "the sources were not found");
    assert!(
        bypasses.is_empty(),
        "words of cmsh's belong into lexicon.rs:\n{}",
        bypasses.join("\n")
    );
}

/// The scan above is worth what it finds.
#[test]
fn a_bypass_is_found() {
    for bypass in [
        r#"fn f() { script.then("foo bar"); }"#,
        r#"fn f() { match word { "UP" => 1, _ => 2 } }"#,
        r#"fn f() { line.contains("not found") }"#,
        r#"const X: &str = "datanode";"#,
        r#"fn f() { self.0.push_str(" on") }"#,
        r#"fn f() { error.hint(format!("see {}", row.text("nodes"))) }"#,
        r#"fn f() { matches!(word, "up" | "down") }"#,
        r#"fn f() { if word == "up" {} }"#,
        r#"fn f() { let words = ["-n", "-q"]; }"#,
        r#"fn f() { let hint = match word { "up" => "it is up", _ => "it is not" }; }"#,
    ] {
        assert!(!Literals::of(bypass, false).is_empty(), "{bypass}");
    }
    let speech =
        r#"fn f() { let what = format!("overlay {x}"); error.hint("see cmsh"); say(" | ") }"#;
    assert_eq!(Literals::of(speech, false), []);
    assert_eq!(Literals::of(speech, true).len(), 2);
}

/// What people are told to type into cmsh is typed in the same words.
#[test]
fn hints_type_words_of_the_lexicon() {
    let mut files = Vec::new();
    for dir in [
        "cli/src",
        "runbook-core/src",
        "bright-adapter/src",
        "etcd-adapter/src",
    ] {
        rust_files(&here().join("..").join(dir), &mut files);
    }
    let mut spans = 0;
    let mut wrong = BTreeSet::new();
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let tokens: TokenStream = source.parse().unwrap();
        each_literal(tokens, &mut |literal| {
            let text = literal.value();
            // Every other piece stands between backticks; a whole call may have its batch in quotes.
            let quoted = text.split('`').skip(1).step_by(2).filter_map(typed_into);
            let calls = text.split("cmsh -c '").skip(1);
            let batches = calls.filter_map(|rest| Some(rest.split_once('\'')?.0));
            for typed in quoted.chain(batches) {
                spans += 1;
                let bad = strangers(typed)
                    .into_iter()
                    .map(|word| format!("{}: `{typed}`: {word}", file.display()));
                wrong.extend(bad);
            }
        });
    }
    assert!(spans > 10, "only {spans} were found");
    assert!(
        wrong.is_empty(),
        "no words of the lexicon:\n{}",
        Vec::from_iter(wrong).join("\n")
    );
}

fn typed() -> BTreeSet<&'static str> {
    let read = ["message", "complaint", "state", "flag", "event", "part"];
    let typed = |entry: &Entry| !read.contains(&entry.group);
    let words = whole().into_iter().filter(typed);
    words.flat_map(|entry| entry.word.split(' ')).collect()
}

/// What of it goes into cmsh or `cmha`; nothing where it is for another program. A batch begins with a mode
/// or a verb.
fn typed_into(span: &str) -> Option<&str> {
    if let Some(words) = span.strip_prefix("cmha ") {
        return Some(words);
    }
    if let Some(batch) = span.strip_prefix("cmsh -c ") {
        return Some(batch.trim_matches('"'));
    }
    let (first, rest) = span.split_once([' ', ';'])?;
    let modes = Mode::ALL.iter().map(|mode| mode.text());
    let verbs = Verb::ALL.iter().map(|verb| verb.text());
    let begins = modes.chain(verbs).any(|word| word == first);
    (begins && !rest.trim().is_empty()).then_some(span)
}

/// Words that are neither of the lexicon nor stand for something: `NODE`, `{node}`, `<node>`, `"x"`. The
/// mode is a statement of its own.
fn strangers(span: &str) -> Vec<String> {
    let known = typed();
    let (first, _) = span.split_once(';').unwrap_or((span, ""));
    // `main` is always written before its command, as in the manual.
    let apart = Mode::ALL.iter().filter(|mode| **mode != Mode::Main);
    let has_mode = apart
        .map(|mode| mode.text())
        .any(|mode| first.split(' ').next() == Some(mode));
    let mode = if has_mode { first } else { "" };
    let stranger = |word: &&str| {
        let stands_for = word.starts_with(['{', '<', '"']) || !word.chars().any(char::is_lowercase);
        !word.is_empty() && !stands_for && !known.contains(*word)
    };
    let joined = mode.contains(' ').then_some(mode);
    let words = span.split([' ', ';']).filter(stranger);
    joined.into_iter().chain(words).map(str::to_owned).collect()
}

/// The reading of hints is worth what it finds.
#[test]
fn a_strange_hint_is_found() {
    for (hint, word) in [
        ("device; melt NODE", "melt"),
        ("device open NODE", "device open NODE"),
        ("set meltingpoint yes", "meltingpoint"),
        ("cmsh -c \"main; meltdown\"", "meltdown"),
        ("cmha meltdown", "meltdown"),
    ] {
        let found = typed_into(hint).map(strangers);
        assert_eq!(found, Some(vec![word.to_owned()]), "{hint}");
    }
    for other in [
        "status",
        "resume",
        "systemctl status cmd",
        "findmnt /cm/shared",
        "commit",
    ] {
        assert_eq!(typed_into(other), None, "{other}");
    }
}
