//! The ids a restored cluster will have, known before the first disk is touched.
//!
//! etcd derives them from peer URLs and the cluster token alone (`membership/member.go` and
//! `cluster.go`, unchanged from 3.4 to 3.7): a member's id is the first eight bytes of the SHA-1
//! over its sorted peer URLs and the token; the cluster's id is the same over the sorted member
//! ids. Names do not matter, so a fresh token gives a fresh identity, and a member that was never
//! stopped cannot talk to the restored cluster.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

use crate::names::EtcdUrl;

/// An etcd member id, printed as etcd prints it: lower-case hex without leading zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberId(pub u64);

/// An etcd cluster id, printed as etcd prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterId(pub u64);

/// The cluster id of a restore without member flags: "someone followed the article on each node".
pub const ARTICLE_CLUSTER_ID: ClusterId = ClusterId(0xcdf8_1819_4e3a_8c32);

/// The id of the member with these peer URLs in a cluster bootstrapped with this token.
pub fn member_id(peer_urls: &[EtcdUrl], token: &str) -> MemberId {
    let mut urls: Vec<&str> = peer_urls.iter().map(EtcdUrl::as_str).collect();
    urls.sort_unstable();
    let mut sha = Sha1::new();
    for url in urls {
        sha.update(url);
    }
    sha.update(token);
    MemberId(first_eight(&sha.finalize()))
}

/// The id of the cluster these members form.
pub fn cluster_id(members: &[MemberId]) -> ClusterId {
    let mut ids: Vec<u64> = members.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    let mut sha = Sha1::new();
    for id in ids {
        sha.update(id.to_be_bytes());
    }
    ClusterId(first_eight(&sha.finalize()))
}

fn first_eight(sum: &[u8]) -> u64 {
    sum.iter()
        .take(8)
        .fold(0, |id, byte| (id << 8) | u64::from(*byte))
}

macro_rules! hex_id {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:x}", self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = std::num::ParseIntError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                u64::from_str_radix(&text, 16).map($name)
            }
        }
    };
}
hex_id!(MemberId);
hex_id!(ClusterId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_articles_own_log_is_reproduced() {
        // The vendor's article shows both ids in its restore log.
        let url = EtcdUrl::new("http://localhost:2380").unwrap();
        let member = member_id(&[url], "etcd-cluster");
        assert_eq!(member.to_string(), "8e9e05c52164694d");
        assert_eq!(cluster_id(&[member]), ARTICLE_CLUSTER_ID);
    }

    #[test]
    fn a_fresh_token_gives_a_fresh_identity() {
        let url = [EtcdUrl::new("https://10.141.0.1:2380").unwrap()];
        assert_ne!(member_id(&url, "one"), member_id(&url, "two"));
    }
}
