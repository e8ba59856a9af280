//! The options of `cmsh` (admin manual 2.5.1).

pub(crate) const HELP: &str = "usage:\n  cmsh [options] [hostname[:port]]\n  cmsh [options] -c <command>\n  \
                    cmsh [options] -f <filename>\n";

/// What the command line asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the documented switches"
)]
pub(crate) struct Options {
    pub(crate) batch: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) no_rc: bool,
    pub(crate) quit_on_error: bool,
    pub(crate) echo: bool,
    pub(crate) tty: bool,
    pub(crate) no_color: bool,
    pub(crate) no_events: bool,
    pub(crate) control_flag: bool,
    pub(crate) no_connect: bool,
    pub(crate) no_redirect: bool,
    /// `-i` or `-k`, as it was written: not every version has them.
    pub(crate) certificate_option: Option<String>,
    pub(crate) help: bool,
}

/// Reads the arguments; the error is the text for the user.
pub(crate) fn parse(args: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (arg.as_str(), None),
        };
        let mut value = || {
            inline
                .clone()
                .or_else(|| rest.next().cloned())
                .ok_or_else(|| format!("cmsh: option '{name}' requires an argument"))
        };
        match name {
            "-c" => options.batch = Some(value()?),
            "-f" => options.file = Some(value()?),
            "--color" => options.no_color = is_no(&value()?)?,
            "--spool" => drop(value()?),
            "--certificate" | "-i" | "--key" | "-k" => {
                value()?;
                options.certificate_option = Some(name.to_owned());
            }
            _ if name.starts_with('-') => options.switch(name)?,
            // host[:port]: there is only one daemon to talk to.
            _ => {}
        }
    }
    Ok(options)
}

fn is_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "no" => Ok(true),
        "yes" => Ok(false),
        _ => Err(format!(
            "cmsh: invalid argument '{text}' for option '--color'"
        )),
    }
}

impl Options {
    fn switch(&mut self, name: &str) -> Result<(), String> {
        match name {
            "--help" | "-h" => self.help = true,
            "--noconnect" | "-u" => self.no_connect = true,
            "--controlflag" | "-z" => self.control_flag = true,
            "--tty" | "-t" => self.tty = true,
            "--norc" | "-n" => self.no_rc = true,
            "--echo" | "-x" => self.echo = true,
            "--quit" | "-q" => self.quit_on_error = true,
            "--hide-events" | "--disable-events" => self.no_events = true,
            "--noredirect" | "-r" => self.no_redirect = true,
            "--noquitconfirmation" | "-Q" | "--disablemultiline" | "-m" => {}
            _ => return Err(format!("cmsh: unrecognized option '{name}'")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options, String> {
        parse(&args.iter().map(|&a| a.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn reads_the_documented_options() {
        let options = parsed(&["-n", "-q", "--color=no", "--hide-events", "-c", "device"]).unwrap();
        assert!(options.no_rc && options.quit_on_error && options.no_color && options.no_events);
        assert_eq!(options.batch.as_deref(), Some("device"));
        assert!(
            parsed(&["--color", "no", "-z", "-x", "-r", "-Q"])
                .unwrap()
                .no_color
        );
    }

    #[test]
    fn refuses_what_is_not_in_the_list() {
        assert!(parsed(&["-e", "device"]).is_err());
        assert!(parsed(&["-c"]).is_err());
        assert!(parsed(&["--color=maybe"]).is_err());
    }
}
