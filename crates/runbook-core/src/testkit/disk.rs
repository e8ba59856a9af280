//! A node's disk: only what this crate asks about, as a map from paths to things.

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::identity::{ClusterId, MemberId};
use crate::names::{AbsPath, EtcdUrl, MemberName, RunId};
use crate::world::SpoolState;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Thing {
    EmptyDirectory,
    ForeignDirectory,
    MountPoint,
    Guard(RunId),
    Tree(Tree),
    /// A staging directory; its tree and its mark are paths of their own.
    Staging,
    /// The mark of completion.
    Mark(Digest),
}

impl Thing {
    /// A data directory with all of the snapshot.
    pub(super) fn is_restored(&self) -> bool {
        matches!(self, Self::Tree(tree) if tree.data == Data::Restored)
    }
}

/// An etcd data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) data: Data,
    pub(super) identity: Identity,
    pub(super) owner: String,
    pub(super) mode: u32,
    pub(super) strangers: u64,
    /// SHA-256 of `member/snap/db`; a started etcd changes it.
    pub(super) db: Digest,
}

/// What a data directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// The old cluster's; a damaged one does not start.
    Old { sound: bool },
    /// The snapshot's.
    Restored,
    /// Half of the snapshot's: etcd starts from it, answers, and hangs on writes.
    Half,
    /// Nothing: what etcd makes for itself on an empty disk.
    Empty,
}

/// Which cluster a data directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) cluster: ClusterId,
    pub(super) member: MemberId,
    pub(super) members: Vec<(MemberId, MemberName, EtcdUrl)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Disk(BTreeMap<AbsPath, Thing>);

impl Disk {
    pub(super) fn at(&self, path: &AbsPath) -> Option<&Thing> {
        self.0.get(path)
    }

    pub(super) fn things(&self) -> impl Iterator<Item = &Thing> {
        self.0.values()
    }

    pub(super) fn tree(&self, path: &AbsPath) -> Option<&Tree> {
        match self.at(path) {
            Some(Thing::Tree(tree)) => Some(tree),
            _ => None,
        }
    }

    pub(super) fn tree_mut(&mut self, path: &AbsPath) -> Option<&mut Tree> {
        match self.0.get_mut(path) {
            Some(Thing::Tree(tree)) => Some(tree),
            _ => None,
        }
    }

    pub(super) fn put(&mut self, path: &AbsPath, thing: Thing) {
        self.0.insert(path.clone(), thing);
    }

    /// `rm -r`.
    pub(super) fn remove(&mut self, path: &AbsPath) {
        let below = format!("{path}/");
        self.0
            .retain(|at, _| at != path && !at.as_str().starts_with(&below));
    }

    /// `rename`: the target is free, or an empty directory.
    pub(super) fn rename(&mut self, from: &AbsPath, to: &AbsPath) -> bool {
        let free = matches!(self.at(to), None | Some(Thing::EmptyDirectory));
        match self.0.remove(from) {
            Some(thing) if free => {
                self.put(to, thing);
                true
            }
            Some(thing) => {
                self.put(from, thing);
                false
            }
            None => false,
        }
    }

    pub(super) fn wipe(&mut self) {
        self.0.clear();
    }

    pub(super) fn spool(&self, path: &AbsPath) -> SpoolState {
        match self.at(path) {
            None => SpoolState::Absent,
            Some(Thing::EmptyDirectory) => SpoolState::EmptyDirectory,
            Some(Thing::Tree(_)) => SpoolState::Data,
            Some(Thing::ForeignDirectory | Thing::Staging) => SpoolState::ForeignDirectory,
            Some(Thing::MountPoint) => SpoolState::MountPoint,
            Some(Thing::Guard(run)) => SpoolState::Guard(*run),
            Some(Thing::Mark(_)) => SpoolState::Other,
        }
    }
}
