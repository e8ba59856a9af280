//! The batch grammar: commands split by `;`, double-quoted words, and the shell features that
//! make an unchecked name dangerous (admin manual 2.5.2, 2.5.5).

/// One command with what the shell features do to its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The text, for echoing.
    pub raw: String,
    /// Its words.
    pub words: Vec<Word>,
    /// What is done with its output, if anything.
    pub tail: Option<Tail>,
}

/// One word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Text, perhaps with back-quoted commands in it.
    Plain(Vec<Part>),
    /// The bracketed body of `foreach`.
    Group(String),
    /// `!cmd`: the rest of the command is for the shell.
    Bang(String),
}

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// A command whose output stands here.
    Backtick(String),
}

/// Where a command's output goes instead of stdout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// Into a command.
    Pipe(String),
    /// Into a file.
    Write {
        /// The file.
        path: String,
        /// Whether behind what it holds.
        append: bool,
    },
}

/// Parses a whole batch.
///
/// # Errors
/// What is not closed, in words.
pub fn parse(text: &str) -> Result<Vec<Command>, String> {
    let mut commands = Vec::new();
    for raw in split(text) {
        let raw = raw.trim();
        if !raw.is_empty() && !raw.starts_with('#') {
            commands.push(parse_command(raw)?);
        }
    }
    Ok(commands)
}

/// Cuts a batch at semicolons and line ends that stand outside quotes and brackets.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut ticked, mut depth) = (false, false, 0_u32);
    for c in text.chars() {
        match c {
            '"' if !ticked => quoted = !quoted,
            '`' => ticked = !ticked,
            '(' if !quoted && !ticked => depth += 1,
            ')' if !quoted && !ticked => depth = depth.saturating_sub(1),
            ';' | '\n' if !quoted && !ticked && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

fn parse_command(raw: &str) -> Result<Command, String> {
    let mut scan = Scanner { rest: raw };
    let mut words = Vec::new();
    let command = |words, tail| Command {
        raw: raw.to_owned(),
        words,
        tail,
    };
    loop {
        scan.rest = scan.rest.trim_start();
        match scan.rest.chars().next() {
            None => return Ok(command(words, None)),
            Some('|') => {
                let tail = Some(Tail::Pipe(scan.rest[1..].trim().to_owned()));
                return Ok(command(words, tail));
            }
            Some('>') => {
                let append = scan.rest.starts_with(">>");
                let path = scan.rest.trim_start_matches('>').trim().to_owned();
                let tail = Some(Tail::Write { path, append });
                return Ok(command(words, tail));
            }
            Some('!') => {
                words.push(Word::Bang(scan.rest[1..].trim().to_owned()));
                return Ok(command(words, None));
            }
            Some('(') => words.push(Word::Group(scan.group()?)),
            Some(_) => words.push(Word::Plain(scan.word()?)),
        }
    }
}

struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    /// Takes the text up to the closing `end` and steps over it.
    fn until(&mut self, end: char) -> Result<String, String> {
        let Some(at) = self.rest.find(end) else {
            return Err(format!("Missing closing {end}"));
        };
        let taken = self.rest[..at].to_owned();
        self.rest = &self.rest[at + end.len_utf8()..];
        Ok(taken)
    }

    fn group(&mut self) -> Result<String, String> {
        let (mut depth, mut quoted) = (0_u32, false);
        for (at, c) in self.rest.char_indices() {
            match c {
                '"' => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let body = self.rest[1..at].to_owned();
                self.rest = &self.rest[at + 1..];
                return Ok(body);
            }
        }
        Err("Missing closing )".to_owned())
    }

    /// One word. Back quotes work inside double quotes too, as in a shell: nobody documented that
    /// they do not, and the stand-in must not be the safer one.
    fn word(&mut self) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut quoted = false;
        while let Some(c) = self.rest.chars().next() {
            if !quoted && (c.is_whitespace() || c == '|' || c == '>') {
                break;
            }
            self.rest = &self.rest[c.len_utf8()..];
            match c {
                '"' => quoted = !quoted,
                '`' => {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Backtick(self.until('`')?));
                }
                _ => text.push(c),
            }
        }
        if quoted {
            return Err("Missing closing \"".to_owned());
        }
        parts.push(Part::Text(text));
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        parse(text)
            .unwrap()
            .into_iter()
            .map(|command| {
                command
                    .words
                    .into_iter()
                    .map(|word| match word {
                        Word::Plain(parts) => parts
                            .into_iter()
                            .map(|part| match part {
                                Part::Text(text) => text,
                                Part::Backtick(text) => format!("<{text}>"),
                            })
                            .collect(),
                        Word::Group(text) => format!("({text})"),
                        Word::Bang(text) => format!("!{text}"),
                    })
                    .collect()
            })
            .collect()
    }

    #[test]
    fn splits_at_semicolons_outside_quotes_and_brackets() {
        assert_eq!(
            words(r#"device; foreach -l etcd::host (get hostname; status); use "a;b"; # no"#),
            vec![
                vec!["device"],
                vec!["foreach", "-l", "etcd::host", "(get hostname; status)"],
                vec!["use", "a;b"],
            ]
        );
    }

    #[test]
    fn keeps_an_empty_quoted_word() {
        assert_eq!(words(r#"set nodes """#), vec![vec!["set", "nodes", ""]]);
    }

    #[test]
    fn shell_features_are_special() {
        assert_eq!(words("use `id`x"), vec![vec!["use", "<id>x"]]);
        assert_eq!(words("use \"`id`\""), vec![vec!["use", "<id>"]]);
        assert_eq!(
            words("use !touch x; list"),
            vec![vec!["use", "!touch x"], vec!["list"]]
        );
        let piped = parse("list | grep x").unwrap();
        assert_eq!(piped[0].tail, Some(Tail::Pipe("grep x".to_owned())));
        let written = parse("list >> f").unwrap();
        assert_eq!(
            written[0].tail,
            Some(Tail::Write {
                path: "f".to_owned(),
                append: true
            })
        );
        assert_eq!(parse("list -d \"|\"").unwrap()[0].tail, None);
    }

    #[test]
    fn unbalanced_text_is_an_error() {
        assert!(parse("use \"x").is_err());
        assert!(parse("foreach * (get name").is_err());
        assert!(parse("use `x").is_err());
    }
}
