//! `discover`: what is there, as a spec to edit. Nothing is changed.

mod page;

use std::io;
use std::path::{Path, PathBuf};

use runbook_core::error::AdapterError;
use runbook_core::names::{AbsPath, ModuleName, NodeName};
use runbook_core::platform::{Platform, platform};
use runbook_core::ports::{PortResult, Ports};
use runbook_core::spec::Spec;
use runbook_core::world::{HeadRole, Host, ObservedMember, RoleHolder, SnapshotProof};
use serde::Serialize;

use super::{Context, folder};
use crate::args::{self, Listing};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{json, thousands};
use crate::ui::Ui;
use crate::verdict::Seen;

/// Where the vendor's article keeps snapshots.
const SNAPSHOTS: &str = args::BACKUP_DIR;

/// So many files are proven in the search for a good one, at most; the newest are.
const MAX_TRIES: usize = 5;

/// Where Bright keeps environment modules, on head nodes and others (administrator manual 2.2.4).
const MODULES: [&str; 2] = ["/cm/local/modulefiles", "/cm/shared/modulefiles"];

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    cluster: String,
    head: HeadRole,
    overlay: String,
    spool: AbsPath,
    members: Vec<ObservedMember>,
    platform: Platform,
    snapshots: Vec<Candidate>,
    snapshot: Option<SnapshotProof>,
    head_modules: Vec<ModuleName>,
    problems: Vec<String>,
}

/// A file that may be a snapshot.
#[derive(Debug, Clone, Serialize)]
struct Candidate {
    path: AbsPath,
    size_bytes: u64,
    modified: Option<jiff::Timestamp>,
}

pub(super) async fn discover(cx: Context<'_>, args: &args::Discover) -> Result<Exit, Failure> {
    let wired = cx.wiring.wire(cx.options, &cx.looking(&args.cluster))?;
    let found = wired
        .during(cx.halt.or(find(cx.ui, &wired.ports, args)))
        .await?;
    match args.format {
        Listing::Json => {
            let value = serde_json::to_value(&found).map_err(|error| {
                Failure::internal("the observation cannot be written").caused_by(&error)
            })?;
            cx.ui.data(&json::document(&value))?;
        }
        Listing::Text => {
            cx.ui.note(&page::report(&found));
            let spec = page::spec(&found);
            if let Err(error) = Spec::from_yaml(&spec) {
                cx.ui.warning(&format!(
                    "the spec needs your hand before it can be used: {error}"
                ));
            }
            cx.ui.data(&spec)?;
        }
    }
    Ok(Exit::Done)
}

async fn find(ui: &Ui, ports: &Ports, args: &args::Discover) -> Result<Found, Failure> {
    let head = ports.manager.head_role().await?;
    let overlay = match &args.overlay {
        Some(overlay) => overlay.clone(),
        None => ports.manager.etcd_overlay(&args.cluster).await?,
    };
    let role = ports.manager.etcd_role(Some(overlay), &[]).await?;
    let mut problems = Vec::new();
    let mut found = Found {
        cluster: args.cluster.to_string(),
        head,
        overlay: role.overlay.to_string(),
        spool: role.spool.clone(),
        members: Vec::new(),
        platform: Platform::default(),
        snapshots: candidates(Path::new(SNAPSHOTS), &mut problems),
        snapshot: None,
        head_modules: modules(MODULES.map(Path::new)),
        problems,
    };
    if head == HeadRole::Passive {
        found.problems.push("this is the passive head node: /cm/shared shows stale files here, and nothing may be run".into());
    }
    for holder in &role.holders {
        let member = look(ports, holder, &role.spool, &mut found.problems).await?;
        found.problems.extend(clears_at_boot(&member));
        found.members.push(member);
    }
    found.platform = platform(ports, &found.members).await;
    if found.members.is_empty() {
        found.problems.push(format!(
            "overlay {} has Etcd::Host, but no node has it from there: list the members by hand",
            found.overlay
        ));
    }
    let prove = async |path: &AbsPath| {
        ui.note(&format!("proving {path}, all of it …"));
        ports.tool.prove(path, None).await
    };
    let problems = &mut found.problems;
    found.snapshot = match &args.snapshot {
        None => {
            let paths: Vec<_> = found.snapshots.iter().map(|one| one.path.clone()).collect();
            newest_good(&paths, prove, problems).await
        }
        // Whoever names one means it, also without a key.
        Some(path) => match prove(path).await {
            Ok(proof) => {
                problems.extend(fault(&proof));
                proof.trailer.then_some(proof)
            }
            Err(error) => {
                problems.push(unproven(path, &error));
                None
            }
        },
    };
    Ok(found)
}

async fn look(
    ports: &Ports,
    holder: &RoleHolder,
    spool: &AbsPath,
    problems: &mut Vec<String>,
) -> Result<ObservedMember, Failure> {
    let node = &holder.node;
    let device = ports.manager.device(node).await?;
    Ok(holder.observed(device, host(ports, node, spool, problems).await))
}

/// What the node says; whatever cannot be seen is a problem to tell, not a reason to stop looking.
async fn host(
    ports: &Ports,
    node: &NodeName,
    spool: &AbsPath,
    problems: &mut Vec<String>,
) -> Option<Host> {
    let mut problem = |error: AdapterError| {
        problems.push(format!("{node} [{}]: {}", error.code, error.chain()));
    };
    let boot_id = match ports.nodes.boot_id(node).await {
        Ok(boot_id) => boot_id?,
        Err(error) => {
            problem(error);
            return None;
        }
    };
    let spool = match ports.nodes.spool(node, spool).await {
        Ok(spool) => spool,
        Err(error) => {
            problem(error);
            return None;
        }
    };
    let tools = ports.tool.tools(node, None).await.map_err(problem).ok();
    Some(Host {
        boot_id,
        spool,
        tools,
    })
}

