//! The object commands (admin manual 2.5.3): get, set, append, removefrom, clear, commit and
//! their like.

use super::{Done, Failure, Session, Sort, Sub};
use crate::dialect::ListForm;
use crate::model::{Cluster, Object, Value, shaped};
use crate::protocol::{Problem, Reply, Request};
use crate::render::{self, Column};
use crate::scenario::What;
use crate::schema::{Field, INSTALL_MODES, Kind, Shape, role_fields};

/// What a command is about: an object, or a role in it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) kind: Kind,
    pub(super) key: String,
    role: Option<String>,
}

impl Target {
    fn fields(&self) -> &'static [Field] {
        match &self.role {
            Some(role) => role_fields(role),
            None => self.kind.fields(),
        }
    }
}

impl Session<'_> {
    /// The used object, or else the one named first.
    fn target<'a>(&self, args: &'a [String]) -> Result<(Target, &'a [String]), Failure> {
        let missing = || Failure::new(Sort::Use, "No object selected");
        let kind = self.at.kind.ok_or_else(missing)?;
        let Some(key) = self.at.object.clone() else {
            let (key, rest) = args.split_first().ok_or_else(missing)?;
            return Ok((
                Target {
                    kind,
                    key: key.clone(),
                    role: None,
                },
                rest,
            ));
        };
        match &self.at.sub {
            Some(Sub::Roles(Some(role))) => Ok((
                Target {
                    kind,
                    key,
                    role: Some(role.clone()),
                },
                args,
            )),
            Some(Sub::Roles(None)) => {
                let (role, rest) = args.split_first().ok_or_else(missing)?;
                Ok((
                    Target {
                        kind,
                        key,
                        role: Some(role.clone()),
                    },
                    rest,
                ))
            }
            _ => Ok((
                Target {
                    kind,
                    key,
                    role: None,
                },
                args,
            )),
        }
    }

    fn read(&self, cluster: &Cluster, target: &Target) -> Result<Object, Failure> {
        let object = match &target.role {
            Some(role) => cluster.role_of(target.kind, &target.key, role).cloned(),
            None => cluster.find(target.kind, &target.key).cloned(),
        };
        object.ok_or_else(|| {
            self.no_object(target.kind, target.role.as_deref().unwrap_or(&target.key))
        })
    }

    fn field(&self, target: &Target, name: &str) -> Result<&'static Field, Failure> {
        let dialect = &self.welcome.dialect;
        target
            .fields()
            .iter()
            .find(|field| field.name == name)
            .filter(|field| {
                !dialect
                    .missing_properties
                    .iter()
                    .any(|gone| gone == field.name)
            })
            .ok_or_else(|| Failure::new(Sort::Set, dialect.no_property(name)))
    }

    pub(super) fn get(&mut self, args: &[String]) -> Done {
        let (target, rest) = self.target(args)?;
        let view = self.view()?;
        let object = self.read(&view.cluster, &target)?;
        let [name] = rest else {
            return Err(Failure::new(Sort::Set, "Usage: get <parameter>"));
        };
        if name == "status" && target.kind == Kind::Device && target.role.is_none() {
            self.say(&render::status_text(&super::status_of(&view, &target.key)));
            return Ok(());
        }
        let text = if name == "roles" && target.role.is_none() {
            self.joined(&role_names(&object), Shape::List)
        } else {
            let field = self.field(&target, name)?;
            if field.shape.is_list() {
                self.joined(&object.list(name), field.shape)
            } else {
                shown(&view.cluster, &target, &object, name)
            }
        };
        self.say(&text);
        Ok(())
    }

    fn joined(&self, items: &[String], shape: Shape) -> String {
        match self.welcome.dialect.list_form {
            ListForm::Lines => items.join("\n"),
            ListForm::Range if shape == Shape::Nodes => self.nodes_text(items),
            ListForm::Range | ListForm::Spaces => items.join(" "),
        }
    }

    pub(super) fn show(&mut self, args: &[String]) -> Done {
        let (target, _) = self.target(args)?;
        let view = self.view()?;
        let object = self.read(&view.cluster, &target)?;
        let gone = &self.welcome.dialect.missing_properties;
        let mut rows: Vec<Vec<String>> = target
            .fields()
            .iter()
            .filter(|field| !gone.iter().any(|name| name == field.name))
            .map(|field| {
                let text = if field.shape == Shape::Nodes {
                    self.nodes_text(&object.list(field.name))
                } else {
                    shown(&view.cluster, &target, &object, field.name)
                };
                vec![field.title.to_owned(), text]
            })
            .collect();
        if target.role.is_none() && target.kind.has_roles() {
            rows.push(vec![
                "Roles".to_owned(),
                format!("<{} in submode>", object.roles.len()),
            ]);
        }
        let columns = [Column::new("Parameter", 36), Column::new("Value", 0)];
        self.out.push_str(&render::table(&columns, &rows, " "));
        Ok(())
    }

    /// `set` replaces, `append` and `removefrom` change a list, `clear` empties.
    pub(super) fn change(&mut self, verb: &str, args: &[String]) -> Done {
        let (target, rest) = self.target(args)?;
        let view = self.view()?;
        let old = self.read(&view.cluster, &target)?;
        let Some((name, values)) = rest.split_first() else {
            return Err(Failure::new(
                Sort::Set,
                format!("Usage: {verb} <parameter> [value ...]"),
            ));
        };
        let field = self.field(&target, name)?;
        if field.shape == Shape::ReadOnly {
            return Err(self.bad_value(name, &values.join(" ")));
        }
        let value = match verb {
            "set" => self.whole(field, values)?,
            "clear" => self.whole(field, &[])?,
            _ => self.partial(verb, field, &old, values)?,
        };
        if self.welcome.dialect.early_validation {
            self.check(&view.cluster, field, &value)?;
        }
        self.edit(&view.cluster, &target, name, value)
    }

    fn bad_value(&self, name: &str, value: &str) -> Failure {
        Failure::new(Sort::Set, self.welcome.dialect.bad_value(name, value))
    }

    fn whole(&self, field: &Field, values: &[String]) -> Result<Value, Failure> {
        let mut words = values.to_vec();
        words.retain(|word| !word.is_empty());
        if matches!(field.shape, Shape::List | Shape::Categories) {
            words = words
                .iter()
                .flat_map(|w| w.split(','))
                .map(str::to_owned)
                .collect();
        }
        shaped(field.shape, words).map_err(|_| self.bad_value(field.name, &values.join(" ")))
    }

    fn partial(
        &self,
        verb: &str,
        field: &Field,
        old: &Object,
        values: &[String],
    ) -> Result<Value, Failure> {
        let given = match self.whole(field, values)? {
            Value::List(items) if field.shape.is_list() && !items.is_empty() => items,
            _ => return Err(self.bad_value(field.name, &values.join(" "))),
        };
        let mut items = old.list(field.name);
        for item in given {
            let present = items.contains(&item);
            if verb == "append" && !present {
                items.push(item);
            } else if verb == "removefrom" && present {
                items.retain(|other| *other != item);
            } else if verb == "removefrom" && self.welcome.dialect.removefrom_absent_fails {
                return Err(self.bad_value(field.name, &item));
            }
        }
        Ok(Value::List(items))
    }

    /// Whether a bad value is refused at once or at commit is not documented.
    fn check(&self, cluster: &Cluster, field: &Field, value: &Value) -> Done {
        let bad = match (field.shape, value) {
            (Shape::InstallMode, Value::Text(mode)) => Some(mode)
                .filter(|mode| !mode.is_empty() && !INSTALL_MODES.contains(&mode.as_str())),
            (Shape::Nodes, Value::List(names)) => names
                .iter()
                .find(|name| cluster.find(Kind::Device, name).is_none()),
            _ => None,
        };
        bad.map_or(Ok(()), |value| Err(self.bad_value(field.name, value)))
    }

    fn edit(&mut self, cluster: &Cluster, target: &Target, name: &str, value: Value) -> Done {
        let mut object = cluster
            .find(target.kind, &target.key)
            .cloned()
            .ok_or_else(|| self.no_object(target.kind, &target.key))?;
        match &target.role {
            None => object.set(name, value),
            Some(role) => {
                let own = object
                    .roles
                    .iter_mut()
                    .find(|own| own.text("type").eq_ignore_ascii_case(role));
                own.ok_or_else(|| self.bad_value(name, role))?
                    .set(name, value);
            }
        }
        self.edits.insert((target.kind, target.key.clone()), object);
        Ok(())
    }

    /// `assign` and `unassign` a role in a roles submode.
    pub(super) fn assign(&mut self, verb: &str, args: &[String]) -> Done {
        let (Some(kind), Some(key), Some(Sub::Roles(_)), [role]) = (
            self.at.kind,
            self.at.object.clone(),
            self.at.sub.clone(),
            args,
        ) else {
            return Err(self.no_command(verb));
        };
        let view = self.view()?;
        let mut object = view
            .cluster
            .find(kind, &key)
            .cloned()
            .ok_or_else(|| self.no_object(kind, &key))?;
        if verb == "unassign" {
            if object.role(role).is_none() {
                return Err(self.no_object(kind, role));
            }
            object
                .roles
                .retain(|own| !own.text("type").eq_ignore_ascii_case(role));
        } else {
            let canonical = ["Etcd::Host", "Kubernetes::ApiServer"]
                .into_iter()
                .find(|name| name.eq_ignore_ascii_case(role))
                .ok_or_else(|| self.no_object(kind, role))?;
            let mut added = Object::named("type", canonical);
            added
                .normalise(role_fields(canonical))
                .map_err(|problem| Failure::new(Sort::Set, problem))?;
            object.roles.push(added);
        }
        self.edits.insert((kind, key), object);
        Ok(())
    }

    /// Commits the used object, or all modified ones of the mode, or everything at the top.
    pub(super) fn commit(&mut self, args: &[String]) -> Done {
        let wait = args.iter().any(|arg| arg == "-w" || arg == "--wait");
        let kinds = self
            .at
            .kind
            .map_or_else(|| Kind::ALL.to_vec(), |kind| vec![kind]);
        for kind in kinds {
            let chosen: Vec<(Kind, String)> = self
                .edits
                .keys()
                .filter(|(k, key)| {
                    *k == kind && self.at.object.as_ref().is_none_or(|object| object == key)
                })
                .cloned()
                .collect();
            if chosen.is_empty() && self.at.kind.is_none() {
                continue;
            }
            self.commit_these(kind, &chosen, wait)?;
        }
        Ok(())
    }

    fn commit_these(&mut self, kind: Kind, chosen: &[(Kind, String)], wait: bool) -> Done {
        if self.suffers(What::LeftModified) && !chosen.is_empty() {
            return Ok(());
        }
        if !chosen.is_empty() {
            let objects = chosen
                .iter()
                .filter_map(|key| self.edits.get(key))
                .cloned()
                .collect();
            let reply = self.call(&Request::Commit {
                kind,
                objects,
                wait,
            })?;
            refused(reply)?;
            for key in chosen {
                self.edits.remove(key);
            }
        }
        if let Some(fault) = self
            .welcome
            .fault
            .clone()
            .filter(|fault| fault.what == What::Warning)
        {
            // The one warning whose text is documented, unless another is wanted.
            let text = fault.text.unwrap_or_else(|| {
                "The Ethernet switch settings were not cloned, and have to be set manually"
                    .to_owned()
            });
            self.say(&format!("Warning: {text}"));
        }
        if self.welcome.dialect.commit_line {
            self.say(&format!(
                "Successfully committed {} {}",
                chosen.len(),
                kind.plural()
            ));
        }
        Ok(())
    }

    pub(super) fn validate(&mut self) -> Done {
        let (target, _) = self.target(&[])?;
        let view = self.view()?;
        let object = view.cluster.find(target.kind, &target.key).cloned();
        let object = object.ok_or_else(|| self.no_object(target.kind, &target.key))?;
        let reply = self.call(&Request::Validate {
            kind: target.kind,
            object,
        })?;
        refused(reply)?;
        self.say("All good");
        Ok(())
    }

    pub(super) fn modified(&mut self) {
        let kind = self.at.kind;
        let rows: Vec<Vec<String>> = self
            .edits
            .keys()
            .filter(|(k, _)| kind.is_none_or(|kind| kind == *k))
            .map(|(k, key)| vec![String::new(), k.mode().to_owned(), key.clone()])
            .collect();
        if rows.is_empty() {
            let of = kind.map_or("any", Kind::mode);
            self.say(&format!("No modified objects of type {of}"));
            return;
        }
        let columns = [
            Column::new("State", 6),
            Column::new("Type", 24),
            Column::new("Name", 32),
        ];
        self.out.push_str(&render::table(&columns, &rows, " "));
    }

    pub(super) fn refresh(&mut self) {
        let (kind, object) = (self.at.kind, self.at.object.clone());
        self.edits.retain(|(k, key), _| {
            kind.is_some_and(|kind| kind != *k)
                || object.as_ref().is_some_and(|object| object != key)
        });
    }
}

fn refused(reply: Reply) -> Done {
    match reply {
        Reply::Problems(problems) => problems_to_failure(&problems),
        _ => Err(Failure::new(
            Sort::Lost,
            "CMDaemon gave an unexpected answer",
        )),
    }
}

fn problems_to_failure(problems: &[Problem]) -> Done {
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Sort::Commit, render::problems(problems)))
}

pub(super) fn role_names(object: &Object) -> Vec<String> {
    object.roles.iter().map(|role| role.text("type")).collect()
}

/// A value as shown; an inherited install mode says so (admin manual 5.4.4: `AUTO (Category)`).
fn shown(cluster: &Cluster, target: &Target, object: &Object, name: &str) -> String {
    let text = object.text(name);
    if name == "installmode" && target.kind == Kind::Device && text.is_empty() {
        let category = cluster.find(Kind::Category, &object.text("category"));
        return category
            .map(|category| format!("{} (Category)", category.text("installmode")))
            .unwrap_or_default();
    }
    text
}
