//! Who holds `Etcd::Host`, and from where; which overlay is of which etcd cluster.

use bright_adapter::codes;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::{CategoryName, ClusterLabel, OverlayName};
use runbook_core::ports::ClusterManager;
use runbook_core::world::{EtcdRole, RoleSource};

use crate::cmsh::Fake;
use crate::support::node;

const DEVICES: &str = r#"[
  { "hostname (key)": "basecm", "type": "HeadNode", "ip": "10.141.255.254", "status": "[ UP ]" },
  { "hostname (key)": "node001", "type": "PhysicalNode", "category": "default", "ip": "10.141.0.1", "status": "[ UP ]", "datanode": "yes", "nextinstallmode": "" },
  { "hostname (key)": "node002", "type": "PhysicalNode", "category": "etcd", "ip": "10.141.0.2", "status": "[ UP ]", "datanode": "yes", "nextinstallmode": "" } ]"#;

fn overlay(name: &str, rest: &str) -> String {
    let usual = r#""priority": 500, "allheadnodes": "no", "nodes": "", "categories": "", "roles": "Etcd::Host""#;
    let kept: Vec<&str> = usual
        .split(", ")
        .filter(|field| !rest.contains(field.split(':').next().unwrap()))
        .collect();
    let rest = if rest.is_empty() {
        String::new()
    } else {
        format!(", {rest}")
    };
    format!(r#"{{ "name (key)": "{name}", {}{rest} }}"#, kept.join(", "))
}

/// A cluster manager with these overlays; `more` are further answers.
fn with(overlays: &[String], more: &str) -> Fake {
    let fake = Fake::answering(&format!(
        "\"configurationoverlay; list \"*) cat $d/overlays;;\n{more}\n*'use etcd::host; get spool') echo /var/lib/etcd;;"
    ));
    std::fs::write(
        fake.dir.path().join("overlays"),
        format!("[{}]", overlays.join(",")),
    )
    .unwrap();
    std::fs::write(fake.dir.path().join("devices"), DEVICES).unwrap();
    fake
}

fn name(overlay: &str) -> OverlayName {
    OverlayName::new(overlay).unwrap()
}

fn sources(role: &EtcdRole) -> Vec<(&str, &[RoleSource])> {
    let holders = role.holders.iter();
    holders
        .map(|holder| (holder.node.as_str(), holder.sources.as_slice()))
        .collect()
}

#[tokio::test]
async fn overlay_nodes() {
    let fake = with(&[overlay("e", r#""nodes": "node001""#)], "");
    let role = fake.cmsh.etcd_role(None, &[]).await.unwrap();
    assert_eq!(
        sources(&role),
        [("node001", &[RoleSource::OverlayNode(name("e"))][..])]
    );
}

#[tokio::test]
async fn overlay_categories() {
    let fake = with(
        &[overlay("e", r#""nodes": "node002", "categories": "etcd""#)],
        "",
    );
    let role = fake.cmsh.etcd_role(None, &[]).await.unwrap();
    let category = CategoryName::new("etcd").unwrap();
    let both = [
        RoleSource::OverlayNode(name("e")),
        RoleSource::OverlayCategory(name("e"), category),
    ];
    assert_eq!(sources(&role), [("node002", &both[..])]);
}

#[tokio::test]
async fn all_head_nodes() {
    let fake = with(
        &[overlay("e", r#""allheadnodes": "yes", "nodes": "node001""#)],
        "",
    );
    let role = fake.cmsh.etcd_role(None, &[]).await.unwrap();
    let heads = [RoleSource::OverlayHeadNodes(name("e"))];
    let nodes = [RoleSource::OverlayNode(name("e"))];
    assert_eq!(
        sources(&role),
        [("basecm", &heads[..]), ("node001", &nodes[..])]
    );
}

#[tokio::test]
async fn a_member_that_is_a_head_node_is_recognised() {
    let fake = with(&[overlay("e", r#""nodes": "basecm""#)], "");
    let role = fake.cmsh.etcd_role(None, &[]).await.unwrap();
    assert_eq!(
        sources(&role),
        [("basecm", &[RoleSource::OverlayNode(name("e"))][..])]
    );
    let device = fake.cmsh.device(&node("basecm")).await.unwrap();
    assert!(device.head_node && !device.effective_datanode());
    assert_eq!(device.next_install_mode, None);
}

#[tokio::test]
async fn category_roles() {
    let roles = r#""home; category; "*) echo default; echo '[]'; echo default; echo etcd; echo '[{"name (key)": "Etcd::Host"}]'; echo etcd;;"#;
    let fake = with(&[overlay("e", r#""nodes": "node001""#)], roles);
    let role = fake.cmsh.etcd_role(None, &[]).await.unwrap();
    let category = [RoleSource::Category(CategoryName::new("etcd").unwrap())];
    let nodes = [RoleSource::OverlayNode(name("e"))];
    assert_eq!(
        sources(&role),
        [("node001", &nodes[..]), ("node002", &category[..])]
    );
}

#[tokio::test]
async fn node_roles() {
    let roles = r#""home; device; "*)
  for n in basecm node001 node002; do
    echo $n; if [ $n = node002 ]; then printf 'Name (key)\n----------\nEtcd::Host\n'; fi; echo $n
  done;;"#;
    let fake = with(&[overlay("e", r#""nodes": "node001""#)], roles);
    let role = fake.cmsh.etcd_role(None, &[]).await.unwrap();
    let nodes = [RoleSource::OverlayNode(name("e"))];
    assert_eq!(
        sources(&role),
        [
            ("node001", &nodes[..]),
            ("node002", &[RoleSource::Node][..])
        ]
    );
}

#[tokio::test]
async fn priority_minus_one() {
    // What a disabled overlay lists has nothing from it, and it is no overlay to choose.
    let off = overlay(
        "off",
        r#""priority": -1, "nodes": "node002", "allheadnodes": "yes""#,
    );
    let fake = with(&[overlay("e", r#""nodes": "node001""#), off.clone()], "");
    let role = fake.cmsh.etcd_role(None, &[]).await.unwrap();
    assert_eq!((role.overlay.clone(), role.holders.len()), (name("e"), 1));
    let from = fake
        .cmsh
        .role_sources(&[node("node002"), node("basecm")])
        .await
        .unwrap();
    assert_eq!(from, [[], []]);
    let error = fake
        .cmsh
        .etcd_role(Some(name("off")), &[])
        .await
        .unwrap_err();
    assert!(error.what.contains("disabled"), "{error}");
    let error = with(&[off], "")
        .cmsh
        .etcd_role(None, &[])
        .await
        .unwrap_err();
    assert_eq!(error.code, codes::ETCD_OVERLAY);
}

fn two_clusters(etcdcluster: &str) -> Fake {
    let overlays = [
        overlay("kube-k8s-admin-etcd", r#""nodes": "node001""#),
        overlay("kube-k8s-user-etcd", r#""nodes": "node002""#),
    ];
    with(&overlays, etcdcluster)
}

const NAMED: &str = r"*k8s-admin-etcd*'get etcdcluster') echo kube-k8s-admin;;
*k8s-user-etcd*'get etcdcluster') echo kube-k8s-user;;";

async fn labelled(fake: &Fake, label: &str) -> Result<OverlayName, AdapterError> {
    fake.cmsh
        .etcd_overlay(&ClusterLabel::new(label).unwrap())
        .await
}

#[tokio::test]
async fn several_etcd_clusters_are_told_apart_by_their_label() {
    // By what the role names; and by the overlay's name where the role tells nothing.
    for etcdcluster in [
        NAMED,
        "*'get etcdcluster') echo 'unknown property' >&2; exit 1;;",
        "*'get etcdcluster') ;;",
    ] {
        let fake = two_clusters(etcdcluster);
        assert_eq!(
            labelled(&fake, "k8s-user").await.unwrap(),
            name("kube-k8s-user-etcd")
        );
        assert_eq!(
            labelled(&fake, "k8s-admin").await.unwrap(),
            name("kube-k8s-admin-etcd")
        );
        // Each has members of its own.
        let role = fake
            .cmsh
            .etcd_role(Some(name("kube-k8s-user-etcd")), &[])
            .await
            .unwrap();
        let holders: Vec<&str> = role
            .holders
            .iter()
            .map(|holder| holder.node.as_str())
            .collect();
        assert_eq!(holders, ["node002"]);
    }
}

#[tokio::test]
async fn a_label_that_is_not_unique_is_refused_with_the_list() {
    let fake = two_clusters(NAMED);
    for label in ["default", "k8s"] {
        let error = labelled(&fake, label).await.unwrap_err();
        assert_eq!(
            (error.code, error.certainty),
            (codes::ETCD_OVERLAY, Certainty::Refused)
        );
        assert!(
            error
                .what
                .contains("kube-k8s-admin-etcd (etcd cluster kube-k8s-admin)"),
            "{error}"
        );
        assert!(
            error
                .what
                .contains("kube-k8s-user-etcd (etcd cluster kube-k8s-user)"),
            "{error}"
        );
        assert!(error.hint.unwrap().contains("--overlay"));
    }
    // One overlay is the one, whatever runs are filed under; and its cluster is not even asked for.
    let fake = with(
        &[overlay("odd", r#""nodes": "node001""#)],
        "*etcdcluster*) exit 9;;",
    );
    assert_eq!(labelled(&fake, "default").await.unwrap(), name("odd"));
    let error = labelled(&with(&[], ""), "default").await.unwrap_err();
    assert!(error.what.starts_with("no enabled"), "{error}");
}

#[tokio::test]
async fn one_etcd_cluster_of_two_overlays_is_refused() {
    let fake = two_clusters("*'get etcdcluster') echo kube-default;;");
    for chosen in ["kube-k8s-admin-etcd", "kube-k8s-user-etcd"] {
        let error = fake
            .cmsh
            .etcd_role(Some(name(chosen)), &[])
            .await
            .unwrap_err();
        assert_eq!(
            (error.code, error.certainty),
            (codes::ETCD_OVERLAY, Certainty::Refused)
        );
        assert!(
            error.what.contains("both make members of one etcd cluster"),
            "{error}"
        );
    }
    // A head node that cannot be asked is another matter.
    let fake = two_clusters("*'get etcdcluster') echo 'Your session ended because: x';;");
    let error = fake
        .cmsh
        .etcd_role(Some(name("kube-k8s-user-etcd")), &[])
        .await
        .unwrap_err();
    assert_eq!(error.code, codes::CMSH_SESSION_ENDED);
}
