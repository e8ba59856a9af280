//! `list` and `foreach`.

use serde_json::Value as Json;

use super::objects::role_names;
use super::{Done, Failure, Position, Session, Sort, Sub, status_of};
use crate::dialect::JsonLists;
use crate::lexer;
use crate::model::Object;
use crate::protocol::View;
use crate::render::{self, Column};
use crate::scenario::Oddity;
use crate::schema::{Kind, Shape};

/// The width at which cells end when they are to be cut.
const CUT_AT: usize = 16;

/// The columns of a plain `list`: property, title, width.
fn default_columns(kind: Kind) -> &'static [(&'static str, &'static str, usize)] {
    match kind {
        Kind::Device => &[
            ("type", "Type", 22),
            ("hostname", "Hostname", 16),
            ("mac", "MAC", 18),
            ("category", "Category", 16),
            ("ip", "Ip", 15),
            ("status", "Status", 32),
        ],
        Kind::Category => &[
            ("name", "Name", 24),
            ("softwareimage", "Software image", 24),
        ],
        // The widths of a line seen in the field.
        Kind::ConfigurationOverlay => &[
            ("name", "Name", 18),
            ("priority", "Priority", 10),
            ("allheadnodes", "All head nodes", 14),
            ("nodes", "Nodes", 16),
            ("categories", "Categories", 17),
            ("roles", "Roles", 16),
        ],
        Kind::Kubernetes => &[("name", "Name", 24), ("etcdcluster", "Etcd cluster", 24)],
        Kind::Etcd | Kind::SoftwareImage => &[("name", "Name", 24)],
    }
}

/// A listed property.
struct Listed {
    name: String,
    column: Column,
}

#[derive(Default)]
struct ListOptions {
    fields: Option<String>,
    delimiter: Option<String>,
}

