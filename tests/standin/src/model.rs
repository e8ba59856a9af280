//! The cluster's objects and which node has which role.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::schema::{Field, Kind, Shape, parse_flag, role_fields};

/// The role that makes a node an etcd member.
pub(crate) const ETCD_HOST: &str = "Etcd::Host";

/// The value of a property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Flag(bool),
    Number(i64),
    Text(String),
    List(Vec<String>),
}

/// An object or a role: its properties, and its own roles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<Object>,
    #[serde(flatten)]
    pub(crate) props: BTreeMap<String, Value>,
}

impl Object {
    pub(crate) fn named(key: &str, name: &str) -> Self {
        let props = BTreeMap::from([(key.to_owned(), Value::Text(name.to_owned()))]);
        Self {
            roles: Vec::new(),
            props,
        }
    }

    /// The property as text; lists are joined by commas, flags are yes and no.
    pub(crate) fn text(&self, name: &str) -> String {
        match self.props.get(name) {
            None => String::new(),
            Some(Value::Flag(on)) => if *on { "yes" } else { "no" }.to_owned(),
            Some(Value::Number(n)) => n.to_string(),
            Some(Value::Text(text)) => text.clone(),
            Some(Value::List(items)) => items.join(","),
        }
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        match self.props.get(name) {
            Some(Value::List(items)) => items.clone(),
            _ => Some(self.text(name))
                .filter(|t| !t.is_empty())
                .into_iter()
                .collect(),
        }
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        parse_flag(&self.text(name)).unwrap_or(false)
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.props.insert(name.to_owned(), value);
    }

    pub(crate) fn role(&self, name: &str) -> Option<&Object> {
        self.roles
            .iter()
            .find(|role| role.text("type").eq_ignore_ascii_case(name))
    }

    /// Fills in defaults and gives every property the shape the schema wants.
    pub(crate) fn normalise(&mut self, fields: &[Field]) -> Result<(), String> {
        for name in self.props.keys() {
            if !fields.iter().any(|field| field.name == name) {
                return Err(format!("unknown property {name:?}"));
            }
        }
        for field in fields {
            let given = if self.props.contains_key(field.name) {
                self.list(field.name)
            } else {
                Some(field.default.to_owned())
                    .filter(|d| !d.is_empty())
                    .into_iter()
                    .collect()
            };
            self.set(field.name, shaped(field.shape, given)?);
        }
        for role in &mut self.roles {
            let kind = role.text("type");
            role.normalise(role_fields(&kind))?;
        }
        Ok(())
    }
}

/// Makes a value of the wanted shape from words.
pub(crate) fn shaped(shape: Shape, words: Vec<String>) -> Result<Value, String> {
    let text = words.join(" ");
    Ok(match shape {
        Shape::Nodes => Value::List(crate::nodelist::expand(&words)),
        Shape::List | Shape::Categories => Value::List(words),
        Shape::Flag => Value::Flag(
            text.is_empty()
                .then_some(false)
                .or_else(|| parse_flag(&text))
                .ok_or_else(|| format!("not a boolean: {text:?}"))?,
        ),
        Shape::InstallMode => Value::Text(text.to_ascii_uppercase()),
        Shape::Number if text.parse::<i64>().is_err() => {
            return Err(format!("not a number: {text:?}"));
        }
        Shape::Text | Shape::Number | Shape::ReadOnly => Value::Text(text),
    })
}

/// All objects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) objects: BTreeMap<Kind, Vec<Object>>,
}

/// Where a node has a role from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant<'a> {
    pub(crate) role: &'a Object,
    /// `overlay:NAME`, `category:NAME` or nothing for the node's own role.
    pub(crate) origin: Option<String>,
    pub(crate) priority: i64,
}

