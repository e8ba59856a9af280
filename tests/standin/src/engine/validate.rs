//! What a commit refuses (admin manual 2.5.3 shows the table; only its one message is known).

use crate::model::{Cluster, Object};
use crate::protocol::Problem;
use crate::schema::{INSTALL_MODES, Kind, Shape};

impl Cluster {
    /// The rows of the table for one object; none when it is fine.
    pub(crate) fn problems(&self, kind: Kind, object: &Object) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |field: &str, message: String| {
            problems.push(Problem {
                field: field.to_owned(),
                message,
            });
        };
        if self.find(kind, &object.text(kind.key())).is_none() {
            add(kind.key(), "The object does not exist".to_owned());
        }
        for field in kind.fields() {
            for message in self.field_problems(field.shape, object, field.name) {
                add(field.name, message);
            }
        }
        if kind == Kind::Device && object.text("type") != "HeadNode" {
            let category = object.text("category");
            if category.is_empty() {
                add("category", "The category should be set".to_owned());
            } else if self.find(Kind::Category, &category).is_none() {
                add(
                    "category",
                    format!("The category {category} does not exist"),
                );
            }
        }
        if kind == Kind::ConfigurationOverlay
            && matches!(object.text("priority").as_str(), "250" | "750")
        {
            add(
                "priority",
                "The priority should not be 250 or 750".to_owned(),
            );
        }
        problems
    }

    fn field_problems(&self, shape: Shape, object: &Object, name: &str) -> Vec<String> {
        let unknown = |kind: Kind| {
            object
                .list(name)
                .into_iter()
                .filter(|key| self.find(kind, key).is_none())
                .map(|key| format!("{key} does not exist"))
                .collect()
        };
        match shape {
            Shape::Nodes => unknown(Kind::Device),
            Shape::Categories => unknown(Kind::Category),
            Shape::InstallMode => {
                let mode = object.text(name);
                let known = mode.is_empty() || INSTALL_MODES.contains(&mode.as_str());
                Some(format!("{mode} is not an install mode"))
                    .filter(|_| !known)
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}
