//! `cmsh` in memory, over a cluster that is a value.

use standin::memory::{Ended, Manager, Mishap, Order, Seen, SeenNode, SeenOverlay, Speech, cmsh};

struct Cluster {
    seen: Seen,
    orders: Vec<Order>,
}

impl Cluster {
    fn new() -> Self {
        let node = |name: &str, on| SeenNode {
            name: name.to_owned(),
            ip: "10.141.0.1".to_owned(),
            category: "default".to_owned(),
            datanode: true,
            next_install_mode: String::new(),
            cleared_at_boot: Vec::new(),
            state: "UP".to_owned(),
            message: String::new(),
            on,
            asks: on.is_none(),
        };
        let overlay = SeenOverlay {
            name: "kube-default-etcd".to_owned(),
            nodes: vec!["node001".to_owned()],
            role: "Etcd::Host",
            spool: Some("/data/etcd".to_owned()),
        };
        Self {
            seen: Seen {
                heads: vec!["master1".to_owned(), "master2".to_owned()],
                here: "master2".to_owned(),
                nodes: vec![node("node001", Some(true)), node("node002", None)],
                categories: vec![("default".to_owned(), false)],
                overlays: vec![overlay],
                locked_images: Vec::new(),
            },
            orders: Vec::new(),
        }
    }

    fn run(&mut self, mishap: Option<Mishap>, args: &[&str]) -> Option<Ended> {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        cmsh(&args, &Speech::of(0, "9.2"), mishap, self)
    }

    fn says(&mut self, batch: &str) -> String {
        let args = ["-n", "-q", "--color=no", "--hide-events", "-c", batch];
        let ended = self.run(None, &args).expect("it ends");
        String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned()
    }
}

impl Manager for Cluster {
    fn seen(&mut self) -> Seen {
        self.seen.clone()
    }

    fn obey(&mut self, order: &Order) -> Result<(), String> {
        self.orders.push(order.clone());
        if let Order::Datanode(name, value) = order {
            let node = self.seen.nodes.iter_mut().find(|node| node.name == *name);
            node.expect("it is there").datanode = *value;
        }
        Ok(())
    }
}

#[test]
fn it_answers_with_what_is_seen() {
    let mut cluster = Cluster::new();
    let list = cluster.says("device; list -f hostname,type,datanode -d {}");
    assert_eq!(list.matches("HeadNode").count(), 2, "{list}");
    assert_eq!(list.matches("PhysicalNode").count(), 2, "{list}");
    let role = r#"configurationoverlay; use "kube-default-etcd"; roles; use etcd::host; "#;
    assert_eq!(cluster.says(&format!("{role}get spool")), "/data/etcd\n");
    let power = cluster.says("device; power -n node001,node002 status");
    assert!(power.contains("ON") && power.contains("FAILED"), "{power}");
    let asking = cluster.says("device; installerinteractions");
    assert!(asking.contains("node002") && !asking.contains("node001"));
    assert!(cluster.orders.is_empty());
}

#[test]
fn what_is_committed_is_ordered_and_read_back() {
    let mut cluster = Cluster::new();
    let text = cluster.says(r#"device; use "node001"; set datanode no; commit; get datanode"#);
    assert!(text.ends_with("no\n"), "{text}");
    cluster.says(r#"device; use "node002"; set datanode no"#);
    let nodes = r#"configurationoverlay; use "kube-default-etcd"; "#;
    cluster.says(&format!("{nodes}append nodes node002; commit"));
    cluster.says("device; power -n node002 on");
    cluster.says("device; installerinteractions -n node002 --confirm");
    let node = || "node002".to_owned();
    let wanted = [
        Order::Datanode("node001".to_owned(), false),
        Order::Append("kube-default-etcd".to_owned(), vec![node()]),
        Order::Confirm(node()),
    ];
    assert_eq!(cluster.orders, wanted);
}

#[test]
fn mishaps_befall_the_session() {
    let batch = r#"device; use "node001"; set datanode no; commit"#;
    let args = ["-n", "-q", "--color=no", "--hide-events", "-c", batch];
    let ordered = |mishap| {
        let mut cluster = Cluster::new();
        let ended = cluster.run(Some(mishap), &args);
        (ended.is_some(), cluster.orders.len())
    };
    for (mishap, ends, orders) in [
        (Mishap::NoDaemon, true, 0),
        (Mishap::Hang, false, 0),
        (Mishap::HangAtTheEnd, false, 1),
        (Mishap::HalfAnswer, true, 1),
        (Mishap::LostAnswer, true, 1),
        (Mishap::SessionEnded, true, 0),
        (Mishap::SessionEndedLate, true, 1),
        (Mishap::Refused, true, 0),
        (Mishap::NotPermitted, true, 0),
        (Mishap::NoEffect, true, 0),
        (Mishap::LeftModified, true, 0),
    ] {
        assert_eq!(ordered(mishap), (ends, orders), "{mishap:?}");
    }
}

#[test]
fn each_head_knows_its_part() {
    let mut cluster = Cluster::new();
    let args = [
        "-n",
        "-r",
        "--color=no",
        "--hide-events",
        "-c",
        "cmha status",
    ];
    let mut part = |here: &str| {
        here.clone_into(&mut cluster.seen.here);
        let ended = cluster.run(None, &args).expect("it ends");
        String::from_utf8_lossy(&ended.stdout).into_owned()
    };
    assert!(part("master1").contains("running in active master mode"));
    assert!(part("master2").contains("running in passive"));
}
