//! A snapshot from the wire to the disk, hashed on the way.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use runbook_core::digest::Digest;
use runbook_core::names::EtcdUrl;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::error::{BackupError, Fault};
use super::place::{Part, Place};
use super::session::{Event, Watcher};
use crate::client::{GrpcClient, SnapshotStream};

/// Messages of 32 KiB that may wait for the disk.
const WAITING: usize = 64;

/// Bytes of the hash at the end.
const TRAILER: usize = 32;

/// Why a member's snapshot did not come to lie on the disk.
pub(super) enum Ended {
    /// The member's fault, or the network's: another may do.
    Member(Fault),
    /// Ours: none will.
    Ours(BackupError),
}

impl From<BackupError> for Ended {
    fn from(error: BackupError) -> Self {
        Self::Ours(error)
    }
}

/// Writes the snapshot of a member into a part, and returns the digest of the whole file. Nothing is
/// synced yet.
pub(super) async fn receive(
    client: &GrpcClient,
    url: &EtcdUrl,
    idle: Duration,
    (place, part): (&Place, &Part),
    watch: &Watcher,
) -> Result<Digest, Ended> {
    let mut stream = client.snapshot(url, idle).await.map_err(port)?;
    let failed = |doing| BackupError::io(&part.path, doing);
    let file = part.file.try_clone().map_err(failed("written"))?;
    let (chunks, waiting) = mpsc::channel(WAITING);
    let writer = spawn_blocking(move || write(file, waiting));
    let sent = send(&mut stream, chunks, place, watch).await;
    let written = writer
        .await
        .map_err(|error| failed("written")(error.into()))?;
    // A full disk ends both; it is the cause.
    let sums = written.map_err(failed("written"))?;
    sent?;
    if sums.content[..] == sums.trailer {
        Ok(Digest::from_bytes(sums.file))
    } else {
        Err(Ended::Member(Fault::Hash))
    }
}

fn port(error: runbook_core::error::AdapterError) -> Ended {
    Ended::Member(Fault::Port(error))
}

async fn send(
    stream: &mut SnapshotStream,
    chunks: mpsc::Sender<Vec<u8>>,
    place: &Place,
    watch: &Watcher,
) -> Result<(), Ended> {
    let mut done_bytes = 0;
    while let Some(chunk) = stream.next().await.map_err(port)? {
        let total_bytes = stream.expected().unwrap_or_default();
        if done_bytes == 0 {
            room(place, total_bytes)?;
        }
        done_bytes += chunk.len() as u64;
        if chunks.send(chunk).await.is_err() {
            break;
        }
        watch(Event::Received {
            done_bytes,
            total_bytes,
        });
    }
    Ok(())
}

/// That there is room, before the disk is filled with what will not fit.
pub(super) fn room(place: &Place, needed: u64) -> Result<(), BackupError> {
    let free = place.free_bytes()?;
    if free < needed {
        return Err(BackupError::Space {
            dir: place.dir().to_owned(),
            why: format!("{needed} bytes are needed, {free} are free"),
        });
    }
    Ok(())
}

fn write(mut file: File, mut chunks: mpsc::Receiver<Vec<u8>>) -> io::Result<Sums> {
    let mut hash = TrailingHash::default();
    while let Some(chunk) = chunks.blocking_recv() {
        file.write_all(&chunk)?;
        hash.update(&chunk);
    }
    Ok(hash.finish())
}

/// SHA-256 of all but the last 32 bytes, which are not known as such before the end.
#[derive(Default)]
pub(super) struct TrailingHash {
    hash: Sha256,
    held: Vec<u8>,
}

pub(super) struct Sums {
    /// Of all but the trailer.
    pub(super) content: [u8; 32],
    /// Of all.
    pub(super) file: [u8; 32],
    /// The last bytes; fewer than 32 of a shorter file.
    pub(super) trailer: Vec<u8>,
}

impl TrailingHash {
    pub(super) fn update(&mut self, chunk: &[u8]) {
        // What was held goes first, as far as the new bytes push it out.
        let out = (self.held.len() + chunk.len()).saturating_sub(TRAILER);
        let of_held = out.min(self.held.len());
        let of_chunk = out - of_held;
        self.hash.update(&self.held[..of_held]);
        self.held.drain(..of_held);
        self.hash.update(&chunk[..of_chunk]);
        self.held.extend_from_slice(&chunk[of_chunk..]);
    }

    pub(super) fn finish(self) -> Sums {
        let whole = self.hash.clone().chain_update(&self.held);
        Sums {
            content: self.hash.finalize().into(),
            file: whole.finalize().into(),
            trailer: self.held,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_trailer_is_told_from_the_content_however_it_comes(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            sizes in prop::collection::vec(1..70usize, 1..20),
        ) {
            let mut hash = TrailingHash::default();
            let mut rest = &bytes[..];
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, more) = rest.split_at((*size).min(rest.len()));
                hash.update(chunk);
                rest = more;
            }
            let sums = hash.finish();
            let (content, trailer) = bytes.split_at(bytes.len().saturating_sub(TRAILER));
            prop_assert_eq!(sums.trailer, trailer);
            prop_assert_eq!(sums.content, <[u8; 32]>::from(Sha256::digest(content)));
            prop_assert_eq!(sums.file, <[u8; 32]>::from(Sha256::digest(&bytes)));
        }
    }
}
