//! What each stable error code means, and what to do. `explain` shows this table.

/// One code, explained.
#[derive(Debug)]
pub(crate) struct Explained {
    pub(crate) code: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) what_to_do: &'static str,
}

const fn code(code: &'static str, meaning: &'static str, what_to_do: &'static str) -> Explained {
    Explained {
        code,
        meaning,
        what_to_do,
    }
}

/// Every code, in alphabetical order.
pub(crate) const CODES: &[Explained] = &[
    code(
        "alarm-raised",
        "A member has raised an alarm.",
        "Look at `etcdctl alarm list`. NOSPACE: compact, defragment, then disarm. CORRUPT: replace the member.",
    ),
    code(
        "approval-declined",
        "The question was answered with no.",
        "Nothing was changed. Plan again, or answer yes.",
    ),
    code(
        "approval-mismatch",
        "The plan is not the one whose digest was approved: a byte differs, or it is another plan.",
        "Compare `sha256sum` of the file with the digest that was reviewed; find the reviewed file, or have the new one reviewed.",
    ),
    code(
        "approval-needed",
        "Nobody has approved the plan, and nobody can be asked.",
        "Review the plan and give its digest with --approve.",
    ),
    code(
        "armed-data-changed",
        "What stands at the spool path is not the tree that this run restored there.",
        "Somebody or something wrote to it since. Look at the node: if etcd ran there, it was started too early; do not give the role back before this is understood. Resuming does not help: abandon the run and make a new plan, which takes its guards over (`allow.guards`) and restores every member once more.",
    ),
    code(
        "backup-behind",
        "The backup is older than what the cluster had already reached.",
        "A member that lags sent it, or writes were undone. Look at `etcdctl endpoint status` of all members, and take another backup.",
    ),
    code(
        "backup-clock",
        "A backup says that it was taken later than now.",
        "A clock was wrong then, or is wrong now: `timedatectl` on the host that takes the backups. Retention counts such backups apart, so they push nothing out. Where the clock was wrong then, move them and their manifests away once others are there.",
    ),
    code(
        "backup-clusters",
        "The endpoints belong to different clusters.",
        "Name the endpoints of one cluster. Members that were restored apart from each other are clusters of their own.",
    ),
    code(
        "backup-copy",
        "The backup was taken, and its second copy was not.",
        "The message names both places and the reason. The backup itself is good.",
    ),
    code(
        "backup-directory",
        "The directory for backups is not there, or is none.",
        "Make it, private to root, or name another one with --to or --copy-to. If it is a mount point, mount it.",
    ),
    code(
        "backup-empty",
        "The backup is sound, but etcd or Kubernetes would start empty from it.",
        "Is the cluster empty? If it should not be, restore it from an older backup; none of those is dropped on account of this one.",
    ),
    code(
        "backup-exists",
        "A file of the name that a backup or its manifest would have is there already.",
        "Nothing is ever overwritten. Look whose it is, and try again.",
    ),
    code(
        "backup-failed",
        "Every member that could give a backup was tried, and none gave a good one.",
        "The message says what came of each. Look at the members' logs and at the network.",
    ),
    code(
        "backup-hash-differs",
        "The member that sent the backup computes another HashKV than the backup has.",
        "It does not serve what lies on its disk, or its release counts differently (before 3.4.34 and 3.5.16, after a compaction at a deletion). Compare `etcdctl endpoint hashkv` of all members.",
    ),
    code(
        "backup-interrupted",
        "A signal ended the backup, or the retention after it.",
        "There is nothing to clean up. Take it again, unless the message says that it is taken.",
    ),
    code(
        "backup-io",
        "A file of a backup cannot be read or written.",
        "See what the system says of it: permissions, the mount, the disk.",
    ),
    code(
        "backup-locked",
        "Another process takes a backup to the same directory.",
        "Wait for it; the lock ends with its process.",
    ),
    code(
        "backup-no-member",
        "No member can give a backup.",
        "The message says why of each. Without a leader no member is known to be up to date; name the members with --endpoints where they cannot be found.",
    ),
    code(
        "backup-open-directory",
        "Others than its owner can put files into the directory of the backups.",
        "chmod go-w the directory: whoever can exchange a backup can exchange the cluster's content at the next restore.",
    ),
    code(
        "backup-readback",
        "A file does not read as it was written.",
        "Do not trust this storage: look at its logs, and take the backup elsewhere.",
    ),
    code(
        "backup-record-io",
        "A manifest or revision.json cannot be read.",
        "See what the system says of it: permissions, the mount, the disk.",
    ),
    code(
        "backup-record-newer",
        "A manifest or revision.json is of a later format than this build reads.",
        "Use the version of restore-runbook that wrote it, or a later one.",
    ),
    code(
        "backup-record-refused",
        "A manifest or revision.json is not what this tool writes.",
        "It is left as it is. Find out who changed it, and move it away.",
    ),
    code(
        "backup-retried",
        "A member's snapshot did not come to a good end; another member's did.",
        "Look at that member, and at the network to it.",
    ),
    code(
        "backup-space",
        "There is no room for the backup.",
        "Nothing was left behind. Make room, have older backups dropped with --keep-… --prune, or name another directory.",
    ),
    code(
        "backup-suspicious",
        "The backup is much smaller than the one before, or a kind of object is gone.",
        "It is kept, but not trusted: it pushes no older one out. If the change was meant, say --accept-smaller once. The message says which rule it breaks: fewer than half of the keys or of Kubernetes' keys; none left of ten or more objects of a kind; less than half of the bytes with no fewer keys; a lower revision in the same cluster. Look whether this was meant.",
    ),
    code(
        "backup-unsynced",
        "The backup has its name, but its directory could not be synced to the disk.",
        "A power cut may yet take the name away. See what the system says of it; the next backup syncs the directory again.",
    ),
    code(
        "block-devices-cleared",
        "blockdevicesclearedonnextboot of a node is set: its next boot wipes those disks, whatever datanode and nextinstallmode say.",
        "Do not reboot the node. In cmsh: device; use NODE; clear blockdevicesclearedonnextboot; commit. Then plan again, or resume.",
    ),
    code(
        "block-devices-unknown",
        "The cluster manager does not tell whether the next boot of a node clears block devices, and the spec counts on a boot that wipes nothing (full_install: confirm).",
        "Take the article's way: `full_install: datanode_no`. This cmsh does not know blockdevicesclearedonnextboot, or does not show it.",
    ),
    code(
        "bmc-silent",
        "The power control (BMC) of a node does not answer, so the node cannot be powered on from here.",
        "Power it on by hand, at the machine or its own management: its install mode is set, and the run goes on by itself once it boots. Where it has halted, resume.",
    ),
    code(
        "bundle-exists",
        "There is something of the bundle's name already, and nothing is overwritten.",
        "Name another file, or move that one away.",
    ),
    code(
        "bundle-io",
        "The bundle cannot be written or read.",
        "See the cause: a directory that is not there, a full disk, permissions.",
    ),
    code(
        "bundle-newer",
        "The bundle was written by a newer restore-runbook.",
        "Replay it with that release or a later one.",
    ),
    code(
        "bundle-not-one",
        "The file is no bundle of `doctor`, or is damaged.",
        "Ask for it again; it is a gzipped tar archive with bundle.json, exchanges.jsonl and doctor.json in it.",
    ),
    code(
        "bundle-too-large",
        "The file, or a part of it, is larger than a bundle's may be (64 MiB, also unpacked).",
        "Do not trust it: no cluster's answers are that long.",
    ),
    code(
        "category-datanode",
        "The category has datanode yes. The node installer goes by node OR category, so a FULL provisioning would wait on the console for confirmation.",
        "Set datanode on the nodes instead of the category; or say `full_install: confirm` in the spec, which lowers nothing; or allow this run to lower it for a while: `allow: {category_datanode: …}`.",
    ),
    code(
        "certificate-early",
        "A certificate for etcd is not valid yet.",
        "Check the clock of this head node.",
    ),
    code(
        "certificate-expired",
        "A certificate for etcd has expired.",
        "Renew it, or name another one with --etcd-cert and --etcd-key (or --etcd-ca).",
    ),
    code(
        "certificate-unreadable",
        "A certificate for etcd cannot be read.",
        "It must be PEM. The message names the file's part in this.",
    ),
    code(
        "cluster-changed",
        "The cluster has another id than at the last backup.",
        "That is right after a restore, and only then.",
    ),
    code(
        "cmsh-absent",
        "The cluster manager has no such node, category or overlay.",
        "Compare the spec with what `restore-runbook discover` finds.",
    ),
    code(
        "cmsh-answer",
        "cmsh answered something that cannot be read, or that cannot be right.",
        "Run the command from commands.log by hand. A start-up file of cmsh that changes its output is a usual cause; so is another Bright release.",
    ),
    code(
        "cmsh-invalid",
        "cmsh refused to commit: the object does not pass its validation, and the message has the table of what is wrong with it.",
        "Nothing of the batch was committed, and its session is gone with the changes. Often the fault was there before: mend the object in cmsh as the table says, then resume.",
    ),
    code(
        "cmsh-missing",
        "There is no program cmsh where it is looked for.",
        "Run this on a head node, or say where cmsh is with --cmsh.",
    ),
    code(
        "cmsh-not-permitted",
        "The certificate that cmsh uses has a profile which does not allow this.",
        "Run this as root on the head node: root's certificate has the profile admin. `cmsh -c \"main showprofile\"` shows whose profile it is.",
    ),
    code(
        "cmsh-not-runnable",
        "The program cmsh is there and cannot be run: it is not executable for this user, or no program.",
        "Run this as root. See the file's mode, and that --cmsh names a program and not a directory.",
    ),
    code(
        "cmsh-read-back",
        "A change went through without complaint, but reading it back shows another value.",
        "Somebody else may be changing the same object, or the commit was refused. Look with cmsh, then resume.",
    ),
    code(
        "cmsh-refused",
        "cmsh ran and refused.",
        "Its own words are in the message and in commands.log. Mend what they say, then resume.",
    ),
    code(
        "cmsh-session-ended",
        "cmsh lost its session, or was moved to the other head node: the head nodes have changed places.",
        "Whether a change was made is looked up before anything else is done. See `cmha status`; then go on with `resume` on the head node that is active now.",
    ),
    code(
        "cmsh-timeout",
        "cmsh gave no answer in time.",
        "See whether CMDaemon is alive: systemctl status cmd, and /var/log/cmdaemon. Then resume.",
    ),
    code(
        "data-put-back",
        "etcd data stands where this run had moved it away, and the node's disk is about to be wiped: somebody has put it there.",
        "Nothing was wiped on that node. Find out who did it, and whether a quorum answers now: then the data is newer than the snapshot, and `undo` is the way. Otherwise see that etcd is stopped there, move the directory aside by hand (do not delete it), and resume.",
    ),
    code(
        "deadline",
        "A step did not come true within its deadline. What it began may still come true.",
        "Look at the node. If it just takes longer here, resume: waiting begins anew. The deadlines are in the spec.",
    ),
    code(
        "disk-not-wiped",
        "The node has rebooted, but its disk is the old one: it was not provisioned in full. Where its nextinstallmode is still FULL, no installer was there: the node has booted from its own disk, not from the network.",
        "Look at its install mode and at the provisioning log (/var/log/node-installer on the head node). Still FULL: have it boot from the network, then resume; nothing else is needed. Cleared: set nextinstallmode FULL, reboot it, then resume. datanode on its category keeps a disk from being wiped, too.",
    ),
    code(
        "effect-refused",
        "A step asks for something that makes no sense, as a change to no node at all.",
        "This is a fault of the program that made the plan: please report it.",
    ),
    code(
        "etcd-alarm",
        "The restored cluster has an alarm, which the snapshot carried along.",
        "It takes no write until it is disarmed. Free space (compact, defragment), `etcdctl alarm disarm`, then resume. Until Datanode is done do not reboot wiped nodes.",
    ),
    code(
        "etcd-answer",
        "etcd answered with something that cannot be right.",
        "Is it really etcd that listens there? Look at the member's log.",
    ),
    code(
        "etcd-auth",
        "etcd does not let this user in: its authentication is on, or the certificate names another user.",
        "Give a client certificate of a user with the role root.",
    ),
    code(
        "etcd-behind",
        "A member does not have that revision yet, or not any more.",
        "It may be catching up: resume. If it stays behind, compare it with the others.",
    ),
    code(
        "etcd-hangs-up",
        "A member takes the connection and closes it without an answer.",
        "Usually it does not accept the client's certificate: compare its CA with the one given.",
    ),
    code(
        "etcd-missing",
        "The environment module gives no program etcd.",
        "Name the right module in the spec.",
    ),
    code(
        "etcd-node-answer",
        "A node answered something unexpected to a question about etcd.",
        "Run the command from commands.log by hand. A login script that prints is a usual cause.",
    ),
    code(
        "etcd-node-query",
        "A question about etcd on a node failed.",
        "Its output is in commands.log. Try it by hand, then resume.",
    ),
    code(
        "etcd-overlay",
        "No overlay, or more than one, carries Etcd::Host for this cluster; or two overlays make members of one etcd cluster.",
        "Name the overlay: `overlay:` in the spec, --overlay for discover; or its label, --cluster. Of two overlays with one etcd cluster let one list all members, and disable the other (priority -1).",
    ),
    code(
        "etcd-role",
        "A property of the role Etcd::Host cannot be used, as two URLs where one belongs.",
        "Look at the role in cmsh. `peer_url` and `client_url` of a member in the spec override what the role says.",
    ),
    code(
        "etcd-timeout",
        "A member did not answer in time.",
        "Look at its log and its load, then resume.",
    ),
    code(
        "etcd-tls",
        "TLS towards a member does not come about.",
        "Wrong CA, or a certificate that does not fit its key or the member's address. --etcd-ca, --etcd-cert and --etcd-key say which files are used.",
    ),
    code(
        "etcd-unavailable",
        "A member cannot answer now: no leader, or it is starting or stopping.",
        "Wait and resume; else look at its log.",
    ),
    code(
        "etcd-unreachable",
        "A member does not listen, or cannot be reached.",
        "While it is stopped that is as it should be. After Reassign: systemctl status etcd on the node. Where systemd says \"start request repeated too quickly\": mend the cause, as a full disk, then systemctl reset-failed etcd there; the cluster manager starts it again, after ten tries only once it is told: device; services NODE; reset etcd, in cmsh.",
    ),
    code(
        "etcd-version-mixed",
        "The members do not have the same minor release of etcd.",
        "A restore across minor releases is not supported: bring them to one release first.",
    ),
    code(
        "etcd-version-unknown",
        "No node tells which etcd release it has.",
        "Say it in the spec: `etcd_version: 3.4.23`. It must be what the nodes will have when they are back.",
    ),
    code(
        "guard-of-another-run",
        "The spool path is guarded by another run.",
        "That run, or what it left, holds the node. `restore-runbook status --all` lists the runs: resume or undo it first. If it is over, as one that was abandoned, a reason in the spec has the new plan take its guards over: `allow: {guards: {RUN: …}}`.",
    ),
    code(
        "hash-differs",
        "HashKV of a member is not what the snapshot's proof predicted.",
        "The member holds other data than the snapshot, and the API servers have been connected since Reassign. Take the role from every member in cmsh, then stop etcd there, as the hint has it; compare it with the others, and look at who has written since.",
    ),
    code(
        "head-changed",
        "The cluster failed over to the other head node in the middle of the run, which has halted: what is in flight is left as it is, and nothing more is done from here.",
        "Go on with `resume` at the head node that `cmha status` calls active. With a state directory on storage of both heads that is all; else the halt says how the run gets there.",
    ),
    code(
        "head-is-member",
        "A head node is an etcd member, and the spec wants to provision it anew.",
        "A head node is never reprovisioned: say `reprovision: no` for it.",
    ),
    code(
        "head-passive",
        "This is the passive head node.",
        "Log in to the active one. What /cm/shared shows here is stale, and cmsh may be redirected.",
    ),
    code(
        "head-unknown",
        "It cannot be told which part this head node plays.",
        "Look with `cmha status`. While two head nodes disagree, nothing of this kind should be run.",
    ),
    code(
        "holder-not-in-spec",
        "A node has Etcd::Host, but is not in the spec.",
        "A member left out keeps its old data and could undo the restore: add it to `members`, or take the role from it first.",
    ),
    code(
        "identity",
        "A member is not the one that the plan predicted: it has another member or cluster id.",
        "It is an old member that was never stopped, one that started empty, or one restored without member flags; the API servers have been connected since Reassign. Take the role from the node in cmsh, then stop etcd there, as the hint has it, and see where the restored data has gone.",
    ),
    code(
        "identity-members",
        "A member lists other members than the plan predicted.",
        "The cluster that came up is not the one that was planned, and the API servers have been connected since Reassign. Compare `etcdctl member list` with the plan, and look at etcd's logs on each member; to hold etcd, take the role away in cmsh before it is stopped.",
    ),
    code(
        "image-locked",
        "A node waits for its software image, and a software image is locked.",
        "Find out who has locked it and why. In cmsh: softwareimage; islocked; then softwareimage; unlock IMAGE. The node picks it up by itself. Where the run has halted, resume.",
    ),
    code(
        "install-mode",
        "nextinstallmode is not what the step needs.",
        "Somebody has changed it. Look with cmsh, set it right, then resume.",
    ),
    code(
        "install-mode-full",
        "nextinstallmode is FULL on a node that the spec restores in place: the next reboot would wipe it.",
        "Clear it (`device; use NODE; clear nextinstallmode; commit` in cmsh), or say `reprovision: yes`.",
    ),
    code(
        "install-mode-set",
        "nextinstallmode is set on a node that this run does not boot, or not any more: its next boot would go by it, and FULL would wipe it.",
        "Find out who has set it and why, and do not reboot the node before it is cleared: `device; use NODE; clear nextinstallmode; commit` in cmsh. Then plan again; a run that waits goes on by itself, one that has halted is resumed.",
    ),
    code(
        "install-mode-stays",
        "The node is up again for a while, nothing of etcd is on its disk, and its nextinstallmode is still FULL: its installer has not said that it is through, or was never there.",
        "/var/log/node-installer on the head node shows which. Where it was not there, reset the node by hand and have it boot from the network; where it has ended well, `device; use NODE; clear nextinstallmode; commit` in cmsh. The run goes on by itself; resume where it has halted.",
    ),
    code(
        "installer-asks-again",
        "Behind Reprovision a node is in its installer again and asks for leave to wipe its disk.",
        "Do not confirm it before you know why it asks: restored data would go along. To keep the disk, set nextinstallmode SKIP (no checks, no sync) and reset the node by hand, then resume. Where the disk is lost, confirm it, abandon the run, and plan anew.",
    ),
    code(
        "installer-asks-else",
        "The installer of a node asks for something that is no FULL install, as a passphrase for its disk.",
        "Answer it on the node's console, or with installerinteractions in cmsh's device mode. The run goes on by itself; where it has halted, resume.",
    ),
    code(
        "installer-failed",
        "The installer of a node has given up (INSTALLER_FAILED).",
        "Look at /var/log/node-installer on the head node, the node's console, and `device; synclog NODE` in cmsh. Mend it and reboot the node by hand: its install mode is still FULL. Resume at any time after that, whether it still installs or is up.",
    ),
    code(
        "installer-left",
        "A node was in its installer, and is down now.",
        "Power it on: its install mode is still FULL, so it asks again. The run goes on by itself; where it has halted, resume.",
    ),
    code(
        "installer-unreachable",
        "The installer of a node does not answer any more (INSTALLER_UNREACHABLE), as after a crash or with the network away.",
        "Look at the node's console and at the end of /var/log/node-installer on the head node; reset the node by hand: its install mode is still FULL. Resume at any time after that, whether it still installs or is up.",
    ),
    code(
        "installer-waits",
        "The installer of a node waits for an answer.",
        "In cmsh, `device; installerinteractions` shows the question and, with --confirm, answers it; so does the node's console. A FULL install is asked about where datanode is on for the node, its category or a role of it. `full_install: confirm` in the spec has the run answer.",
    ),
    code(
        "internal",
        "A fault of this program.",
        "Please report it, with the message and the command line. The journal of a run is consistent: `restore-runbook status` tells where it stands.",
    ),
    code(
        "interrupted",
        "A signal came before anything was begun; nothing was changed.",
        "Call it again.",
    ),
    code(
        "journal-damaged",
        "A line of the journal is damaged, and not just the last one torn.",
        "Do not edit it. Compare with a copy; else look at each node and finish by hand, and end the run with `restore-runbook abandon RUN --damaged --reason TEXT`. It cannot be resumed.",
    ),
    code(
        "journal-empty",
        "The journal does not begin with its first record.",
        "Its beginning was lost, and the run may have changed anything. Put it back from a copy; else look at each node and finish by hand, and end the run with `restore-runbook abandon RUN --damaged --reason TEXT`.",
    ),
    code(
        "journal-foreign",
        "The journal begins with a record that this build does not understand.",
        "Use the release that wrote it; do not begin the run again.",
    ),
    code(
        "journal-illegal",
        "The journal says something that cannot have happened in a run of this plan.",
        "It was not written by this plan's run. Look at each node before anything else.",
    ),
    code(
        "journal-io",
        "The journal cannot be read or written.",
        "Nothing was changed after the failed write. Make room or mend the disk, then resume.",
    ),
    code(
        "journal-missing",
        "A run's directory is there, and its journal is not. Both come into being at once, so the journal was lost: the run may have changed anything.",
        "Put it back from a copy and resume. Without it look at each node and finish by hand; then `restore-runbook abandon RUN --damaged --reason TEXT` lets another run begin.",
    ),
    code(
        "journal-newer",
        "The journal was written by another release, in a format that this one cannot go on with.",
        "Use the release that wrote it; its run's first record names it.",
    ),
    code(
        "journal-other-plan",
        "The journal is of another plan than the one beside it.",
        "Somebody has changed `plan.json` in the run's directory, or put another one there. Put back the file that was approved: the error names what `sha256sum` prints for it. Without it look at each node and finish by hand; then `restore-runbook abandon RUN --damaged --reason TEXT` lets another run begin.",
    ),
    code(
        "journal-overtaken",
        "The journal is not as this process left it: somebody else has gone on with the run, or another file system shows in its place. This process stopped before its next step.",
        "See `restore-runbook status` at the active head node; the run is gone on with there. Where nobody has, the storage under the journal was taken away or put back from a copy: `findmnt` of the state directory, then `resume`.",
    ),
    code(
        "journal-poisoned",
        "An earlier write to the journal failed, so nothing more is written.",
        "Nothing was changed since. Make room or mend the disk, then resume.",
    ),
    code(
        "keys-missing",
        "A member counts fewer keys than the snapshot holds.",
        "The API servers have been connected since Reassign. Take the role from every member in cmsh, then stop etcd there, as the hint has it; compare the members, and look at etcd's logs.",
    ),
    code(
        "member-unfit",
        "A member does not answer, follows no leader, is a learner, or reports an error, so it was not asked for a backup.",
        "Look at its log; the backup came from another member.",
    ),
    code(
        "members-alike",
        "Two members have the same name, peer URL or client URL.",
        "Give each its own: see `peer_url` and `client_url` in the spec, and the Etcd::Host role.",
    ),
    code(
        "members-diverge",
        "The members do not hold the same data.",
        "One of them started from other data, and the API servers have been connected since Reassign. Take the role from every member in cmsh, then stop etcd there, as the hint has it, and keep all their data: compare cluster ids and the digests of member/snap/db.",
    ),
    code(
        "module-ambiguous",
        "A node has more than one etcd module.",
        "Name the one to use in the spec: `module: etcd/kube-default/3.4.23`.",
    ),
    code(
        "module-missing",
        "A node has no etcd module.",
        "Name the module in the spec, or install etcd on the node (its image) first.",
    ),
    code(
        "module-not-loaded",
        "The environment module cannot be loaded on the node.",
        "Log in and try `module load`; the message says why.",
    ),
    code(
        "module-unknown",
        "No node tells which environment module has etcd's tools.",
        "Say it in the spec: `module: etcd/kube-default/3.4.23`.",
    ),
    code(
        "name-refused",
        "A name, path or URL holds something that cmsh or a shell could take for a command, or is malformed.",
        "The message says which rule it breaks. Names are never quoted and hoped for.",
    ),
    code(
        "node-answer",
        "A node answered something unexpected.",
        "Run the command from commands.log by hand. A login script that prints to standard output is a usual cause.",
    ),
    code(
        "node-came-up",
        "A node that was off when the plan was made is up now: powering it on would not wipe its disk.",
        "Its old etcd may run. First see whether its etcd data is intact, or a quorum answers: then `restore-runbook undo`, as long as no disk is wiped, and give it the role back by hand. Only where it is to be wiped all the same: keep a copy of its data, power it off, then resume.",
    ),
    code(
        "node-closed",
        "The node is closed in the cluster manager, which then neither powers nor reboots it.",
        "Open it (`device; open NODE` in cmsh), or restore it in place: `reprovision: no`.",
    ),
    code(
        "node-conflict",
        "What stands on the node is not what this run may touch.",
        "Look at it: something was made or changed there since. Nothing was overwritten. Mend it, then resume.",
    ),
    code(
        "node-failed",
        "A command on a node failed; it may have happened in part.",
        "Its output is in commands.log. Mend what it says, then resume: the step is looked at again before anything is done.",
    ),
    code(
        "node-in-maintenance",
        "The installer of a node has stopped in maintenance mode: a FULL install was denied, or MAIN was chosen.",
        "Find out by whom and why. To go on, see that nextinstallmode is FULL, reboot the node by hand, and resume. To give up, `abandon` the run.",
    ),
    code(
        "node-off",
        "A node does not answer, and the spec restores it in place.",
        "Power it on once its role is unassigned, or say `reprovision: yes` for it.",
    ),
    code(
        "node-question",
        "A question on a node failed.",
        "Its output is in commands.log. Try it by hand.",
    ),
    code(
        "node-silent",
        "A node does not answer ssh, but the cluster manager does not have it as down.",
        "Make ssh work, or power the node off and wait until its status is [DOWN]: etcd may still run there.",
    ),
    code(
        "node-stays-down",
        "The node was told to boot, and is down for longer than a machine takes to its first sign: it stays off, or hangs with its power on, which powering it on does not change.",
        "Look at its console and at `device; power -n NODE status` in cmsh; then `device; power -n NODE on` where it is off, `device; power -n NODE reset` where it hangs. Its nextinstallmode is FULL. The run goes on by itself; resume where it has halted.",
    ),
    code(
        "node-unknown",
        "The cluster manager knows no such node.",
        "Compare the spec with `restore-runbook discover`.",
    ),
    code(
        "not-ours-underway",
        "The node is between power-on and up, and this run has not started it.",
        "Wait until it is up or off, then resume: two reboots at once can leave a disk half installed.",
    ),
    code(
        "not-safe",
        "What must be true right before a step is not true. Nothing was done for this step.",
        "Something has changed since the plan was made. Mend what the message says, then resume. Where a node has lost its disk once more after its restore began, abandon the run and make a new plan; the hint has its `allow`.",
    ),
    code(
        "old-data-gone",
        "Where an undo wants the old data back, nothing is to be found, or an empty directory: the disk was wiped meanwhile, is not mounted, or somebody has moved the data.",
        "Give the node no role: an empty etcd would start there. Where the old data still lies on the node, mount it or move it to where the hint says, take an empty directory in its place away with rmdir, and resume; else abandon the undo and the run, and plan a restore.",
    ),
    code(
        "output",
        "Standard output cannot be written.",
        "Usually a full disk behind a redirection.",
    ),
    code(
        "own-handler-missing",
        "The plan has a step of an embedder's own program, and this program does not know it.",
        "Run the plan with the program that made it.",
    ),
    code(
        "owner-unknown",
        "A node does not know the user or the group that etcd's data shall belong to.",
        "Name the right owner in the spec: `ls -ld` of the spool on a node shows it. Nothing was stopped.",
    ),
    code(
        "past-no-return",
        "The run is past its point of no return: a disk may be wiped, or etcd may have started.",
        "The way is forward: `restore-runbook resume`.",
    ),
    code(
        "plan-broken",
        "The steps of the plan contradict each other.",
        "This is a fault of the program that made the plan: please report it.",
    ),
    code(
        "plan-changed",
        "The plan file's bytes are not as restore-runbook writes them.",
        "A plan is never edited. Make it again with `restore-runbook plan`.",
    ),
    code(
        "plan-exists",
        "The file for the plan is there already.",
        "Give another name with --out, or overwrite it with --force.",
    ),
    code(
        "plan-render-drift",
        "This build would run other commands than the plan shows.",
        "Run it with the release, and the options (--cmsh), that made it; or make the plan again and have it reviewed.",
    ),
    code(
        "plan-unreadable",
        "The file is no plan.",
        "Make it again with `restore-runbook plan --out`.",
    ),
    code(
        "provisioning-queue",
        "A node waits for its turn to be provisioned, behind others.",
        "`softwareimage; provisioningstatus -a` in cmsh shows the queue. Let it empty, or cancel what can wait. The run goes on by itself; where it has halted, resume.",
    ),
    code(
        "provisioning-stopped",
        "A node waits to be provisioned, and the provisioning subsystem accepts no requests.",
        "See `softwareimage; provisioningstatus -a` in cmsh and /var/log/cmdaemon on the head node. The run goes on by itself once the node is served; where it has halted, resume.",
    ),
    code(
        "quorum-answers",
        "A quorum of the old cluster still answers.",
        "Then replacing the broken members is the better way: nothing is lost. Bright's own tool for that is /cm/local/apps/cmd/scripts/cm-etcd-manage, part of the release from 10.25.06 and 11.25.05 on; for older ones, down to 9.2, the vendor's article on etcd membership says where to get it. Begin with `cm-etcd-manage --kube-cluster LABEL status`; without it, `etcdctl member remove` and `member add --learner`, one member at a time. To restore all the same give a reason: `allow: {quorum: …}` in the spec.",
    ),
    code(
        "quorum-unseen",
        "No quorum answers, but so many members may be alive that they could be one: they listen and give no answer, cannot be reached from this head node, or are down with their power on.",
        "Look at each node that is named. Power off what hangs; open etcd's port where a firewall is between; where the address is wrong, give the right one as the member's `client_url` in the spec. Where you have seen that the quorum is lost, say so: `allow: {quorum: …}`, and plan anew.",
    ),
    code(
        "quota-near",
        "A member's database has four fifths of its quota, or more.",
        "Compact and defragment, or raise the quota. At the quota etcd refuses to write. Where etcd does not tell its quota, its default is taken; give the real one with --quota.",
    ),
    code(
        "reboot-outstanding",
        "An undo waits for a reboot that its run had sent: the node is still of the boot in which it was told.",
        "Give it a few minutes. Where it does not come, see in cmsh that nextinstallmode of the node is SKIP, so that its disk stays as it is, and send it: `device; reboot NODE`. The undo goes on by itself.",
    ),
    code(
        "rehearsal-bump",
        "The snapshot's revision cannot be moved so far: the new one would not pass the compacted one, or not fit.",
        "Give another --revision-bump, or none.",
    ),
    code(
        "rehearsal-canary",
        "The restored etcd answers, but does not take a write.",
        "The members would not take one either. Read what etcd said: a NOSPACE alarm that the snapshot carries along is a usual cause; then restore, disarm the alarm and defragment, or take an older snapshot.",
    ),
    code(
        "rehearsal-certificates",
        "The certificates that shield a rehearsal cannot be made.",
        "This machine gives no random numbers, or something like that. The message names the cause.",
    ),
    code(
        "rehearsal-died",
        "The proof of the snapshot broke off inside this program.",
        "Please report it.",
    ),
    code(
        "rehearsal-differs",
        "The restored etcd holds something else than the snapshot's proof foretells.",
        "Do not restore this snapshot before it is understood. Keep it, try an older one, and report both: either the proof or that release of etcd is wrong.",
    ),
    code(
        "rehearsal-etcd-died",
        "etcd did not start from the restored data.",
        "A restore of this snapshot would end the same way. The message quotes the end of what etcd said; try an older snapshot, or the release the snapshot was taken from.",
    ),
    code(
        "rehearsal-etcd-silent",
        "etcd started from the restored data, but did not serve in time.",
        "Look at the load, the memory and the disk of this machine, and at what etcd said. `plan --rehearse` waits for the spec's `deadlines.start_s`.",
    ),
    code(
        "rehearsal-interrupted",
        "A signal ended the rehearsal.",
        "Nothing of it is left, and nothing else was changed. Rehearse again.",
    ),
    code(
        "rehearsal-left",
        "The rehearsal is over, but its scratch directory cannot be removed.",
        "Remove it by hand: it holds the snapshot's content. The next rehearsal below the same folder tries again.",
    ),
    code(
        "rehearsal-no-etcd",
        "etcd's programs are not on this machine, or not where they were looked for.",
        "Name their directory with --etcd-bin, or their environment module with --module. etcd and its etcdctl (3.4) or etcdutl (3.5 and later) must lie side by side.",
    ),
    code(
        "rehearsal-other-snapshot",
        "The snapshot is not the one that the plan saw a moment ago.",
        "Something writes to the file. Make the plan again once it stays as it is.",
    ),
    code(
        "rehearsal-port",
        "No unused port on 127.0.0.1 could be had.",
        "Try again.",
    ),
    code(
        "rehearsal-programs",
        "One of etcd's programs, or the login shell that loads their module, cannot be run or answers oddly.",
        "Run it by hand. Name other programs with --etcd-bin or --module.",
    ),
    code(
        "rehearsal-restore",
        "etcd's own program did not restore the snapshot, though its proof holds.",
        "The message quotes the end of what it said. Look at the disk and the memory of this machine; `plan --rehearse` waits for the spec's `deadlines.restore_s`.",
    ),
    code(
        "rehearsal-room",
        "No folder has room for a scratch directory: the database and a tenth, and 160 MiB for etcd's log.",
        "Name a folder with more room with --scratch, on a disk like the nodes'.",
    ),
    code(
        "rehearsal-scratch",
        "The folder of the scratch directory, or a file in it, cannot be used.",
        "Name a folder that this user can write to, on a local disk, with --scratch.",
    ),
    code(
        "rehearsal-version",
        "etcd's programs on this machine are of another release than the nodes', or than the snapshot.",
        "Name the programs of the nodes' release with --etcd-bin or --module. `rehearse` takes whatever is named; `plan --rehearse` wants the nodes' minor release, with or without the revision bump as theirs.",
    ),
    code(
        "restore-cut-short",
        "A restore on a node was cut short: half a tree lies in the staging directory, and nothing runs.",
        "Resume: the half tree is never started from, and the restore is begun again.",
    ),
    code(
        "restore-failed",
        "etcd's own tool could not restore the snapshot on a node.",
        "What it said last is in the message. A full disk is a usual cause. Mend it, then resume.",
    ),
    code(
        "restore-not-renderable",
        "A restore cannot be put into a command.",
        "Some name in the plan cannot be quoted safely; the message says which.",
    ),
    code(
        "restore-not-started",
        "The restore could not be started on a node.",
        "Resume: it is looked for before it is started again.",
    ),
    code(
        "restores-differ",
        "The restored databases are not the same on all members.",
        "They were restored from different files, or a disk is bad. Nothing was armed. Compare the snapshot on each node.",
    ),
    code(
        "revision-bump-missing",
        "This etcd release cannot move the revision.",
        "The flags exist from 3.4.27, 3.5.10 and 3.6.0 on. Say `revision_bump: none` and restart every API server and controller afterwards.",
    ),
    code(
        "revision-bump-short",
        "The revision would be moved, but not past what the cluster is known to have had.",
        "Watchers would see revisions a second time, with other content. Say `revision_bump: auto`, or a higher number.",
    ),
    code(
        "revision-unrecorded",
        "The highest revision could not be written to revision.json.",
        "A later restore has to guess how far to raise the revision. The message says why; a file that refuses is left as it is.",
    ),
    code(
        "role-changed",
        "The Etcd::Host role is not the one the plan was made for: another spool, or another node.",
        "etcd would start empty there. Set the role back as it was, then resume.",
    ),
    code(
        "role-elsewhere",
        "A node has Etcd::Host from another place than the overlay's node list.",
        "While it does, etcd can start before it is restored. Take the role away there, and list the node in the overlay only.",
    ),
    code(
        "room",
        "A node has too little disk, too few inodes or too little memory for the restore.",
        "Make room below the spool's parent directory. A restore needs the size of the snapshot, twice 64 MiB for the log, and as much memory as the snapshot is large.",
    ),
    code(
        "run-ambiguous",
        "More than one run could be meant.",
        "Name one by its id, or by the end of it.",
    ),
    code(
        "run-being-undone",
        "An undo of this run has begun; going forward would build on what is not there any more.",
        "Finish the undo with `resume`, or begin it again with `undo`.",
    ),
    code(
        "run-elsewhere",
        "Another host was the last to work on the run, and it is not known here that nothing works on it there any more.",
        "Make sure of it: that host is off or fenced, or its process is gone and the run was not resumed there since. Then say so with `--take-over HOST`.",
    ),
    code(
        "run-exists",
        "The plan has had its run.",
        "A plan is run once: go on with `resume`, or make a new plan.",
    ),
    code(
        "run-locked",
        "Another process works on this cluster.",
        "Wait for it, or look at it with `status`. The lock ends with its process; one that another host holds and that has died, with its lease at the file server.",
    ),
    code(
        "run-never-began",
        "The run has no first record: nothing was changed.",
        "Run its plan, or make a new one.",
    ),
    code(
        "run-none",
        "There is no such run, or no open one.",
        "`restore-runbook status --all` lists the runs; --state-dir says where they are kept.",
    ),
    code(
        "run-open",
        "A run is open on this cluster.",
        "Look at it with `status`; then resume, undo or abandon it. Two runs on one cluster would destroy each other's work.",
    ),
    code(
        "run-over",
        "The run is over.",
        "Begin a new run with a new plan.",
    ),
    code(
        "run-plan-refused",
        "The plan in the run's directory is not the one that was begun.",
        "Do not edit the run's directory. Compare with a copy, or finish by hand.",
    ),
    code(
        "service-unknown",
        "systemd on a node does not know etcd's unit, although the node has the role.",
        "Name the right unit in the spec: `systemctl list-units '*etcd*'` on the node shows it. Nothing was stopped.",
    ),
    code(
        "shared-not-mounted",
        "The cluster has two head nodes, and a path below /cm/shared or /home lies on this one's own disk: what shows there may be from before the last failover.",
        "Look with `cmha status` and `findmnt /cm/shared`. Mount it, or name a place that is not below it.",
    ),
    code(
        "snapshot-beyond-limits",
        "The snapshot is larger or deeper than anything etcd writes.",
        "Is it the right file?",
    ),
    code(
        "snapshot-broken",
        "A member's snapshot ended early.",
        "The member went away, or the connection broke. Another member is tried by itself; look at this one's log.",
    ),
    code(
        "snapshot-bytes-damaged",
        "The snapshot's bytes do not fit its own SHA-256: it is damaged.",
        "Take another one; copy it again if this is a copy. Nothing was stopped.",
    ),
    code(
        "snapshot-changed",
        "The snapshot is not the one that was proven when the plan was made.",
        "Somebody has replaced or changed it. Plan again.",
    ),
    code(
        "snapshot-differs",
        "A node sees another file at the snapshot's path than the head node.",
        "Is the same storage mounted there? Look with `findmnt` on both.",
    ),
    code(
        "snapshot-empty",
        "The snapshot file has no bytes at all.",
        "Copy it again from where it was taken, and mind a full disk; if it is empty there too, use an older one.",
    ),
    code(
        "snapshot-io",
        "The snapshot cannot be read.",
        "The message says why; look at the storage below it.",
    ),
    code(
        "snapshot-meaning-damaged",
        "The store inside the snapshot contradicts itself.",
        "Take another one. Nothing was stopped.",
    ),
    code(
        "snapshot-missing",
        "There is no snapshot at that path.",
        "Compare the path in the spec with what is on the shared storage.",
    ),
    code(
        "snapshot-no-trailer",
        "There is no SHA-256 at the end of the file: it is a copy of a database file out of a data directory, and nothing proves its bytes. One of a running member mixes two moments.",
        "Take a new snapshot where a member still answers, with `etcdctl snapshot save`, or use another file that it wrote. Do not tell etcd to skip the check: that proves nothing, it only looks away. Where there is no other file, and this one is sound inside, a reason in the spec lets it pass: `allow: {no_trailer: …}`.",
    ),
    code(
        "snapshot-none",
        "There is nothing in the directory that could be a snapshot.",
        "Name another directory, or the file itself. A directory is not searched below itself; names that begin with a dot or end in .part or .json are passed over.",
    ),
    code(
        "snapshot-not-one",
        "The file is no snapshot of etcd.",
        "Is it the right file? A compressed one must be unpacked first.",
    ),
    code(
        "snapshot-not-seen",
        "A node does not see the snapshot.",
        "Mount the shared storage there, or copy the snapshot to the same path on every node.",
    ),
    code(
        "snapshot-on-wiped-disk",
        "On a node that is about to be wiped the snapshot lies on one of the node's own disks, in memory, or on a file system of an unknown kind.",
        "Put it on shared storage (NFS, Lustre, GPFS, BeeGFS, Ceph, SMB, …), and name that path in the spec; `findmnt -T PATH` on the node shows what it lies on.",
    ),
    code(
        "snapshot-overlong",
        "There is something behind the snapshot's end.",
        "The copy went wrong: take the original.",
    ),
    code(
        "snapshot-proof-died",
        "The proof of the snapshot did not come to its end.",
        "Try again; if it happens again, the file or the storage below it is bad.",
    ),
    code(
        "snapshot-stalled",
        "A member fell silent in the middle of its snapshot.",
        "Look at its disk and at the network; --idle-timeout says how long it may be silent.",
    ),
    code(
        "snapshot-starts-empty",
        "The snapshot is sound, but holds no key of Kubernetes.",
        "Restoring it is the very disaster: Kubernetes would end every workload. Take another snapshot. If it really is of an etcd without Kubernetes, give a reason: `allow: {empty_snapshot: …}`.",
    ),
    code(
        "snapshot-structure-damaged",
        "The database inside the snapshot is damaged.",
        "Take another one. Nothing was stopped.",
    ),
    code(
        "snapshot-truncated",
        "The snapshot is cut short.",
        "The save or the copy did not come to its end: take another one.",
    ),
    code(
        "snapshot-unreadable",
        "What stands at that path is no ordinary file (a directory, a FIFO, a socket, a device), or it changed while it was read.",
        "Give the path of an ordinary file. If it is still being written, wait until it is whole.",
    ),
    code(
        "spec-format",
        "The spec has another format number than this build reads.",
        "Write a fresh one with `discover` and carry your edits over.",
    ),
    code(
        "spec-syntax",
        "The spec is no YAML, or has an unknown field, or a value of the wrong kind.",
        "`discover` writes a correct spec to start from.",
    ),
    code(
        "spec-too-large",
        "The spec is larger than a spec can be.",
        "Is it the right file?",
    ),
    code(
        "spec-value",
        "The spec says something impossible.",
        "The message names the field.",
    ),
    code(
        "spool-foreign",
        "What stands at the spool path is not etcd's.",
        "Look at it and move it away by hand: this tool does not know what it is.",
    ),
    code(
        "spool-mount-point",
        "The spool is a mount point of its own: it can be neither renamed nor guarded.",
        "Move etcd's data to a directory below the mount point, in the role Etcd::Host.",
    ),
    code(
        "ssh-control-dir",
        "The directory for ssh's shared connections cannot be used.",
        "It must belong to this user and be private; remove it and try again.",
    ),
    code(
        "ssh-denied",
        "The node lets nobody in.",
        "Try `ssh root@NODE` by hand: keys, root login, and the file given with --ssh-config.",
    ),
    code(
        "ssh-host-key",
        "The node's host key is not the known one.",
        "Never accept it blindly. If this run has wiped the node and provisioning does not bring its keys back, resume with --host-keys replace-after-wipe: it takes one new key for each wipe of this run. A key that a run which is over has accepted lies in that run's directory: `(echo; grep -h '^[^#]' RUN-DIR/known_hosts.NODE) >> ~/.ssh/known_hosts` takes it over. Else find out who answers there.",
    ),
    code(
        "ssh-known-hosts",
        "That a node is wiped next, and may come back with another host key, cannot be noted.",
        "It lies in the run's directory. See what the system says of it: space, permissions, the disk; then resume.",
    ),
    code(
        "ssh-lost",
        "The connection to a node broke while a command ran.",
        "Resume: the step is looked at before anything is done again.",
    ),
    code(
        "ssh-missing",
        "The program ssh cannot be run.",
        "Install the OpenSSH client on this head node.",
    ),
    code(
        "ssh-timeout",
        "A command on a node gave no result in time.",
        "Look at the node (load, hanging storage), then resume.",
    ),
    code(
        "ssh-unreachable",
        "A node does not answer ssh.",
        "Look at its power and console. When it is up, resume. Where an undo finds the node at its installer's question, the hint says how to reset it with its disk as it is.",
    ),
    code(
        "state-io",
        "A file or directory of the state directory cannot be used.",
        "The message names it and says why.",
    ),
    code(
        "state-locks-local",
        "The state directory lies on network storage that was mounted with locks of this host only, on a cluster with two head nodes.",
        "Mount it with locks that the server keeps (NFS: without `nolock` and `local_lock`; Lustre: with `flock`), or name another --state-dir.",
    ),
    code(
        "state-unsafe",
        "A file that decides what is done could have been changed by others.",
        "Make sure that nobody has changed it, then take the right to write from group and others.",
    ),
    code(
        "tls-missing",
        "A certificate or key for etcd is missing.",
        "The message names the file and the option. From Bright 10 on they lie below /etc/kubernetes/pki/LABEL, by the Kubernetes cluster's label; 9.x was seen to keep such files below /cm/local/apps/kubernetes/var/etc.",
    ),
    code(
        "tool-missing",
        "A node has no program that can restore this snapshot.",
        "etcdctl up to 3.4, etcdutl from 3.5 on. Look at the module on the node.",
    ),
    code(
        "tool-version",
        "etcd or its restore tool on a node is of another minor release than the plan.",
        "A restore across minor releases is not supported. Is the node's image the right one?",
    ),
    code(
        "undo-of-undo",
        "The run is an undo itself.",
        "Resume it, or begin a new restore.",
    ),
    code(
        "usage",
        "The command line makes no sense.",
        "--help, on each command, says what it takes.",
    ),
    code(
        "world-drift",
        "The world is not what the plan was made for.",
        "Every difference is listed. Make the plan again and have it reviewed.",
    ),
    code(
        "world-of-another-spec",
        "The world was observed for other nodes than the spec names.",
        "Observe it again with this spec; a fault of the calling program.",
    ),
];

#[cfg(test)]
mod tests;
