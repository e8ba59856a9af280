//! Through every field of a spec and of a plan.

use std::collections::BTreeMap;

use runbook_core::plan::SealedPlan;
use runbook_core::spec::Spec;
use runbook_core::testkit::{World, run_id};
use runbook_core::text::visible_json;
use serde_json::Value;

use crate::judges;
use crate::names;

/// A spec with a text in every field that takes one.
const WHOLE: &str = "\
format: 1
cluster: default
overlay: kube-default-etcd
snapshot: /cm/shared/backup/etcd/etcd-node001-20220321135652
members: [{node: node001, reprovision: yes}]
module: etcd/kube-default/3.4.23
etcd_version: 3.4.23
service: etcd
owner: etcd:etcd
revision_bump: none
datanode_again: after_reprovision
allow:
  quorum: lab
  empty_snapshot: lab
  no_trailer: lab
  category_datanode: {default: lab}
  guards: {01936f6e-0000-7000-8000-000000000001: lab}
";

/// Where the texts are, as JSON pointers; names of maps count as well, with a `#` behind.
fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                texts(item, &format!("{at}/{n}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                texts(field, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// The document with another text at a place.
fn with(document: &Value, at: &str, text: &str) -> Value {
    let mut changed = document.clone();
    *changed.pointer_mut(at).unwrap() = text.into();
    changed
}

/// Fields that are for people: any text arrives as itself, within its bounds.
fn is_free(at: &str) -> bool {
    at.starts_with("/allow/")
}

#[test]
fn a_spec_refuses_each_by_name_or_takes_it_as_it_is() {
    let spec = Spec::from_yaml(WHOLE).unwrap();
    let document = serde_json::to_value(&spec).unwrap();
    let mut places = Vec::new();
    texts(&document, "", &mut places);
    assert!(places.len() > 14, "{places:?}");
    let (mut refused, mut taken) = (0, Vec::new());
    for at in &places {
        for name in names::all() {
            let text = serde_json::to_string(&with(&document, at, &name)).unwrap();
            match Spec::from_yaml(&text) {
                Ok(read) => {
                    let back = serde_json::to_value(&read).unwrap();
                    // A boolean has several words.
                    if !at.ends_with("/reprovision") {
                        assert_eq!(back.pointer(at), Some(&name.clone().into()), "{at}");
                    }
                    let yaml = Spec::from_yaml(&read.to_yaml().unwrap());
                    assert_eq!(yaml, Ok(read), "{at}: {name:?}");
                    taken.push((at.clone(), name));
                }
                Err(error) => {
                    let said = error.to_string();
                    // By its place, or by the field.
                    let field = at.split('/').nth(1).unwrap();
                    assert!(
                        said.contains("line ") || said.contains(field),
                        "{at}: {said}"
                    );
                    assert!(said.len() < 4096, "{at}: {said}");
                    refused += 1;
                }
            }
        }
    }
    // Nothing but a reason is free; what passes elsewhere has no character that means anything.
    for (at, name) in &taken {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-@%+=:,".contains(c);
        assert!(is_free(at) || name.chars().all(plain), "{at}: {name:?}");
    }
    assert!(
        refused > 1000 && taken.len() > 200,
        "{refused}, {}",
        taken.len()
    );
}

/// A name that is a key of a map is a name, too.
#[test]
fn a_spec_refuses_them_as_keys() {
    for name in names::all() {
        for (map, key) in [
            ("category_datanode", "default"),
            ("guards", "01936f6e-0000-7000-8000-000000000001"),
        ] {
            let mut document = serde_json::to_value(Spec::from_yaml(WHOLE).unwrap()).unwrap();
            let fields = document["allow"][map].as_object_mut().unwrap();
            let reason = fields.remove(key).unwrap();
            fields.insert(name.clone(), reason);
            let read = Spec::from_yaml(&serde_json::to_string(&document).unwrap());
            let plain = name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
            assert!(
                read.is_err() || (map == "category_datanode" && plain),
                "{map}: {name:?}"
            );
        }
    }
}

/// An edited plan is refused, or its commands are words; `judges::plan` reads them back.
#[test]
fn a_plan_refuses_each_or_shows_it_as_it_is() {
    let plan = World::of(1)
        .reprovision_all()
        .build()
        .plan(run_id(1))
        .unwrap();
    let document: Value = serde_json::from_slice(plan.bytes()).unwrap();
    let mut places = Vec::new();
    texts(&document, "", &mut places);
    // One place of each kind: numbers say only which unit it is.
    let kind = |at: &str| -> String {
        let steps = at.split('/').map(|step| {
            if step.parse::<u16>().is_ok() {
                "*"
            } else {
                step
            }
        });
        steps.collect::<Vec<_>>().join("/")
    };
    let kinds: BTreeMap<String, String> = places.iter().map(|at| (kind(at), at.clone())).collect();
    assert!(kinds.len() > 60, "{}", kinds.len());
    let judge = judges::of("plan");
    let mut words = BTreeMap::new();
    for (n, at) in kinds.values().enumerate() {
        // Some of them at each place, others at the next: a plan is long.
        for name in names::all().iter().skip(n % 8).step_by(8) {
            let text = serde_json::to_string(&with(&document, at, name)).unwrap();
            let word = judge(text.as_bytes());
            *words.entry(word).or_insert(0) += 1;
            if word == "plan-unreadable" {
                let error = SealedPlan::read(text.as_bytes()).unwrap_err().to_string();
                assert!(
                    error.contains("line ") && error.len() < 2000,
                    "{at}: {error}"
                );
                assert!(names::harmless(&visible_json(error.clone())), "{error}");
            }
        }
    }
    for word in ["good", "plan-unreadable", "plan-broken"] {
        assert!(
            words.get(word).is_some_and(|count| *count > 20),
            "{words:?}"
        );
    }
}
