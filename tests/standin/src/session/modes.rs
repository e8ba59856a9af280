//! Moving through the modes (admin manual 2.5.2), and the commands of the top level.

use super::{Done, Failure, Line, Position, Session, Sort, Sub, known};
use crate::protocol::{Reply, Request};
use crate::schema::Kind;
use std::fmt::Write as _;

impl Session<'_> {
    /// Runs a command in the mode the session is in.
    pub(super) fn dispatch(&mut self, line: &Line) -> Done {
        let Some((name, args)) = line.words.split_first() else {
            return Ok(());
        };
        match name.as_str() {
            "exit" | ".." => self.leave(),
            "home" | "/" => self.at = Position::default(),
            "quit" => self.done = true,
            "path" => self.path(),
            "color" => self.no_color = args.first().is_some_and(|word| word == "off"),
            "alias" => {
                if let [name, meaning @ ..] = args {
                    self.aliases.insert(name.clone(), meaning.join(" "));
                }
            }
            "modified" => self.modified(),
            "refresh" => self.refresh(),
            "main" => return self.main(args),
            "cmha" => return self.cmha(args),
            _ => {
                return match Kind::ALL.into_iter().find(|kind| kind.mode() == name) {
                    Some(kind) => self.mode(kind, args, line),
                    None => self.command(name, args, line),
                };
            }
        }
        Ok(())
    }

    /// `device` enters the mode; `device status x` runs one command there and stays where it
    /// was, but `device use x` (and a submode) moves, as `device use node001; set ...` needs.
    fn mode(&mut self, kind: Kind, args: &[String], line: &Line) -> Done {
        let mode = Position {
            kind: Some(kind),
            ..Position::default()
        };
        let Some(first) = args.first() else {
            self.at = mode;
            return Ok(());
        };
        let before = std::mem::replace(&mut self.at, mode);
        let inner = Line {
            words: args.to_vec(),
            body: line.body.clone(),
        };
        let done = self.dispatch(&inner);
        if done.is_err() || !matches!(first.as_str(), "use" | "roles" | "services") {
            self.at = before;
        }
        done
    }

    fn command(&mut self, name: &str, args: &[String], line: &Line) -> Done {
        match name {
            "commit" => self.commit(args),
            _ if self.at.kind.is_none() => Err(self.no_command(name)),
            "use" => self.use_object(args),
            "get" => self.get(args),
            "set" | "append" | "removefrom" | "clear" => self.change(name, args),
            "show" => self.show(args),
            "list" => self.list(args),
            "validate" => self.validate(),
            "foreach" => self.foreach(args, line.body.as_deref()),
            "roles" => self.enter_sub(args, Sub::Roles(None)),
            "assign" | "unassign" => self.assign(name, args),
            "services" if self.at.kind == Some(Kind::Device) => {
                self.enter_sub(args, Sub::Services(None))
            }
            "provisioningstatus" if self.at.kind == Some(Kind::SoftwareImage) => {
                self.provisioning_status()
            }
            "islocked" if self.at.kind == Some(Kind::SoftwareImage) => self.is_locked(args),
            _ if matches!(self.at.sub, Some(Sub::Services(_))) => self.service(name, args),
            _ if self.at.kind == Some(Kind::Device) => self.device_command(name, args),
            _ => Err(self.no_command(name)),
        }
    }

    fn leave(&mut self) {
        match (&mut self.at.sub, &mut self.at.object) {
            (Some(Sub::Roles(inner @ Some(_)) | Sub::Services(inner @ Some(_))), _) => {
                *inner = None;
            }
            (sub @ Some(_), _) => *sub = None,
            (None, object @ Some(_)) => *object = None,
            (None, None) if self.at.kind.is_some() => self.at.kind = None,
            (None, None) => self.done = true,
        }
    }

    fn use_object(&mut self, args: &[String]) -> Done {
        let [name] = args else {
            return Err(Failure::new(Sort::Use, "Usage: use <object>"));
        };
        let Some(kind) = self.at.kind else {
            return Err(self.no_command("use"));
        };
        let view = self.view()?;
        match (self.at.sub.clone(), self.at.object.clone()) {
            (Some(Sub::Roles(_)), Some(object)) => {
                let role = view.cluster.role_of(kind, &object, name);
                let role = role.ok_or_else(|| self.no_object(kind, name))?.text("type");
                self.at.sub = Some(Sub::Roles(Some(role)));
            }
            (Some(Sub::Services(_)), Some(object)) => {
                if !super::status_of(&view, &object).services.contains_key(name) {
                    return Err(self.no_object(kind, name));
                }
                self.at.sub = Some(Sub::Services(Some(name.clone())));
            }
            _ => {
                if !known(&view.cluster, kind, name) {
                    return Err(self.no_object(kind, name));
                }
                self.at.object = Some(name.clone());
            }
        }
        Ok(())
    }

    /// Enters a submode of the used object, or of the one named.
    fn enter_sub(&mut self, args: &[String], sub: Sub) -> Done {
        let Some(kind) = self.at.kind.filter(|kind| kind.has_roles()) else {
            return Err(self.no_command("roles"));
        };
        if let Some(name) = args.first() {
            let view = self.view()?;
            if !known(&view.cluster, kind, name) {
                return Err(self.no_object(kind, name));
            }
            self.at.object = Some(name.clone());
        }
        if self.at.object.is_none() {
            return Err(self.no_command(if sub == Sub::Roles(None) {
                "roles"
            } else {
                "services"
            }));
        }
        self.at.sub = Some(sub);
        Ok(())
    }

    /// `path`: what to type to come back here.
    fn path(&mut self) {
        let mut text = "home;".to_owned();
        if let Some(kind) = self.at.kind {
            let _ = write!(text, "{};", kind.mode());
        }
        if let Some(object) = &self.at.object {
            let _ = write!(text, "use \"{object}\";");
        }
        match &self.at.sub {
            Some(Sub::Roles(inner)) => text.push_str(&sub_path("roles", inner.as_deref())),
            Some(Sub::Services(inner)) => text.push_str(&sub_path("services", inner.as_deref())),
            None => {}
        }
        self.say(&text);
    }

    /// The prompt, with `*` at every level that is modified.
    pub(crate) fn prompt(&self) -> String {
        let mut text = format!("[{}", self.welcome.cluster);
        if let Some(kind) = self.at.kind {
            let dirty = if self.edits.keys().any(|(k, _)| *k == kind) {
                "*"
            } else {
                ""
            };
            let _ = write!(text, "->{}{dirty}", kind.mode());
            if let Some(object) = &self.at.object {
                let edited = self.edits.contains_key(&(kind, object.clone()));
                let _ = write!(text, "[{object}{}]", if edited { "*" } else { "" });
            }
        }
        let (name, inner) = match &self.at.sub {
            Some(Sub::Roles(inner)) => ("->roles", inner.as_deref()),
            Some(Sub::Services(inner)) => ("->services", inner.as_deref()),
            None => ("", None),
        };
        text.push_str(name);
        if let Some(inner) = inner {
            let _ = write!(text, "[{inner}]");
        }
        text.push_str("]% ");
        text
    }

    fn main(&mut self, args: &[String]) -> Done {
        match args {
            [name] if name == "versioninfo" => {
                let version = &self.welcome.version;
                let full = if version.contains('.') {
                    version.clone()
                } else {
                    format!("{version}.0")
                };
                self.say(&format!("{:<24} {full}", "Cluster Manager"));
                Ok(())
            }
            [] => {
                self.at = Position::default();
                Ok(())
            }
            [name, ..] => Err(self.no_command(name)),
        }
    }

    fn cmha(&mut self, args: &[String]) -> Done {
        match (args.first().map(String::as_str), self.welcome.cmha.clone()) {
            (Some("status"), Some(text)) => {
                self.out.push_str(&text);
                Ok(())
            }
            // What one head node prints is not known.
            (Some("makeactive"), Some(_)) => {
                let head = args.get(1).cloned();
                let head = head.or_else(|| Some(self.welcome.head.clone()));
                let automatic = false;
                match self.call(&Request::MakeActive { head, automatic })? {
                    Reply::Results(results) => {
                        for result in results {
                            self.say(&result.text);
                        }
                        Ok(())
                    }
                    _ => Err(Failure::new(
                        Sort::Lost,
                        "CMDaemon gave an unexpected answer",
                    )),
                }
            }
            (Some("status"), None) => Err(Failure::new(
                Sort::Other,
                "No secondary head node has been set up",
            )),
            _ => Err(self.no_command("cmha")),
        }
    }
}

fn sub_path(sub: &str, inner: Option<&str>) -> String {
    match inner {
        Some(inner) => format!("{sub};use {};", inner.to_lowercase()),
        None => format!("{sub};"),
    }
}