impl Cluster {
    pub(crate) fn all(&self, kind: Kind) -> &[Object] {
        self.objects.get(&kind).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn find(&self, kind: Kind, key: &str) -> Option<&Object> {
        self.all(kind)
            .iter()
            .find(|object| object.text(kind.key()) == key)
    }

    pub(crate) fn find_mut(&mut self, kind: Kind, key: &str) -> Option<&mut Object> {
        let objects = self.objects.get_mut(&kind)?;
        objects
            .iter_mut()
            .find(|object| object.text(kind.key()) == key)
    }

    pub(crate) fn keys(&self, kind: Kind) -> Vec<String> {
        self.all(kind)
            .iter()
            .map(|object| object.text(kind.key()))
            .collect()
    }

    fn category_of(&self, device: &Object) -> Option<&Object> {
        self.find(Kind::Category, &device.text("category"))
    }

    /// The software image a node is provisioned from.
    pub(crate) fn image_of(&self, node: &str) -> String {
        let device = self.find(Kind::Device, node);
        let category = device.and_then(|device| self.category_of(device));
        category
            .map(|category| category.text("softwareimage"))
            .unwrap_or_default()
    }

    /// "Data node" is the logical OR of the node's and the category's value (admin manual 5.4.4).
    pub(crate) fn data_node(&self, node: &str) -> bool {
        self.find(Kind::Device, node).is_some_and(|device| {
            device.flag("datanode")
                || self
                    .category_of(device)
                    .is_some_and(|category| category.flag("datanode"))
        })
    }

    /// Every role a node has and by what; the highest priority first (admin manual 2.1.6:
    /// category 250, overlay 500 by default, node 750; an overlay with -1 is switched off).
    pub(crate) fn grants(&self, node: &str) -> Vec<Grant<'_>> {
        let Some(device) = self.find(Kind::Device, node) else {
            return Vec::new();
        };
        let mut grants = Vec::new();
        for role in &device.roles {
            grants.push(Grant {
                role,
                origin: None,
                priority: 750,
            });
        }
        for overlay in self.all(Kind::ConfigurationOverlay) {
            let priority = overlay.text("priority").parse().unwrap_or(500);
            if priority == -1 || !covers(overlay, device) {
                continue;
            }
            let origin = Some(format!("overlay:{}", overlay.text("name")));
            for role in &overlay.roles {
                grants.push(Grant {
                    role,
                    origin: origin.clone(),
                    priority,
                });
            }
        }
        if let Some(category) = self.category_of(device) {
            let origin = Some(format!("category:{}", category.text("name")));
            for role in &category.roles {
                grants.push(Grant {
                    role,
                    origin: origin.clone(),
                    priority: 250,
                });
            }
        }
        grants.sort_by_key(|grant| -grant.priority);
        grants
    }

    /// The role as it holds for the node, if it has it.
    pub(crate) fn effective_role(&self, node: &str, role: &str) -> Option<&Object> {
        self.grants(node)
            .into_iter()
            .find(|grant| grant.role.text("type").eq_ignore_ascii_case(role))
            .map(|grant| grant.role)
    }

    /// A role of an object by its name in any case; a device also has those it inherits.
    pub(crate) fn role_of(&self, kind: Kind, object: &str, role: &str) -> Option<&Object> {
        let inherited = || {
            self.effective_role(object, role)
                .filter(|_| kind == Kind::Device)
        };
        self.find(kind, object)?.role(role).or_else(inherited)
    }

    /// The nodes that have a role.
    pub(crate) fn nodes_with(&self, role: &str) -> Vec<String> {
        let mut nodes = self.keys(Kind::Device);
        nodes.retain(|node| self.effective_role(node, role).is_some());
        nodes
    }
}

fn covers(overlay: &Object, device: &Object) -> bool {
    let head = device.text("type") == "HeadNode";
    overlay.list("nodes").contains(&device.text("hostname"))
        || (head && overlay.flag("allheadnodes"))
        || (!head
            && overlay
                .list("categories")
                .contains(&device.text("category")))
}
