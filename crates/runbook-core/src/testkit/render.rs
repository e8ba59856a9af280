//! Commands as a real adapter might run them: plausible, and never run.

use crate::plan::{ClientEffect, Command, ManagerEffect, NodeEffect, ToolEffect, list};

fn cmsh(script: &str) -> Vec<Command> {
    let options = ["cmsh", "-n", "--color=no", "--hide-events", "-q", "-c"];
    let words = options.into_iter().chain([script]);
    vec![Command::on_head(words)]
}

pub(super) fn manager(effect: &ManagerEffect) -> Vec<Command> {
    let nodes = |nodes| list(nodes).replace(", ", " ");
    let yes = |value: &bool| if *value { "yes" } else { "no" };
    let script = match effect {
        ManagerEffect::UnassignRole { overlay, nodes: of } => {
            let of = nodes(of);
            format!("configurationoverlay; use {overlay}; removefrom nodes {of}; commit")
        }
        ManagerEffect::AssignRole { overlay, nodes: of } => {
            let of = nodes(of);
            format!("configurationoverlay; use {overlay}; append nodes {of}; commit")
        }
        ManagerEffect::SetDatanode { node, value } => {
            format!("device; use {node}; set datanode {}; commit", yes(value))
        }
        ManagerEffect::SetCategoryDatanode { category, value } => {
            let value = yes(value);
            format!("category; use {category}; set datanode {value}; commit")
        }
        ManagerEffect::SetNextInstallMode { node, mode } => {
            let mode = mode.map_or_else(|| "\"\"".into(), |mode| mode.to_string());
            format!("device; use {node}; set nextinstallmode {mode}; commit")
        }
        ManagerEffect::Reboot { node } => format!("device; reboot {node}"),
        ManagerEffect::PowerOn { node } => format!("device; power on {node}"),
        ManagerEffect::ConfirmInstall { node } => {
            format!("device; installerinteractions -n {node} --confirm")
        }
    };
    cmsh(&script)
}

pub(super) fn node(effect: &NodeEffect) -> Vec<Command> {
    let on = effect.node();
    let line = |words: &[&str]| Command::on_node(on, words.iter().copied());
    match effect {
        NodeEffect::StopService { service, .. } => {
            vec![line(&["systemctl", "stop", service.as_str()])]
        }
        NodeEffect::SetAside {
            spool, aside, run, ..
        } => vec![
            line(&["mv", "-T", "-n", spool.as_str(), aside.as_str()]),
            line(&["guard", &run.to_string(), spool.as_str()]),
        ],
        NodeEffect::PlaceGuard {
            spool,
            run,
            instead_of,
            ..
        } => {
            let mut words = vec!["guard".to_owned(), run.to_string(), spool.to_string()];
            words.extend(instead_of.map(|over| format!("instead-of={over}")));
            vec![Command::on_node(on, words)]
        }
        NodeEffect::OwnTree { tree, owner, .. } => vec![
            line(&["chown", "-R", owner.as_str(), tree.as_str()]),
            line(&["chmod", "0700", tree.as_str()]),
        ],
        NodeEffect::Arm { staged, spool, .. } => vec![
            line(&["rm", spool.as_str()]),
            line(&["mv", "-T", "-n", staged.as_str(), spool.as_str()]),
        ],
        NodeEffect::ClearFailures { service, .. } => {
            vec![line(&["systemctl", "reset-failed", service.as_str()])]
        }
        NodeEffect::Disarm {
            staged, spool, run, ..
        } => vec![
            line(&["mv", "-T", "-n", spool.as_str(), staged.as_str()]),
            line(&["guard", &run.to_string(), spool.as_str()]),
        ],
        NodeEffect::ReturnSpool { spool, aside, .. } => vec![
            line(&["rm", spool.as_str()]),
            line(&["mv", "-T", "-n", aside.as_str(), spool.as_str()]),
        ],
    }
}

pub(super) fn tool(effect: &ToolEffect) -> Vec<Command> {
    let ToolEffect::Restore(restore) = effect;
    let cluster: Vec<String> = restore
        .initial_cluster
        .iter()
        .map(|(name, url)| format!("{name}={url}"))
        .collect();
    let mut argv = vec![
        restore.tool.program().to_owned(),
        "snapshot".into(),
        "restore".into(),
        restore.snapshot.to_string(),
        format!("--data-dir={}", restore.tree()),
        format!("--name={}", restore.member),
        format!("--initial-advertise-peer-urls={}", restore.peer_url),
        format!("--initial-cluster={}", cluster.join(",")),
        format!("--initial-cluster-token={}", restore.token),
    ];
    if let Some(by) = restore.revision_bump {
        argv.extend([format!("--bump-revision={by}"), "--mark-compacted".into()]);
    }
    vec![Command::on_node(&restore.node, argv)]
}

pub(super) fn client(effect: &ClientEffect) -> Vec<Command> {
    vec![Command::api(match effect {
        ClientEffect::PutCanary { url, key, value } => format!("put {key} {value} through {url}"),
        ClientEffect::DeleteCanary { url, key } => format!("delete {key} through {url}"),
    })]
}
