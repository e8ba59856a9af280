//! A cable that can be cut: it carries connections to one port, up to a number of bytes of each.

use std::io;
use std::time::Duration;

use runbook_core::names::EtcdUrl;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What happens once a connection has carried its bytes.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// It is closed.
    Cut,
    /// It stays open, and nothing comes any more.
    Stall,
    /// On the way this `HashKV` becomes another one; without TLS only.
    OtherHash(u32),
}

/// Stands in for a member; each connection carries at most `most` bytes of its answers.
pub(crate) async fn before(member: &EtcdUrl, most: usize, fault: Fault) -> EtcdUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = member.port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else {
                continue;
            };
            let (from_near, to_near) = near.into_split();
            let (from_far, to_far) = far.into_split();
            tokio::spawn(carry(from_near, to_far, usize::MAX, Fault::Cut));
            tokio::spawn(carry(from_far, to_near, most, fault));
        }
    });
    let old = format!(":{to}");
    EtcdUrl::new(member.as_str().replace(&old, &format!(":{port}"))).unwrap()
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    most: usize,
    fault: Fault,
) -> io::Result<()> {
    let mut chunk = [0; 16 << 10];
    let mut carried = 0;
    while carried < most {
        let length = from.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        if let Fault::OtherHash(hash) = fault {
            falsify(&mut chunk[..length], hash);
        }
        to.write_all(&chunk[..length]).await?;
        carried += length;
    }
    if matches!(fault, Fault::Stall) {
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    Ok(())
}

/// Changes the last bit of `hash` wherever it is field 2 of a message.
fn falsify(bytes: &mut [u8], hash: u32) {
    let mut field = vec![0x10];
    let mut rest = hash;
    while rest >= 0x80 {
        field.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    field.push(rest.to_le_bytes()[0]);
    let found = bytes.windows(field.len()).position(|part| part == field);
    if let Some(at) = found {
        bytes[at + 1] ^= 1;
    }
}
