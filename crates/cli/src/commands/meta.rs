//! Commands about the program itself: `explain`, `completions`, `man`.

use clap::CommandFactory as _;
use clap_mangen::Man;
use serde_json::{Value, json};

use super::Context;
use crate::args::{Cli, Explain, Listing};
use crate::codes::{CODES, Explained};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{json, wrap};
use crate::ui::{GOOD, HEAD, clean_line, paint};

const NAME: &str = "restore-runbook";

pub(super) fn explain(cx: Context<'_>, args: &Explain) -> Result<Exit, Failure> {
    let asked: Vec<&Explained> = match &args.code {
        None => CODES.iter().collect(),
        Some(code) => vec![find(code)?],
    };
    match (args.format, &args.code) {
        (Listing::Json, _) => {
            let values = asked
                .iter()
                .map(|c| json!({"code": c.code, "meaning": c.meaning, "what_to_do": c.what_to_do}));
            cx.ui
                .data(&json::document(&Value::Array(values.collect())))?;
        }
        (Listing::Text, Some(_)) => cx.ui.data(&page(asked[0]))?,
        (Listing::Text, None) => {
            let lines: Vec<String> = asked
                .iter()
                .map(|c| format!("{:<24} {}", c.code, c.meaning))
                .collect();
            cx.ui.data(&format!("{}\n", lines.join("\n")))?;
        }
    }
    Ok(Exit::Done)
}

fn find(code: &str) -> Result<&'static Explained, Failure> {
    CODES
        .iter()
        .find(|known| known.code == code)
        .ok_or_else(|| {
            Failure::usage(format!("no error code is called {}", clean_line(code)))
                .hint("`restore-runbook explain` lists them all")
        })
}

fn page(explained: &Explained) -> String {
    let body = |text: &str| {
        wrap(text, 88)
            .iter()
            .map(|line| format!("  {line}\n"))
            .collect::<Vec<_>>()
            .concat()
    };
    format!(
        "{}\n\n{}\n{}\n{}",
        paint(HEAD, explained.code),
        body(explained.meaning),
        paint(GOOD, "What to do"),
        body(explained.what_to_do)
    )
}

pub(super) fn completions(cx: Context<'_>, shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    cx.ui.bytes(&script)?;
    Ok(Exit::Done)
}

pub(super) fn man(cx: Context<'_>) -> Result<Exit, Failure> {
    let mut page = Vec::new();
    write_man(&mut page).map_err(|error| {
        Failure::internal("the manual page cannot be written").caused_by(&error)
    })?;
    cx.ui.bytes(&page)?;
    Ok(Exit::Done)
}

fn write_man(page: &mut Vec<u8>) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut command = Cli::command();
    command.build();
    Man::new(command.clone()).render(page)?;
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
    {
        let name = sub.get_name().to_owned();
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(page, ".SH \"{NAME} {name}\"\n{about}")?;
        let own = sub.clone().mut_args(|arg| {
            let global = arg.is_global_set();
            arg.hide(global)
        });
        let section = Man::new(own);
        section.render_synopsis_section(page)?;
        section.render_options_section(page)?;
    }
    Ok(())
}
