//! What clients do to a store.

use std::collections::BTreeMap;

use etcd_client::{
    Client, CompactionOptions, DeleteOptions, Error, LeaseGrantOptions, PutOptions, Txn, TxnOp,
};

/// Operations in one transaction; etcd allows 128.
const BATCH: usize = 100;

/// Numbers that look random and are the same in each run (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| self.below(256).to_le_bytes()[0])
            .collect()
    }

    fn number(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or_default()
    }
}

pub(crate) fn pod(number: usize) -> String {
    format!("/registry/pods/default/p{number}")
}

/// Objects of several kinds, named as Kubernetes names them.
pub(crate) async fn registry(client: &mut Client, pods: usize) -> Result<(), Error> {
    for number in 0..pods {
        client
            .put(pod(number), format!("pod {number}"), None)
            .await?;
    }
    for key in [
        "/registry/services/specs/default/kubernetes",
        "/registry/apiextensions.k8s.io/customresourcedefinitions/a.b.c",
        "/registry/masterleases/10.141.0.1",
    ] {
        client.put(key, "object", None).await?;
    }
    Ok(())
}

/// Puts in large transactions, none of which has a key twice.
pub(crate) async fn bulk(
    client: &mut Client,
    pairs: impl Iterator<Item = (String, Vec<u8>)>,
) -> Result<(), Error> {
    let mut batch: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (key, value) in pairs {
        if batch.len() == BATCH || batch.contains_key(&key) {
            put_all(client, std::mem::take(&mut batch)).await?;
        }
        batch.insert(key, value);
    }
    put_all(client, batch).await
}

async fn put_all(client: &mut Client, batch: BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
    let puts = batch
        .into_iter()
        .map(|(key, value)| TxnOp::put(key, value, None));
    client
        .txn(Txn::new().and_then(puts.collect::<Vec<_>>()))
        .await
        .map(drop)
}

pub(crate) async fn delete_all(client: &mut Client) -> Result<(), Error> {
    let every = DeleteOptions::new().with_all_keys();
    client.delete("", Some(every)).await.map(drop)
}

/// Compacts, and returns only when it is done.
pub(crate) async fn compact(client: &mut Client, revision: i64) -> Result<(), Error> {
    let physical = CompactionOptions::new().with_physical();
    client.compact(revision, Some(physical)).await.map(drop)
}

pub(crate) async fn revision(client: &mut Client) -> Result<i64, Error> {
    let answer = client.get("x", None).await?;
    Ok(answer
        .header()
        .map_or(0, etcd_client::ResponseHeader::revision))
}

/// Everything a client can do to keys, mixed: of keys that come back again and again, with values from
/// nothing to several pages.
pub(crate) async fn history(client: &mut Client, seed: u64, steps: usize) -> Result<(), Error> {
    let mut dice = Dice::new(seed);
    let lease = client
        .lease_grant(86_400, Some(LeaseGrantOptions::new()))
        .await?
        .id();
    let mut compacted = 0;
    for _ in 0..steps {
        let key = pod(dice.number(60));
        let length = [0, 1, 30, 300, 3000, 9000][dice.number(6)];
        match dice.below(100) {
            0..60 => {
                let leased = (dice.below(5) == 0).then(|| PutOptions::new().with_lease(lease));
                client.put(key, dice.bytes(length), leased).await?;
            }
            60..80 => drop(client.delete(key, None).await?),
            80..84 => {
                let range = DeleteOptions::new().with_range(pod(dice.number(60)));
                client.delete(key, Some(range)).await?;
            }
            84..96 => {
                let one = TxnOp::delete(key, None);
                let several = (0..dice.number(12))
                    .map(|i| TxnOp::put(format!("/registry/t/{i}"), dice.bytes(length / 10), None));
                let operations: Vec<_> = std::iter::once(one).chain(several).collect();
                client.txn(Txn::new().and_then(operations)).await?;
            }
            96..99 => {
                let ahead = revision(client).await? - compacted;
                let step =
                    i64::try_from(dice.below(ahead.unsigned_abs().max(1))).unwrap_or_default();
                if step > 0 {
                    compacted += step;
                    compact(client, compacted).await?;
                }
            }
            _ => client.defragment().await.map(|_| ())?,
        }
    }
    Ok(())
}