/// A wipe that is set for the next boot, and asks nobody.
fn clears_at_boot(member: &ObservedMember) -> Option<String> {
    let devices = member.device.clears_at_boot();
    (!devices.is_empty()).then(|| {
        format!(
            "{} [block-devices-cleared]: its next boot wipes {} without asking; do not reboot it before blockdevicesclearedonnextboot is cleared",
            member.node,
            devices.join(", ")
        )
    })
}

/// The etcd modules of this head node, named `etcd/<cluster>/<version>`: with every node off, the best
/// hint at what they run.
fn modules<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> Vec<ModuleName> {
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok())
    };
    let mut found = Vec::new();
    for etcd in dirs.into_iter().map(|dir| dir.join("etcd")) {
        for cluster in names(&etcd) {
            for version in names(&etcd.join(&cluster)) {
                found.extend(ModuleName::new(format!("etcd/{cluster}/{version}")));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// What may be a snapshot, the newest first.
fn candidates(dir: &Path, problems: &mut Vec<String>) -> Vec<Candidate> {
    let paths = match folder::candidates(dir) {
        Ok(found) => found.paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(format!("{} cannot be listed: {error}", dir.display()));
            return Vec::new();
        }
    };
    let candidate = |path: PathBuf| {
        let seen = Seen::of(&path.metadata().ok()?);
        Some(Candidate {
            path: AbsPath::new(path.into_os_string().into_string().ok()?).ok()?,
            size_bytes: seen.size_bytes,
            modified: seen.modified,
        })
    };
    paths.into_iter().filter_map(candidate).collect()
}

/// Proves one after the other, until one is good and holds something.
async fn newest_good(
    paths: &[AbsPath],
    prove: impl AsyncFn(&AbsPath) -> PortResult<SnapshotProof>,
    problems: &mut Vec<String>,
) -> Option<SnapshotProof> {
    for path in paths.iter().take(MAX_TRIES) {
        match prove(path).await {
            Ok(proof) => match fault(&proof) {
                None => return Some(proof),
                Some(fault) => problems.push(fault),
            },
            Err(error) => problems.push(unproven(path, &error)),
        }
    }
    problems.push(match paths.len() {
        0 => format!("there is no snapshot in {SNAPSHOTS}: name one in the spec"),
        tried @ 1..=MAX_TRIES => {
            format!("none of the {tried} files in {SNAPSHOTS} can be restored: name another one in the spec")
        }
        all => format!(
            "the newest {MAX_TRIES} of {all} files in {SNAPSHOTS} cannot be restored: `restore-runbook verify {SNAPSHOTS}` looks at the others"
        ),
    });
    None
}

/// Why a proven file is not the one to restore without a second thought.
pub(super) fn fault(proof: &SnapshotProof) -> Option<String> {
    let path = &proof.path;
    if !proof.trailer {
        Some(format!(
            "{path} is a copy out of a data directory [snapshot-no-trailer]: `restore-runbook verify` tells more"
        ))
    } else if proof.content.registry_keys == 0 {
        Some(format!(
            "{path} is good BUT EMPTY: {} keys live in it, and none is Kubernetes' own",
            thousands(proof.content.live_keys)
        ))
    } else {
        None
    }
}

fn unproven(path: &AbsPath, error: &AdapterError) -> String {
    format!(
        "{path} cannot be restored [{}]: {}",
        error.code,
        error.chain()
    )
}

#[cfg(test)]
mod tests {
    use runbook_core::testkit::World;

    use super::*;

    #[test]
    fn the_newest_good_one_that_holds_something_is_taken() {
        let world = World::of(3).build();
        let ports = world.ports();
        let good = world.spec().snapshot;
        let path = |name: &str| AbsPath::new(format!("/backups/{name}")).unwrap();
        let prove = async |path: &AbsPath| {
            let mut proof = ports.tool.prove(&good, None).await?;
            match path.as_str() {
                "/backups/damaged" => return ports.tool.prove(path, None).await,
                "/backups/empty" => proof.content.registry_keys = 0,
                "/backups/copied" => proof.trailer = false,
                _ => {}
            }
            proof.path = path.clone();
            Ok(proof)
        };
        let search = |names: &[&str]| {
            let paths: Vec<_> = names.iter().map(|name| path(name)).collect();
            let mut problems = Vec::new();
            let found = world.drive(newest_good(&paths, prove, &mut problems));
            (found.map(|proof| proof.path), problems)
        };
        let (found, problems) = search(&["damaged", "empty", "copied", "good", "older"]);
        assert_eq!(found, Some(path("good")));
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("[snapshot-missing]"), "{problems:?}");
        assert!(problems[1].contains("BUT EMPTY"), "{problems:?}");
        assert!(
            problems[2].contains("[snapshot-no-trailer]"),
            "{problems:?}"
        );
        // The search ends, and says so.
        let (found, problems) = search(&[&["damaged"; MAX_TRIES][..], &["good"]].concat());
        assert_eq!((found, problems.len()), (None, MAX_TRIES + 1));
        assert!(problems[MAX_TRIES].contains("verify"), "{problems:?}");
        assert!(search(&[]).1[0].contains("there is no snapshot"));
    }

    #[test]
    fn the_head_nodes_modules_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "etcd/kube-default/3.4.23",
            "etcd/kube-default/.hidden",
            "gcc/12",
        ] {
            let file = dir.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let found = modules([dir.path(), Path::new("/nonexistent")]);
        assert_eq!(
            found,
            [ModuleName::new("etcd/kube-default/3.4.23").unwrap()]
        );
    }
}