impl Session<'_> {
    pub(super) fn list(&mut self, args: &[String]) -> Done {
        match self.at.sub {
            Some(Sub::Roles(_)) => return self.list_roles(),
            Some(Sub::Services(_)) => return self.list_services(),
            None => {}
        }
        let Some(kind) = self.at.kind else {
            return Err(self.no_command("list"));
        };
        let options = list_options(args);
        let listed = self.listed(kind, options.fields.as_deref())?;
        let view = self.view()?;
        let objects = view.cluster.all(kind);
        let json = options.delimiter.as_deref().and_then(json_indent);
        if let Some(indent) = json {
            let names: Vec<String> = listed.iter().map(|l| key_name(kind, &l.name)).collect();
            let rows: Vec<Vec<Json>> = objects
                .iter()
                .map(|object| {
                    listed
                        .iter()
                        .map(|l| self.json_cell(&view, kind, object, &l.name))
                        .collect()
                })
                .collect();
            let text = render::json_table(&names, &rows, indent, self.has(Oddity::MissingColumns));
            self.out.push_str(&text);
            return Ok(());
        }
        let cell = |object: &Object, l: &Listed| self.text_cell(&view, kind, object, &l.name);
        let wanted = |l: &&Listed| {
            !self.has(Oddity::MissingColumns)
                || objects.iter().any(|object| !cell(object, l).is_empty())
        };
        let listed: Vec<&Listed> = listed.iter().filter(wanted).collect();
        let columns: Vec<Column> = listed.iter().map(|l| l.column.clone()).collect();
        let rows: Vec<Vec<String>> = objects
            .iter()
            .map(|object| listed.iter().map(|l| cell(object, l)).collect())
            .collect();
        let between = options.delimiter.unwrap_or_else(|| " ".to_owned());
        self.out.push_str(&render::table(&columns, &rows, &between));
        Ok(())
    }

    /// The wanted columns: those of `-f name[:width],...` go by the property's name, the default
    /// ones by its title.
    fn listed(&self, kind: Kind, fields: Option<&str>) -> Result<Vec<Listed>, Failure> {
        let defaults = default_columns(kind);
        let Some(fields) = fields else {
            return Ok(defaults
                .iter()
                .map(|(name, title, width)| Listed {
                    name: (*name).to_owned(),
                    column: Column::new(
                        &if *name == kind.key() {
                            format!("{title} (key)")
                        } else {
                            (*title).into()
                        },
                        *width,
                    ),
                })
                .collect());
        };
        fields
            .split(',')
            .map(|item| {
                let (name, width) = item.trim().split_once(':').unwrap_or((item.trim(), ""));
                let special = (name == "status" && kind == Kind::Device)
                    || (name == "roles" && kind.has_roles());
                let gone = &self.welcome.dialect.missing_properties;
                let known = kind.fields().iter().any(|field| field.name == name)
                    && !gone.iter().any(|missing| missing == name);
                if !special && !known {
                    let text = self.welcome.dialect.no_property(name);
                    return Err(Failure::new(Sort::Set, text));
                }
                let default = defaults.iter().find(|(n, _, _)| *n == name);
                let width = width
                    .parse()
                    .unwrap_or(default.map_or(20, |(_, _, width)| *width));
                let column = Column::new(&key_name(kind, name), width);
                Ok(Listed {
                    name: name.to_owned(),
                    column,
                })
            })
            .collect()
    }

    fn json_cell(&self, view: &View, kind: Kind, object: &Object, name: &str) -> Json {
        let form = self.welcome.dialect.json_lists;
        match items(kind, object, name) {
            Some((items, _)) if form == JsonLists::Array => {
                Json::Array(items.into_iter().map(Json::String).collect())
            }
            Some((items, _)) if form == JsonLists::Commas => Json::String(items.join(",")),
            _ => Json::String(self.text_cell(view, kind, object, name)),
        }
    }

    fn has(&self, oddity: Oddity) -> bool {
        self.welcome.output.contains(&oddity)
    }

    fn text_cell(&self, view: &View, kind: Kind, object: &Object, name: &str) -> String {
        if name == "status" && kind == Kind::Device {
            return self.cut(render::status_text(&status_of(
                view,
                &object.text("hostname"),
            )));
        }
        self.cut(match items(kind, object, name) {
            Some((items, Shape::Nodes)) => self.nodes_text(&items),
            Some((items, _)) => items.join(", "),
            None => object.text(name),
        })
    }

    /// A cell as the scenario wants it: perhaps cut, as default tables do with what is too wide.
    fn cut(&self, text: String) -> String {
        if self.has(Oddity::Cut) {
            render::cell(&text, CUT_AT).trim_end().to_owned()
        } else {
            text
        }
    }

    fn list_roles(&mut self) -> Done {
        let (Some(kind), Some(key)) = (self.at.kind, self.at.object.clone()) else {
            return Err(self.no_command("list"));
        };
        let view = self.view()?;
        let names = if kind == Kind::Device {
            let grants = view.cluster.grants(&key);
            grants
                .iter()
                .map(|grant| match &grant.origin {
                    Some(origin) => format!("[{origin}] {}", grant.role.text("type")),
                    None => grant.role.text("type"),
                })
                .collect()
        } else {
            view.cluster
                .find(kind, &key)
                .map(role_names)
                .unwrap_or_default()
        };
        let rows: Vec<Vec<String>> = names.into_iter().map(|name| vec![name]).collect();
        self.out
            .push_str(&render::table(&[Column::new("Name (key)", 0)], &rows, " "));
        Ok(())
    }

    /// `foreach <obj>... ( ... )` with groupings by node, category, overlay and role.
    pub(super) fn foreach(&mut self, args: &[String], body: Option<&str>) -> Done {
        let Some(kind) = self.at.kind else {
            return Err(self.no_command("foreach"));
        };
        let Some(body) = body else {
            return Err(Failure::new(Sort::Other, "foreach: missing ( ... )"));
        };
        let commands = lexer::parse(body).map_err(|e| Failure::new(Sort::Other, e))?;
        let selected = if kind == Kind::Device {
            self.select(args)?.unwrap_or_default()
        } else {
            let every = self.view()?.cluster.keys(kind);
            if args.iter().any(|arg| arg == "*") {
                every
            } else {
                args.to_vec()
            }
        };
        let verbose = args.iter().any(|arg| arg == "-v");
        let before = self.at.clone();
        let mut worst = Ok(());
        for key in selected {
            if verbose {
                let time = jiff::Zoned::now()
                    .strftime("%a %b %e %H:%M:%S %Y")
                    .to_string();
                self.say(&format!("{time} {key}"));
            }
            self.at = Position {
                kind: Some(kind),
                object: Some(key),
                sub: None,
            };
            for command in &commands {
                match self.run(command) {
                    Ok(None) => {}
                    // Already reported; the loop goes on, as without --quitonunknown.
                    Ok(Some(_)) => worst = Err(Failure::new(Sort::Other, "")),
                    Err(lost) => return Err(Failure::new(Sort::Lost, lost)),
                }
            }
        }
        self.at = before;
        worst
    }
}

fn list_options(args: &[String]) -> ListOptions {
    let mut options = ListOptions::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-f" | "--format" => options.fields = args.next().cloned(),
            "-d" | "--delimiter" => options.delimiter = args.next().cloned(),
            "-s" | "--sort" => drop(args.next()),
            _ => {}
        }
    }
    options
}

/// `{}` or `{4}`: JSON with that indent.
fn json_indent(delimiter: &str) -> Option<usize> {
    let inside = delimiter.strip_prefix('{')?.strip_suffix('}')?;
    if inside.is_empty() {
        Some(2)
    } else {
        inside.parse().ok()
    }
}

fn key_name(kind: Kind, name: &str) -> String {
    if name == kind.key() {
        format!("{name} (key)")
    } else {
        name.to_owned()
    }
}

/// The values of a property that is a list.
fn items(kind: Kind, object: &Object, name: &str) -> Option<(Vec<String>, Shape)> {
    if name == "roles" {
        return Some((role_names(object), Shape::List));
    }
    let field = kind.fields().iter().find(|field| field.name == name)?;
    field
        .shape
        .is_list()
        .then(|| (object.list(name), field.shape))
}
