//! Every check there is. `docs/doctor.md` lists them, and a test compares.

use super::report::{Check, Group};

macro_rules! checks {
    ($($name:ident = $id:literal, $group:ident: $believed:literal, $means:literal, $todo:literal;)*) => {
        $(pub(super) const $name: Check = Check {
            id: $id,
            group: Group::$group,
            believed: $believed,
            means: $means,
            todo: $todo,
        };)*

        /// Every check, in the order in which they are made.
        pub const CHECKS: &[Check] = &[$($name),*];
    };
}

checks! {
    HEAD_ROLE = "head-role", Head:
        "this is the active head node, or the only one; cmha and CMDaemon's own note agree",
        "on a passive head node /cm/shared shows stale files, and nothing may be run there",
        "run `cmha status`, and work on the head node that is active";
    STATE_DIRECTORY = "state-directory", Head:
        "with two head nodes, the state directory lies on storage that both see",
        "a run that a failover interrupts cannot be resumed on the other head node",
        "keep it on shared storage: --state-dir or RESTORE_RUNBOOK_STATE_DIR";
    MEMBER_SCRIPT = "cm-etcd-manage", Head:
        "the vendor's cm-etcd-manage is there",
        "it replaces a single member, which is the better way while a quorum lives; without it that is done by hand (from 10.25.06 and 11.25.05 on it is part of the release, before it is downloaded). Its backup and restore are not used: their options could not be read",
        "";
    CMSH_FOUND = "cmsh-found", Manager:
        "cmsh is where the manual puts it, or where --cmsh says",
        "nothing can be planned without cmsh",
        "run this on a head node, or name the program: --cmsh or RESTORE_RUNBOOK_CMSH";
    CMSH_BATCH = "cmsh-batch", Manager:
        "cmsh answers a batch (-n -q --color=no --hide-events -c) in time",
        "every question and every change of a restore is such a batch",
        "run the command by hand; see `systemctl status cmd` and /var/log/cmdaemon";
    CMSH_VERSION = "cmsh-version", Manager:
        "the cluster manager is of a release that this program knows: 9.0 to 9.2, 10, 11",
        "what is believed of cmsh was written down for those releases",
        "look closer at every other finding, and send a bundle to the project";
    LIST_DEVICES = "list-devices", Manager:
        "the devices can be listed as JSON, with the columns relied on",
        "no node can be looked up, and no plan be made",
        "run the command by hand; send a bundle to the project if the list looks right";
    LIST_CATEGORIES = "list-categories", Manager:
        "the categories can be listed as JSON, with the columns relied on",
        "whether a node is a data node cannot be told, and no plan be made",
        "run the command by hand; send a bundle to the project if the list looks right";
    LIST_OVERLAYS = "list-overlays", Manager:
        "the configuration overlays can be listed as JSON, with the columns relied on",
        "the role cannot be found, and no plan be made",
        "run the command by hand; send a bundle to the project if the list looks right";
    PROVISIONING = "provisioning", Manager:
        "the provisioning subsystem is idle and takes requests",
        "a reprovisioned node waits behind what is in the queue",
        "see `softwareimage; provisioningstatus` in cmsh; cancel what is stuck";
    IMAGE_LOCK = "image-lock", Manager:
        "no software image is locked",
        "a locked image blocks the provisioning of its nodes",
        "see `softwareimage; islocked` in cmsh, and unlock the image of the nodes to reprovision";
    ETCD_OVERLAY = "etcd-overlay", Cluster:
        "one enabled configuration overlay carries Etcd::Host, or the one that is named does",
        "a restore takes the role away and gives it back in that overlay",
        "name the cluster by its label, by which certificates and runs go as well: --cluster LABEL; or its overlay: --overlay NAME; each is another etcd cluster";
    OVERLAY_PRIORITY = "overlay-priority", Cluster:
        "no overlay that carries Etcd::Host is disabled (priority -1)",
        "a disabled overlay gives nobody the role: its members do not run",
        "give it a priority of its own (the default is 500), unless it is disabled on purpose";
    MEMBER_PROPERTIES = "member-properties", Cluster:
        "the role gives every member a spool, one name and one URL each for peers and clients, all different",
        "a member is restored under its name and URLs; wrong ones make another cluster of it",
        "see the role: `configurationoverlay; use OVERLAY; roles; use etcd::host; show` in cmsh";
    MEMBER_COUNT = "member-count", Cluster:
        "the number of members is odd",
        "an even number survives no more losses than one member less",
        "add or remove one member at a time, while the cluster is healthy";
    ROLE_SOURCE = "role-source", Cluster:
        "a member has the role from the overlay's node list and from nowhere else",
        "a role from a category, from all head nodes or from the node itself cannot be taken away for one restore, so Stop refuses",
        "list the nodes in the overlay by name, and take the role away elsewhere";
    HEAD_MEMBER = "head-member", Cluster:
        "no member is a head node",
        "a head node is never reprovisioned: such a member is restored without a wipe",
        "write `reprovision: no` for it in the spec";
    DEVICE_STATUS = "device-status", Nodes:
        "the cluster manager sees the node UP",
        "a node that is not up is restored only by reprovisioning, or not at all",
        "see the node's console, and `device; status` in cmsh";
    DATANODE = "datanode", Nodes:
        "the node is a data node, by itself or by its category",
        "without the flag any changed disk or failed file system check makes the next boot wipe the node, etcd's data included",
        "set it now: cmsh -c 'device; use NODE; set datanode yes; commit'";
    CATEGORY_DATANODE = "category-datanode", Nodes:
        "the flag is the node's own, not its category's",
        "a category's `datanode yes` keeps a node from being reprovisioned without a prompt on its console; a plan refuses it by default",
        "set it on the nodes instead, and `set datanode no` in the category";
    INSTALL_MODE = "install-mode", Nodes:
        "no install mode is set for the next boot",
        "the next boot does as it says, whenever that is: FULL WIPES THE NODE",
        "cmsh -c 'device; use NODE; clear nextinstallmode; commit', unless it is meant";
    BLOCK_DEVICES = "block-devices", Nodes:
        "no block device is to be cleared at the next boot",
        "the next boot wipes them, whatever datanode and the install mode say",
        "cmsh -c 'device; use NODE; clear blockdevicesclearedonnextboot; commit', unless it is meant";
    SSH = "ssh", Nodes:
        "root gets into the node over ssh without a password",
        "what is done on a node is done over ssh",
        "try `ssh root@NODE true`";
    HOST_KEY = "host-key", Nodes:
        "the node shows the ssh host key that is known here",
        "a run does not talk to a node with an unknown key, or with another one than is known",
        "compare the key on the node's console, then accept it once by hand";
    CLOCK = "clock", Nodes:
        "the node's clock and this head node's are within 5 s of each other",
        "certificates seem invalid, and ages and logs mislead",
        "see `chronyc tracking` or `timedatectl` on both";
    MODULE = "module", Nodes:
        "a login shell on the node has the module etcd/<cluster>/<version>, with etcd and the tools of its release",
        "the restore runs etcd's own tool out of this module",
        "see `module avail etcd` on the node; with several, name the cluster's: --module NAME";
    SAME_VERSION = "same-version", Nodes:
        "every node has the same release of etcd",
        "a restored cluster of different releases may not form",
        "see the software images of the nodes";
    UNIT = "etcd-unit", Nodes:
        "systemd on the node knows the unit etcd, and it runs",
        "a member that does not run counts against the quorum already",
        "see `systemctl status etcd` on the node. While a quorum lives, replace a lost member instead of restoring";
    OWNER = "etcd-owner", Nodes:
        "the node has the user and the group etcd",
        "restored data is given to them; etcd cannot read it otherwise",
        "name the owner in the spec: `ls -ld` of the spool shows it";
    SPOOL = "spool", Nodes:
        "etcd's data directory is there, holds data and is no mount point of its own",
        "a mount point can be neither moved nor guarded by a file, and a plan refuses it; a guard is of a restore that is under way",
        "see the path on the node, and `restore-runbook status` where a guard is";
    CLIENT_CERTIFICATE = "client-certificate", Certificates:
        "the client certificate for etcd lies on this head node, is of the CA and valid for 30 more days",
        "Verify and backups ask etcd with it",
        "renew it, or name what lies elsewhere: --etcd-cert and --etcd-key, with --etcd-ca";
    CLIENT_CA = "client-ca", Certificates:
        "the CA of etcd's certificates lies on this head node and is valid for 30 more days",
        "Verify and backups know the members by it",
        "renew it, or name what lies elsewhere: --etcd-ca, with --etcd-cert and --etcd-key";
    MEMBER_CERTIFICATE = "member-certificate", Certificates:
        "the member's certificate is of the same CA and valid for 30 more days",
        "a restored member whose certificate has expired finds no peer",
        "renew it before anything else";
    API_SERVER = "api-server", ApiServers:
        "every API server has --etcd-servers, and names members only",
        "an API server without, or with others, does not come back after the restore",
        "put the members' client URLs into --etcd-servers: on 9.x through the role Kubernetes::ApiServer, on 10 and later with cm-kubeadm-manage";
    BACKUP_DIRECTORY = "backup-directory", Backups:
        "there are backups where they are looked for",
        "without a snapshot there is nothing to restore",
        "take one: `restore-runbook backup`; or name the directory: --backup-dir";
    BACKUP_AGE = "backup-age", Backups:
        "the newest backup is at most 25 hours old",
        "whatever came after it is lost in a restore",
        "take one now, and a timer: `restore-runbook backup --print-timer`";
    BACKUP_PROOF = "backup-proof", Backups:
        "the newest backup proves",
        "a restore from it would be refused, or start an empty cluster",
        "see `restore-runbook verify` of it, and take another";
    BACKUP_ON_NODE = "backup-on-node", Backups:
        "the node sees the very same newest backup at the same path",
        "the restore reads the snapshot on the node",
        "mount the shared storage on the node, or keep backups where every node sees them";
    BACKUP_SURVIVES = "backup-survives", Backups:
        "the backup does not lie on a disk that a reprovisioning of the node wipes",
        "the restore would destroy what it is made from; a plan refuses it",
        "keep backups on shared storage, as /cm/shared";
}
