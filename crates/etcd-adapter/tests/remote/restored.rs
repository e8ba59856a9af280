//! The three parts together: what was proven is restored, and a member answers with it.

use etcd_adapter::client::GrpcClient;
use runbook_core::identity::{cluster_id, member_id};
use runbook_core::names::{EtcdUrl, MemberName};
use runbook_core::ports::{EtcdClient as _, EtcdTool as _};
use runbook_core::world::{MemberStatus, SnapshotContent};

use crate::cluster::Etcd;
use crate::tool::Bench;

#[tokio::test]
async fn a_restored_member_answers_as_proven_and_predicted() {
    for (snapshot, trailer) in [
        ("snap-3.4.23.db", true),
        ("compacted-3.4.23.db", true),
        ("swept-3.4.23.db", true),
        ("snap-3.4.23.db", false),
    ] {
        let mut etcd = Etcd::prepare(1);
        let mut bench = Bench::new(snapshot);
        if !trailer {
            bench.without_trailer().await;
        }
        let name = MemberName::new("m0").unwrap();
        bench.effect.initial_cluster = vec![(name.clone(), etcd.peers[0].clone())];
        (bench.effect.member, bench.effect.peer_url) = (name, etcd.peers[0].clone());
        let proof = bench
            .tool
            .prove(&bench.effect.snapshot, None)
            .await
            .unwrap();
        assert_eq!(proof.trailer, trailer);
        bench.perform().await;
        bench.complete().await;
        std::fs::rename(bench.path("data"), etcd.data_dir(0)).unwrap();
        etcd.launch(&[]);
        etcd.ready().await;
        let client = etcd.client();
        let url = etcd.url(0);
        let status = client.status(url).await.unwrap();
        let own = member_id(&etcd.peers, &bench.effect.token);
        assert_eq!((status.member, status.cluster), (own, cluster_id(&[own])));
        holds(&client, url, &status, &proof.content).await;
    }
}

async fn holds(
    client: &GrpcClient,
    url: &EtcdUrl,
    status: &MemberStatus,
    content: &SnapshotContent,
) {
    assert!(status.revision >= content.revision);
    let at = content.revision;
    let hash = client.hash_kv(url, at).await.unwrap().unwrap();
    assert_eq!(hash.hash, content.hash_kv);
    assert_eq!(
        client.count(url, "", at).await.unwrap(),
        Some(content.live_keys)
    );
    let registry = client.count(url, "/registry/", at).await.unwrap();
    assert_eq!(registry, Some(content.registry_keys));
}
